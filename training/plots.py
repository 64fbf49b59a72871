"""The plots of a card, as SVG: the same figures give the same bytes."""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from bundle.manifest import CalibrationBin, Figure, GroupFigures

mpl.rcParams.update({"svg.hashsalt": "card", "svg.fonttype": "none", "font.family": "sans-serif"})

DOT: dict[str, Any] = {"fmt": "o", "markersize": 5, "capsize": 3, "color": "#1f5fa8"}


def calibration_plot(bins: Sequence[CalibrationBin], forecast: str) -> bytes:
    """Return how often a forecast came true against the forecast, with 95 % intervals."""
    canvas, axes = _canvas(4.6, 4.2)
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle="--", label="perfect")
    shares = [it.share for it in bins]
    axes.errorbar(
        [it.forecast for it in bins],
        [it.value for it in shares],
        yerr=_whiskers(shares),
        label="measured, 95 % interval",
        **DOT,
    )
    for it in bins:
        axes.annotate(
            f"{it.rows}", (it.forecast, it.share.value), (5, -11), textcoords="offset points", size=7
        )
    axes.set(
        xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=forecast, ylabel="share of rows where it came true"
    )
    axes.set_title("Calibration (numbers: rows)", size=10)
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    return _svg(canvas)


def groups_plot(groups: Sequence[GroupFigures]) -> bytes:
    """Return miss and false alarm rate of each group, with 95 % intervals."""
    canvas, axes = _canvas(4.6, 1.2 + 0.42 * len(groups))
    for name, label, colour, shift in (
        ("miss_rate", "miss rate", "#b3432b", -0.12),
        ("false_alarm_rate", "false alarm rate", "#1f5fa8", 0.12),
    ):
        found = [(place, it.figures[name]) for place, it in enumerate(groups) if name in it.figures]
        axes.errorbar(
            [it.value for _, it in found],
            [place + shift for place, _ in found],
            xerr=_whiskers([it for _, it in found]),
            label=label,
            **(DOT | {"color": colour}),
        )
    axes.set_yticks(range(len(groups)), [f"{it.feature}: {it.group} ({it.rows})" for it in groups])
    axes.invert_yaxis()
    axes.set(xlim=(-0.02, 1.02))
    axes.set_title("Errors by group (rows), 95 % intervals", size=10)
    axes.legend(loc="best", frameon=False, fontsize=8)
    return _svg(canvas)


def _canvas(width: float, height: float) -> tuple[Canvas, Axes]:
    canvas = Canvas(figsize=(width, height), layout="constrained")
    axes = canvas.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    return canvas, axes


def _whiskers(figures: Sequence[Figure]) -> list[list[float]]:
    """Return how far intervals reach to either side [2, figures]: a percentile may lie beyond the value."""
    return [
        [max(it.value - it.low, 0) for it in figures],
        [max(it.high - it.value, 0) for it in figures],
    ]


def _svg(canvas: Canvas) -> bytes:
    buffer = io.BytesIO()
    canvas.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
