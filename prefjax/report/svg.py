"""Charts as SVG: shapes with classes, which the style sheet of the page colours, on screen and in print."""

import math
from collections.abc import Sequence
from typing import Any

from prefjax.report.axes import LETTER, Frame, axes, short, spread
from prefjax.report.charts import Chart, Line
from prefjax.report.html import Html, tag, text
from prefjax.report.metrics import number

MARKERS = (  # of a radius of about 3; the number of a colour is that of its marker
    "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0Z", "M-2.7-2.7h5.4v5.4h-5.4Z", "M0-3.6L3.3 2.4H-3.3Z",
    "M0-3.8L3.8 0L0 3.8L-3.8 0Z", "M0 3.6L3.3-2.4H-3.3Z", "M-3-3L3 3M-3 3L3-3",
    "M0-3.6V3.6M-3.6 0H3.6", "M-3.6-1.4h7.2v2.8h-7.2Z",
)  # fmt: skip
STAR = "M0-7L1.9-2.2L7-2.2L2.9 1L4.4 6L0 3L-4.4 6L-2.9 1L-7-2.2L-1.9-2.2Z"


def letters(chart: Chart) -> int:
    """Of the longest name at the end of a line."""
    names = [line.label for line in chart.lines if line.named] + [words for _, words, _ in chart.levels]
    return max(map(len, names), default=0)


def draw(
    chart: Chart, x: tuple[float, float] | None = None, room: int | None = None, size: tuple[int, int] = (380, 232)
) -> Html:
    """A chart with its alternative text; neighbours share `x`, the range of steps, and `room`, in letters."""
    frame = Frame(axes(chart, x), size, letters(chart) if room is None else room)
    linked = chart.x_label == "step"
    body = text(
        _zones(chart, frame),
        _grid(chart, frame),
        [_walls(wall, frame) for wall in chart.walls],
        [_level(level, frame) for level in chart.levels],
        [_line(line, frame) for line in sorted(chart.lines, key=lambda line: _ORDER[line.kind])],
        _labels(chart, frame),
        _alarms(chart, frame),
        _star(chart, frame),
        tag("line", class_="cursor", x1=-9, x2=-9, y1=frame.top, y2=frame.bottom) if linked else None,
    )
    about: dict[str, Any] = {"data-key": chart.key, "data-left": frame.left, "data-right": frame.right}
    about |= {"data-low": frame.ranges.x[0], "data-high": frame.ranges.x[1]}
    return tag(
        "svg",
        tag("title", chart.title),
        tag("desc", alternative(chart)),
        body,
        class_="linked" if linked else None,
        viewBox=f"0 0 {size[0]} {size[1]}",
        role="img",
        aria_label=f"{chart.title}. {alternative(chart)}",
        **(about if linked else {}),
    )


_ORDER = {"raw": 0, "twin": 1, "smooth": 2, "measured": 3}


def alternative(chart: Chart) -> str:
    """A chart in words: from where to where each line goes."""
    scale, unit = (100, " %") if chart.percent else (1, f" {chart.unit}" if chart.unit in ("nats",) else "")
    told = []
    for line in chart.lines:
        known = [(x, y) for x, y in zip(line.x, line.y, strict=True) if y is not None and math.isfinite(y)]
        if line.kind == "raw" or not known:
            continue
        name = f"{line.label}{' (smoothed)' if line.kind == 'smooth' else ''}"
        (x0, y0), (x1, y1) = known[0], known[-1]
        where = chart.x_label.partition(" ")[0]  # step, √KL, confidence
        told.append(
            f"{name}: {number(scale * y0)}{unit} at {where} {number(x0)}, {number(scale * y1)}{unit} at {number(x1)}"
        )
    told += [f"{words} {number(scale * y)}{unit}" for y, words, kind in chart.levels if kind != "half"]
    told += [f"alarm {name} at step {number(x)}" for x, name in chart.alarms[:8]]
    told += [chart.star[2]] if chart.star else []
    return "; ".join(told) + "."


