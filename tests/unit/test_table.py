"""A table is read as it is written, or rejected in a sentence that names the place."""

import bz2
import gzip
import lzma
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bundle.declaration import Declaration, TableFormat, load_declaration
from bundle.encoding import Encoder
from bundle.errors import BundleError
from tests.harness import HEART
from training import memory
from training.build import build
from training.data import load_recipe, load_rows, load_training_data
from training.read_rows import Column
from training.table import DataError, read_table

MODEL = """
name = "tumour"
title = "Tumour"
service = "tumour-api"
description = "Tells malignant tumours from benign ones."
intended_use = "A test."
limits = "Made up for a test."
elsewhere = "Nothing is known."
licence = "None is needed"
data_source = "generated"
default_version = "v1"
threshold = 0.5
target = "kind"
classes = [
    { label = "benign", prediction = 0, target = "B" },
    { label = "malignant", prediction = 1, target = "M" },
]
[versions.v1]
estimator = "none"
[example]
size = 5
grade = 1
[[features]]
name = "size"
column = "size"
description = "Size"
type = "number"
unit = "mm"
range = [-10, 2000]
nullable = true
[[features]]
name = "grade"
column = "grade"
description = "Grade"
type = "category"
codes = { low = 1, high = 2 }
[metrics.requests]
name = "requests_total"
"""
RECIPE = """
from training.table import read_table

def load_data(path, declaration):
    return {returned}
"""
HEADER = "size,grade,kind"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tumour"
    folder.mkdir()
    (folder / "model.toml").write_text(MODEL, encoding="utf-8")
    return folder


@pytest.fixture
def tumour(folder: Path) -> Declaration:
    return load_declaration(folder)


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    def write(*lines: str, encoding: str = "utf-8") -> Path:
        path = tmp_path / "rows.csv"
        path.write_text("".join(f"{line}\n" for line in lines), encoding=encoding)
        return path

    return write


def recipe(folder: Path, returned: str) -> Any:
    (folder / "recipe.py").write_text(RECIPE.format(returned=returned), encoding="utf-8")
    return load_recipe(folder)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("63", 63), ("63.0", 63), ("63.", 63), (".5", 0.5), ("+5", 5), ("-5", -5), (" 63\t", 63),
        ("1e3", 1000), ("1.5E-1", 0.15), ("007", 7), ("", None), ("  ", None),
    ],
)  # fmt: skip
def test_a_cell_that_is_written_as_a_number_is_one(
    tumour: Declaration, table: Callable[..., Path], cell: str, value: float | None
) -> None:
    rows, labels = read_table(table(HEADER, f"{cell},low,B"), tumour)
    assert (list(rows), labels) == ([{"size": value, "grade": "low"}], ["benign"])


@pytest.mark.parametrize(
    "cell",
    [
        "6_3", "\uff16\uff13", "\u0666\u0663", "6\uff13", "\u00a063", "\u200363", "\u22125", "0x10", "inf",
        "-inf", "Infinity", "nan", "NaN",
        "1e999", '"1,5"', '"1,000"', "1 000", "1e", "e3", ".", "+", "--5", "5-", "1.2.3", "true",
        "63\0", "\u00b2",
    ],
)  # fmt: skip
def test_any_other_cell_is_rejected_with_its_place_and_without_its_value(
    tumour: Declaration, table: Callable[..., Path], cell: str
) -> None:
    path = table(HEADER, "1,low,B", f"{cell},low,B")
    with pytest.raises(DataError) as caught:
        read_table(path, tumour)
    expected = "'size' is not a number from -10 to 2000 (mm), or an empty cell where it is unknown"
    assert str(caught.value) == f"{path}, line 3: the cell of {expected}"


BIG = 2**60 + 1
"""A whole number that no float is."""

RECIPES = {
    "passes them on": "rows",
    "looks at one": "[row for row in rows if row['size'] != 99]",
    "makes a list": "list(rows)",
    "copies them": "rows[:]",
}


