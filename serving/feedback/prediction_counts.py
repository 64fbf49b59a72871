"""How many predictions got an id, by version and class: what the share of reported outcomes is a share of.

The path of a prediction adds one to a list; every few seconds the sums go to the database.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from serving.inference.catalogue import ServedModel


@dataclass(frozen=True)
class PredictionCount:
    """Predictions of one day (days since 1970, UTC), by the class that was predicted."""

    model: str
    version: str
    origin: str
    day: int
    predicted: str
    rows: int


class PredictionCounts:
    """Predictions of this process that are not yet in the database."""

    def __init__(self, models: Sequence[ServedModel]) -> None:
        self._models = {(model.name, model.version): model for model in models}
        self._rows = {key: [0] * len(model.declaration.classes) for key, model in self._models.items()}

    def of(self, model: ServedModel) -> list[int]:
        """Return the numbers of a version by the index of the class; who predicts adds to them."""
        return self._rows[model.name, model.version]

    def pending(self, day: int) -> list[PredictionCount]:
        """Return what is not yet stored, as predictions of this day."""
        return [
            PredictionCount(model.name, model.version, origin_of(model), day, label, rows)
            for key, model in self._models.items()
            for label, rows in zip(model.declaration.labels, self._rows[key], strict=True)
            if rows
        ]

    def settle(self, stored: Sequence[PredictionCount]) -> None:
        """Take off what was stored; what was counted meanwhile stays."""
        for count in stored:
            labels = self._models[count.model, count.version].declaration.labels
            self._rows[count.model, count.version][labels.index(count.predicted)] -= count.rows


ORIGIN = r"[0-9a-f]{12}(@[0-9.e-]{1,32})?"
"""The bundle and, with two classes, the threshold that decided a prediction."""


def origin_of(model: ServedModel) -> str:
    bundle = model.manifest.sha256[:12]
    return bundle if model.threshold is None else f"{bundle}@{float(model.threshold)!r}"
