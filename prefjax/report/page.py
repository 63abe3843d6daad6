"""The page: one file that asks nobody for anything."""

import base64
import hashlib
import json
import math
from collections.abc import Sequence
from importlib import resources
from typing import Any, NamedTuple

from prefjax.report import foot, sections, table
from prefjax.report.charts import SHOWN, Chart, signals, training
from prefjax.report.frontier import BestOfN, frontier
from prefjax.report.groups import Group
from prefjax.report.html import Html, tag, text
from prefjax.report.reliability import reliability
from prefjax.report.svg import MARKERS, draw, letters
from prefjax.report.verdict import Verdict, verdict


class Content(NamedTuple):
    """What the page and the picture are drawn from."""

    groups: Sequence[Group]
    verdicts: list[Verdict]  # of each group
    signals: list[Chart]
    training: list[Chart]
    frontier: Chart | None
    reliability: Chart | None
    steps: tuple[float, float] | None  # the range of the steps of all charts, for one axis


def content(groups: Sequence[Group], best_of_n: Sequence[BestOfN] = ()) -> Content:
    """All of one run, or of several, with points of best of n beside the frontier."""
    charts, more = signals(groups), training(groups)
    xs = [float(x) for chart in (*charts, *more) for line in chart.lines for x in line.x]
    steps = (min(0.0, *xs), max(xs)) if xs else None
    front, verdicts = frontier(groups, best_of_n), [verdict(group) for group in groups]
    return Content(groups, verdicts, charts, more, front, reliability(groups), steps)


