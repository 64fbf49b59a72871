"""The dashboard of two versions side by side: traffic, latency, errors, scores, shadow and quality."""

from grafana_foundation_sdk.builders import dashboard as dashboards

from monitoring.dashboards.panels import (
    MODEL,
    NAMESPACE,
    RELEASE,
    RELEASES,
    new_dashboard,
    number,
    numbers,
    percentiles,
    series,
    status,
)

CHOSEN = f'{RELEASES}, model=~"$model"'
VERSION = "{{model_version}}"
PAGE = "Page: docs/rollout.md"


def dashboard() -> dashboards.Dashboard:
    """Return the dashboard; its queries read what every model shows while it has a candidate.

    Quality has data where outcomes are reported.
    """
    requests = f"rate(version_requests_total{{{CHOSEN}}}[$__rate_interval])"
    failed = f'rate(version_requests_total{{{CHOSEN}, outcome="error"}}[$__rate_interval])'
    got = f"increase(version_requests_total{{{CHOSEN}}}[$__range])"
    shown = f"rate(shadow_rows_total{{{CHOSEN}}}[$__rate_interval])"
    difference = f"shadow_difference_bucket{{{CHOSEN}}}"
    quality = [
        (
            f"max by (model_version, metric) ({name}{{{CHOSEN}{confidence_level}}})",
            f"{{{{metric}}}} {VERSION} {what}",
        )
        for name, confidence_level, what in (
            ("model_quality", "", ""),
            ("model_quality_lower", ', confidence_level="0.95"', "lower bound"),
            ("model_quality_upper", ', confidence_level="0.95"', "upper bound"),
        )
    ]
    scored = f'feature_values_total{{{CHOSEN}, feature="score"}}'
    scores = f"sum by (model_version, bin) (increase({scored}[$__range]))"
    board = (
        new_dashboard(
            "Model versions",
            "model-versions",
            "The served version and its candidate: their traffic, latency, errors and quality.",
            variables=(NAMESPACE, RELEASE, MODEL),
            labels_of="version_target_share",
        )
        .with_panel(
            numbers(
                "Target Share",
                f"Share of requests that a version should get. {PAGE}",
                "percentunit",
                (f"max by (model_version) (version_target_share{{{CHOSEN}}})", VERSION),
                width=5,
            )
        )
        .with_panel(
            numbers(
                "Actual Share",
                "Share of requests that a version got in the chosen time range.",
                "percentunit",
                (f"sum by (model_version) ({got}) / ignoring(model_version) group_left sum({got})", VERSION),
                width=5,
            )
        )
        .with_panel(
            status(
                "Canary",
                "Red while the canary's candidate is unavailable, and without one. "
                "Page: monitoring/runbooks/CandidateNotLoaded.md",
                f"min(candidate_loaded{{{CHOSEN}}}) or vector(0)",
                {"0": "unavailable", "1": "loaded"},
                width=4,
            )
        )
        .with_panel(
            status(
                "Shadow",
                "Red while the shadow candidate does not answer, and without one. "
                "Page: monitoring/runbooks/CandidateNotLoaded.md",
                f"min(shadow_up{{{CHOSEN}}}) or vector(0)",
                {"0": "unavailable", "1": "answers"},
                width=4,
            )
        )
        .with_panel(
            number(
                "Shadow Disagreement",
                "Share of mirrored rows in the chosen time range whose predicted class differs. "
                "Page: monitoring/runbooks/CandidateDisagrees.md",
                "percentunit",
                f'sum(increase(shadow_rows_total{{{CHOSEN}, outcome="disagreed"}}[$__range])) / '
                f'(sum(increase(shadow_rows_total{{{CHOSEN}, outcome=~"agreed|disagreed"}}[$__range])) > 0)',
            )
        )
        .with_panel(
            series(
                "Requests",
                "Prediction requests a second of a version, by outcome; rejected ones were invalid.",
                "reqps",
                (f"sum by (model_version, outcome) ({requests})", f"{VERSION} {{{{outcome}}}}"),
            )
        )
        .with_panel(
            series(
                "Errors",
                "Share of a version's requests that failed; if a candidate fails, the other version answers. "
                "Page: monitoring/runbooks/CandidateFailing.md",
                "percentunit",
                (f"sum by (model_version) ({failed}) / sum by (model_version) ({requests})", VERSION),
            )
        )
        .with_panel(
            series(
                "Latency",
                "Seconds from the request body to the response.",
                "s",
                *percentiles(f"version_duration_seconds_bucket{{{CHOSEN}}}", "model_version"),
            )
        )
        .with_panel(
            series(
                "Latency in the Shadow",
                "Seconds that the shadow candidate takes for a row, in a process of lowest priority.",
                "s",
                *percentiles(f"shadow_duration_seconds_bucket{{{CHOSEN}}}", "model_version"),
            )
        )
        .with_panel(
            series(
                "Scores",
                "Share of a version's rows in each of the five bins of the score.",
                "percentunit",
                (
                    f"{scores} / ignoring(bin) group_left sum by (model_version) ({scores})",
                    f"{VERSION} {{{{bin}}}}",
                ),
            )
        )
        .with_panel(
            series(
                "Score Difference in the Shadow",
                "Largest difference in any class's probability between candidate and served version.",
                "percentunit",
                *percentiles(difference, "model_version"),
            )
        )
        .with_panel(
            series(
                "Shadow Rows",
                "Mirrored rows a second: agreed, disagreed, failed, or dropped for lack of time.",
                "short",
                (f"sum by (outcome) ({shown})", "{{outcome}}"),
            )
        )
    )
    described = "Metrics from reported outcomes, with their 95 % confidence intervals."
    return board.with_panel(series("Quality", described, "none", *quality))
