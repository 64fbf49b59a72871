"""The fields of a form, from a model's features; and the row that the typed fields mean."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from bundle.declaration import Declaration
from bundle.errors import FieldError
from bundle.features import UNLISTED, CategoryFeature, Feature, NumberFeature, Value
from bundle.spelling import parse_number
from serving.inference.catalogue import ServedModel

VALUE, UNIT, UNKNOWN = "value.", "unit.", "unknown."
"""Prefixes of the names of inputs: no feature can collide with another field of the form."""

NOT_KNOWN = "unknown"
"""The option of a category whose value is missing; the others are the numbers of the categories in order."""

ANOTHER = "another value"
"""What the option of a value that is not listed is called."""

MOST_BUTTONS = 3
MOST_BUTTON_CHARACTERS = 32
DIGITS = 7
STATE_DIGITS = 12

Typed = Mapping[str, str]


@dataclass(frozen=True)
class Option:
    value: str
    label: str
    chosen: bool


@dataclass
class Field:
    """One input: `errors` and `warnings` are the API's sentences about its value, in words of the form."""

    name: str
    label: str
    hint: str
    kind: str
    """text, buttons or list"""
    nullable: bool
    text: str = ""
    unknown: bool = False
    whole: bool = False
    units: list[Option] = field(default_factory=list)
    factors: dict[str, float] = field(default_factory=dict)
    unit: str = ""
    accepted: str = ""
    converted: str = ""
    options: list[Option] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def form_fields(
    model: ServedModel,
    typed: Typed,
    errors: Iterable[FieldError] = (),
    warnings: Iterable[dict[str, str]] = (),
) -> list[Field]:
    """Return the fields of a form with what was typed, and beside each what the API says of it."""
    fields = [form_field(feature, typed) for feature in model.declaration.features]
    by_name = {shown.name: shown for shown in fields}
    for error in errors:
        if error.known and error.field in by_name:
            expected = in_a_form(model.declaration.feature(error.field), error.detail, typed)
            by_name[error.field].errors.append(f"'{error.field}' {expected}.")
    for warning in warnings:
        by_name[warning["field"]].warnings.append(f"{sentence(warning['detail'])}.")
    return fields


def form_state(declaration: Declaration) -> str:
    """Return a hash of what a form's numbers of options and names of units mean."""
    meaning = [
        (feature.name, feature.unit, sorted(feature.other_units.items()))
        if isinstance(feature, NumberFeature)
        else (feature.name, list(feature.encoded))
        for feature in declaration.features
    ]
    return sha256(repr(meaning).encode()).hexdigest()[:STATE_DIGITS]


def in_a_form(feature: Feature, detail: str, typed: Typed) -> str:
    """Return the API's words about a value as a form has them: the chosen unit, no null, a decimal point."""
    unknown = f", or {NOT_KNOWN}" if feature.or_unknown else ""
    detail = detail.replace(feature.or_unknown, unknown) if unknown else detail
    if not isinstance(feature, NumberFeature):
        return detail
    unit = typed.get(UNIT + feature.name, feature.unit)
    if feature.range and unit in feature.other_units and detail.startswith("must be "):
        low, high = (bound / feature.other_units[unit] for bound in feature.range)
        detail = f"must be a number from {low:.4g} to {high:.4g} ({unit}){unknown}"
    text = typed.get(VALUE + feature.name, "").strip()
    pointed = text.replace(",", ".")
    comma = pointed != text and is_number(pointed)
    return f"{detail}, with a decimal point: {pointed}" if comma else detail


def is_number(text: str) -> bool:
    try:
        parse_number(text)
    except ValueError:
        return False
    return True


def form_field(feature: Feature, typed: Typed) -> Field:
    label, hint = label_and_hint(feature)
    text = typed.get(VALUE + feature.name, "")
    shown = Field(feature.name, label, hint, "text", feature.nullable, text)
    if isinstance(feature, NumberFeature):
        add_number(shown, feature, typed)
    else:
        add_options(shown, feature)
    return shown