def _grid(chart: Chart, frame: Frame) -> list[Html]:
    scale = 100 if chart.percent else 1
    parts = []
    for tick in frame.ranges.y_ticks:
        y = frame.y(tick)
        parts.append(tag("line", class_="grid", x1=frame.left, x2=frame.right, y1=y, y2=y))
        parts.append(tag("text", short(round(tick * scale, 10)), class_="tick end", x=frame.left - 6, y=y + 3.5))
    parts.append(tag("line", class_="axis", x1=frame.left, x2=frame.right, y1=frame.bottom, y2=frame.bottom))
    for tick in frame.ranges.x_ticks:
        x = frame.x(tick)
        parts.append(tag("line", class_="axis", x1=x, x2=x, y1=frame.bottom, y2=frame.bottom + 4))
        parts.append(tag("text", short(tick), class_="tick middle", x=x, y=frame.bottom + 16))
    parts.append(tag("text", chart.x_label, class_="tick end", x=frame.right, y=frame.bottom + 29))
    return parts


def _zones(chart: Chart, frame: Frame) -> list[Html]:
    parts = []
    for low, high, kind in chart.zones:
        top = max(frame.y(high), frame.top) if math.isfinite(high) else frame.top
        bottom = min(frame.y(low), frame.bottom) if math.isfinite(low) else frame.bottom
        if bottom > top:
            box = {"x": frame.left, "y": top, "width": frame.right - frame.left, "height": round(bottom - top, 1)}
            parts.append(tag("rect", class_=f"zone {kind}", **box))
    return parts


def _level(level: tuple[float, str, str], frame: Frame) -> Html | None:
    y, words, kind = level
    low, high = frame.ranges.y
    if y > high:  # too far to be drawn, not to be told
        return tag("text", f"{words} {short(y)} ↑", class_=f"level {kind} end", x=frame.right, y=frame.top - 4)
    if y < low:
        return None
    return tag(
        "line", tag("title", words), class_=f"level {kind}", x1=frame.left, x2=frame.right, y1=frame.y(y), y2=frame.y(y)
    )


def _walls(wall: tuple[float, str, str], frame: Frame) -> Html | None:
    x, words, kind = wall
    low, high = frame.ranges.x
    if not low <= x <= high:
        return None
    at = frame.x(x)
    if kind == "budget":
        line = tag("line", class_="level budget", x1=at, x2=at, y1=frame.top, y2=frame.bottom)
        return text(line, tag("text", words, class_="label budget end", x=at - 5, y=frame.top + 9))
    ends = {"checkpoint": (frame.bottom - 5, frame.bottom), "resume": (frame.top, frame.bottom)}
    top, bottom = ends.get(kind, (frame.bottom - 9, frame.bottom))
    return tag("line", tag("title", words), class_=f"wall {kind}", x1=at, x2=at, y1=top, y2=bottom)


def _line(line: Line, frame: Frame) -> Html:
    colour = f"c{line.colour}"
    points = [
        None if y is None or not math.isfinite(y) else (frame.x(x), frame.y(y))
        for x, y in zip(line.x, line.y, strict=True)
    ]
    parts: list[Any] = []
    ends = _ends(line)
    if ends and line.bars:
        drawn = "".join(f"M{frame.x(x)} {frame.y(a)}V{frame.y(b)}" for x, a, b in ends)
        parts.append(tag("path", class_=f"bar {colour}", d=drawn))
    elif ends:
        there, back = ([f"{frame.x(e[0]):g} {frame.y(e[i]):g}" for e in ends] for i in (2, 1))
        band = "L".join([*there, *reversed(back)])
        parts.append(tag("path", class_=f"band {line.kind} {colour}", d=f"M{band}Z"))
    known = [point for point in points if point]
    if len(known) > 1 or line.kind != "measured":
        parts.append(
            tag("path", class_=f"line {line.kind} {colour}{' dashed' if line.dashed else ''}", d=_path(points))
        )
    if line.kind == "measured" and len(known) <= 60:
        marker = MARKERS[line.colour % len(MARKERS)]
        hollow = " hollow" if line.dashed else ""
        parts += [
            tag("path", class_=f"mark {colour}{hollow}", d=marker, transform=f"translate({x} {y})") for x, y in known
        ]
    return text(parts)


