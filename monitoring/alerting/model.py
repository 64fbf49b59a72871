"""Recordings and alerts on what a model answers, compared with its evaluation, and on a candidate."""

from monitoring.alerting.requests import JOB, PERCENT, Rule, alert, record
from monitoring.panels.names import Names
from monitoring.panels.objectives import BURST

LEAST_SHIFT = 0.1
LEAST_ROWS = 100
CANDIDATE = f"{JOB}, model, model_version"


def mix(names: Names) -> list[Rule]:
    """The share of a class was estimated once, from the training rows, and is again in each hour.

    The arcsine of a share's square root has the variance 1 / 4 rows; docs/drift.md has the error of a year.
    """
    result = names.label("predictions", "result")
    by_version = ", ".join([JOB, *names.labels("predictions", "model", "version")])
    by_result = f"{by_version}, {result}"
    predictions, expected = names.series("predictions"), names.series("expected_share")
    whole = f"ignoring ({result}) group_left ()"
    shift, off = (
        f'job:prediction_result:{recorded}{{{result}!=""}}' for recorded in ("shift1h", "chi_square1h")
    )
    shares = f"max by ({by_result}) ({expected})"
    chance = f"max by ({by_version}) (job:feature_reference:chi_square_of_share)"
    return [
        record("job:predictions:increase1h", f"sum by ({by_version}) (increase({predictions}[1h]))"),
        record(
            "job:prediction_result:shift1h",
            f"sum by ({by_result}) (increase({predictions}[1h]))\n"
            f"/ {whole} (job:predictions:increase1h > 0)\n"
            f"- {shares}",
        ),
        record(
            "job:prediction_result:chi_square1h",
            f"4 * (asin(sqrt(clamp({shift} + {shares}, 0, 1))) - asin(sqrt({shares}))) ^ 2\n"
            f"/ {whole} (\n  1 / (job:predictions:increase1h >= {LEAST_ROWS})\n"
            f"  + 1 / min by ({by_version}) (job:feature_reference:rows)\n)",
        ),
        alert(
            "PredictionMixShift",
            f"abs({shift}) > {LEAST_SHIFT}\nand {off} > {whole} {chance}",
            "warning",
            f"The share of {{{{ $labels.{result} }}}} is {PERCENT} off the expected share",
            f"Over an hour the share of {{{{ $labels.{result} }}}} among the predictions of "
            f"{names.shown('predictions', 'model', 'version')} is {PERCENT} away from its share in the evaluation, more than chance explains.",
            lasting="10m",
        ),
    ]


def confidence(names: Names) -> list[Rule]:
    by_version = ", ".join([JOB, *names.labels("confidence", "model", "version")])
    total, count = (names.series("confidence", suffix=suffix) for suffix in ("_sum", "_count"))
    return [
        alert(
            "PredictionConfidenceCollapse",
            f"max by ({by_version}) ({names.series('expected_confidence')})\n"
            f"- sum by ({by_version}) (increase({total}[1h]))\n"
            f"/ sum by ({by_version}) (increase({count}[1h])) > {LEAST_SHIFT}\n"
            f"and job:predictions:increase1h >= {LEAST_ROWS}",
            "warning",
            f"Confidence is {PERCENT} lower than expected",
            f"Over an hour {names.shown('confidence', 'model', 'version')} was {PERCENT} less confident than in its evaluation.",
            lasting="10m",
        )
    ]


def candidate(names: Names) -> list[Rule]:
    """Alerts on a candidate: nobody feels them, since the served version answers where it fails."""
    loaded = names.series("candidate_loaded")
    requests = f"sum by ({CANDIDATE}) (increase({names.series('version_requests')}[15m]))"
    failed = names.series("version_requests", '{outcome}="error"')
    rows = names.series("shadow_rows", '{outcome}=~"agreed|disagreed"')
    differing = names.series("shadow_rows", '{outcome}="disagreed"')
    compared = f"sum by ({CANDIDATE}) (increase({rows}[1h]))"
    subject = "The candidate {{ $labels.model_version }} of {{ $labels.model }}"
    return [
        alert(
            "CandidateNotLoaded",
            f"min by ({CANDIDATE}) ({loaded}) == 0\nor min by ({CANDIDATE}) ({names.series('shadow_up')}) == 0",
            "warning",
            f"{subject} is unavailable",
            f"{subject} fails its probes or its requests, in the canary or in the shadow. The served version answers "
            "all requests meanwhile; clients notice nothing.",
            lasting="1m",
        ),
        alert(
            "CandidateFailing",
            f"sum by ({CANDIDATE}) (increase({failed}[15m])) / {requests} > 0.05\n"
            f"and sum by ({CANDIDATE}) (increase({failed}[15m])) >= {BURST}\n"
            f"and on ({CANDIDATE}) max by ({CANDIDATE}) ({loaded}) >= 0",
            "warning",
            f"{subject} fails {PERCENT} of its requests",
            f"{subject} failed {PERCENT} of its requests over 15 minutes. The served version answered them; "
            "clients notice nothing.",
        ),
        alert(
            "CandidateDisagrees",
            f"sum by ({CANDIDATE}) (increase({differing}[1h])) / {compared} > {LEAST_SHIFT}\n"
            f"and {compared} >= {LEAST_ROWS}",
            "warning",
            f"{subject} disagrees on {PERCENT} of rows",
            f"{subject} gave another class than the served version for {PERCENT} of the mirrored rows, over an hour.",
            lasting="10m",
        ),
    ]


def rules(names: Names) -> list[Rule]:
    """Return the rules for which the vocabulary has names."""
    found: list[Rule] = []
    if names.has("predictions", "expected_share"):
        found += mix(names)
        found += confidence(names) if names.has("confidence", "expected_confidence") else []
    return found + (candidate(names) if names.has("candidate_loaded") else [])
