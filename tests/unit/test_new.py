"""`make new` drafts a model that trains and serves as it is, of tables however they are written."""

import csv
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from sklearn import datasets

from bundle.declaration import Declaration, TableFormat, load_declaration
from bundle.features import CategoryFeature, NumberFeature
from monitoring.dashboards import own
from tests.harness import PROJECT, Server, run
from training import check, compare, importing, new, retrain
from training.__main__ import main as train
from training.build import build
from training.columns import identifier
from training.data import load_recipe, load_rows
from training.table import read_table

KINDS = ("wohnung", "häuschen", "schloß")
DIRTY = [
    "Kunden-Nr;Größe (m²);Stockwerke;Art;score;Bezug;Bemerkung;Land;leer;Zahlt",
    *(
        f"K{1000 + place};{place % 40 + 30},{place % 10};{'?' if place % 9 == 0 else place % 4 + 1};"
        f"{'k.A.' if place % 50 == 7 else KINDS[place * place % 7 % 3]};{place * 37 % 101};"
        f"{place % 28 + 1:02}.03.2024;ruft an wegen {place};DE;-;{'nein' if place % 40 < 16 else 'ja'}"
        for place in range(120)
    ),
]
TEXT = "a model needs categories or numbers, such as the first word or the length"
REVIEW = """\
wrote {folder}: 120 rows, 4 features, 2 classes

separator     semicolon
encoding      cp1252 (reads as Größe (m²), häuschen, schloß)
decimal sign  comma
missing       empty cells, -, ?
class         no_Zahlt (nein in 'Zahlt'): 48 rows
class         Zahlt (ja in 'Zahlt'): 72 rows; guessed to be the positive class, by its value

column      feature     type      missing  values
Größe (m²)  Grosse_m2   number    0        30 to 69.9, median 49.95
Stockwerke  Stockwerke  integer   14       1 to 4, median 3
Art         Art         category  0        4: häuschen, k.A., schloß, wohnung
score       score_2     integer   0        0 to 100, median 49

Left out:
  Kunden-Nr: it holds text: 120 different values in 120 rows; {text}
  Bezug: it holds dates: a model needs numbers, such as days until another date
  Bemerkung: it holds text: 120 different values in 120 rows; {text}
  Land: it has the same value in each row that has one
  leer: all its values are missing

To review:
  Größe (m²): it alone tells the class of 100.0% of rows: take it out if it is known only after the class is
  Stockwerke: 4 whole numbers: if they are codes, declare a category
  Art: 1 of 4 values have fewer than 10 rows
  codes: those of Art follow the alphabet: clients may send them, so give them your own numbers

Next, in {folder}/model.toml: write what is 'Not stated yet', see whether the positive class and the types are
right, and give a number its unit and the range of what is possible. Then:
  make check MODEL=miete
  make train MODEL=miete
  MODEL=miete make run
"""

Draft = Callable[..., Declaration]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def draft(models: Path) -> Draft:
    def draft(path: Path, target: str, model: str = "credit") -> Declaration:
        options = ["--model", model, "--data", str(path), "--target", target, "--models-dir", str(models)]
        assert new.main(options) == 0
        return load_declaration(models / model)

    return draft


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    def write(*lines: str, encoding: str = "utf-8") -> Path:
        path = tmp_path / "credit.csv"
        path.write_text("".join(f"{line}\n" for line in lines), encoding=encoding)
        return path

    return write


