"""Writes rows of a served model for test-metrics.sh: Python's standard library is all that it needs.

Rows are those that the version was trained on, where the model's folder has them. Otherwise each feature is
drawn by itself from the reference distribution in bundle.json.
"""

import argparse
import codecs
import csv
import io
import json
import random
import sys
import tomllib
from bisect import bisect
from collections.abc import Iterator, Mapping
from decimal import Decimal
from hashlib import sha256
from itertools import accumulate, pairwise
from math import ceil, floor
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any, NoReturn

Value = bool | int | float | str | None
Row = dict[str, Value]
Document = Mapping[str, Any]

MOST_ROWS = 2000
BLOCK = 100
"""Rows in which each value that is drawn has its share."""

DEVIATIONS = 1.5
TABLE = {"separator": ",", "encoding": "utf-8", "decimal": ".", "missing": []}
REQUESTS = {
    "name": "http_requests_total",
    "labels": {"method": "method", "endpoint": "endpoint", "status": "status"},
}
"""What a model without [metrics] calls them."""
LIMITS = {"integer": 16_777_216, "number": 1e15}
NONE = "-"


def fail(sentence: str) -> NoReturn:
    sys.exit(f"error: {sentence}")


# ---- what is served ----


def read_served(answer: Path) -> list[tuple[str, str]]:
    """Return name and version of each model in the answer to GET /, the main one first."""
    try:
        main_model, *others = json.loads(answer.read_bytes())["models"]
        return [(model["name"], model["version"]) for model in (main_model, *others)]
    except (ValueError, KeyError, TypeError):
        fail("the answer to GET / does not name the models that are served: is the address that of the API?")


def choose(served: list[tuple[str, str]], name: str) -> tuple[str, str]:
    """Return name and version of the model of that name, or of the main one."""
    for model in served:
        if name in ("", model[0]):
            return model
    names = " and ".join(dict.fromkeys(model for model, _ in served))
    fail(f"the API serves {names}, not {name}: leave out --model, or run scripts/deploy.sh --model {name}")


def read_model(models: Path, name: str) -> Document:
    path = models / name / "model.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        fail(f"the API serves {name}, and {path} is missing: set MODELS_DIR to the folder that has it")
    except (OSError, ValueError) as error:
        fail(f"{path} cannot be read: {error}")


def read_bundle(models: Path, name: str, version: str) -> Document:
    path = models / name / version / "bundle.json"
    try:
        bundle: Document = json.loads(path.read_bytes())
    except FileNotFoundError:
        fail(f"the API serves {name} {version}, and {path} is missing: copy the folder of that version here")
    except (OSError, ValueError) as error:
        fail(f"{path} cannot be read: {error}")
    return bundle


def request_counter(declaration: Document) -> tuple[str, str, str]:
    """Return the counter of requests and its labels for endpoint and status, each NONE if there is none."""
    requests = declaration.get("metrics", {"requests": REQUESTS}).get("requests")
    if requests is None:
        return NONE, NONE, NONE
    labels = {dimension: label for label, dimension in requests.get("labels", {}).items()}
    return requests["name"], labels.get("endpoint", NONE), labels.get("status", NONE)


def sample(folder: Path, declaration: Document, bundle: Document) -> tuple[str, list[Row]]:
    """Return where the rows are from, "data" or "bundle", and at most MOST_ROWS in random order."""
    generator = random.Random(0)
    rows = read_data(folder, declaration, bundle["data"]["sha256"])
    if not rows:
        rows = draw_rows(bundle["distribution"], generator)
        return "bundle", [as_sent(row, declaration) for row in rows]
    generator.shuffle(rows)
    return "data", rows[:MOST_ROWS]


def as_sent(row: Row, declaration: Document) -> Row:
    """Return a drawn row with booleans of JSON in place of their names."""
    booleans = {feature["name"] for feature in declaration["features"] if feature["type"] == "boolean"}
    return {
        name: value == "true" if name in booleans and value is not None else value
        for name, value in row.items()
    }


# ---- rows of the data ----


def read_data(folder: Path, declaration: Document, trained_on: str) -> list[Row]:
    """Return the rows of the data file.

    There are none if the version was trained on another file, or the recipe reads it in a way of its own.
    """
    path = folder / declaration.get("data_file", "")
    if not path.is_file() or sha256(path.read_bytes()).hexdigest() != trained_on:
        return []
    try:
        return list(read_table(path.read_bytes(), declaration))
    except (ValueError, LookupError, csv.Error):
        return []


def read_table(content: bytes, declaration: Document) -> Iterator[Row]:
    table = TABLE | declaration.get("table", {})
    utf_8 = codecs.lookup(table["encoding"]).name == "utf-8"
    text = content.decode("utf-8-sig" if utf_8 else table["encoding"])
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=table["separator"])
    header, *rows = ([cell.strip(" \t") for cell in cells] for cells in lines if cells)
    for cells in rows:
        row = dict(zip(header, cells, strict=True))
        yield {
            feature["name"]: read_cell(row[feature["column"]], feature, table)
            for feature in declaration["features"]
        }


