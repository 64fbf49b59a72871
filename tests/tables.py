"""Ten tables as strangers have them, each drafted and trained without a line by hand.

`python -m tests.tables FOLDER` writes their models into a folder and says how long each verb took; with
OWN_MODELS=FOLDER the contract tests run for them. `make test-long` does both.
"""

import csv
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from sklearn import datasets

from tests.harness import PROJECT
from training import check, new
from training.__main__ import main as train

Write = Callable[[Path], Path]


def scikit_learn(name: str) -> Write:
    def write(folder: Path) -> Path:
        bunch = getattr(datasets, f"load_{name}")()
        path = folder / f"{name}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t")
            writer.writerow([*map(str, bunch.feature_names), "class"])
            rows = zip(bunch.data.tolist(), bunch.target_names[bunch.target], strict=True)
            writer.writerows([*row, label] for row, label in rows)
        return path

    return write


def diabetes(folder: Path) -> Path:
    """Write scikit-learn's diabetes data as Parquet; the class is whether it progressed far."""
    frame = datasets.load_diabetes(as_frame=True, scaled=False).frame
    frame["sex"] = frame["sex"].map({1.0: "female", 2.0: "male"}).astype("category")
    frame["age"] = frame["age"].astype("Int64").mask(frame.index % 50 == 0)
    frame["progressed"] = frame.pop("target") > frame["bmi"].median() * 6
    path = folder / "diabetes.parquet"
    frame.to_parquet(path)
    return path


def heart(_: Path) -> Path:
    return PROJECT / "models" / "heart-disease" / "data.csv"


def shared(name: str) -> Write:
    """Return a table that may not be passed on, which lies beside that of CHURN_DATA."""
    return lambda _: Path(os.environ["CHURN_DATA"]).parent / name


def rents(folder: Path) -> Path:
    """Write a table as a German spreadsheet does: cp1252, decimal commas, dates, empty and marked cells."""
    chance = random.Random(0)
    lines = ["Größe m²;Baujahr;Einzug;Straße;Art;Haustier;Zahlt pünktlich"]
    for number in range(400):
        size, built = chance.gauss(70, 20), chance.randint(1900, 2020)
        late = size + chance.gauss(0, 15) > 75
        lines.append(
            f"{size:.1f};{built};{1 + number % 28:02}.{1 + number % 12:02}.2024;Weg {number};"
            f"{chance.choice(['Häuschen', 'Wohnung', 'Büro', '-'])};{chance.choice(['ja', 'nein', ''])};"
            f"{'nein' if late else 'ja'}".replace(".", ",", 1)
        )
    path = folder / "mieten.csv"
    path.write_text("\r\n".join(lines) + "\r\n", encoding="cp1252", newline="")
    return path


def tickets(folder: Path) -> Path:
    """Write a table of 24 classes with texts, times, flags and whole numbers that may be missing."""
    chance = random.Random(1)
    teams = [f"Team {letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWX"]
    rows = []
    for number in range(2400):
        team = number % len(teams)
        rows.append(
            {
                "id": f"T-{number:06}",
                "opened": pd.Timestamp("2025-01-01") + pd.Timedelta(hours=number),
                "product": f"product {(team + (chance.random() < 0.1)) % 12}",
                "channel": ["mail", "phone", "web"][team % 3 if chance.random() < 0.9 else 0],
                "urgent": team % 2 == 0 if chance.random() < 0.9 else None,
                "words": max(1, round(chance.gauss(20 + 10 * team, 12))),
                "seats": None if chance.random() < 0.2 else chance.randint(1, 500),
                "team": teams[team],
            }
        )
    frame = pd.DataFrame(rows).convert_dtypes()
    path = folder / "tickets.parquet"
    frame.to_parquet(path)
    return path


TABLES: dict[str, tuple[Write, str]] = {
    "breast-cancer": (scikit_learn("breast_cancer"), "class"),
    "wine": (scikit_learn("wine"), "class"),
    "plants": (scikit_learn("iris"), "class"),
    "digits": (scikit_learn("digits"), "class"),
    "diabetes": (diabetes, "progressed"),
    "cleveland": (heart, "narrowing_over_50"),
    "other-hospitals": (shared("heart_other_hospitals.csv"), "narrowing_over_50"),
    "telco": (shared("telco_churn.csv"), "Churn"),
    "rents": (rents, "Zahlt pünktlich"),
    "tickets": (tickets, "team"),
}
"""Model -> its table, and the column of the class."""


def main(folder: Path, names: Sequence[str]) -> int:
    """Draft, check and train each model; return how many verbs failed."""
    failed = 0
    data = folder.parent / f"{folder.name}-data"
    data.mkdir(parents=True, exist_ok=True)
    took = {}
    for name in names or TABLES:
        write, target = TABLES[name]
        here = ["--models-dir", str(folder), "--model", name]
        verbs = (
            (new.main, [*here, "--data", str(write(data)), "--target", target]),
            (check.main, here),
            (train, here),
        )
        seconds = []
        for verb, options in verbs:
            start = time.monotonic()
            failed += bool(verb(options))
            seconds.append(time.monotonic() - start)
        took[name] = seconds
    print("table            new   check   train   seconds")
    for name, seconds in took.items():
        print(f"{name:15}", *(f"{second:7.1f}" for second in seconds))
    return failed


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
