"""Responses to predictions, and their log fields, as JSON joined from prepared pieces.

A tenth of a response is new: probabilities, request id, and warnings. The names in between are serialised
once, when the model is loaded. `serving/http/schemas.py` documents the shape.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic_core import to_json

from serving.inference.catalogue import Prediction, RowWarning, ServedModel


class ResponseWriter:
    """Writes the responses of one version of a model."""

    def __init__(self, model: ServedModel, write_id: Callable[[Prediction], str] | None = None) -> None:
        declaration = model.declaration
        self._write_id = write_id
        self._binary = declaration.binary
        self._heads = [
            f'{{"prediction":{json(class_.prediction)},"label":{json(class_.label)},'
            for class_ in declaration.classes
        ]
        self._names = [f"{json(label)}:" for label in declaration.labels]
        threshold = "" if model.threshold is None else f'"threshold":{json(model.threshold)},'
        reference = json({"name": model.name, "version": model.version})
        self._context = f'{threshold}"model":{reference},"request_id":'
        self._labels = declaration.labels
        self._origin = f'"model":{json(model.name)},"version":{json(model.version)}'
        self._log_heads = [
            f'{self._origin},"prediction":{json(label)},"probability":' for label in declaration.labels
        ]
        self._warnings: dict[str, str] = {}

    def row(self, prediction: Prediction, request_id: str) -> str:
        """Return the response to a single row."""
        warnings = self._warning_list(prediction.warnings)
        return f'{self._members(prediction)},{self._context}"{request_id}","warnings":{warnings}}}'

    def explained_row(self, prediction: Prediction, request_id: str, explanation: dict[str, Any]) -> str:
        """Return the response to a single row, with its explanation."""
        return f'{self.row(prediction, request_id)[:-1]},"explanation":{json(explanation)}}}'

    def rows(self, predictions: Iterable[Prediction], request_id: str) -> str:
        """Return the response to a list of rows: a list of single responses."""
        return f"[{','.join([self.row(prediction, request_id) for prediction in predictions])}]"

    def batch(self, predictions: Iterable[Prediction], request_id: str) -> str:
        """Return the response to a batch: what all rows share is written once."""
        rows = [
            f'{self._members(prediction)},"warnings":{self._warning_list(prediction.warnings)}}}'
            for prediction in predictions
        ]
        return f'{{"predictions":[{",".join(rows)}],{self._context}"{request_id}"}}'

    def log_members(self, prediction: Prediction) -> str:
        """Return the serialised log fields of one row, without its values."""
        head, warnings = self._log_heads[prediction.class_index], len(prediction.warnings)
        return f'{head}{prediction.score!r},"warnings":{warnings}'

    def batch_log_members(self, predictions: Sequence[Prediction]) -> str:
        """Return the serialised log fields of several rows."""
        counts = json(Counter([self._labels[prediction.class_index] for prediction in predictions]))
        return f'{self._origin},"rows":{len(predictions)},"predictions":{counts}'

    def _members(self, prediction: Prediction) -> str:
        head, confidence = self._heads[prediction.class_index], prediction.confidence
        if self._write_id and (prediction_id := self._write_id(prediction)):
            head += f'"prediction_id":"{prediction_id}",'
        if self._binary:
            return f'{head}"probability":{prediction.probabilities[1]!r},"confidence":{confidence!r}'
        probabilities = ",".join(
            [
                f"{name}{probability!r}"
                for name, probability in zip(self._names, prediction.probabilities, strict=True)
            ]
        )
        return f'{head}"probabilities":{{{probabilities}}},"confidence":{confidence!r}'

    def _warning_list(self, warnings: list[RowWarning]) -> str:
        if not warnings:
            return "[]"
        return f"[{','.join([self._written(warning) for warning in warnings])}]"

    def _written(self, warning: RowWarning) -> str:
        written = self._warnings.get(warning.field)
        if written is None:
            written = self._warnings[warning.field] = json(warning.document())
        return written


def json(value: Any) -> str:
    return to_json(value).decode()