def label_and_hint(feature: Feature) -> tuple[str, str]:
    """Return what a feature is called, and what its description says of it in brackets."""
    label, _, bracket = feature.description.partition(" (")
    return label or feature.name, bracket.removesuffix(")")


def add_number(shown: Field, feature: NumberFeature, typed: Typed) -> None:
    shown.unknown = UNKNOWN + feature.name in typed
    shown.whole = feature.type == "integer"
    shown.unit = feature.unit
    if feature.range:
        shown.accepted = "{:g} to {:g}".format(*feature.range)
    if feature.other_units:
        shown.hint = ""
        chosen = typed.get(UNIT + feature.name, feature.unit)
        shown.factors = {feature.unit: 1.0, **feature.other_units}
        shown.units = [Option(unit, unit, unit == chosen) for unit in shown.factors]
        value = number(feature, typed)
        if chosen != feature.unit and not isinstance(value, str | None):
            shown.converted = f"= {value:g} {feature.unit}"


def add_options(shown: Field, feature: CategoryFeature) -> None:
    names = [ANOTHER if name == UNLISTED else name for name in feature.encoded]
    buttons = len(names) <= MOST_BUTTONS and len("".join(names)) <= MOST_BUTTON_CHARACTERS
    shown.kind = "buttons" if buttons else "list"
    shown.options = [Option(str(place), name, shown.text == str(place)) for place, name in enumerate(names)]
    if feature.nullable:
        shown.options.append(Option(NOT_KNOWN, NOT_KNOWN, shown.text == NOT_KNOWN))


def typed_row(declaration: Declaration, typed: Typed) -> dict[str, Value]:
    """Return the row that the fields mean; a field without a value is left out, as the API would have it."""
    row: dict[str, Value] = {}
    for feature in declaration.features:
        if UNKNOWN + feature.name in typed:
            row[feature.name] = None
        elif typed.get(VALUE + feature.name, "").strip():
            row[feature.name] = read_value(feature, typed)
    return row


def read_value(feature: Feature, typed: Typed) -> Value:
    return number(feature, typed) if isinstance(feature, NumberFeature) else category(feature, typed)


def number(feature: NumberFeature, typed: Typed) -> Value:
    """Return the number in the feature's own unit; what is no number, or in no unit of it, as it was typed.

    A half is rounded up, as the page's script does.
    """
    text = typed.get(VALUE + feature.name, "").strip()
    unit = typed.get(UNIT + feature.name, feature.unit)
    factor = 1.0 if unit == feature.unit else feature.other_units.get(unit, math.nan)
    try:
        value = parse_number(text)
    except ValueError:
        return text
    if factor == 1:
        return value
    converted = float(f"{value * factor:.{DIGITS}g}")
    if not math.isfinite(converted):
        return text
    return math.floor(converted + 0.5) if feature.type == "integer" else converted


def category(feature: CategoryFeature, typed: Typed) -> Value:
    """Return the category as clients send it; what is no option as it was sent."""
    sent = typed[VALUE + feature.name]
    if sent == NOT_KNOWN:
        return None
    known = {str(place): feature.sent(code) for place, code in enumerate(feature.encoded.values())}
    return known.get(sent, sent)


def typed_from(declaration: Declaration, row: Mapping[str, Value]) -> dict[str, str]:
    """Return the fields that mean this valid row, such as an example."""
    typed: dict[str, str] = {}
    for feature in declaration.features:
        value = row[feature.name]
        missing = value is None or value in feature.missing_codes
        if isinstance(feature, CategoryFeature):
            code = None if missing else feature.encode(value)
            places = {code: place for place, code in enumerate(feature.encoded.values())}
            typed[VALUE + feature.name] = NOT_KNOWN if code is None else str(places[int(code)])
        elif missing:
            typed[UNKNOWN + feature.name] = "on"
        else:
            typed[VALUE + feature.name] = str(value)
    return typed


def sentence(words: str) -> str:
    return words[:1].upper() + words[1:]
