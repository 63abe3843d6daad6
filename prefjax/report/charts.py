"""Charts as data: drawn as SVG for the page (`svg`) and by matplotlib for the picture (`png`)."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from prefjax.report.groups import Group, mean
from prefjax.report.runs import Estimate, Run
from prefjax.report.thin import smooth
from prefjax.report.verdict import budget, distance, lengths

SHOWN = 7  # groups in a chart: as many colours as are told apart
Point = tuple[float, Estimate]


class Line(NamedTuple):
    """Points in order, one look."""

    label: str  # stands at its end, and in the readout
    kind: str  # "raw": faint; "smooth": of raw; "measured": evaluations; "twin": faint, beside one that matters more
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float | None] | None = None
    high: Sequence[float | None] | None = None
    bars: bool = False  # the interval of each point, instead of a band
    dashed: bool = False
    colour: int = 0  # of the palette, and the marker of that number
    named: bool = True  # whether the label is written into the chart


class Chart(NamedTuple):
    """What is drawn, in its own units."""

    key: str
    title: str
    unit: str
    lines: list[Line]
    x_label: str = "step"
    percent: bool = False
    levels: Sequence[tuple[float, str, str]] = ()  # (y, words, "reference" | "budget" | "half")
    zones: Sequence[tuple[float, float, str]] = ()  # (from y, to y, "allowed" | "over")
    walls: Sequence[tuple[float, str, str]] = ()  # (x, words, "checkpoint" | "resume" | "budget")
    alarms: Sequence[tuple[float, str]] = ()  # (x, name)
    star: tuple[float, float, str] | None = None
    note: str = ""
    missing: str = ""  # why nothing is drawn


# Metrics of a chart: the first is drawn solid, the others dashed. Beside them what is logged of training.
class _Panel(NamedTuple):
    key: str
    title: str
    unit: str
    measured: tuple[str, ...]
    logged: str
    names: tuple[str, ...]  # as they are written at the ends of lines
    missing: str


PANELS = (
    _Panel("reward", "Reward", "", ("gold", "reward"), "score", ("gold", "proxy"),
           "an evaluation that reports `reward` or `gold`: samples(...) with a reward, or a judge of a world"),
    _Panel("kl", "KL to the reference", "nats an answer", ("kl",), "kl", ("KL",),
           "samples(...) with frozen.reference set"),
    _Panel("length", "Length", "of the reference's own", ("length_ratio",), "length", ("length",),
           "samples(...) with frozen.reference set"),
    _Panel("refusal", "Refusals", "% of prompts", ("benign_refusal", "unsafe_refusal"), "", ("benign", "unsafe"),
           "refusal(...) on benign and unsafe prompts"),
    _Panel("factuality", "Factuality", "% right", ("factuality", "mc1"), "", ("closed book", "MC1"),
           "factuality(...)"),
    _Panel("win", "Win rate", "% of comparisons, ties half", ("win_rate", "win_rate_lc"), "", ("wins", "same length"),
           "win_rate(...) with a judge"),
)  # fmt: skip
TRAINING = (
    _Panel("loss", "Loss", "", ("loss",), "loss", ("held out",), ""),
    _Panel("accuracy", "Pairs ordered as labelled", "%", ("rewards/accuracy",), "rewards/accuracy", ("held out",), ""),
    _Panel("entropy", "Entropy", "nats a token", ("entropy",), "entropy", ("evaluated",), ""),
    _Panel("gradient", "Gradient norm", "", (), "grad_norm", (), ""),
)
ALARMS = {  # alarm -> the chart it belongs to
    "kl-budget": "kl", "kl-collapse": "kl", "no-movement": "kl", "entropy-collapse": "entropy",
    "label-noise": "accuracy",    "chosen-falling": "accuracy", "pair-artifacts": "accuracy", "verbosity": "length",
    "brevity": "length", "missing-eos": "length", "over-refusal": "refusal", "under-refusal": "refusal",
    "factuality": "factuality", "factuality-hidden-by-style": "factuality", "sycophancy": "factuality",
}  # fmt: skip


def signals(groups: Sequence[Group]) -> list[Chart]:
    """The six signals on one axis of steps."""
    return [_chart(panel, groups) for panel in PANELS]


def training(groups: Sequence[Group]) -> list[Chart]:
    """What else was logged of training, as far as it was."""
    return [chart for panel in TRAINING if (chart := _chart(panel, groups)).lines or chart.missing]


def _chart(panel: _Panel, groups: Sequence[Group]) -> Chart:
    alone, shown = len(groups) == 1, groups[:SHOWN]
    lines, notes = [], []
    for colour, group in enumerate(shown):
        evaluated = any(len(track_of(group, metric)) > 2 for metric in panel.measured)
        if panel.logged and (alone or not evaluated):
            lines += _logged(panel, group, colour, alone)
        lines += _measured(panel, group, colour, alone)
    runs = [run for group in shown for run in group.runs]
    curves = [run.curves[panel.logged] for run in runs if panel.logged in run.curves]
    if any(len(curve.mean) < curve.logged for curve in curves):
        longest = max(curves, key=lambda curve: curve.logged)
        notes.append(f"{longest.logged:,} logged steps in {len(longest.mean)} bins: mean, and from least to most.")
    if lost := sum(curve.lost for curve in curves):
        notes.append(f"{lost} values that are not finite are gaps.")
    if any(_partly(group, panel) for group in shown):
        notes.append(
            "Not all seeds measured it at the same steps: means are over those that did, at the steps they share."
        )
    if panel.key == "length" and any(line.kind == "smooth" for line in lines):
        notes.append("Training samples are compared with the reference's answers to the prompts of the evaluation.")
    if panel.key == "length" and not any(run.track("length_ratio") for run in runs) and lines:
        notes.append("No length ratio was measured: over the first evaluation.")
    if panel.key == "win" and lines:
        notes += list(dict.fromkeys(doubt for run in runs if (doubt := _doubt(run))))
    missing = f"Not measured: it takes {panel.missing}." if panel.missing else ""
    if lost and not lines:
        missing = f"None of the {lost} logged values is finite."
    levels, zones = _levels(panel, runs)
    marks = _walls(runs) if alone else []
    return Chart(
        key=panel.key,
        title=panel.title,
        unit=panel.unit,
        lines=lines,
        percent=panel.unit.startswith("%"),
        levels=levels if lines else [],
        zones=zones if lines else [],
        walls=marks if lines else [],
        alarms=_alarms(panel.key, runs) if lines else [],
        note=" ".join(notes),
        missing="" if lines else missing,
    )


def _logged(panel: _Panel, group: Group, colour: int, alone: bool) -> list[Line]:
    """Training as it was logged, faint, and smoothed; of several seeds the mean of what is smoothed, with its band."""
    dashed = panel.key == "reward"  # training sees the proxy
    label = "training" if alone else group.label
    look: dict[str, Any] = {"dashed": dashed, "colour": colour, "named": False}
    found = []
    for run in group.runs:
        curve, scale = run.curves.get(panel.logged), _usual(run) if panel.key == "length" else 1.0
        if curve is not None and scale and np.isfinite(curve.mean).any():
            found.append((curve, scale))
    if len(found) > 1:
        steps = min((curve.steps for curve, _ in found), key=lambda steps: steps[-1])
        soft = [np.interp(steps, curve.steps, smooth(curve) / scale) for curve, scale in found]
        means = [mean(values) for values in np.stack(soft, axis=1).tolist()]
        low, high = ([getattr(e, end) for e in means] for end in ("low", "high"))
        return [Line(label, "smooth", steps.tolist(), [e.mean for e in means], low, high, **look)]
    lines = []
    for curve, scale in found:
        middle, low, high, soft = ((x / scale).tolist() for x in (curve.mean, curve.low, curve.high, smooth(curve)))
        band = (low, high) if len(middle) < curve.logged else (None, None)
        if alone:
            lines.append(Line(label, "raw", curve.steps.tolist(), middle, *band, **look | {"dashed": False}))
        lines.append(Line(label, "smooth", curve.steps.tolist(), soft, **look))
    return lines


def _partly(group: Group, panel: _Panel) -> bool:
    """Whether some runs of a group lack a metric of a chart, or steps of it, that others have."""
    steps = lambda run, metric: [step for step, _ in track_of(Group("", [run]), metric)]
    return any(len({tuple(steps(run, metric)) for run in group.runs}) > 1 for metric in panel.measured)


def _doubt(run: Run) -> str | None:
    """What the audit of the pairs found of annotators who hardly agree: it stands beside every win rate."""
    found = (run.audit or {}).get("findings", ())
    low = (one for one in found if one.get("section") == "agreement" and one.get("severity") == "alarm")
    return next((f"▲ {one.get('words')}" for one in low), None)


def _usual(run: Run) -> float | None:
    """The length of the reference's answers, or of the first evaluation's."""
    track = run.track("length_reference") or run.track("length")
    return track[0][1].mean or None if track else None


def _measured(panel: _Panel, group: Group, colour: int, alone: bool) -> list[Line]:
    lines = []
    for place, (metric, name) in enumerate(zip(panel.measured, panel.names, strict=True)):
        track = track_of(group, metric)
        if not any(math.isfinite(e.mean) for _, e in track):
            continue
        several = len(group.runs) > 1
        x, y = [step for step, _ in track], [e.mean for _, e in track]
        low, high = [e.low for _, e in track], [e.high for _, e in track]
        label = name if alone else group.label if place == 0 or not lines else f"{group.label}, {name}"
        lines.append(Line(label, "measured", x, y, low, high, not several, place > 0, colour, named=alone or not lines))
    return lines


def track_of(group: Group, metric: str) -> list[tuple[int, Estimate]]:
    """A metric of a group; the KL is the exact one where there is one, and the length has what stands in for it."""
    found = {"kl": distance, "length_ratio": lengths}.get(metric)
    return found(group) if found else group.track(metric)


def _levels(panel: _Panel, runs: Sequence[Run]) -> tuple[list, list]:
    """The reference's own value, and the limits."""
    levels: list[tuple[float, str, str]] = []
    zones: list[tuple[float, float, str]] = []
    if panel.key == "win":
        return [(0.5, "50 %", "half")], []
    if panel.key == "kl":
        limits = {limit for run in runs if (limit := budget(run, "kl"))}
        if len(limits) == 1:
            (limit,) = limits
            return [(limit, "budget", "budget")], [(limit, math.inf, "over")]
        return [], []
    if panel.key == "length":
        limits = {tuple(limit) for run in runs if (limit := budget(run, "length_ratio"))}
        zones = [(low or -math.inf, high or math.inf, "allowed") for low, high in limits] if len(limits) == 1 else []
        return [(1.0, "reference", "reference")], zones
    for metric in panel.measured if panel in PANELS else ():
        firsts = [track[0][1].mean for run in runs if (track := run.track(metric)) and track[0][0] == 0]
        if firsts and np.isfinite(firsts).all():
            levels.append((float(np.mean(firsts)), "reference", "reference"))
    return levels, zones


def _walls(runs: Sequence[Run]) -> list[tuple[float, str, str]]:
    steps = [("checkpoint", step) for run in runs for step in run.checkpoints]
    steps += [("resume", step) for run in runs for step in run.resumes]
    return [(step, f"{kind} at {step}", kind) for kind, step in steps]


def _alarms(key: str, runs: Sequence[Run]) -> list[tuple[float, str]]:
    found = [(alarm["step"], str(alarm.get("name", "alarm"))) for run in runs for alarm in run.alarms]
    return sorted({(step, name) for step, name in found if ALARMS.get(name, "reward") == key})
