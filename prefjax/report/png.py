"""Charts as one picture, for a paper or a message."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefjax.files import writing
from prefjax.report.axes import axes, short, spread
from prefjax.report.charts import Chart, Line

PALETTE = ("#0072b2", "#d55e00", "#007f5f", "#b0578d", "#8a6d00", "#3a8fc7", "#1d1d1f", "#5c5c60")  # as in page.css
MARKERS = "os^Dvx+_"
SOFT, ALARM = "#6b6b70", "#b3261e"


def save(
    path: Path, title: str, charts: Sequence[Chart], front: Chart | None, steps: tuple[float, float] | None
) -> None:
    """Draws the six signals, and the frontier under them.

    Raises:
      ImportError: matplotlib is not installed.
      DiskError: the file cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg", force=False)
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "font.size": 9,
        "font.family": "sans-serif",
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(12, 11.2 if front else 6.6), layout="constrained")
        grid = figure.add_gridspec(3 if front else 2, 3, height_ratios=[1, 1, 1.4] if front else [1, 1])
        for at, chart in enumerate(charts):
            _chart(figure.add_subplot(grid[at // 3, at % 3]), chart, steps)
        if front:
            _chart(figure.add_subplot(grid[2, :]), front, None)
        figure.suptitle("\n".join(textwrap.wrap(title, 120)), x=0.01, ha="left", fontsize=12)
        with writing(path):
            figure.savefig(path, dpi=130)


def _chart(plot: Any, chart: Chart, steps: tuple[float, float] | None) -> None:
    plot.set_title(f"{chart.title}  {chart.unit}".strip(), loc="left", fontsize=10, fontweight="bold")
    if not chart.lines:
        plot.set_axis_off()
        words = "\n".join(textwrap.wrap(chart.missing, 44))
        plot.text(0, 0.9, words, transform=plot.transAxes, va="top", color=SOFT)
        return
    ranges = axes(chart, steps)
    plot.set_xlim(*ranges.x)
    plot.set_ylim(*ranges.y)
    plot.set_xticks(ranges.x_ticks, [short(x) for x in ranges.x_ticks])
    plot.set_yticks(ranges.y_ticks, [short(round(y * (100 if chart.percent else 1), 10)) for y in ranges.y_ticks])
    plot.set_xlabel(chart.x_label, loc="right", color=SOFT)
    plot.grid(axis="y", color="#dcdcdf", linewidth=0.6)
    plot.set_axisbelow(True)
    _limits(plot, chart, ranges.y)
    for line in chart.lines:
        _line(plot, line)
    _names(plot, chart, ranges.y)
    top = ranges.y[1]
    for x in sorted({x for x, _ in chart.alarms}):
        plot.plot([x], [top], marker="^", color=ALARM, clip_on=False, markersize=5)
    if chart.alarms:
        words = ", ".join(dict.fromkeys(name for _, name in sorted(chart.alarms)))
        plot.text(1, 1.03, words, transform=plot.transAxes, ha="right", color=ALARM, fontsize=7)
    if chart.star:
        plot.plot(*chart.star[:2], marker="*", color="#f0c400", markeredgecolor="black", markersize=13, zorder=5)
        plot.annotate(chart.star[2], chart.star[:2], (8, 8), textcoords="offset points", fontsize=8)


def _limits(plot: Any, chart: Chart, y: tuple[float, float]) -> None:
    for level, words, kind in chart.levels:
        if y[0] <= level <= y[1]:
            colour, dash = (ALARM, (0, (6, 3))) if kind == "budget" else ("#a0a0a5", "-")
            plot.axhline(level, color=colour, linewidth=1, linestyle=dash)
        elif level > y[1]:
            plot.text(
                1, 1.01, f"{words} {short(level)} ↑", transform=plot.transAxes, ha="right", color=ALARM, fontsize=8
            )
    for low, high, kind in chart.zones:
        plot.axhspan(max(low, y[0]), min(high, y[1]), color=ALARM if kind == "over" else SOFT, alpha=0.08, linewidth=0)
    for x, words, kind in chart.walls:
        if kind == "budget":
            plot.axvline(x, color=ALARM, linewidth=1, linestyle=(0, (6, 3)))
            plot.annotate(words, (x, y[1]), (-4, -9), textcoords="offset points", ha="right", color=ALARM)
        elif kind == "resume":
            plot.axvline(x, color=SOFT, linewidth=0.8, linestyle=":")
        else:
            plot.plot([x, x], [0, 0.03], transform=plot.get_xaxis_transform(), color=SOFT)


def _line(plot: Any, line: Line) -> None:
    colour = PALETTE[line.colour % len(PALETTE)]
    y = [math.nan if value is None else float(value) for value in line.y]
    look = {"raw": (0.7, 0.45), "smooth": (1.8, 0.75), "twin": (1.0, 0.5), "measured": (1.6, 1.0)}
    width, alpha = look[line.kind]
    if line.low is not None and line.high is not None:
        low, high = ([math.nan if v is None else float(v) for v in ends] for ends in (line.low, line.high))
        if line.bars:
            plot.vlines(line.x, low, high, color=colour, alpha=0.5, linewidth=1)
        else:
            plot.fill_between(line.x, low, high, color=colour, alpha=0.15, linewidth=0)
    marks: dict[str, Any] = {}
    if line.kind == "measured":
        inside = "white" if line.dashed else colour
        marks = {"marker": MARKERS[line.colour % len(MARKERS)], "markersize": 4, "markerfacecolor": inside}
    plot.plot(line.x, y, color=colour, linewidth=width, alpha=alpha, linestyle="--" if line.dashed else "-", **marks)


def _names(plot: Any, chart: Chart, y: tuple[float, float]) -> None:
    """The names of lines at their ends, apart from each other."""
    wanted = []
    for line in chart.lines:
        known = [(x, v) for x, v in zip(line.x, line.y, strict=True) if v is not None and math.isfinite(v)]
        if line.named and known:
            place = known[-1][0] if chart.key == "frontier" else plot.get_xlim()[1]
            wanted.append((known[-1][1], place, line.label, PALETTE[line.colour % len(PALETTE)]))
    for level, words, kind in chart.levels:
        if y[0] <= level <= y[1] and words not in [name for _, _, name, _ in wanted]:
            wanted.append((level, plot.get_xlim()[1], words, ALARM if kind == "budget" else SOFT))
    gap = (y[1] - y[0]) * 0.075
    for place, (_, x, name, colour) in zip(spread([w[0] for w in wanted], gap, *y), wanted, strict=True):
        plot.annotate(name, (x, place), (5, 0), textcoords="offset points", va="center", color=colour, fontsize=8,
                      fontweight="bold", annotation_clip=False)  # fmt: skip
