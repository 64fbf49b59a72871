"""The names that a model's declaration gives to what is measured, as PromQL selects them."""

from bundle.concepts import CONCEPTS
from bundle.declaration import Declaration
from bundle.errors import BundleError
from bundle.metric_names import DEFAULT_METRICS, MetricName
from monitoring.panels.expressions import Selector

CONCEPT = {concept.name: concept for concept in CONCEPTS}


def without_metrics(declaration: Declaration) -> Declaration:
    """Return the declaration as if it had no [metrics]: its names are those of every such model."""
    return declaration.model_copy(update={"metrics": DEFAULT_METRICS})


class Names:
    """Series of one model's vocabulary; without `common`, only those that the model names itself.

    BundleError says which name or label of the vocabulary an expression needs and lacks.
    """

    def __init__(self, declaration: Declaration, *, common: bool = True) -> None:
        self._declaration = declaration
        self._common = common

    def has(self, *concepts: str) -> bool:
        """Return whether the vocabulary has a name for each of these concepts."""
        found = [CONCEPT[concept] for concept in concepts]
        return all((self._common or not c.common) and c.name_in(self._declaration) for c in found)

    def _named(self, concept: str) -> MetricName:
        named = CONCEPT[concept].name_in(self._declaration)
        if named is None:
            raise self._lacks(concept)
        return named

    def _lacks(self, what: str) -> BundleError:
        return BundleError(f"model.toml of '{self._declaration.name}': [metrics] lacks {what}")

    def label(self, concept: str, dimension: str) -> str:
        """Return the label that shows a dimension of a concept."""
        found = self.labels(concept, dimension)
        if not found:
            raise self._lacks(f"a label of {concept} that shows {dimension}")
        return found[0]

    def labels(self, concept: str, *dimensions: str) -> list[str]:
        """Return the labels that show these dimensions of a concept, without those that have none."""
        named = self._named(concept).labels
        shown = {dimension: label for label, dimension in named.items()}
        return [shown[dimension] for dimension in dimensions if dimension in shown]

    def shown(self, concept: str, *dimensions: str) -> str:
        """Return the template of an alert's text that shows these dimensions."""
        return " ".join(f"{{{{ $labels.{label} }}}}" for label in self.labels(concept, *dimensions))

    def legend(self, concept: str, *dimensions: str) -> str:
        """Return the legend of a panel that shows these dimensions."""
        return " ".join(f"{{{{{label}}}}}" for label in self.labels(concept, *dimensions))

    def series(self, concept: str, *matchers: str, suffix: str = "") -> str:
        """Return a selector; a matcher names dimensions in braces, such as '{status}=~"5.."'."""
        named = self._named(concept)
        labels = {dimension: label for label, dimension in named.labels.items()}
        try:
            chosen = ", ".join(matcher.format(**labels) for matcher in matchers)
        except KeyError as error:
            raise self._lacks(f"a label of {concept} that shows {error.args[0]}") from None
        return f"{named.name}{suffix}{{{chosen}}}" if chosen else f"{named.name}{suffix}"

    def select(self, concept: str, *matchers: str, suffix: str = "") -> Selector:
        """Return the series of a concept; matchers name labels, as they stand."""
        return Selector(f"{self._named(concept).name}{suffix}", matchers)
