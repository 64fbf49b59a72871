"""What the card says of a version's quality, with an interval: the card's rows are a sample, too."""

from dataclasses import dataclass

from bundle.evaluation import MetricEstimate
from bundle.manifest import Manifest
from serving.feedback.intervals import NORMAL_QUANTILES, REFERENCE, SHOWN, Interval, wilson

ERRORS = {"sensitivity": "false_negative_rate", "specificity": "false_positive_rate"}
"""What the card calls them: it has the errors."""


@dataclass(frozen=True)
class Expectation:
    """A metric of the card, and its interval."""

    value: float
    interval: Interval


def expected(manifest: Manifest, *, threshold: float | None) -> dict[str, Expectation]:
    """Return the card's metrics, without those of the declared threshold if another one is served."""
    metrics = manifest.evaluation.metrics
    found = {"brier": of_mean(metrics["brier"])}
    if threshold != manifest.threshold:
        return found
    rows = manifest.data.rows
    positives = positive_rows(manifest)
    found["accuracy"] = of_share(metrics["accuracy"].value, rows)
    for (name, error), members in zip(ERRORS.items(), (positives, rows - positives), strict=True):
        if error in metrics:
            found[name] = of_share(1 - metrics[error].value, members)
    return found


def positive_rows(manifest: Manifest) -> int:
    """Return how many rows of the evaluation were positive: the card counts them by bin of the score."""
    bins = manifest.evaluation.calibration
    positives = round(sum(calibration.rows * calibration.observed.value for calibration in bins))
    return min(max(positives, 1), max(manifest.data.rows - 1, 1))


def of_share(value: float, rows: int) -> Expectation:
    return Expectation(value, wilson(value * rows, rows, NORMAL_QUANTILES[REFERENCE]))


def of_mean(estimate: MetricEstimate) -> Expectation:
    """Return a mean with the card's own interval, widened to the level of the reference."""
    wider = NORMAL_QUANTILES[REFERENCE] / NORMAL_QUANTILES[SHOWN]
    half_width = max(estimate.upper - estimate.lower, 0.0) / 2 * wider
    return Expectation(estimate.value, (max(estimate.value - half_width, 0.0), estimate.value + half_width))