@pytest.mark.parametrize("returned", RECIPES.values(), ids=RECIPES)
def test_rows_are_the_same_whatever_a_recipe_does_with_them(
    folder: Path, tumour: Declaration, table: Callable[..., Path], returned: str
) -> None:
    path = table(HEADER, "1,low,B", "2.5,1,M", ",high,B", "-3,1.0,B", "1,low,B")
    (folder / "recipe.py").write_text(
        RECIPE.format(returned="changed(*read_table(path, declaration))")
        + f"\ndef changed(rows, labels):\n    return {returned}, labels\n",
        encoding="utf-8",
    )
    data = load_training_data(folder, tumour, load_recipe(folder), path)
    assert data.rows.untouched is (returned == "rows")
    values = [1, 2.5, None, -3, 1], ["low", 1, "high", 1, "low"]
    assert data.rows.values("size") == {1, 2.5, None, -3}
    assert data.rows.chosen([2]) == [{"size": None, "grade": "high"}]
    assert np.array_equal(data.matrix, Encoder(tumour).encode(list(data.rows)), equal_nan=True)
    read = [[row[name] for row in data.rows] for name in ("size", "grade")]
    assert [list(map(repr, column)) for column in read] == [list(map(repr, column)) for column in values]


def test_a_recipe_may_change_rows_in_place(
    folder: Path, tumour: Declaration, table: Callable[..., Path]
) -> None:
    (folder / "recipe.py").write_text(
        RECIPE.format(returned="changed(*read_table(path, declaration))")
        + """
def changed(rows, labels):
    rows[0]["size"] = 7
    rows.append(dict(rows[1], size=8))
    return rows, [*labels, labels[1]]
""",
        encoding="utf-8",
    )
    path = table(HEADER, "1,low,B", "2,low,M")
    data = load_training_data(folder, tumour, load_recipe(folder), path)
    assert data.matrix[:, 0].tolist() == [7, 2, 8]
    assert data.labels.tolist() == [0, 1, 1]


def test_a_column_keeps_whole_numbers_that_no_float_is() -> None:
    column = Column()
    for value in (BIG, 1, 1.5, BIG + 2, BIG):
        column.append(value, float(value))
    assert [column[row] for row in range(len(column))] == [BIG, 1, 1.5, BIG + 2, BIG]


def test_a_table_that_needs_more_memory_than_there_is_is_a_sentence(
    tumour: Declaration, table: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda: memory.needed(2, 2) - 1)
    with pytest.raises(DataError, match=r"has 2 rows of 2 features, which need about \d+ MiB to train on"):
        read_table(table(HEADER, "1,low,B"), tumour)


@pytest.mark.parametrize(("cell", "value"), [("low", "low"), ("1", 1), ("1.0", 1), (" high ", "high")])
def test_a_category_is_written_by_name_or_code(
    tumour: Declaration, table: Callable[..., Path], cell: str, value: object
) -> None:
    rows, _ = read_table(table(HEADER, f"1,{cell},B"), tumour)
    assert rows[0]["grade"] == value


@pytest.mark.parametrize("cell", ["Low", "1_0", "\uff11", "1.5", "3", "True", "lo w"])
def test_a_cell_that_is_not_a_category_is_rejected(
    tumour: Declaration, table: Callable[..., Path], cell: str
) -> None:
    with pytest.raises(DataError, match=r"rows\.csv, line 2: the cell of 'grade' is not one of 1 \(low\)"):
        read_table(table(HEADER, f"1,{cell},B"), tumour)


@pytest.mark.parametrize("cell", ["", " ", "\t"])
def test_an_empty_cell_of_a_required_feature_is_reported_as_missing(
    tumour: Declaration, table: Callable[..., Path], cell: str
) -> None:
    sentence = r"line 2: the cell of 'grade' is empty: fill it in, or declare grade as nullable"
    with pytest.raises(DataError, match=sentence):
        read_table(table(HEADER, f"1,{cell},B"), tumour)


@pytest.mark.parametrize("cell", ["2001", "-11"])
def test_a_number_out_of_range_is_rejected_with_its_place(
    tumour: Declaration, table: Callable[..., Path], cell: str
) -> None:
    with pytest.raises(DataError, match=r"rows\.csv, line 2: the cell of 'size' is not a number from -10"):
        read_table(table(HEADER, f"{cell},low,B"), tumour)


