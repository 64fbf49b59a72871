"""The evaluation of a version in `bundle.json`: metrics with their confidence intervals."""

from typing import Self

from pydantic import Field, model_validator

from bundle.records import Record, Share, check_sum

METRIC_NAMES = {
    "accuracy": "Accuracy",
    "auc": "Area under the ROC curve",
    "average_precision": "Area under the precision-recall curve",
    "brier": "Brier score (lower is better)",
    "calibration_intercept": "Calibration intercept (0 is perfect)",
    "calibration_slope": "Calibration slope (1 is perfect)",
    "false_negative_rate": "False negative rate (missed; sensitivity = 1 - FNR)",
    "false_positive_rate": "False positive rate (specificity = 1 - FPR)",
}


class MetricEstimate(Record):
    """The value of a metric, with the bounds of its 95 % confidence interval."""

    value: float
    lower: float
    upper: float


class GroupMetrics(Record):
    feature: str
    group: str
    rows: int
    positives: int
    metrics: dict[str, MetricEstimate]


class ClassMetrics(Record):
    """Recall and precision of one of more than two classes; none of precision where it is never predicted."""

    label: str
    rows: int
    metrics: dict[str, MetricEstimate]


class CalibrationBin(Record):
    """Rows of one score bin: how many, their mean predicted probability, and the observed frequency."""

    rows: int
    predicted: Share
    observed: MetricEstimate


class ThresholdMetrics(Record):
    """Error rates where the positive class is predicted from `threshold` on.

    `cost` is that of the errors in 1,000 rows; a false positive costs 1.
    """

    threshold: Share
    false_negative_rate: MetricEstimate
    false_positive_rate: MetricEstimate
    cost: MetricEstimate


class Expectation(Record):
    """What to expect of rows like the training data's: share of each predicted class, mean confidence."""

    shares: dict[str, Share]
    confidence: Share

    @model_validator(mode="after")
    def _whole(self) -> Self:
        check_sum(self.shares.values())
        return self


class Evaluation(Record):
    """How the model was evaluated, its metrics by name, and what to expect of its predictions."""

    method: str
    expectation: Expectation
    metrics: dict[str, MetricEstimate]
    groups: list[GroupMetrics]
    calibration: list[CalibrationBin]
    thresholds: list[ThresholdMetrics]
    classes: list[ClassMetrics] = Field(default=[])