def read_cell(cell: str, feature: Document, table: Document) -> Value:
    if not cell or cell in table["missing"]:
        return None
    if cell in feature.get("codes", {}) or feature.get("other"):
        return cell
    if feature["type"] == "boolean":
        raise ValueError("the words for a boolean are known to training alone")
    if table["decimal"] == ",":
        cell = cell.translate(str.maketrans(",.", ".,"))
    number = float(cell)
    return int(number) if number.is_integer() else number


# ---- rows of the reference distribution ----


def draw_rows(distributions: Document, generator: random.Random) -> list[Row]:
    columns = [draw_column(distribution, generator) for distribution in distributions.values()]
    return [dict(zip(distributions, values, strict=True)) for values in zip(*columns, strict=True)]


def draw_column(distribution: Document, generator: random.Random) -> list[Value]:
    """Return MOST_ROWS values; in each BLOCK every bin has its share of the training rows."""
    shares = distribution["shares"]
    if "edges" in distribution:
        ends = [distribution["minimum"], *distribution["edges"], distribution["maximum"]]
        digits = max(decimals(end) for end in ends)
        bins = [None, *pairwise(ends)]
    else:
        bins, digits, shares = [None, *shares], 0, shares.values()
    limits = list(accumulate([distribution["missing"], *shares]))
    column: list[Value] = []
    while len(column) < MOST_ROWS:
        places = [(number + generator.random()) / BLOCK for number in range(BLOCK)]
        generator.shuffle(places)
        drawn = (bins[min(bisect(limits, place), len(shares))] for place in places)
        column += [within(bin_, digits, generator) if isinstance(bin_, tuple) else bin_ for bin_ in drawn]
    return column


def decimals(number: float) -> int:
    return max(0, -int(Decimal(repr(number)).normalize().as_tuple().exponent))


def within(bin_: tuple[float, float], digits: int, generator: random.Random) -> int | float:
    """Return a number of a right-closed bin, with as many digits as its ends."""
    low, high = bin_
    value = round(generator.uniform(low, high), digits)
    value = value if low < value <= high else high
    return value if digits else int(value)


# ---- drift and errors ----


def shift(rows: list[Row], declaration: Document, distributions: Document, name: str) -> None:
    """Make a feature drift: to the rarest value of a category, or by 1.5 standard deviations."""
    features = {feature["name"]: feature for feature in declaration["features"]}
    if name not in features:
        fail(f"there is no feature '{name}' to shift; there are {' '.join(features)}")
    shares = distributions[name]["shares"]
    if features[name]["type"] in ("category", "boolean"):
        rarest: Value = min(shares, key=shares.get)
        if features[name]["type"] == "boolean":
            rarest = rarest == "true"
        for row in rows:
            row[name] = rarest
    elif len(shares) == 1:
        fail(f"{name} cannot be shifted: most of its training values are the same, so all share a bin")
    else:
        shift_number(rows, features[name])


def shift_number(rows: list[Row], feature: Document) -> None:
    """Shift a number upwards, or downwards where the range leaves more room, within the range."""
    name, limit = feature["name"], LIMITS[feature["type"]]
    low, high = feature.get("range", (-limit, limit))
    missing = (None, *feature.get("missing_codes", ()))
    shifted = [row for row in rows if row[name] not in missing]
    values: list[Any] = [row[name] for row in shifted]
    if not values:
        fail(f"{name} cannot be shifted: it is missing in nearly all rows")
    step: float = DEVIATIONS * pstdev(values) or 1
    whole = all(value == int(value) for value in values)
    if whole:
        low, high, step = ceil(low), floor(high), max(1, round(step))

    def moved(by: float) -> list[float]:
        """Return numbers with the seven digits that the matrix holds; integers are exact."""
        numbers = (value + by if whole else float(f"{value + by:.7g}") for value in values)
        return [min(max(number, low), high) for number in numbers]

    def distance(by: float) -> float:
        return round(abs(fmean(moved(by)) - fmean(values)) / step, 3)

    for row, value in zip(shifted, moved(max(step, -step, key=distance)), strict=True):
        row[name] = int(value) if whole else value


def lines(rows: list[Row]) -> Iterator[str]:
    """Yield each row and the same with an invalid feature, as curl's configuration quotes them."""
    names = list(rows[0])
    for number, row in enumerate(rows):
        invalid: dict[str, object] = {**row, names[number % len(names)]: []}
        yield "\t".join(json.dumps(json.dumps(sent)) for sent in (row, invalid)) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True, help="folder of the models")
    parser.add_argument("--served", type=Path, required=True, help="file with the API's answer to GET /")
    parser.add_argument("--model", default="", help="model among those; the main one otherwise")
    parser.add_argument("--shift", default="", help="feature that drifts")
    parser.add_argument("--rows", type=Path, required=True, help="file to write")
    arguments = parser.parse_args()

    served = read_served(arguments.served)
    name, version = choose(served, arguments.model)
    main_model = served[0][0]
    declaration, bundle = read_model(arguments.models, name), read_bundle(arguments.models, name, version)
    source, rows = sample(arguments.models / name, declaration, bundle)
    if arguments.shift:
        shift(rows, declaration, bundle["distribution"], arguments.shift)
    arguments.rows.write_text("".join(lines(rows)), encoding="ascii")
    route = "/predict" if name == main_model else f"/models/{name}/predict"
    print(name, version, route, *request_counter(read_model(arguments.models, main_model)), source)


if __name__ == "__main__":
    main()
