"""What the encoders and the threshold of a fitted pipeline know, beyond the table that is given with it."""

from collections.abc import Iterator, Sequence
from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectorMixin
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import FeatureUnion, Pipeline

from bundle.spelling import BLANKS
from training.table import DataError

THRESHOLDS = (FixedThresholdClassifier, TunedThresholdClassifierCV)

PANDAS_MISSING = {
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A",
    "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
}  # fmt: skip
"""Cells that pandas.read_csv reads as missing, unless it is asked not to."""


def fitted_steps(model: Any) -> list[Any]:
    """Return the fitted steps, out of nested pipelines and of classifiers that only set a threshold."""
    waiting, steps = [model], []
    while waiting:
        step = waiting.pop(0)
        if isinstance(step, Pipeline):
            waiting = [inner for _, inner in step.steps] + waiting
        elif isinstance(step, THRESHOLDS):
            waiting = [step.estimator_, *waiting]
        elif step is not None and step != "passthrough":
            steps.append(step)
    return steps


def unread_names(model: Any) -> frozenset[str]:
    """Return the columns that a fitted pipeline certainly does not read: its first step drops them."""
    first = fitted_steps(model)[0]
    everything = list(getattr(first, "feature_names_in_", ()))
    if isinstance(first, SelectorMixin):
        read = set(first.get_support(indices=True).tolist())
    elif isinstance(first, ColumnTransformer):
        indexes = first._transformer_to_input_indices  # noqa: SLF001
        read = {place for name, inner, _ in first.transformers_ if inner != "drop" for place in indexes[name]}
    else:
        return frozenset()
    return frozenset(str(name) for place, name in enumerate(everything) if place not in read)


def known_texts(model: Any, column: str) -> list[str] | None:
    """Return the texts that the encoder of a column knows, with their blanks; None if it has no encoder."""
    known = [list(step.categories_[place]) for step, place in _encoders(model, column)]
    if not known:
        return None
    return list(dict.fromkeys(text for texts in known for text in texts if isinstance(text, str)))


def takes_unknown(model: Any, column: str) -> bool:
    """Return whether the encoders of a column, if it has any, take a text that they do not know."""
    return all(getattr(step, "handle_unknown", "") != "error" for step, _ in _encoders(model, column))


def spelled(known: list[str], category: str, column: str) -> str | None:
    """Return a category as the encoder of its column spells it; DataError if it has two spellings."""
    found = [text for text in known if text.strip(BLANKS) == category]
    if len(found) > 1:
        raise DataError(
            f"the pipeline tells {' and '.join(map(repr, found))} of '{column}' apart, which differ in "
            "blanks alone: fit it on trimmed texts"
        )
    return found[0] if found else None


def maker_threshold(model: Any) -> tuple[object, float] | None:
    """Return the class for which a pipeline answers from a probability on, and that probability."""
    while isinstance(model, Pipeline):
        model = model.steps[-1][1]
    if not isinstance(model, THRESHOLDS):
        return None
    if model.response_method == "decision_function":
        raise DataError(
            f"the {type(model).__name__} has a threshold of decision_function: choose one of probabilities "
            "(response_method='predict_proba')"
        )
    if isinstance(model, TunedThresholdClassifierCV):
        positive, threshold = model._curve_scorer._get_pos_label(), model.best_threshold_  # noqa: SLF001
    else:
        positive, threshold = model.pos_label, 0.5 if model.threshold == "auto" else model.threshold
    return model.classes_[1] if positive is None else positive, float(threshold)


def _encoders(model: Any, column: str) -> list[tuple[Any, int]]:
    """Return the first step's encoders of a column, and its place among those of each."""
    return [(step, place) for name, step, place in _encoded(model) if name.strip() == column.strip()]


def _encoded(model: Any) -> Iterator[tuple[str, Any, int]]:
    """Yield the columns of the first step's encoders, the encoder of each, and its place there."""
    first = fitted_steps(model)[0]
    yield from _within(first, list(map(str, getattr(first, "feature_names_in_", ()))))


def _within(transformer: Any, names: Sequence[str]) -> Iterator[tuple[str, Any, int]]:
    """Yield the same of a transformer of these columns, also where it holds others."""
    for step in [] if isinstance(transformer, str) else fitted_steps(transformer):
        if isinstance(step, ColumnTransformer) and len(names) == step.n_features_in_:
            indexes = step._transformer_to_input_indices  # noqa: SLF001
            for name, inner, _ in step.transformers_:
                yield from _within(inner, [names[place] for place in indexes[name]])
        elif isinstance(step, FeatureUnion):
            for _, inner in step.transformer_list:
                yield from _within(inner, names)
        elif len(getattr(step, "categories_", ())) == len(names):
            yield from ((name, step, place) for place, name in enumerate(names))
