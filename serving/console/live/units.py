"""Numbers with their units, as Grafana writes them: three digits, and the prefix that makes them short."""

from math import floor, log10

THOUSANDS = ("", "K", "M", "B", "T")
SHORT = ("", " K", " Mil", " Bil", " Tri")
BYTES = (" B", " KiB", " MiB", " GiB", " TiB")
SECONDS = (
    (1e-9, " ns"),
    (1e-6, " µs"),
    (1e-3, " ms"),
    (1, " s"),
    (60, " min"),
    (3600, " hour"),
    (86400, " day"),
)
RATES = {"reqps": "req/s", "cps": "c/s", "ops": "ops/s"}
DIGITS = 3
DECIMALS = 12
"""A float has no more that mean something, and what is less is 0."""


def written(value: float, unit: str) -> str:
    """Return a value such as "1.23 req/s" of 1.2345 and "reqps"."""
    size, suffix = prefix(value, unit)
    return f"{plain(rounded(value) / size)}{suffix}"


def written_tick(value: float, step: float, unit: str) -> str:
    """Return a value of an axis, with as many decimals as tell it from the next one."""
    size, suffix = prefix(value or step, unit)
    decimals = max(0, -floor(log10(step / size) + 1e-9))
    return f"{value / size:.{decimals}f}{suffix}"


def prefix(value: float, unit: str) -> tuple[float, str]:
    """Return what to divide a value by, and what to write after it."""
    if unit == "percentunit":
        return 0.01, "%"
    if unit == "s":
        return seconds_prefix(value)
    if unit == "bytes":
        return power(value, 1024, BYTES)
    if unit == "short":
        return power(value, 1000, SHORT)
    if unit in RATES:
        size, letter = power(value, 1000, THOUSANDS)
        return size, f"{letter} {RATES[unit]}"
    return 1, "" if unit in ("none", "") else f" {unit}"


def seconds_prefix(value: float) -> tuple[float, str]:
    magnitude = abs(rounded(value))
    if magnitude == 0:
        return 1, " s"
    return next((choice for choice in reversed(SECONDS) if magnitude >= choice[0]), SECONDS[0])


def power(value: float, base: int, suffixes: tuple[str, ...]) -> tuple[float, str]:
    magnitude, exponent = abs(rounded(value)), 0
    while magnitude >= base and exponent + 1 < len(suffixes):
        magnitude, exponent = magnitude / base, exponent + 1
    return float(base**exponent), suffixes[exponent]


def rounded(value: float) -> float:
    """Return the value with three digits, or as a whole number where it has more before the point."""
    return float(f"{value:.{DIGITS}g}") if abs(value) < 10**DIGITS else float(round(value))


def plain(value: float) -> str:
    """Return a number of three digits without an exponent and without zeros at its end."""
    text = f"{rounded(value):.{DECIMALS}f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
