"""A model's declaration, `models/<name>/model.toml`: the one place where its features are written down."""

import codecs
import json
import math
import re
import tomllib
from collections.abc import Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from bundle.errors import BundleError, first_reason
from bundle.features import UNLISTED, BooleanFeature, CategoryFeature, Declared, Feature, Name, NumberFeature
from bundle.files import read_file
from bundle.metric_names import DEFAULT_METRICS, MetricName
from bundle.spelling import Number, Switch, Text, Whole, meaning

MODEL_NAME = r"^[a-z][a-z0-9-]*$"
VERSION = r"^v[1-9][0-9]{0,8}$"
Version = Annotated[str, Field(pattern=VERSION)]

BY_VERSION = {"model_loaded", "model_info", "accuracy", "expected_share", "expected_confidence"}
"""Gauges of a version. Without a version label, versions served side by side would overwrite each other's."""


MOST_BYTES = 1024 * 1024
"""A thousand features with thirty categories each need half of it."""
NO_CHARSETS = {"idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined", "utf-7"}
"""Encodings of Python in which no table is: of host names, of literals, of mail."""

RENAMED = {
    "cost_of_miss": "cost_of_false_negative",
    "miss_rate": "false_negative_rate",
    "false_alarm_rate": "false_positive_rate",
}
"""Names of a top-level member or of a metric in [health], before and now."""

MOST_DOTS = 300
"""Per line: the time to parse a dotted key grows with the square of its parts."""

DECIDING = {
    "name": True,
    "classes": {"__all__": {"label", "prediction"}},
    "threshold": True,
    "features": {
        "__all__": {"name", "type", "unit", "range", "codes", "other", "nullable", "missing_codes"},
    },
}
"""What decides a prediction: a version trained with anything else is not served."""


class ClassDeclaration(Declared):
    """A class: its name, and the value of `prediction` in an answer."""

    label: Name
    """name of the class: letters, digits and underscores"""
    prediction: Whole | Text
    """value of `prediction` in an answer"""
    target: Text | None = None
    """value in the target column, if it is not the label"""


class Group(Declared):
    """Groups of rows that are evaluated separately: the values of a category, or bands of a number."""

    feature: Name
    """a feature"""
    edges: tuple[Number, ...] = ()
    """of a number: bounds between its bands"""

    @model_validator(mode="after")
    def _edges_rise(self) -> Self:
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError("edges rise from one to the next")
        return self


class VersionDeclaration(Declared):
    """A version of the model."""

    estimator: str
    """name of the estimator, which the recipe and metrics use"""


class Routes(Declared):
    """Endpoints besides `/predict` and `/predict/batch`."""

    versioned: Switch = False
    """versions are served side by side, and each answers by its name, too: `/v1/predict`"""
    lists: Switch = False
    """`/predict` takes a list of rows, too, and answers with a list"""


class TableFormat(Declared):
    """How a CSV file of this model's rows is written."""

    separator: Literal[",", ";", "\t", "|", " ", ":"] = ","
    """what separates cells"""
    encoding: Text = "utf-8"
    """such as `cp1252`"""
    decimal: Literal[".", ","] = "."
    """decimal sign"""
    missing: tuple[Text, ...] = ()
    """cells that stand for a missing value, besides the empty one"""

    @model_validator(mode="after")
    def _readable(self) -> Self:
        try:
            "".encode(self.encoding)
            known = codecs.lookup(self.encoding).name not in NO_CHARSETS
        except (LookupError, UnicodeError):
            known = False
        if not known:
            raise ValueError(f"the encoding '{self.encoding}' is unknown: name one such as utf-8")
        if self.separator == self.decimal:
            raise ValueError("the separator and the decimal sign are the same")
        return self