def test_a_number_that_is_too_large_without_a_range_is_rejected_with_what_is_accepted(
    folder: Path, table: Callable[..., Path]
) -> None:
    path = folder / "model.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("range = [-10, 2000]\n", ""), encoding="utf-8")
    declaration = load_declaration(folder)
    read_table(table(HEADER, "1e15,low,B"), declaration)
    for cell, expected in (("1e16", "a number from -1e+15 to 1e+15 (mm)"), ("x", "a number (mm)")):
        with pytest.raises(DataError) as caught:
            read_table(table(HEADER, f"{cell},low,B"), declaration)
        sentence = f"the cell of 'size' is not {expected}, or an empty cell where it is unknown"
        assert str(caught.value).endswith(sentence)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([HEADER, "1,low,B", "2,low"], "line 3 has 2 cells where the header has 3"),
        ([HEADER, "1,low,B,9"], "line 2 has 4 cells where the header has 3"),
        ([HEADER, "1,5,low,B"], "line 2 has 4 cells where the header has 3"),
        ([HEADER, "", "   "], "line 3 has 1 cells where the header has 3"),
        ([f"{HEADER},size", "1,low,B,2"], "has the column 'size' twice"),
        (["size, size,grade,kind", "1,2,low,B"], "has the column 'size' twice"),
        ([f"{HEADER},kind", "1,low,B,M"], "has the column 'kind' twice"),
        (["Size,grade,kind", "1,low,B"], "lacks the column 'size'"),
        (["Size,grade,kind", "1,low,B"], "lacks the column 'size': it has 'Size', 'grade', 'kind'$"),
        (["size;grade;kind", "1;low;B"], "lacks the column"),
        (["size;grade;kind", "1;low;B"], "it has 'size;grade;kind': does .table. name the separator"),
        (["1,2.5,B", "2,3,M"], "its first line looks like a row: add a line with the names of the columns"),
        ([",".join(f"c{i}" for i in range(50)), ""], "'c18', 'c19' and 30 more$"),
        ([HEADER, '1,low,"B', '"', "2,low"], "line 2: the column 'kind' may only hold B and M"),
        (["si\0ze,grade,kind", "1,low,B"], "lacks the column 'size'"),
        ([HEADER, '"1,low,B', "2,low,B"], "cannot be read as CSV near line 3: unexpected end of data"),
        ([HEADER, "1,low,B", '"1,low,B', "2,low,B"], "quote .* in the row that begins on line 3"),
        ([HEADER, '"1"0,low,B'], "cannot be read as CSV near line 2"),
        ([f"{HEADER},note", f"1,low,B,{'x' * 200_000}"], "cannot be read as CSV near line 2: field larger"),
        ([HEADER, "1,low,C"], "line 2: the column 'kind' may only hold B and M"),
        ([HEADER, "1,low,b"], "line 2: the column 'kind' may only hold B and M"),
        ([HEADER, "1,low,"], "line 2: the column 'kind' may only hold B and M"),
        ([HEADER], "has no rows"),
        ([], "has no rows"),
        (["", ""], "has no rows"),
    ],
)
def test_a_malformed_table_is_rejected(
    tumour: Declaration, table: Callable[..., Path], lines: list[str], sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence):
        read_table(table(*lines), tumour)


def test_a_byte_order_mark_blanks_in_the_header_and_unused_columns_do_no_harm(
    tumour: Declaration, table: Callable[..., Path]
) -> None:
    path = table(" grade ,size,,,kind", "", "low,1,a,b,M", 'high,2,"a,\nb",,B', encoding="utf-8-sig")
    rows, labels = read_table(path, tumour)
    assert rows == [{"size": 1, "grade": "low"}, {"size": 2, "grade": "high"}]
    assert labels == ["malignant", "benign"]


def with_format(folder: Path, text: str) -> Declaration:
    """Return the declaration with a [table] of this text."""
    (folder / "model.toml").write_text(f"{MODEL}[table]\n{text}\n", encoding="utf-8")
    return load_declaration(folder)


def test_a_table_is_read_as_its_format_says(folder: Path, table: Callable[..., Path]) -> None:
    written = 'separator = ";"\nencoding = "cp1252"\ndecimal = ","\nmissing = ["?", "n/a"]'
    declaration = with_format(folder, written)
    lines = ("größe;size;grade;kind", "x;1,5;low;B", "ä;?;high;M", "y;n/a;2;M", "z;3;1;B")
    rows, labels = read_table(table(*lines, encoding="cp1252"), declaration)
    assert [row["size"] for row in rows] == [1.5, None, None, 3]
    assert [row["grade"] for row in rows] == ["low", "high", 2, 1]
    assert labels == ["benign", "malignant", "malignant", "benign"]