def test_many_values_with_enough_rows_are_a_category_that_takes_others(
    table: Callable[..., Path], draft: Draft, capsys: pytest.CaptureFixture[str]
) -> None:
    cities = [f"City {place % 40:02}" for place in range(1000)] + ["Hamlet 1", "Hamlet 2"]
    lines = [f"{city},{'ab'[place * 7 % 3 % 2]}" for place, city in enumerate(cities)]
    (city,) = draft(table("city,class", *lines), "class").features
    assert isinstance(city, CategoryFeature)
    assert city.other
    assert list(city.codes) == [f"City {place:02}" for place in range(40)]
    assert "city: values that are not listed are taken as others, as the 2 rare ones in 2 rows are" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("pair", "kind"),
    [
        ("True False", "boolean"),
        ("wahr falsch", "boolean"),
        ("yes no", "category"),
        ("true maybe", "category"),
    ],
)
def test_true_and_false_are_a_boolean_and_other_pairs_a_category(
    table: Callable[..., Path], draft: Draft, pair: str, kind: str
) -> None:
    first, second = pair.split()
    lines = [f"{first if place % 3 else second},{'ab'[place % 7 % 2]}" for place in range(100)]
    declaration = draft(table("held,class", *lines), "class")
    assert [feature.type for feature in declaration.features] == [kind]
    assert declaration.example == {"held": True if kind == "boolean" else first}


@pytest.mark.parametrize(("numbers", "added"), [("01", ", or a boolean"), ("12", "")])
def test_zeros_and_ones_may_be_a_boolean(
    table: Callable[..., Path], draft: Draft, capsys: pytest.CaptureFixture[str], numbers: str, added: str
) -> None:
    draft(table("held,class", *(f"{numbers[n % 2]},{'ab'[n % 7 % 2]}" for n in range(100))), "class")
    expected = f"  held: 2 whole numbers: if they are codes, declare a category{added}\n"
    assert expected in capsys.readouterr().out


def test_a_dirty_table_becomes_a_model_that_serves(
    table: Callable[..., Path], draft: Draft, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declaration = draft(table(*DIRTY, encoding="cp1252"), "Zahlt", "miete")
    assert capsys.readouterr().out == REVIEW.format(folder=models / "miete", text=TEXT)
    assert declaration.table.model_dump() == {
        "separator": ";", "encoding": "cp1252", "decimal": ",", "missing": ("-", "?"),
    }  # fmt: skip
    assert declaration.example == {"Grosse_m2": 49.95, "Stockwerke": 3, "Art": "häuschen", "score_2": 49}
    assert "range" not in (models / "miete" / "model.toml").read_text(encoding="utf-8").replace("`range`", "")
    build(models / "miete", None, None, say=print)
    server = Server({"MODELS_DIR": str(models), "MODEL": "miete"}).wait_until_ready()
    try:
        answer = server.post("/predict", declaration.example)
        assert answer.status_code == 200
        assert answer.json()["prediction"] in {"ja", "nein"}
        assert server.post("/predict", declaration.example | {"Grosse_m2": 5000.5}).status_code == 200
    finally:
        server.stop()


def scikit_learn(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        bunch = getattr(datasets, f"load_{name}")()
        with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t")
            writer.writerow([*map(str, bunch.feature_names), "class"])
            rows = zip(bunch.data.tolist(), bunch.target_names[bunch.target], strict=True)
            writer.writerows([*row, name] for row, name in rows)
        return folder / "rows.csv"

    return write


def churn(_: Path) -> Path:
    if path := os.environ.get("CHURN_DATA"):
        return Path(path)
    pytest.skip("no churn data: set CHURN_DATA")


@pytest.mark.parametrize(
    ("written", "target", "labels", "features", "rows"),
    [
        (scikit_learn("breast_cancer"), "class", ["benign", "malignant"], 30, 569),
        (scikit_learn("wine"), "class", ["class_0", "class_1", "class_2"], 13, 178),
        (scikit_learn("iris"), "class", ["setosa", "versicolor", "virginica"], 4, 150),
        (scikit_learn("digits"), "class", [f"class_{digit}" for digit in range(10)], 61, 1797),
        (
            lambda _: PROJECT / "models" / "heart-disease" / "data.csv",
            *("narrowing_over_50", ["no_narrowing_over_50", "narrowing_over_50"], 13, 303),
        ),
        (churn, "Churn", ["no_Churn", "Churn"], 19, 7043),
    ],
    ids=["breast cancer", "wine", "iris", "digits", "heart disease", "churn"],
)
def test_a_real_table_becomes_a_model_that_trains(
    tmp_path: Path,
    draft: Draft,
    models: Path,
    *,
    written: Callable[[Path], Path],
    target: str,
    labels: list[str],
    features: int,
    rows: int,
) -> None:
    declaration = draft(written(tmp_path), target)
    assert declaration.labels == labels
    assert len(declaration.features) == features
    (manifest,) = build(models / "credit", None, None, say=print)
    assert manifest.data.rows == rows
    assert manifest.evaluation.metrics["accuracy"].value > 0.75


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", ":", " "])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_separators_and_encodings_are_found(
    table: Callable[..., Path], draft: Draft, separator: str, encoding: str
) -> None:
    lines = [
        "größe,farbe,zahlt",
        *(f"{place / 2},{'rot' if place % 3 else 'grün'},{place % 2}" for place in range(40)),
    ]
    declaration = draft(table(*(line.replace(",", separator) for line in lines), encoding=encoding), "zahlt")
    assert declaration.table.separator == separator
    assert declaration.feature_names == ["grosse", "farbe"]
    assert [feature.column for feature in declaration.features] == ["größe", "farbe"]


def test_the_separator_is_the_one_that_gives_the_target(table: Callable[..., Path], draft: Draft) -> None:
    rows = [f"{place % 7},x|y|z|{place % 3},{label}" for place, label in enumerate(LABELS)]
    declaration = draft(table("a b c d,e|f|g|h,late", *rows), "late")
    assert [feature.column for feature in declaration.features] == ["a b c d", "e|f|g|h"]


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("cp1252", ("größe", "süß", "Köln")),
        ("cp1251", ("рост", "женский", "Москва")),
        ("cp932", ("身長", "女性", "東京都")),
        ("gb18030", ("身高体重", "女性朋友", "北京城市")),
    ],
)
def test_other_encodings_are_guessed_and_what_was_read_is_shown(
    table: Callable[..., Path],
    draft: Draft,
    capsys: pytest.CaptureFixture[str],
    encoding: str,
    words: tuple[str, ...],
) -> None:
    lines = [
        f"{words[0]},b,late",
        *(f"{place % 30},{words[1 + place % 2]},{place % 3 % 2}" for place in range(48)),
    ]
    declaration = draft(table(*lines, encoding=encoding), "late")
    assert declaration.features[0].column == words[0]
    assert declaration.table.encoding == encoding
    assert f"{encoding} (reads as {words[0]}" in capsys.readouterr().out


