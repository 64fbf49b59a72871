"""Answers and their log lines as JSON, put together from pieces that are the same for all rows of a model.

A tenth of an answer is new: probabilities, the request's id, and warnings where there are any. Names that
stand in between are written once, when the model is loaded. `serving/http/schemas.py` documents the shape.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic_core import to_json

from serving.inference.catalogue import Answer, ServedModel, TrainedRange


class AnswerWriter:
    """Writes what one version of a model answers."""

    def __init__(self, model: ServedModel, identify: Callable[[Answer], str] | None = None) -> None:
        declaration = model.declaration
        self._identify = identify
        self._binary = declaration.binary
        self._heads = [
            f'{{"prediction":{json(it.prediction)},"label":{json(it.label)},' for it in declaration.classes
        ]
        self._names = [f"{json(label)}:" for label in declaration.labels]
        threshold = "" if model.threshold is None else f'"threshold":{json(model.threshold)},'
        spoken_by = json({"name": model.name, "version": model.version})
        self._context = f'{threshold}"model":{spoken_by},"request_id":'
        self._labels = declaration.labels
        self._origin = f'"model":{json(model.name)},"version":{json(model.version)}'
        self._lines = [
            f'{self._origin},"prediction":{json(label)},"probability":' for label in declaration.labels
        ]
        self._warnings: dict[str, str] = {}

    def one(self, answer: Answer, request_id: str) -> str:
        """Return the answer to a row that was asked about alone."""
        warnings = self._list(answer.warnings)
        return f'{self._predicted(answer)},{self._context}"{request_id}","warnings":{warnings}}}'

    def explained(self, answer: Answer, request_id: str, explanation: dict[str, Any]) -> str:
        """Return such an answer with its explanation."""
        return f'{self.one(answer, request_id)[:-1]},"explanation":{json(explanation)}}}'

    def each(self, answers: Iterable[Answer], request_id: str) -> str:
        """Return a list of such answers, which share a request."""
        return f"[{','.join([self.one(answer, request_id) for answer in answers])}]"

    def batch(self, answers: Iterable[Answer], request_id: str) -> str:
        """Return the answer to a batch: what all rows have in common is said once."""
        rows = [f'{self._predicted(it)},"warnings":{self._list(it.warnings)}}}' for it in answers]
        return f'{{"predictions":[{",".join(rows)}],{self._context}"{request_id}"}}'

    def log_members(self, answer: Answer) -> str:
        """Return the serialised log fields of one row: nothing of what was asked."""
        probability = answer.probabilities[1] if self._binary else answer.confidence
        return f'{self._lines[answer.index]}{probability!r},"warnings":{len(answer.warnings)}'

    def batch_log_members(self, answers: Sequence[Answer]) -> str:
        """Return the serialised log fields of several rows."""
        predicted = json(Counter([self._labels[answer.index] for answer in answers]))
        return f'{self._origin},"rows":{len(answers)},"predictions":{predicted}'

    def _predicted(self, answer: Answer) -> str:
        head, confidence = self._heads[answer.index], answer.confidence
        if self._identify and (prediction_id := self._identify(answer)):
            head += f'"prediction_id":"{prediction_id}",'
        if self._binary:
            return f'{head}"probability":{answer.probabilities[1]!r},"confidence":{confidence!r}'
        every = ",".join(
            [f"{name}{it!r}" for name, it in zip(self._names, answer.probabilities, strict=True)]
        )
        return f'{head}"probabilities":{{{every}}},"confidence":{confidence!r}'

    def _list(self, warnings: list[TrainedRange]) -> str:
        if not warnings:
            return "[]"
        return f"[{','.join([self._warning(trained) for trained in warnings])}]"

    def _warning(self, trained: TrainedRange) -> str:
        written = self._warnings.get(trained.field)
        if written is None:
            written = self._warnings[trained.field] = json(range_warning(trained))
        return written


def json(value: Any) -> str:
    return to_json(value).decode()


def range_warning(trained: TrainedRange) -> dict[str, Any]:
    return {
        "field": trained.field,
        "trained_minimum": trained.minimum,
        "trained_maximum": trained.maximum,
        "unit": trained.unit,
        "detail": f"the model was trained on {trained.minimum:g} to {trained.maximum:g} {trained.unit}",
    }
