"""Ranges and ticks of a chart, where they lie on a canvas, and places for its names."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from prefjax.report.charts import Chart

LEFT, TOP, BOTTOM, LETTER = 40, 26, 32, 6.1  # margins, and the width of a letter at the size of labels


class Axes(NamedTuple):
    """The ranges that are drawn, and the numbers along them."""

    x: tuple[float, float]
    y: tuple[float, float]
    x_ticks: list[float]
    y_ticks: list[float]


def axes(chart: Chart, x: tuple[float, float] | None = None) -> Axes:
    """Room for every line and interval, and for the limits where they are near: a far one must not flatten the rest.

    Args:
      chart: with at least one line.
      x: range of the steps that charts side by side share.
    """
    xs = [v for line in chart.lines for v in finite(line.x)] + ([chart.star[0]] if chart.star else [])
    ys = [v for line in chart.lines for part in (line.y, line.low, line.high) if part is not None for v in finite(part)]
    left, right = x or (min(xs, default=0.0), max(xs, default=1.0))
    low, high = min(ys, default=0.0), max(ys, default=1.0)
    if chart.key in ("kl", "refusal"):
        low = min(low, 0.0)
    if high - low <= 1e-6 * abs(high):  # but for rounding it is one number
        low = high = (low + high) / 2
    spread = (high - low) or abs(high) or 1.0
    for level in [y for y, _, _ in chart.levels] + [y for a, b, _ in chart.zones for y in (a, b) if math.isfinite(y)]:
        if low - 1.5 * spread <= level <= high + 1.5 * spread:
            low, high = min(low, level), max(high, level)
    if high == low:
        low, high = low - 0.5 * spread, high + 0.5 * spread
    pad = 0.06 * (high - low)
    bottom = low if low == 0 and chart.key in ("kl", "refusal") else low - pad
    top = high + 1.6 * pad
    if chart.percent:
        bottom, top = max(bottom, -0.02), min(top, 1.04)
    if chart.key == "frontier":
        left = min(left, 0.0)
        walls = [wall for wall, _, kind in chart.walls if kind == "budget" and wall < 1.6 * right]
        right = max([right, *walls]) * 1.03
    if left == right:
        left, right = left - 0.5, right + 0.5
    scale = 100 if chart.percent else 1
    return Axes(
        (left, right),
        (bottom, top),
        ticks(left, right, 5),
        [tick / scale for tick in ticks(bottom * scale, top * scale, 5)],
    )


class Frame:
    """Where numbers of a chart lie on its canvas."""

    def __init__(self, ranges: Axes, size: tuple[int, int], letters: int):
        self.width, self.height = size
        self.left, self.right = LEFT, self.width - max(14, min(130, int(LETTER * letters) + 12))
        self.top, self.bottom = TOP, self.height - BOTTOM
        self.ranges = ranges

    def x(self, value: float) -> float:
        low, high = self.ranges.x
        return round(self.left + (value - low) / (high - low) * (self.right - self.left), 1)

    def y(self, value: float) -> float:
        low, high = self.ranges.y
        share = min(max((value - low) / (high - low), -0.02), 1.02)
        return round(self.bottom - share * (self.bottom - self.top), 1)


def finite(values: Iterable[float | None]) -> list[float]:
    return [float(v) for v in values if v is not None and math.isfinite(v)]


def ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers, about so many, within a range.

    >>> ticks(0.0, 9.3, 5)
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    rough = (high - low) / max(count, 1)
    unit = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    step = unit * next(m for m in (1, 2, 5, 10) if rough <= m * unit * 1.001)
    first = math.ceil(low / step - 1e-9)
    return [round(float(i * step), 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def short(value: float) -> str:
    """A number along an axis: 0.25, 40, 12k, 1.5M.

    >>> [short(x) for x in (0.25, 40.0, 12000.0, 1.5e6, -0.5)]
    ['0.25', '40', '12k', '1.5M', '−0.5']
    """
    size, unit = next(((s, u) for s, u in ((1e9, "G"), (1e6, "M"), (1e4, "k")) if abs(value) >= s), (1.0, ""))
    size = 1e3 if unit == "k" else size
    return f"{value / size:.4g}{unit}".replace("-", "−")


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The places nearest to those wanted, in their order, at least `gap` apart: the least squares of it.

    >>> spread([10.0, 10.0, 50.0], 12.0, 0.0, 100.0)
    [4.0, 16.0, 50.0]
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    blocks: list[list[Any]] = []  # [mean of what is wanted of the first, members]
    for place, i in enumerate(order):
        blocks.append([wanted[i] - gap * place, [i]])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, first), (b, second) = blocks.pop(-2), blocks.pop()
            blocks.append([(a * len(first) + b * len(second)) / (len(first) + len(second)), first + second])
    places = [0.0] * len(wanted)
    for rank, i in enumerate(order):
        base = next(mean for mean, members in blocks if i in members)
        places[i] = min(max(base, low), max(high - gap * (len(order) - 1), low)) + gap * rank
    return places