LABELS = ["yes" if place % 3 else "no" for place in range(60)]


def guessed(
    table: Callable[..., Path], draft: Draft, cells: Iterator[str]
) -> NumberFeature | CategoryFeature:
    """Return the feature that a column of sixty cells becomes."""
    lines = ["a;b;late", *(f"{cell};{place * 7 % 11};{LABELS[place]}" for place, cell in enumerate(cells))]
    return draft(table(*lines), "late").features[0]


@pytest.mark.parametrize(
    ("cells", "kind", "nullable"),
    [
        (("1", "2", "5"), "integer", False),
        (("0", "1"), "integer", False),
        (("1.0", "2.0", "3.0"), "number", False),
        (("1.5", "2", "3"), "number", False),
        (("1,5", "2", "3"), "number", False),
        (("1e3", "-2", "+3"), "number", False),
        (("20000000", "1", "2"), "number", False),
        (("1", "", "3"), "integer", True),
        (("1", "NA", "n/a", "None", "3"), "integer", True),
        (("red", "?", "null", "blue"), "category", True),
        (("red", "None", "unknown"), "category", False),
        (("TRUE", "FALSE"), "boolean", False),
        (("1", "2", "3+"), "category", False),
        (("007", "011", "101"), "category", False),
        (("00", "01", "2"), "category", False),
        (("0", "0.5", "-0.25"), "number", False),
    ],
)  # fmt: skip
def test_types_are_guessed_from_the_cells(
    table: Callable[..., Path], draft: Draft, cells: tuple[str, ...], kind: str, nullable: bool
) -> None:
    feature = guessed(table, draft, (cells[place % len(cells)] for place in range(60)))
    assert (feature.name, feature.type, feature.nullable) == ("a", kind, nullable)


