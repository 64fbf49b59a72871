"""Cells, classes and thresholds of an imported pipeline mean what they meant to its maker."""

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from bundle.declaration import load_declaration
from bundle.encoding import Encoder
from bundle.features import CategoryFeature
from bundle.manifest import load_manifest, read_files
from bundle.runtime import Session
from training.importing import export, main
from training.table import DataError

FEATURES = ["age", "plan"]


def quiet(_: str) -> None:
    pass


def rows(*plans: str) -> pd.DataFrame:
    """600 rows of an age and a plan, whose class depends on the plan."""
    random = np.random.default_rng(1)
    frame = pd.DataFrame({"age": random.integers(20, 80, 600), "plan": random.choice(plans, 600)})
    likely = np.array([0.9, 0.2, 0.5])[pd.factorize(frame.plan, sort=True)[0]]
    return frame.assign(y=np.where(random.random(600) < likely, "yes", "no"))


def fitted(frame: pd.DataFrame, *, imputed: bool = False, age: str = "age", plan: str = "plan") -> Pipeline:
    encoder = OneHotEncoder(handle_unknown="ignore")
    if imputed:
        encoder = make_pipeline(SimpleImputer(strategy="most_frequent"), encoder)
    columns = ColumnTransformer([("age", StandardScaler(), [age]), ("plan", encoder, [plan])])
    return make_pipeline(columns, LogisticRegression()).fit(frame[[age, plan]], frame.iloc[:, -1])


def run(
    folder: Path, made: Any, table: str, capsys: pytest.CaptureFixture[str], *options: str, target: str = "y"
) -> tuple[str, int]:
    """Import a pipeline with a table, and return what is said of a failure, and the exit code."""
    joblib.dump(made, folder / "made.joblib")
    (folder / "rows.csv").write_text(table, encoding="utf-8")
    named = ["--models-dir", str(folder), "--model", "credit", "--file", str(folder / "made.joblib")]
    code = main([*named, "--data", str(folder / "rows.csv"), "--target", target, "--trust", "yes", *options])
    said = capsys.readouterr().err
    assert said.count("\n") == (code != 0)
    return said, code


def served(folder: Path, sent: list[dict[str, Any]]) -> NDArray[np.float32]:
    declaration = load_declaration(folder / "credit")
    files = read_files(folder / "credit" / "v1", load_manifest(folder / "credit" / "v1", declaration))
    return Session(files["model.onnx"]).run(Encoder(declaration).encode(sent))


def check(folder: Path, made: Pipeline, sent: object, known: object, plan: str = "plan") -> None:
    """Compare what is served of a plan with what the pipeline says of it as its maker wrote it."""
    asked = pd.DataFrame({made.feature_names_in_[0]: [40], plan: [known]})
    answer = served(folder, [{"age": 40, "plan": sent}])
    assert np.abs(answer - made.predict_proba(asked)).max() < 1e-5