def test_a_point_is_no_decimal_sign_where_a_comma_is(folder: Path, table: Callable[..., Path]) -> None:
    declaration = with_format(folder, 'separator = ";"\ndecimal = ","')
    with pytest.raises(DataError, match=r"line 2: the cell of 'size' is not a number"):
        read_table(table("size;grade;kind", "1.500;low;B"), declaration)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('encoding = "klingon"', r"table: the encoding 'klingon' is unknown: name one such as utf-8"),
        ('encoding = "base64"', r"table: the encoding 'base64' is unknown"),
        ('decimal = ","', r"table: the separator and the decimal sign are the same"),
    ],
)
def test_a_format_that_cannot_be_read_is_rejected(folder: Path, text: str, sentence: str) -> None:
    with pytest.raises(BundleError, match=sentence):
        with_format(folder, text)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_file_that_is_not_utf_8_is_rejected(
    tumour: Declaration, table: Callable[..., Path], encoding: str
) -> None:
    with pytest.raises(DataError, match=r"rows\.csv is not text in UTF-8: save it as UTF-8"):
        read_table(table(f"größe,{HEADER}", "1,1,low,B", encoding=encoding), tumour)


def test_the_first_line_in_another_encoding_is_named(tumour: Declaration, table: Callable[..., Path]) -> None:
    path = table(HEADER, "1,low,B", "2,größe,B", "3,low,B", encoding="cp1252")
    with pytest.raises(DataError, match="line 3 is the first that cannot be read"):
        read_table(path, tumour)
    with pytest.raises(DataError, match=r'declare its encoding in \[table\] \(encoding = "utf-16"\)'):
        read_table(table(HEADER, "1,low,B", encoding="utf-16"), tumour)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"PK\x03\x04", "a ZIP archive, or a workbook of Excel: unpack it, or save the sheet as CSV"),
        (b"<!DOCTYPE html><html></html>", "a web page: give a CSV file"),
    ],
)
def test_a_file_that_is_no_table_is_rejected_by_what_it_is(
    tmp_path: Path, tumour: Declaration, content: bytes, sentence: str
) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"rows.csv is {sentence}$"):
        read_table(path, tumour)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_table_is_read_as_it_was_written(
    tmp_path: Path, tumour: Declaration, table: Callable[..., Path], compress: Callable[[bytes], bytes]
) -> None:
    plain = table(HEADER, "1,low,B", ",high,M")
    (tmp_path / "packed").write_bytes(compress(plain.read_bytes()))
    assert read_table(tmp_path / "packed", tumour) == read_table(plain, tumour)


def test_parquet_is_read_however_csv_is_declared_to_be_written(
    tmp_path: Path, tumour: Declaration, table: Callable[..., Path]
) -> None:
    """Its rows are those of CSV in the notation of [table]; the words for a missing value hold in both."""
    declared = TableFormat.model_validate(
        {"separator": ";", "decimal": ",", "encoding": "utf-16", "missing": ["k. A."]}
    )
    german = tumour.model_copy(update={"table": declared})
    plain = table("size;grade;kind", "1,5;low;B", "k. A.;high;M", encoding="utf-16")
    frame = pd.DataFrame(
        {"size": ["9", "1.5", "k. A."], "grade": ["low", "low", "high"], "kind": list("MBM")}
    )
    frame[1:].to_parquet(tmp_path / "rows.parquet")
    assert read_table(tmp_path / "rows.parquet", german) == read_table(plain, german)


def test_a_special_file_is_rejected_before_it_is_read(folder: Path, tumour: Declaration) -> None:
    loaded = recipe(folder, "read_table(path, declaration)")
    os.mkfifo(folder / "pipe.csv")
    (folder / "link.csv").symlink_to("/dev/zero")
    for path in (folder / "pipe.csv", folder / "link.csv", folder):
        with pytest.raises(DataError, match="is not a regular file: give a CSV file"):
            load_rows(folder, tumour, loaded, path)