@pytest.mark.parametrize(
    ("cells", "doubt"),
    [
        ([*"1234567", "Total"], "7 of 8 values are numbers: look at 'Total'"),
        (["1", "2", "3", "inf"], "3 of 4 values are numbers: look at 'inf'"),
        (["2", "3", "1e400"], "2 of 3 values are numbers: look at '1e400'"),
        (["3", "4", "5", "\u22126"], "3 of 4 values are numbers: look at '\u22126'"),
        (["2,5", "3", "x"], "2 of 3 values are numbers: look at 'x'"),
        (["1", "2", "a", "b"], ""),
        (["a", "b"], ""),
    ],
)
def test_a_word_among_numbers_is_doubted(
    table: Callable[..., Path],
    draft: Draft,
    capsys: pytest.CaptureFixture[str],
    cells: list[str],
    doubt: str,
) -> None:
    feature = guessed(table, draft, (cells[place % len(cells)] for place in range(60)))
    assert feature.type == "category"
    said = [line for line in capsys.readouterr().out.splitlines() if "are numbers" in line]
    assert all("means missing belongs into table.missing" in line for line in said)
    assert [line.partition(";")[0] for line in said] == ([f"  a: {doubt}"] if doubt else [])


def heights(*words: str) -> list[str]:
    """Return decimal-comma numbers, and words in some rows among them."""
    return [
        words[place % 20] if place % 20 < len(words) else f"1{place % 90},{place % 7}" for place in range(900)
    ]


def drafted(table: Callable[..., Path], draft: Draft, cells: list[str]) -> Declaration:
    lines = [f"{cell};{place * 7 % 11};{LABELS[place % 60]}" for place, cell in enumerate(cells)]
    return draft(table("Größe (cm);b;late", *lines), "late")