class Declaration(Declared):
    """The content of `model.toml`; docs/models.md lists its members as they are described here.

    Only here are `classes` in order: recipes, tables and clients name a class.
    """

    name: Annotated[str, Field(pattern=MODEL_NAME)]
    """name of the folder: lower case letters, digits and hyphens"""
    title: str
    """name for people"""
    service: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]
    """name of the application in metrics"""
    description: str
    """what is predicted, in a sentence"""
    intended_use: str
    """who may use it, and for what"""
    limits: str
    """on which rows it was trained, and what it cannot do"""
    elsewhere: str
    """how it does on rows from other sources"""
    licence: str
    """what the licence of the data allows"""
    cost_of_false_negative: Number | None = Field(default=None, gt=0)
    """two classes alone: how many false positives a false negative costs; the card compares thresholds so"""
    data_file: str | None = None
    """file of the data in this folder; without it the recipe's `generate_data` makes them, or `DATA=FILE` has
    them"""
    data_source: str
    """where the data are from"""
    target: Text | None = None
    """column of the data that holds the class"""
    table: TableFormat = TableFormat()
    """how CSV files of this model are written; `make new` guesses it once, and you correct it here"""
    default_version: Version
    """version that is served"""
    versions: dict[Version, VersionDeclaration] = Field(min_length=1)
    """a table for each version: `[versions.v1]`"""
    classes: tuple[ClassDeclaration, ...] = Field(min_length=2)
    """a table for each class, in the order of the probabilities; of two, the second is the positive one"""
    threshold: Number | None = Field(default=None, gt=0, lt=1)
    """two classes alone, and needed there: from this probability on the answer is the second class"""
    features: tuple[Feature, ...] = Field(min_length=1)
    """a table for each feature, in the order of the matrix"""
    example: dict[str, Whole | Number | Switch | str | None]
    """a row, shown in the documentation and sent by probes"""
    groups: tuple[Group, ...] = ()
    """groups of rows that the evaluation reports separately"""
    routes: Routes = Routes()
    """endpoints besides `/predict` and `/predict/batch`"""
    health: dict[Name, str] = Field(default={})
    """members of `/health`, and the metric of the evaluation that each shows"""
    metrics: dict[str, MetricName] = DEFAULT_METRICS
    """metric name of each [concept](metrics.md); with this section only what it names is measured"""

    @property
    def binary(self) -> bool:
        """Two classes: the second is the positive one, and a threshold decides."""
        return len(self.classes) == 2  # noqa: PLR2004

    @property
    def feature_names(self) -> list[str]:
        return [feature.name for feature in self.features]

    @property
    def extended(self) -> bool:
        """Whether answers and documents have more to say: of booleans, or of values that are not listed."""
        categories = [feature for feature in self.features if isinstance(feature, CategoryFeature)]
        return any(feature.other or isinstance(feature, BooleanFeature) for feature in categories)

    @property
    def labels(self) -> list[str]:
        return [declared.label for declared in self.classes]

    @property
    def targets(self) -> dict[str, str]:
        """The values of the target column, and the label of each."""
        return {declared.target or declared.label: declared.label for declared in self.classes}

    @property
    def without_version(self) -> list[str]:
        """The gauges of a version whose labels do not include the version."""
        declared = sorted(BY_VERSION & set(self.metrics))
        return [concept for concept in declared if "version" not in self.metrics[concept].labels.values()]

    @property
    def deciding(self) -> bytes:
        """What decides a prediction, as JSON that does not depend on the order of names in model.toml."""
        decided = self.model_dump(mode="json", include=DECIDING)  # type: ignore[arg-type]
        return json.dumps(decided, sort_keys=True, separators=(",", ":")).encode()

    def feature(self, name: str) -> NumberFeature | CategoryFeature:
        return next(feature for feature in self.features if feature.name == name)

    @model_validator(mode="after")
    def _classes_distinct(self) -> Self:
        names = [{meaning(declared.label), meaning(declared.prediction)} for declared in self.classes]
        if twice := _first_twice(list(chain.from_iterable(names))):
            raise ValueError(f"two classes have the label or prediction '{twice}'")
        targets = [meaning(declared.target or declared.label) for declared in self.classes]
        if twice := _first_twice(targets):
            raise ValueError(f"two classes have the target '{twice}'")
        for place, (declared, target) in enumerate(zip(self.classes, targets, strict=True)):
            others = set(chain.from_iterable(names[:place] + names[place + 1 :]))
            if target in others:
                raise ValueError(f"the target of {declared.label} is another class's label or prediction")
        return self

    @model_validator(mode="after")
    def _columns_distinct(self) -> Self:
        columns = [feature.column for feature in self.features]
        if twice := _first_twice(columns):
            raise ValueError(f"two features have the column '{twice}'")
        if self.target in columns:
            raise ValueError(f"the target '{self.target}' is also the column of a feature")
        return self

    @model_validator(mode="after")
    def _vocabulary_consistent(self) -> Self:
        metrics = [metric.name for metric in self.metrics.values()]
        if twice := _first_twice(metrics):
            raise ValueError(f"two metrics have the name {twice}")
        if self.routes.versioned and self.without_version:
            raise ValueError(
                f"versions are served side by side, so metrics.{self.without_version[0]} needs the version"
            )
        return self

    @model_validator(mode="after")
    def _directions_possible(self) -> Self:
        for feature in self.features:
            for value in chain.from_iterable(feature.rising):
                code = _encoded(feature, value, "rising of ")
                if math.isnan(code):
                    raise ValueError(f"rising of {feature.name} holds a missing code, which is no value")
                if isinstance(feature, CategoryFeature) and code == feature.encoded.get(UNLISTED):
                    raise ValueError(f"rising of {feature.name} holds a value that is not among its codes")
            if feature.rising and not self.binary:
                raise ValueError(f"{feature.name} has rising, which belongs to models with two classes")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = self.feature_names
        if _first_twice(names):
            raise ValueError("two features have the same name")
        if "score" in names:
            raise ValueError("no feature can have the name 'score': metrics call the model's answer so")
        if set(self.example) != set(names):
            raise ValueError("the example must have a value for each feature, and no others")
        for feature in self.features:
            if feature.missing_codes and not feature.nullable:
                raise ValueError(f"{feature.name} has missing_codes and is not nullable")
            _encoded(feature, self.example[feature.name], "example.")
        if self.default_version not in self.versions:
            raise ValueError(f"default_version {self.default_version} is not among the versions")
        if not self.binary and self.cost_of_false_negative is not None:
            raise ValueError("cost_of_false_negative belongs to models with two classes, and to no others")
        if self.binary and self.threshold is None:
            raise ValueError("a model with two classes needs a threshold, such as threshold = 0.5: add it")
        if not self.binary and self.threshold is not None:
            raise ValueError("a threshold belongs to models with two classes, and to no others: remove it")
        return self

    @model_validator(mode="after")
    def _groups_possible(self) -> Self:
        for group in self.groups:
            if group.feature not in self.feature_names:
                raise ValueError(f"groups name the unknown feature {group.feature}")
            if isinstance(self.feature(group.feature), NumberFeature) != bool(group.edges):
                raise ValueError(f"a group of a number has edges, one of a category none: {group.feature}")
        return self