def page(found: Content) -> str:
    """The page of one run, or of several."""
    style, script = (resources.files(__package__).joinpath(f"page.{kind}").read_text() for kind in ("css", "js"))
    groups, charts, more = found.groups, found.signals, found.training
    parts = [
        _header(found),
        _section("The six signals", _figures(charts, groups, found.steps), _how(groups, charts)),
        _section("Reward against distance", _wide(found.frontier)) if found.frontier else None,
        _section("The runs side by side", table.html(groups)) if len(groups) > 1 else None,
        _section("Training", _grid(more, found.steps)) if more else None,
        _section("Reliability", _wide(found.reliability)) if found.reliability else None,
        _section("Slices", [sections.slices_of(group, len(groups) > 1) for group in groups]),
        _section("Before and after", sections.examples(groups)),
        _section("The pairs", sections.audits(groups)),
        _section("The run" if len(groups) == 1 else "The runs", foot.foot(groups)),
    ]
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    name = " · ".join(group.label for group in groups[:3])
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{name}: prefjax report"),
        tag("style", Html(style)),
    )
    data = {chart.key: _values(chart) for chart in [*charts, *more]}
    body = tag(
        "body", parts, tag("script", Html(_json(data)), type="application/json", id="data"), tag("script", Html(script))
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def _json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _values(chart: Chart) -> list[dict[str, Any]]:
    """What the cursor reads of a chart."""
    short = lambda values: [None if v is None or not math.isfinite(v) else float(f"{v:.4g}") for v in values]
    lines = [line for line in chart.lines if line.kind != "raw"]
    named = [line for line in lines if line.named]
    lines = named if len(named) > 2 else lines  # of many groups what matters most of each
    return [
        {"label": line.label, "x": [round(float(x), 1) for x in line.x], "y": short(line.y), "percent": chart.percent}
        for line in lines
    ]


def _section(heading: str, *parts: Any) -> Html:
    return tag("section", tag("h2", heading), *parts)


def _state(found: Verdict) -> Html:
    sign = {"ALARM": "▲ ALARM", "ok": "✓ ok", "unknown": "? not known"}[found.state]
    return tag("span", sign, class_=f"state {found.state}")


def _header(content: Content) -> Html:
    """The verdict, and what it is about. Of several settings one line each."""
    groups, found, front = content.groups, content.verdicts, content.frontier
    runs = [run for group in groups for run in group.runs]
    seeds = lambda group: f" ({len(group.runs)} seeds)" if len(group.runs) > 1 else ""
    endings = [
        tag("p", tag("strong", f"{run.path.name} {run.status}: "), run.message, class_="why")
        for run in runs
        if run.message
    ]
    if len(groups) == 1:
        clauses = ("; ".join(found[0].clauses) or "Nothing was measured").replace(" %", "\xa0%")
        heading = text(
            tag("h1", f"{clauses}: ", _state(found[0])), tag("p", found[0].why, class_="why") if found[0].why else None
        )
    else:
        count = {state: sum(v.state == state for v in found) for state in ("ok", "ALARM", "unknown")}
        words = zip(("ok", "with alarms", "not known"), count.values(), strict=True)
        best = f" {front.star[2][:1].upper()}{front.star[2][1:]}." if front and front.star else ""
        lines = [
            tag(
                "li",
                _state(v),
                tag("strong", group.label),
                f"{seeds(group)}: {'; '.join(v.clauses) or 'nothing was measured'}",
                f" ({v.why})" if v.why else "",
            )
            for group, v in zip(groups, found, strict=True)
        ]
        told = ", ".join(f"{n} {word}" for word, n in words if n)
        heading = text(tag("h1", f"{len(groups)} settings: {told}.{best}"), tag("ul", lines, class_="verdicts"))
    name = (
        f"{runs[0].path}"
        if len(runs) == 1
        else f"{len(runs)} runs of {len(groups)} settings"
        if len(groups) > 1
        else f"{len(runs)} seeds"
    )
    pairs = [tag("div", tag("dt", name), tag("dd", value)) for name, value in foot.facts(groups)]
    more = tag("p", f"… and {len(endings) - 4} more.", class_="why") if len(endings) > 4 else None
    return tag(
        "header",
        tag("p", f"prefjax report · {name}", class_="kicker"),
        heading,
        endings[:4],
        more,
        tag("dl", pairs, class_="facts"),
    )


def _figures(charts: Sequence[Chart], groups: Sequence[Group], steps: tuple[float, float] | None) -> Html:
    slider = tag(
        "label",
        "Step ",
        tag("input", type="range", id="step", aria_label="step of the cursor"),
        tag("output", "", id="told"),
        id="cursor",
        hidden="",
    )
    return text(_key(groups) if len(groups) > 1 else None, slider, _grid(charts, steps))


def _grid(charts: Sequence[Chart], steps: tuple[float, float] | None) -> Html:
    """Charts side by side, with one axis of steps."""
    room = max((letters(chart) for chart in charts), default=0)
    return tag("div", [_figure(chart, steps, room) for chart in charts], class_="charts")


def _key(groups: Sequence[Group]) -> Html:
    """The colours and markers of the groups."""
    swatch = lambda i: tag(
        "svg",
        tag("path", class_=f"line measured c{i}", d="M0 6H34"),
        tag("path", class_=f"mark c{i}", d=MARKERS[i], transform="translate(17 6)"),
        viewBox="0 0 34 12",
        aria_hidden="true",
    )
    return tag("ul", [tag("li", swatch(i), group.label) for i, group in enumerate(groups[:SHOWN])], class_="key")


def _figure(chart: Chart, steps: tuple[float, float] | None, room: int) -> Html:
    heading = tag("h3", chart.title, tag("span", f"  {chart.unit}") if chart.unit else None)
    if not chart.lines:
        return tag("figure", heading, tag("p", chart.missing, class_="missing"))
    note = tag("figcaption", chart.note) if chart.note else None
    return tag("figure", heading, tag("p", "", class_="readout"), draw(chart, steps, room), note)


def _wide(chart: Chart) -> Html:
    figure = tag(
        "figure",
        tag("h3", chart.title),
        draw(chart, size=(860, 420)),
        tag("figcaption", chart.note) if chart.note else None,
    )
    return tag("div", figure, class_="charts wide")


def _how(groups: Sequence[Group], charts: Sequence[Chart]) -> Html:
    """How the charts are read."""
    runs, kinds = [run for group in groups for run in group.runs], {line.kind for c in charts for line in c.lines}
    several = any(len(group.runs) > 1 for group in groups)
    single = any(len(group.runs) == 1 for group in groups)
    over = [word for word, is_so in (("over prompts", single), ("over seeds, as bands", several)) if is_so]
    words = [f"Points are evaluations, with 95 % intervals {' or '.join(over)}."]
    if kinds & {"raw", "smooth"}:
        words.append("Lines without points are training: thin as it was logged, thick the same, smoothed.")
    if len(groups) > 1:
        words.append("Dashed: the proxy, and refusals of unsafe prompts.")
    words.append("Grey: the reference, which is the first evaluation. ▲ an alarm.")
    if len(groups) == 1:
        words.append("On the axis ticks are checkpoints that are kept; dotted: a resume.")
    if len(groups) > SHOWN:
        all_ = "the table and the chart of reward against distance have all of them"
        words.append(f"The first {SHOWN} of {len(groups)} settings are drawn over steps; {all_}.")
    if any(not (run.path / "eval").is_dir() and run.evaluations for run in runs):
        words.append("Some runs have no eval/ folder: their means are drawn without intervals.")
    return tag("p", " ".join(words), class_="note")