def test_a_word_in_place_of_a_missing_number_is_read_as_missing_and_to_be_reviewed(
    table: Callable[..., Path], draft: Draft, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declaration = drafted(table, draft, heights("k. A."))
    feature = declaration.features[0]
    assert (feature.type, feature.nullable) == ("number", True)
    assert (declaration.table.decimal, declaration.table.missing) == (",", ("k. A.",))
    rows, _ = read_table(models / "credit" / "data.csv", declaration)
    assert sum(row["Grosse_cm"] is None for row in rows) == 45
    assert (
        "  Größe (cm): 'k. A.' in 45 rows is read as missing: if it means something else, correct "
        "table.missing and the table\n"
    ) in capsys.readouterr().out.partition("To review:")[2]


@pytest.mark.parametrize(
    ("cells", "listed"),
    [
        (heights("<0.5"), "'<0.5' (45 rows)"),
        (heights("a", "b", "c", "d"), "'a' (45 rows), 'b' (45 rows), 'c' (45 rows) and 1 more"),
        ([*heights()[:-1], 60 * "x"], f"'{40 * 'x'}' (1 rows)"),
        ([*heights()[:-400], *(400 * ["none known"])], "'none known' (400 rows)"),
    ],
)
def test_any_other_text_among_numbers_is_left_out_with_what_to_do(
    table: Callable[..., Path],
    draft: Draft,
    capsys: pytest.CaptureFixture[str],
    cells: list[str],
    listed: str,
) -> None:
    assert drafted(table, draft, cells).feature_names == ["b"]
    assert (
        f"  Größe (cm): it is numbers but for {listed}: correct these cells, or empty them if they mean "
        "missing, and draft it again; or declare the feature by hand, and list them in table.missing\n"
    ) in capsys.readouterr().out.partition("Left out:")[2]


def test_a_category_that_reads_as_a_number_is_its_own_code(table: Callable[..., Path], draft: Draft) -> None:
    feature = guessed(table, draft, (("3+", "2", "1", "0", "-1")[place % 5] for place in range(60)))
    assert isinstance(feature, CategoryFeature)
    assert feature.codes == {"-1": -1, "0": 0, "1": 1, "2": 2, "3+": 3}


@pytest.mark.parametrize(
    ("cells", "codes", "alphabetical"),
    [
        (("ja", "nein"), {"nein": 0, "ja": 1}, False),
        (("Si", "No"), {"No": 0, "Si": 1}, False),
        (("oui", "non"), {"non": 0, "oui": 1}, False),
        (("yes", "no"), {"no": 0, "yes": 1}, False),
        (("J", "N"), {"N": 0, "J": 1}, False),
        (("y", "n"), {"n": 0, "y": 1}, False),
        (("ja", "nein", "egal"), {"nein": 0, "ja": 1, "egal": 2}, True),
        (("m", "f"), {"f": 0, "m": 1}, True),
        (("nein", "no", "ja"), {"nein": 0, "ja": 1, "no": 2}, True),
        (("ja", "Ja", "nein"), {"Ja": 0, "ja": 1, "nein": 2}, True),
        (("yes", "no", "0"), {"0": 0, "no": 1, "yes": 2}, False),
    ],
)
def test_no_is_0_and_other_codes_follow_the_alphabet_and_are_to_be_reviewed(
    table: Callable[..., Path],
    draft: Draft,
    capsys: pytest.CaptureFixture[str],
    *,
    cells: tuple[str, ...],
    codes: dict[str, int],
    alphabetical: bool,
) -> None:
    feature = guessed(table, draft, (cells[place % len(cells)] for place in range(60)))
    assert isinstance(feature, CategoryFeature)
    assert feature.codes == codes
    review = "codes: those of a follow the alphabet: clients may send them"
    assert (review in capsys.readouterr().out) == alphabetical


@pytest.mark.parametrize(
    ("common", "rare", "labels", "predictions"),
    [
        ("0", "1", ["no_late", "late"], [0, 1]),
        ("1", "0", ["no_late", "late"], [0, 1]),
        ("no", "yes", ["no_late", "late"], ["no", "yes"]),
        ("ja", "nein", ["no_late", "late"], ["nein", "ja"]),
        ("J", "N", ["no_late", "late"], ["N", "J"]),
        ("TRUE", "FALSE", ["no_late", "late"], ["FALSE", "TRUE"]),
        ("-1", "1", ["no_late", "late"], [-1, 1]),
        ("0.0", "1.0", ["no_late", "late"], [0, 1]),
        ("1", "2", ["late_1", "late_2"], [1, 2]),
        ("2", "1", ["late_2", "late_1"], [2, 1]),
        ("sick", "healthy", ["sick", "healthy"], ["sick", "healthy"]),
        ("positive", "healthy", ["healthy", "positive"], ["healthy", "positive"]),
        ("+", "-", ["no_late", "late"], ["-", "+"]),
        ("a b", "a_b", ["a_b_2", "a_b"], ["a b", "a_b"]),
    ],
)
def test_the_positive_class_is_last(
    table: Callable[..., Path],
    draft: Draft,
    *,
    common: str,
    rare: str,
    labels: list[str],
    predictions: list[int | str],
) -> None:
    rows = [f"{place % 7},{common if place % 3 else rare}" for place in range(60)]
    declaration = draft(table("a,late", *rows), "late")
    assert declaration.labels == labels
    assert [declared.prediction for declared in declaration.classes] == predictions


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("age", "age"), ("MonthlyCharges", "MonthlyCharges"), ("Größe (m²)", "Grosse_m2"),
        ("2nd floor", "x2nd_floor"), ("a-b", "a_b"), ("__a__", "a"), ("возраст", "other"), ("%", "other"),
    ],
)  # fmt: skip
def test_a_column_becomes_the_name_of_a_feature(column: str, name: str) -> None:
    assert identifier(column, "other") == name