def _path(points: Sequence[tuple[float, float] | None]) -> str:
    """Straight pieces from point to point; a gap where there is none, a dot where one stands alone."""
    parts, pen = [], False
    for at, point in enumerate(points):
        if point is not None:
            alone = not pen and (at + 1 == len(points) or points[at + 1] is None)
            parts.append(f"{'L' if pen else 'M'}{point[0]:g} {point[1]:g}{'h.1' if alone else ''}")
        pen = point is not None
    return "".join(parts)


def _ends(line: Line) -> list[tuple[float, float, float]]:
    """(x, low, high) where both ends of an interval are known."""
    ends = zip(line.x, line.low or (), line.high or (), strict=False)
    return [(x, a, b) for x, a, b in ends if a is not None and b is not None and math.isfinite(a) and math.isfinite(b)]


def _labels(chart: Chart, frame: Frame) -> list[Html]:
    """The names of lines at their ends, moved apart where they would cover each other."""
    wanted: list[tuple[float, str, str]] = []
    ends: list[float] = []
    for line in chart.lines:
        points = zip(reversed(list(line.x)), reversed(list(line.y)), strict=True)
        last = next(((x, y) for x, y in points if y is not None and math.isfinite(y)), None)
        if line.named and last is not None:
            wanted.append((frame.y(last[1]), line.label, f"label c{line.colour}"))
            ends.append(frame.right if chart.x_label == "step" else frame.x(last[0]))
    low, high = frame.ranges.y
    seen = {label for _, label, _ in wanted}
    for y, words, kind in chart.levels:
        if low <= y <= high and words not in seen:
            seen.add(words)
            wanted.append((frame.y(y), words, f"label {kind}"))
            ends.append(frame.right)
    places = spread([y for y, _, _ in wanted], 12, frame.top, frame.bottom)
    return [
        _label(words, kind, round(end + 8, 1), round(place + 3.5, 1), frame)
        for end, place, (_, words, kind) in zip(ends, places, wanted, strict=True)
    ]


def _label(words: str, kind: str, x: float, y: float, frame: Frame) -> Html:
    """A name, cut where it would leave the canvas; whole in its title."""
    room = int((frame.width - x) / LETTER)
    cut = tag("title", words) if len(words) > room else None
    return tag("text", cut, words if cut is None else f"{words[: room - 1]}…", class_=kind, x=x, y=y)


def _alarms(chart: Chart, frame: Frame) -> list[Html]:
    """A triangle at every evaluation with an alarm; the names once, in the order they came."""
    low, high = frame.ranges.x
    steps: dict[float, list[str]] = {}
    for x, name in sorted(chart.alarms):
        if low <= x <= high:
            steps.setdefault(x, []).append(name)
    parts = []
    for x, names in steps.items():
        about = tag("title", f"step {short(x)}: {', '.join(names)}")
        at = f"translate({frame.x(x)} {frame.top - 4})"
        parts.append(tag("path", about, class_="alarm", d="M0-5L4.5 3H-4.5Z", transform=at))
    if steps:
        words = ", ".join(dict.fromkeys(name for names in steps.values() for name in names))
        width, first = 6.3 * len(words), frame.x(min(steps)) - 5
        x = max(min(first, frame.width - width), 2)
        parts.append(tag("text", words, class_="alarmed", x=round(x, 1), y=frame.top - 13))
    return parts


def _star(chart: Chart, frame: Frame) -> Html | None:
    if not chart.star:
        return None
    x, y, words = chart.star
    place = f"translate({frame.x(x)} {frame.y(y) - 13})"
    return text(tag("path", tag("title", words), class_="star", d=STAR, transform=place))
