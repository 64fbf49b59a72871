"""The plots of a card, as SVG: the same metrics give the same bytes."""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bundle.evaluation import CalibrationBin, GroupMetrics, MetricEstimate

mpl.rcParams.update({"svg.hashsalt": "card", "svg.fonttype": "none", "font.family": "sans-serif"})

DOT: dict[str, Any] = {"fmt": "o", "markersize": 5, "capsize": 3, "color": "#1f5fa8"}


def calibration_plot(bins: Sequence[CalibrationBin], event: str) -> bytes:
    """Return the observed frequency of an event by its predicted probability, with 95 % intervals."""
    figure, axes = _figure(4.6, 4.2)
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle="--", label="perfect")
    observed = [score_bin.observed for score_bin in bins]
    axes.errorbar(
        [score_bin.predicted for score_bin in bins],
        [estimate.value for estimate in observed],
        yerr=_error_bars(observed),
        label="observed, 95 % interval",
        **DOT,
    )
    for score_bin in bins:
        point = (score_bin.predicted, score_bin.observed.value)
        axes.annotate(f"{score_bin.rows}", point, (5, -11), textcoords="offset points", size=7)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set(xlabel=f"predicted probability of {event}", ylabel="observed frequency")
    axes.set_title("Calibration (numbers: rows)", size=10)
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    return _svg(figure)


def groups_plot(groups: Sequence[GroupMetrics]) -> bytes:
    """Return false negative and false positive rate of each group, with 95 % intervals."""
    figure, axes = _figure(4.6, 1.2 + 0.42 * len(groups))
    for name, colour, shift in (
        ("false_negative_rate", "#b3432b", -0.12),
        ("false_positive_rate", "#1f5fa8", 0.12),
    ):
        rates = {row: group.metrics[name] for row, group in enumerate(groups) if name in group.metrics}
        axes.errorbar(
            [estimate.value for estimate in rates.values()],
            [row + shift for row in rates],
            xerr=_error_bars([*rates.values()]),
            label=name.replace("_", " "),
            **(DOT | {"color": colour}),
        )
    labels = [f"{group.feature}: {group.group} ({group.rows})" for group in groups]
    axes.set_yticks(range(len(groups)), labels)
    axes.invert_yaxis()
    axes.set(xlim=(-0.02, 1.02))
    axes.set_title("Errors by group (rows), 95 % intervals", size=10)
    axes.legend(loc="best", frameon=False, fontsize=8)
    return _svg(figure)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    return figure, axes


def _error_bars(estimates: Sequence[MetricEstimate]) -> list[list[float]]:
    """Return the length of both sides of each interval [2, estimates]; a value may lie outside of its own."""
    return [
        [max(estimate.value - estimate.lower, 0) for estimate in estimates],
        [max(estimate.upper - estimate.value, 0) for estimate in estimates],
    ]


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