@pytest.mark.parametrize("word", ["None", "NA", "null"])
def test_a_word_that_pandas_read_as_missing_is_missing(
    tmp_path: Path, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table = rows("Basic", word, "Premium").to_csv(index=False)
    frame = pd.read_csv(tmp_path / "rows.csv") if (tmp_path / "rows.csv").write_text(table) else None
    assert frame is not None
    assert frame.plan.isna().sum() > 100
    made = fitted(frame, imputed=True)
    said, code = run(tmp_path, made, table, capsys)
    assert code == 0, said
    check(tmp_path, made, None, np.nan)
    plan = load_declaration(tmp_path / "credit").feature("plan")
    assert isinstance(plan, CategoryFeature)
    assert (plan.nullable, list(plan.codes)) == (True, ["Basic", "Premium"])


@pytest.mark.parametrize("word", ["?", "None", "NA", "-"])
def test_a_word_that_the_encoder_knows_is_a_category(
    tmp_path: Path, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = rows("Basic", word, "Premium")
    made = fitted(frame)
    said, code = run(tmp_path, made, frame.to_csv(index=False), capsys)
    assert code == 0, said
    check(tmp_path, made, word, word)
    assert not load_declaration(tmp_path / "credit").feature("plan").nullable


def test_a_word_cannot_be_missing_in_one_column_and_a_category_in_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = rows("Basic", "?", "Premium")
    table = frame.assign(age=frame.age.astype(object).where(frame.age > 30, "?")).to_csv(index=False)
    said, code = run(tmp_path, fitted(frame), table, capsys)
    assert code == 1
    assert "a cell means a missing value in 'age', and is a category that the pipeline knows" in said


def test_a_declared_category_that_pandas_reads_as_missing_is_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = rows("Basic", "None", "Premium")
    said, code = run(tmp_path, fitted(frame), frame.to_csv(index=False), capsys)
    assert code == 0, said
    read = frame.assign(plan=frame.plan.replace("None", np.nan))
    said, code = run(
        tmp_path, fitted(read, imputed=True), frame.to_csv(index=False), capsys, "--version", "v2"
    )
    assert code == 1
    assert "declares the category 'None' of 'plan', which the pipeline does not know" in said
    assert not (tmp_path / "credit" / "v2").exists()


def test_a_category_with_a_blank_in_front_stays_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = rows(" Basic", " Gold", " Premium")
    made = fitted(frame)
    said, code = run(tmp_path, made, frame[frame.plan != " Gold"].to_csv(index=False), capsys)
    assert code == 0, said
    for plan in ("Basic", "Gold", "Premium"):
        check(tmp_path, made, plan, f" {plan}")


@pytest.mark.parametrize("blank", [" ", ""])
def test_blanks_behind_commas_change_nothing(
    tmp_path: Path, blank: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """pandas keeps them in names and values, unless its reader is asked to skip them."""
    frame = rows("Basic", "?", "Premium")
    table = "age, plan, y\n" + "".join(f"{age}, {plan}, {y}\n" for age, plan, y in frame.to_numpy())
    read = pd.DataFrame({"age": frame.age, f"{blank}plan": blank + frame.plan, f"{blank}y": blank + frame.y})
    made = fitted(read, plan=f"{blank}plan")
    said, code = run(tmp_path, made, table, capsys)
    assert code == 0, said
    for plan in ("Basic", "?", "Premium"):
        check(tmp_path, made, plan, f"{blank}{plan}", f"{blank}plan")


def test_two_texts_that_differ_in_blanks_alone_are_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = rows("Basic", " Basic", "Premium")
    said, code = run(tmp_path, fitted(frame), frame.to_csv(index=False), capsys)
    assert code == 1
    assert "' Basic' and 'Basic' of 'plan' apart" in said or "'Basic' and ' Basic' of 'plan' apart" in said


def test_a_column_of_categories_may_lack_levels_that_the_pipeline_knows(tmp_path: Path) -> None:
    frame = rows("Basic", "Gold", "Premium")
    made = fitted(frame)
    fewer = frame[frame.plan != "Gold"].astype({"plan": "category"})
    assert list(fewer.plan.cat.categories) == ["Basic", "Premium"]
    export(made, fewer, "y", tmp_path / "credit", say=quiet)
    check(tmp_path, made, "Gold", "Gold")


def cities() -> pd.DataFrame:
    """2,000 rows of 35 cities: 30 with 60 rows, and 5 with fewer than 20 that always have the class yes."""
    random = np.random.default_rng(1)
    names = [f"city {i}" for i in range(35)]
    cities = np.concatenate([np.repeat(names[:30], 64), np.repeat(names[30:], 16)])
    rare = np.isin(cities, names[30:])
    classes = np.where(rare | (random.random(2000) < 0.3), "yes", "no")
    return pd.DataFrame({"age": random.integers(20, 80, 2000), "city": cities, "y": classes})


def of_cities(frame: pd.DataFrame, encoder: Any) -> Pipeline:
    columns = ColumnTransformer([("age", StandardScaler(), ["age"]), ("city", encoder, ["city"])])
    return make_pipeline(columns, LogisticRegression()).fit(frame[["age", "city"]], frame.y)


ENCODER = OneHotEncoder(handle_unknown="ignore")
IN_ORDER = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)


@pytest.mark.parametrize(
    "encoder",
    [
        ENCODER,
        FeatureUnion([("each", ENCODER), ("order", IN_ORDER)]),
        ColumnTransformer([("inner", ENCODER, ["city"])]),
    ],
    ids=["alone", "in a union", "in columns of its own"],
)
def test_a_rare_category_that_an_encoder_knows_is_listed(
    tmp_path: Path, encoder: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = cities()
    made = of_cities(frame, encoder)
    said, code = run(tmp_path, made, frame.to_csv(index=False), capsys)
    assert code == 0, said
    answer = served(tmp_path, frame[["age", "city"]].to_dict("records"))
    assert np.abs(answer - made.predict_proba(frame[["age", "city"]])).max() < 1e-5


def test_rare_categories_that_the_pipeline_tells_apart_have_to_be_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = cities()
    table = frame.to_csv(index=False)
    known = of_cities(frame[~frame.city.isin([f"city {i}" for i in range(30, 35)])], ENCODER)
    said, code = run(tmp_path, known, table, capsys)
    assert code == 0, said
    said, code = run(tmp_path, of_cities(frame, ENCODER), table, capsys, "--version", "v2")
    assert code == 1
    assert "the model tells values of 'city' apart that model.toml does not list: add them to its" in said


@pytest.mark.parametrize("least", [0, 20], ids=["some rare", "none rare"])
def test_others_are_not_accepted_where_the_encoder_rejects_them(
    tmp_path: Path, least: int, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = cities()
    frame = pd.concat(
        [frame, frame[frame.city.isin([f"city {i}" for i in range(30, 35)])]][: 1 + least // 20]
    )
    said, code = run(tmp_path, of_cities(frame, OneHotEncoder()), frame.to_csv(index=False), capsys)
    assert code == 0, said
    city = load_declaration(tmp_path / "credit").feature("city")
    assert isinstance(city, CategoryFeature)
    assert (len(city.codes), city.other) == (35, False)


def numbers() -> pd.DataFrame:
    random = np.random.default_rng(2)
    frame = pd.DataFrame(random.normal(size=(300, 2)).round(3), columns=["a", "b"])
    return frame.assign(y=(frame.a + random.normal(size=300) > 0.8).astype(int))


@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda positive: FixedThresholdClassifier(LogisticRegression(), threshold=0.2, pos_label=positive),
        lambda positive: TunedThresholdClassifierCV(LogisticRegression(), cv=3, scoring=scoring(positive)),
        lambda positive: make_pipeline(
            StandardScaler(),
            FixedThresholdClassifier(LogisticRegression(), threshold=0.2, pos_label=positive),
        ),
    ],
)
def test_the_threshold_of_the_maker_is_drafted(
    tmp_path: Path, positive: int, wrap: Callable[[int], Any]
) -> None:
    frame = numbers()
    made = wrap(positive).fit(frame[["a", "b"]], frame.y)
    export(made, frame, "y", tmp_path / "credit", say=quiet)
    declaration = load_declaration(tmp_path / "credit")
    answers = served(tmp_path, frame[["a", "b"]].to_dict("records"))
    assert declaration.threshold is not None
    assert np.array_equal(answers[:, 1] >= declaration.threshold, made.predict(frame[["a", "b"]]) == 1)
    assert abs(declaration.threshold - 0.5) > 0.01
    assert declaration.versions["v1"].estimator == "logistic_regression"
    plain = FixedThresholdClassifier(LogisticRegression(), threshold=0.45).fit(frame[["a", "b"]], frame.y)
    with pytest.raises(DataError, match=r"answers y from 0.45 on, and model.toml from 0\.\d+: set threshold"):
        export(plain, frame, "y", tmp_path / "credit", version="v2", say=quiet)


def scoring(positive: int) -> Any:
    from sklearn.metrics import fbeta_score, make_scorer  # noqa: PLC0415

    return make_scorer(fbeta_score, beta=3, pos_label=positive)


def test_a_threshold_of_another_function_is_said(tmp_path: Path) -> None:
    frame = numbers()
    made = FixedThresholdClassifier(LogisticRegression(), threshold=0.2, response_method="decision_function")
    with pytest.raises(DataError, match="has a threshold of decision_function"):
        export(made.fit(frame[["a", "b"]], frame.y), frame, "y", tmp_path / "credit", say=quiet)


def test_another_target_than_the_declared_one_is_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = numbers()
    made = LogisticRegression().fit(frame[["a", "b"]], frame.y)
    said, code = run(tmp_path, made, frame.to_csv(index=False), capsys)
    assert code == 0, said
    other = frame.assign(z=frame.y).to_csv(index=False)
    said, code = run(tmp_path, made, other, capsys, "--version", "v2", target="z")
    assert code == 1
    assert "the class is in the column 'y' by" in said
    assert "TARGET is 'z': leave it out" in said


def test_swapped_columns_are_said_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(1)
    plan = random.choice(["None", "Basic", "Premium"], 600, p=[0.2, 0.5, 0.3])
    age, female = random.integers(20, 80, 600), random.choice([0, 1], 600)
    likely = np.where(plan == "Premium", 0.9, np.where(plan == "Basic", 0.2, 0.5)) * np.where(female, 0.5, 1)
    target = np.where(random.random(600) < likely, "yes", "no")
    table = pd.DataFrame({"age": age, "male": 1 - female, "y": target})
    made = LogisticRegression(max_iter=1000).fit(np.c_[female, age].astype(np.float32), target)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        said, code = run(tmp_path, made, table.to_csv(index=False), capsys)
    assert code == 1
    assert "cannot be evaluated: does it read the columns in the order age, male" in said
    assert not (tmp_path / "credit").exists()


@pytest.mark.parametrize(
    ("shown", "kind"),
    [
        ({0: False, 1: True}, bool),
        ({0: np.False_, 1: np.True_}, object),
        ({0: False, 1: True}, "boolean"),
        ({0: False, 1: True}, "category"),
        ({0: 0, 1: 1}, np.int8),
        ({0: 0.0, 1: 1.0}, float),
        ({0: "0", 1: "1"}, object),
        ({0: "no", 1: "yes"}, "category"),
    ],
)
def test_a_target_of_any_type_is_read(tmp_path: Path, shown: dict[int, Any], kind: Any) -> None:
    frame = numbers()
    frame["y"] = pd.Series([shown[y] for y in frame.y], dtype=kind)
    target = frame.y.astype(bool) if kind == "boolean" else frame.y
    made = LogisticRegression().fit(frame[["a", "b"]], list(target))
    manifest = export(made, frame, "y", tmp_path / "credit", say=quiet)
    answers = served(tmp_path, frame[["a", "b"]].to_dict("records"))
    assert np.abs(answers - made.predict_proba(frame[["a", "b"]])).max() < 1e-5
    assert len(manifest.classes) == 2


@pytest.mark.parametrize("frame", [np.zeros((3, 2)), [[1, 2]], {"a": [1]}])
def test_rows_without_names_are_said_in_a_sentence(tmp_path: Path, frame: Any) -> None:
    known = numbers()
    made = LogisticRegression().fit(known[["a", "b"]], known.y)
    with pytest.raises(DataError, match="give a pandas DataFrame, with named columns and the class in 'y'"):
        export(made, frame, "y", tmp_path / "credit", say=quiet)


def test_a_skops_file_that_unpacks_to_far_more_is_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.skops", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b" " * (2**26 + 1))
    named = ["--models-dir", str(tmp_path), "--model", "credit", "--file", str(tmp_path / "bomb.skops")]
    (tmp_path / "rows.csv").write_text(numbers().to_csv(index=False), encoding="utf-8")
    assert main([*named, "--data", str(tmp_path / "rows.csv"), "--target", "y"]) == 1
    assert "bomb.skops is too large when it is unpacked: 67,108,865 bytes" in capsys.readouterr().err


@pytest.mark.parametrize("handling", ["ignore", "infrequent_if_exist", "error"])
def test_a_column_of_many_values_takes_others_if_its_encoder_does(
    tmp_path: Path, handling: str, capsys: pytest.CaptureFixture[str]
) -> None:
    towns = [f"Town {number}" for number in range(35)]
    random = np.random.default_rng(2)
    frame = pd.DataFrame({"age": random.integers(20, 80, 1500), "plan": random.choice(towns, 1500)})
    frame["y"] = np.where(random.random(1500) < frame.age / 100, "yes", "no")
    columns = ColumnTransformer(
        [("age", "passthrough", ["age"]), ("plan", OneHotEncoder(handle_unknown=handling), ["plan"])]
    )
    made = make_pipeline(columns, LogisticRegression(max_iter=1000)).fit(frame[FEATURES], frame.y)
    said, code = run(tmp_path, made, frame.to_csv(index=False), capsys)
    assert code == 0, said
    plan = load_declaration(tmp_path / "credit").feature("plan")
    assert isinstance(plan, CategoryFeature)
    assert plan.other == (handling != "error")
    check(tmp_path, made, "Town 7", "Town 7")
    if plan.other:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the encoder warns of what it does not know
            check(tmp_path, made, "Atlantis", "Atlantis")


def test_a_declared_boolean_is_what_the_pipeline_read_as_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = rows("no", "yes")
    made = fitted(frame)
    table = frame.to_csv(index=False)
    assert run(tmp_path, made, table, capsys)[1] == 0
    path = tmp_path / "credit" / "model.toml"
    lines = (
        path.read_text(encoding="utf-8")
        .replace('plan = "yes"', "plan = true")
        .replace('plan = "no"', "plan = false")
    )
    drafted = 'type = "category"\ncodes = { "no" = 0, "yes" = 1 }'
    assert drafted in lines
    path.write_text(lines.replace(drafted, 'type = "boolean"'), encoding="utf-8")
    said, code = run(tmp_path, made, table, capsys)
    assert code == 0, said
    check(tmp_path, made, True, "yes")
    check(tmp_path, made, False, "no")
