"""Years of predictions with outcomes, drawn from rows that the heart model had not seen.

The model is as good as these rows say, so that every alarm on them is false. Time passes in looks.
"""

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bench.load import PROJECT
from bundle.declaration import load_declaration
from bundle.encoding import Encoder
from serving.feedback.outcomes import EARLIER_WINDOWS
from training.data import load_recipe, load_rows
from training.evaluation import out_of_fold

HEART = PROJECT / "models" / "heart-disease"
DAYS = 365
LEVELS = 10
"""How many squared errors there are in each cell of the confusion matrix."""

WINDOW = 30

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Population:
    """Kinds of rows: predicted and true class, squared error, and how frequent each is; all [kinds]."""

    predicted: Counts
    true: Counts
    error: Floats
    share: Floats

    def with_lower_sensitivity(self, by: float) -> "Population":
        """Return the population in which this part of the true positives is predicted negative."""
        share = self.share.copy()
        hits, missed = ((self.predicted == predicted) & (self.true == 1) for predicted in (1, 0))
        moved = by * share[hits].sum()
        share[hits] *= 1 - by
        share[missed] *= 1 + moved / share[missed].sum()
        return replace(self, share=share)


@dataclass(frozen=True)
class Cells:
    """Outcomes [..., predicted, true], with the sums of squared errors and of their squares [...]."""

    rows: Floats
    error: Floats
    error_squared: Floats

    @property
    def total(self) -> Floats:
        return np.asarray(self.rows.sum(axis=(-2, -1)))


@dataclass(frozen=True)
class Stream:
    """How outcomes come. `reported` is the share that has an outcome, by predicted class.

    `delay` is the days that outcomes take, by true class; `card_rows` None means that the card is the truth.
    """

    name: str
    card_rows: int | None = 303
    reported: tuple[float, float] = (1, 1)
    delay: tuple[int, int] = (0, 0)
    maturity: int = 0


STREAMS = (
    Stream("the card is the truth", card_rows=None),
    Stream("card from 303 rows"),
    Stream("a random third reported", reported=(1 / 3, 1 / 3)),
    Stream("called positives only", reported=(0, 1)),
    Stream("called positives twice as often", reported=(0.4, 0.8)),
    Stream("ill after 1 day, healthy after 30", delay=(30, 1)),
    Stream("the same, maturity 30 days", delay=(30, 1), maturity=30),
)
RATES = {5: 1, 50: 1, 500: 4, 2000: 4}
"""Outcomes a day where all are reported -> looks a day."""


@dataclass(frozen=True)
class History:
    """What a server knows at each look [looks]: outcomes and predictions by window, and the card."""

    card: Cells
    exact: bool
    received: Cells
    """Outcomes that were received in the window: what counted before they had to mature."""

    present: Cells
    predictions: Floats
    """[looks, predicted]."""

    earlier: Cells
    earlier_predictions: Floats
    since_start: Cells


@lru_cache(maxsize=1)
def heart() -> Population:
    """Return the kinds of rows of the heart model's evaluation."""
    declaration, recipe = load_declaration(HEART), load_recipe(HEART)
    rows, labels, _ = load_rows(HEART, declaration, recipe, None)
    matrix = Encoder(declaration).encode(rows)
    build = lambda: recipe.build_pipeline("logistic_regression", declaration)  # noqa: E731
    probabilities = out_of_fold(build, matrix, labels, 2)
    return population(probabilities[:, :, 1].ravel(), np.tile(labels, len(probabilities)))


def population(probability: Floats, labels: Counts) -> Population:
    kinds = []
    for predicted in (0, 1):
        for true in (0, 1):
            member = ((probability >= 0.5) == predicted) & (labels == true)
            errors = np.sort((probability[member] - labels[member]) ** 2)
            kinds += [
                (predicted, true, part.mean(), len(part) / len(labels))
                for part in np.array_split(errors, min(LEVELS, len(errors)))
            ]
    predicted, true, error, share = np.array(kinds).T
    return Population(predicted.astype(int), true.astype(int), error, share)


def cells(kinds: Population, drawn: NDArray[np.generic]) -> Cells:
    """Return the cells of numbers by kind [..., kinds]."""
    member = np.zeros((len(kinds.share), 2, 2))
    member[np.arange(len(member)), kinds.predicted, kinds.true] = 1
    numbers = np.asarray(drawn, dtype=np.float64)
    return Cells(np.tensordot(numbers, member, 1), numbers @ kinds.error, numbers @ kinds.error**2)


@dataclass(frozen=True)
class Sums:
    """Sums over all steps until each, by kind [steps + 1, kinds], from which windows are cut."""

    kinds: Population
    sums: Counts = field(repr=False)

    @classmethod
    def of(cls, kinds: Population, drawn: Counts) -> "Sums":
        return cls(kinds, np.concatenate([np.zeros((1, drawn.shape[1]), int), np.cumsum(drawn, axis=0)]))

    def between(self, begin: Counts, end: Counts) -> Counts:
        """Return the numbers of each kind in steps [begin, end), each [looks]."""
        steps = len(self.sums) - 1
        begin = np.clip(begin, 0, steps)
        return np.asarray(self.sums[np.maximum(np.clip(end, 0, steps), begin)] - self.sums[begin])

    def arrived(self, begin: Counts, end: Counts, now: Counts, delay: tuple[int, int]) -> Counts:
        """Return those of predictions in [begin, end) whose outcome has come by now."""
        found = [self.between(begin, np.minimum(end, now - late)) for late in delay]
        return np.where(self.kinds.true == 0, found[0], found[1])


Parts = tuple[tuple[Population, int], ...]
"""Populations, each with the number of days for which it lasts; the first one is the card's."""


def draw(
    random: np.random.Generator, stream: Stream, rate: tuple[int, int], parts: Parts, window: int = WINDOW
) -> History:
    """Draw a history; the rate is outcomes and looks a day, the window is days."""
    a_day, looks = rate
    kinds = parts[0][0]
    drawn = np.concatenate(
        [random.multinomial(random.poisson(a_day / looks, days * looks), part.share) for part, days in parts]
    )
    reported = np.array(stream.reported)[kinds.predicted]
    told = Sums.of(
        kinds, random.binomial(drawn, reported) if 0 < min(reported) < 1 else drawn * (reported > 0)
    )
    predictions = Sums.of(kinds, drawn)
    now = np.arange(1, len(drawn) + 1)
    delay = (stream.delay[0] * looks, stream.delay[1] * looks)
    end = now - stream.maturity * looks
    begin, before = (end - windows * window * looks for windows in (1, 1 + EARLIER_WINDOWS))
    received = [told.between(now - late - window * looks, now - late) for late in delay]
    exact = stream.card_rows is None
    card = kinds.share if stream.card_rows is None else random.multinomial(stream.card_rows, kinds.share)
    return History(
        card=cells(kinds, card),
        exact=exact,
        received=cells(kinds, np.where(kinds.true == 0, *received)),
        present=cells(kinds, told.arrived(begin, end, now, delay)),
        predictions=cells(kinds, predictions.between(begin, end)).rows.sum(axis=-1),
        earlier=cells(kinds, told.arrived(before, begin, now, delay)),
        earlier_predictions=cells(kinds, predictions.between(before, begin)).rows.sum(axis=-1),
        since_start=cells(kinds, told.sums[1:]),
    )