def _encoded(feature: Feature, value: object, where: str) -> float:
    """Return the code of a value in model.toml; ValueError says where it stands."""
    try:
        return feature.encode(value)
    except ValueError as error:
        raise ValueError(f"{where}{feature.name}: {error}") from None


def _first_twice(values: Sequence[str | float]) -> str | None:
    twice = (value for place, value in enumerate(values) if value in values[:place])
    return next((str(value).removesuffix(".0") for value in twice), None)


def reject_renamed(declared: dict[str, object]) -> None:
    """Raise ValueError for a name of an earlier release, and say the one that it has now."""
    health = declared.get("health")
    named = [*declared, *(str(metric) for metric in (health.values() if isinstance(health, dict) else ()))]
    for name in named:
        if name in RENAMED:
            raise ValueError(f"{name} is now called {RENAMED[name]}: rename it")


def _capital_switch(content: str, error: tomllib.TOMLDecodeError) -> str:
    """Return what to write where a line has True or False as Python writes them."""
    place = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
    line = content.splitlines()[int(place[1]) - 1][int(place[2]) - 1 :] if place else ""
    found = re.match(r"(?i:true|false)\b", line)
    return f": write {found[0].lower()}" if found else ""


def model_folder(models: Path, name: str) -> Path:
    """Return the folder of a model; BundleError for a name that no model can have, such as `../x`."""
    if not re.fullmatch(MODEL_NAME, name):
        likely = re.sub(r"[^a-z0-9]+", "-", name.lower()).lstrip("-0123456789").rstrip("-")
        raise BundleError(
            f"'{name}' cannot be a model's name: take lower-case letters, digits and hyphens, with a letter "
            f"first, such as {likely or 'credit'}"
        )
    return models / name


def load_declaration(folder: Path) -> Declaration:
    """Read `folder/model.toml` of a folder that has the model's name; BundleError as read_declaration."""
    declaration = read_declaration(folder)
    if declaration.name != folder.name:
        path = folder / "model.toml"
        raise BundleError(f"{path} declares the name '{declaration.name}', but its folder is '{folder.name}'")
    return declaration


def read_declaration(folder: Path) -> Declaration:
    """Read `folder/model.toml`; BundleError names the file and its first error."""
    path = folder / "model.toml"
    try:
        content = read_file(path, MOST_BYTES).decode()
        if any(line.count(".") > MOST_DOTS for line in content.splitlines()):
            raise ValueError(f"a line has more than {MOST_DOTS} dots")  # noqa: TRY301
        declared = tomllib.loads(content)
        reject_renamed(declared)
        return Declaration.model_validate(declared)
    except FileNotFoundError:
        raise BundleError(
            f"{path} is missing: is MODELS_DIR right, and is '{folder.name}' a model in it?"
        ) from None
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from None
    except RecursionError:
        raise BundleError(f"{path} cannot be read: its values are nested too deeply") from None
    except ValidationError as error:
        reason = first_reason(error, "the declaration", declared)
        raise BundleError(f"{path} is not a valid declaration: {reason}") from None
    except tomllib.TOMLDecodeError as error:
        raise BundleError(f"{path} cannot be read: {error}{_capital_switch(content, error)}") from None
    except ValueError as error:  # not UTF-8, not TOML, or a number of thousands of digits
        raise BundleError(f"{path} cannot be read: {error}") from None