def test_features_have_distinct_names(table: Callable[..., Path], draft: Draft) -> None:
    header = "a b,a-b,a_b,score,class,late"
    rows = [
        f"{place},{place % 5},{place % 7},{place % 3},{place * 3 % 8},{LABELS[place]}" for place in range(60)
    ]
    rows[0] = rows[0].replace("0,", "70,", 1)
    assert draft(table(header, *rows), "late").feature_names == ["a_b", "a_b_2", "a_b_3", "score_2", "class"]


def test_a_parquet_file_becomes_the_same_rows(tmp_path: Path, draft: Draft, models: Path) -> None:
    count = range(60)
    columns = {
        "age": [None if place == 5 else place % 50 for place in count],
        "income": [float("nan") if place == 7 else place * 1.1 for place in count],
        "member": [place % 2 == 0 for place in count],
        "city": pa.array(["Köln" if place % 3 else 'a "b", c' for place in count]).dictionary_encode(),
        "since": pa.array(list(count), pa.date32()),
        "late": LABELS,
    }
    parquet.write_table(pa.table(columns), tmp_path / "credit.parquet")
    declaration = draft(tmp_path / "credit.parquet", "late")
    assert declaration.feature_names == ["age", "income", "member", "city"]
    assert declaration.table == TableFormat()
    rows, labels = read_table(models / "credit" / "data.csv", declaration)
    assert [row["age"] for row in rows] == columns["age"]
    assert [row["income"] for row in rows][6:9] == [6 * 1.1, None, 8 * 1.1]
    assert rows[2] == {"age": 2, "income": 2.2, "member": True, "city": "Köln"}
    assert rows[3]["city"] == 'a "b", c'
    assert labels == ["late" if label == "yes" else "no_late" for label in LABELS]


def test_a_parquet_file_and_its_frames_csv_become_the_same_draft(
    tmp_path: Path, draft: Draft, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.DataFrame({"member": [place % 3 == 0 for place in range(60)], "late": LABELS})
    frame.to_parquet(tmp_path / "credit.parquet")
    frame.to_csv(tmp_path / "credit.csv", index=False)
    draft(tmp_path / "credit.parquet", "late")
    of_parquet = capsys.readouterr().out
    draft(tmp_path / "credit.csv", "late", "credit-2")
    of_csv = capsys.readouterr().out
    drafted = [(models / name / "model.toml").read_text() for name in ("credit", "credit-2")]
    assert drafted[0].splitlines()[3:] == drafted[1].splitlines()[3:]
    written = [line for line in of_csv.splitlines() if line.startswith(("separator", "encoding", "decimal"))]
    assert len(written) == 3
    assert not [line for line in written if line in of_parquet]


def test_three_classes_have_no_positive_one_to_review(
    table: Callable[..., Path], draft: Draft, capsys: pytest.CaptureFixture[str]
) -> None:
    draft(table("a,kind", *(f"{place % 9},{'xyz'[place % 3]}" for place in range(60))), "kind")
    assert "positive" not in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["check", "train"])
