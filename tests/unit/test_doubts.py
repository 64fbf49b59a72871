"""What `make new` doubts: a column that knows the class, a number that stands for a missing value."""

import random
from pathlib import Path

import pytest

from training import new
from training.__main__ import main as train
from training.baseline import remarks
from training.doubts import leak, placeholder

NAN = float("nan")


@pytest.mark.parametrize(
    ("values", "rows"),
    [
        ([-999.0] * 3 + [1.0, 2.5, 40.0], "3 rows have -999"),
        ([9999.0] * 4 + [12.0, 700.0, NAN], "4 rows have 9999"),
        ([-1.0] * 3 + [0.0, 1.0, 40.0], ""),
        ([-999.0] * 2 + [1.0, 2.5, 40.0], ""),
        ([-998.0] * 9 + [1.0, 2.5, 40.0], ""),
        ([99.0] * 9 + [95.0, 97.0, 100.0], ""),
        ([-999.0] * 9 + [1.0], ""),
        ([], ""),
    ],
)
def test_a_number_that_may_mean_missing(values: list[float], rows: str) -> None:
    found = placeholder(values)
    assert found.startswith(rows)
    assert bool(found) == bool(rows)


def some_rows(number: int) -> tuple[list[float], list[str]]:
    chance = random.Random(0)
    values = [chance.random() for _ in range(number)]
    return values, ["yes" if value > 0.37 else "no" for value in values]


@pytest.mark.parametrize("number", [60, 1000, 30_000])
def test_a_column_that_knows_the_class(number: int) -> None:
    values, labels = some_rows(number)
    assert leak(values, labels) == (
        "it alone tells the class of 100.0% of rows: take it out if it is known only after the class is"
    )
    assert leak([NAN if label == "yes" else 3.0 for label in labels], labels), "that it is missing tells it"
    noise, _ = some_rows(number)
    random.Random(1).shuffle(noise)
    assert not leak(noise, labels)
    chance = random.Random(2)
    mostly = [float((label == "yes") != (chance.random() < 1 / 15)) for label in labels]
    assert not leak(mostly, labels), "a fifteenth of the rows is wrong"


def test_a_rare_class_is_told_by_its_own_rows_alone() -> None:
    labels = ["yes" if place % 100 == 0 else "no" for place in range(2000)]
    assert not leak([float(place % 7) for place in range(2000)], labels)
    assert leak([float(label == "yes") for label in labels], labels)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            {"no": 964, "yes": 36},
            ["accuracy 0.9640 is what always answering 'no' gives", "only 3.6% "],
        ),
        ({"no": 36, "yes": 964}, ["accuracy 0.9640 is what always answering 'yes' gives"]),
        ({"no": 90, "yes": 10}, ["accuracy 0.9000 is what always answering 'no' gives"]),
        ({"a": 98, "b": 1, "c": 1}, ["accuracy 0.9800 is what always answering 'a' gives"]),
    ],
)
def test_an_accuracy_has_that_of_the_most_frequent_class_beside_it(
    rows: dict[str, int], said: list[str]
) -> None:
    found = remarks(rows)
    assert len(found) == len(said)
    assert all(line.startswith(start) for line, start in zip(found, said, strict=True))


def test_a_rare_positive_class_is_said_where_accuracy_misleads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"{place * 37 % 101},{'yes' if place % 25 == 0 else 'no'}" for place in range(500)]
    table = tmp_path / "credit.csv"
    table.write_text("\n".join(["amount,late", *lines]) + "\n", encoding="utf-8")
    options = ["--models-dir", str(tmp_path), "--model", "credit"]
    assert new.main([*options, "--data", str(table), "--target", "late"]) == 0
    assert "\n  late: only 4.0% of rows are 'late'" in capsys.readouterr().out.partition("To review:")[2]
    assert train(options) == 0
    said = capsys.readouterr().out
    assert "\n  accuracy 0.9600 is what always answering 'no_late' gives\n" in said
    assert "\n  only 4.0% of rows are 'late'" in said


def test_few_rows_tell_nothing() -> None:
    values, labels = some_rows(40)
    assert not leak(values, labels)


def test_both_are_among_what_to_review(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values, labels = some_rows(100)
    lines = [
        f"{value:.3f},{-999 if place % 10 == 0 else place % 13},{'a' if label == 'yes' else 'b'},{label}"
        for place, (value, label) in enumerate(zip(values, labels, strict=True))
    ]
    table = tmp_path / "credit.csv"
    table.write_text("\n".join(["amount,months,grade,paid", *lines]) + "\n", encoding="utf-8")
    options = ["--models-dir", str(tmp_path), "--model", "credit", "--data", str(table), "--target", "paid"]
    assert new.main(options) == 0
    said = capsys.readouterr().out.partition("To review:\n")[2]
    assert "  amount: it alone tells the class of 100.0% of rows" in said
    assert "  grade: it alone tells the class of 100.0% of rows" in said
    assert "  months: 10 rows have -999, far from all others: if it means missing" in said
