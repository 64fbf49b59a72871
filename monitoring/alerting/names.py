"""The names that a model's declaration gives to what is measured, as PromQL selects them."""

from bundle.concepts import CONCEPTS
from bundle.declaration import Declaration, MetricName

CONCEPT = {concept.name: concept for concept in CONCEPTS}


class Names:
    """Series of one model's vocabulary."""

    def __init__(self, declaration: Declaration) -> None:
        self._declaration = declaration

    def has(self, *concepts: str) -> bool:
        """Return whether the vocabulary has a name for each of these concepts."""
        return all(CONCEPT[concept].name_in(self._declaration) for concept in concepts)

    def _named(self, concept: str) -> MetricName:
        named = CONCEPT[concept].name_in(self._declaration)
        if named is None:
            raise KeyError(concept)
        return named

    def label(self, concept: str, dimension: str) -> str:
        """Return the label that shows a dimension of a concept."""
        return next(label for label, shown in self._named(concept).labels.items() if shown == dimension)

    def series(self, concept: str, *matchers: str, suffix: str = "") -> str:
        """Return a selector; a matcher names dimensions in braces, such as '{status}=~"5.."'."""
        named = self._named(concept)
        labels = {dimension: label for label, dimension in named.labels.items()}
        chosen = ", ".join(matcher.format(**labels) for matcher in matchers)
        return f"{named.name}{suffix}{{{chosen}}}" if chosen else f"{named.name}{suffix}"