def test_what_to_do_next_is_what_the_document_says(
    table: Callable[..., Path], draft: Draft, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    draft(table("a,late", *(f"{place % 9},{label}" for place, label in enumerate(LABELS))), "late")
    said = capsys.readouterr().out.splitlines()
    assert f"  make {verb} MODEL=credit" in said[-3:]


def test_an_existing_folder_stays_as_it_is(
    table: Callable[..., Path], draft: Draft, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table("a,late", *(f"{place % 9},{label}" for place, label in enumerate(LABELS)))
    draft(path, "late")
    before = {file: file.read_bytes() for file in models.rglob("*") if file.is_file()}
    assert sorted(file.name for file in before) == ["data.csv", "model.toml", "recipe.py"]
    path.write_text("another table", encoding="utf-8")
    options = ["--model", "credit", "--data", str(path), "--target", "late", "--models-dir", str(models)]
    assert new.main(options) == 1
    assert capsys.readouterr().err == (
        f"error: {models / 'credit'} exists and stays as it is: remove it first, or give another name\n"
    )
    assert {file: file.read_bytes() for file in models.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("name", ["ret", "class", "credit-2"])
def test_a_model_may_have_any_name(table: Callable[..., Path], draft: Draft, models: Path, name: str) -> None:
    path = table("a,late", *(f"{place % 9},{label}" for place, label in enumerate(LABELS)))
    declaration = draft(path, "late", name)
    rows, _, _ = load_rows(models / name, declaration, load_recipe(models / name), None)
    assert len(rows) == len(LABELS)


MAINS: dict[str, tuple[Callable[[list[str]], int], list[str]]] = {
    "new": (new.main, ["--data", "none.csv", "--target", "late"]),
    "check": (check.main, []),
    "train": (train, []),
    "import": (importing.main, ["--file", "none.onnx", "--data", "none.csv", "--target", "late"]),
    "compare": (compare.main, ["--a", "v1", "--b", "v2"]),
    "retrain": (retrain.main, []),
    "rules": (own.main, []),
}
"""Verb of make -> its program, and the options that it needs besides the model."""


@pytest.mark.parametrize("verb", MAINS)
@pytest.mark.parametrize(
    ("name", "likely"),
    [
        ("Credit Risk_2", "credit-risk-2"),
        ("2nd", "nd"),
        ("../x", "x"),
        ("", "credit"),
        (".", "credit"),
        ("..", "credit"),
        ("a/b", "a-b"),
        ("credit\n", "credit"),
    ],
)
def test_a_name_that_no_model_can_have_is_rejected_by_what_is_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str, name: str, likely: str
) -> None:
    main, options = MAINS[verb]
    assert main(["--models-dir", str(tmp_path / "models"), f"--model={name}", *options]) == 1
    shown = name.replace("\n", "\\n")
    assert capsys.readouterr().err == (
        f"error: '{shown}' cannot be a model's name: take lower-case letters, digits and hyphens, with a "
        f"letter first, such as {likely}\n"
    )
    assert not list(tmp_path.iterdir())


VERBS = {
    "new": ["MODEL", "DATA", "TARGET"],
    "check": ["MODEL", "DATA"],
    "train": ["MODEL", "VERSION", "DATA"],
    "import": ["MODEL", "FILE", "DATA", "TARGET", "VERSION", "TRUST"],
    "compare": ["MODEL", "A", "B", "DATA"],
    "retrain": ["MODEL", "DATA", "SEEN"],
    "rules": ["MODEL"],
    "register": ["MODEL"],
    "up": ["STACK"],
    "down": ["STACK"],
}
"""Verb -> the variables whose values it passes on, in order."""


@pytest.mark.parametrize("given", ["on the command line", "by the environment"])
@pytest.mark.parametrize("verb", VERBS)
def test_make_passes_each_value_on_as_one_word(tmp_path: Path, verb: str, given: str) -> None:
    mark = tmp_path / "pwned"
    values = {name: f"Preis in $ 'ab' $(shell touch {mark}) $(touch {mark}) {name}" for name in VERBS[verb]}
    assignments = [f"{name}={value}" for name, value in values.items()]
    old = [f"--old-file=.venv/{done}.done" for done in ("train", "dev")]
    printed = run(
        *("make", "--dry-run", "--no-print-directory", *old, verb),
        *(assignments if given == "on the command line" else ()),
        settings={} if given == "on the command line" else values,
    )
    words = shlex.split(printed.stdout.splitlines()[-1])
    assert [word.removeprefix("/model/") for word in words if "$" in word] == [
        f"compose/{value}" if verb == "down" else value for value in values.values()
    ]
    assert not mark.exists()


def test_make_exports_a_value_as_it_is(tmp_path: Path) -> None:
    mark = tmp_path / "pwned"
    run("make", "help", f"TARGET=$(shell touch {mark})", f"OTHER=$(shell touch {mark})")
    run("make", "help", settings={"TARGET": f"$(shell touch {mark})"})
    assert not mark.exists()
