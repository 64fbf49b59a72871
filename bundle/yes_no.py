"""Knows pairs such as no and yes, in some languages: the first is 0, the second 1."""

from collections.abc import Iterable

PAIRS = [
    *("no yes", "nein ja", "non oui", "no si", "no sí", "no sì", "não sim", "nao sim", "nee ja"),
    *("nie tak", "ne ano", "nem igen", "nej ja", "nei ja", "ei kyllä", "нет да"),
    *("n y", "n j", "no y", "false true", "f t", "falsch wahr", "falso verdadero", "falso vero", "faux vrai"),
    *("negative positive", "neg pos", "negativ positiv", "négatif positif", "off on", "absent present"),
]
"""In lower case. No single letters that are more often something else, such as n and s."""

TRUTH = {"0": False, "1": True, "0.0": False, "1.0": True} | {
    word: place == 1 for pair in PAIRS for place, word in enumerate(pair.split())
}
"""What a cell in lower case means where a value is a boolean: no word stands for both."""

BOOLEANS = {pair for pair in PAIRS if set(pair.split()) & {"true", "wahr", "vrai", "verdadero", "vero"}}
"""The pairs that are booleans as programs write them, and no answers or findings."""


def no_and_yes(texts: Iterable[str]) -> tuple[str, str] | None:
    """Return the two of these texts that mean no and yes, if exactly one pair of them does."""
    spelled: dict[str, list[str]] = {}
    for text in texts:
        spelled.setdefault(text.lower(), []).append(text)
    pairs = {tuple(pair.split()) for pair in PAIRS}
    found = [(spelled[no], spelled[yes]) for no, yes in pairs if no in spelled and yes in spelled]
    if len(found) != 1 or any(len(texts) > 1 for texts in found[0]):
        return None
    (no,), (yes,) = found[0]
    return no, yes