def test_classes_have_the_order_of_the_declaration(
    folder: Path, tumour: Declaration, table: Callable[..., Path]
) -> None:
    path = table(HEADER, "1,low,M", "2,low,B", "3,low,M")
    _, labels, _ = load_rows(folder, tumour, recipe(folder, "read_table(path, declaration)"), path)
    assert labels.tolist() == [1, 0, 1]
    swapped = tumour.model_copy(update={"classes": tumour.classes[::-1]})
    _, labels, _ = load_rows(folder, swapped, recipe(folder, "read_table(path, declaration)"), path)
    assert labels.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    "said",
    [
        'target="kind", classes=["malignant", "benign"]',
        'target="kind"',
        'classes=["B", "M"]',
        "classes=[]",
    ],
)
def test_a_recipe_that_repeats_the_classes_is_rejected(
    folder: Path, tumour: Declaration, table: Callable[..., Path], said: str
) -> None:
    loaded = recipe(folder, f"read_table(path, declaration, {said})")
    with pytest.raises(DataError, match=r"recipe\.py passes target or classes to read_table: .* model\.toml"):
        load_rows(folder, tumour, loaded, table(HEADER, "1,low,B"))


def test_a_table_is_not_read_without_a_target(tumour: Declaration, table: Callable[..., Path]) -> None:
    without = tumour.model_copy(update={"target": None})
    with pytest.raises(DataError, match=r"model\.toml does not declare the column that holds the class"):
        read_table(table(HEADER, "1,low,B"), without)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([0, 1], "must return the class of each row by its label, one of benign, malignant"),
        ([0.0, 1.0], "by its label"),
        ([True, False], "by its label"),
        ([2, -1], "by its label"),
        (["benign", "M"], "by its label"),
        (["benign", "Malignant"], "by its label"),
        (["benign", None], "by its label"),
        (["benign", ["malignant"]], "by its label"),
        (["benign"], "returns 2 rows and 1 labels"),
        (["benign"] * 3, "returns 2 rows and 3 labels"),
        ([], "returns 2 rows and 0 labels"),
    ],
)
def test_what_a_recipe_returns_is_checked(
    folder: Path, tumour: Declaration, table: Callable[..., Path], labels: Sequence[object], sentence: str
) -> None:
    loaded = recipe(folder, f"([{{'size': 1, 'grade': 1}}] * 2, {labels!r})")
    with pytest.raises(DataError, match=sentence):
        load_rows(folder, tumour, loaded, table(HEADER))


def test_labels_may_be_an_array(folder: Path, tumour: Declaration, table: Callable[..., Path]) -> None:
    returned = "([{'size': 1, 'grade': 1}] * 2, __import__('numpy').array(['malignant', 'benign']))"
    _, labels, _ = load_rows(folder, tumour, recipe(folder, returned), table(HEADER))
    assert labels.tolist() == [1, 0]
    assert labels.dtype == np.int64


def test_a_table_without_rows_is_rejected(
    folder: Path, tumour: Declaration, table: Callable[..., Path]
) -> None:
    with pytest.raises(DataError, match=r"recipe\.py returns no rows"):
        load_rows(folder, tumour, recipe(folder, "([], [])"), table(HEADER))


@pytest.mark.parametrize("malignant", [0, 1, 9])
def test_a_class_with_too_few_rows_is_not_trained(
    folder: Path, table: Callable[..., Path], malignant: int
) -> None:
    recipe(folder, "read_table(path, declaration)")
    path = table(HEADER, *["1,low,B"] * 20, *["2,high,M"] * malignant)
    sentence = rf"{malignant} rows are 'malignant' \(M in the column 'kind'\): training needs 10 of each"
    with pytest.raises(DataError, match=sentence):
        build(folder, None, path, lambda _: None)


def test_the_heart_data_mean_what_they_say(tmp_path: Path) -> None:
    """Sick stays sick where the classes change places in model.toml."""
    folder = Path(shutil.copytree(HEART, tmp_path / "heart-disease"))
    text = (folder / "model.toml").read_text(encoding="utf-8")
    first, second = (line for line in text.splitlines() if line.startswith("    { label ="))
    swapped = text.replace(f"{first}\n{second}", f"{second}\n{first}")
    truth = [line.rpartition(",")[2] for line in (HEART / "data.csv").read_text().splitlines()[1:]]
    for content in (text, swapped):
        (folder / "model.toml").write_text(content, encoding="utf-8")
        declaration = load_declaration(folder)
        _, labels, _ = load_rows(folder, declaration, load_recipe(folder), None)
        named = [declaration.labels[index] for index in labels]
        assert named == [{"0": "no_disease", "1": "disease"}[value] for value in truth]
