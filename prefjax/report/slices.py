"""The metrics by slice, the worst change first."""

import math
from typing import NamedTuple

from prefjax.evals.stats import holm
from prefjax.report.changes import FEW, Change, between, from_bound, prompts
from prefjax.report.metrics import TASTE
from prefjax.report.runs import Estimate, Run
from prefjax.report.sides import Side

COLUMNS = ("win_rate", "gold", "reward", "length", "benign_refusal", "unsafe_refusal", "factuality")


class Slice(NamedTuple):
    """A row of the table."""

    name: str
    n: int  # prompts: of the metric of the change, or the most of any
    values: dict[str, Estimate]  # metric -> at the last evaluation
    change: Change | None  # of `taste`, since it was first measured; of a win rate, from one half
    p: float | None  # adjusted over the slices with enough prompts
    few: bool  # fewer prompts than anything is concluded from


def taste(run: Run) -> str | None:
    """What the change of a slice is a change of: gold, else the win rate, else the proxy."""
    last = run.kept.evaluations[-1:]
    return next((name for name in TASTE for entry in last if run.kept.at(entry["step"], name)[1]), None)


def slices(run: Run) -> list[Slice]:
    """Every slice that the last evaluation of the state a run ended with reports."""
    run = run.kept
    if not run.evaluations:
        return []
    metric, last = taste(run), Side(run, run.evaluations[-1]["step"])
    columns = {name: run.at(last.step, name)[1] for name in COLUMNS}
    rows = []
    for name in sorted({name for column in columns.values() for name in column}):
        values = {metric: column[name] for metric, column in columns.items() if name in column}
        change = _change(last, metric, name) if metric else None
        counts = {m: prompts(value, last.rows(m, name), m) for m, value in values.items()}
        n = counts[metric] if metric in counts else max(counts.values())
        rows.append(Slice(name, n, values, change, None, n < FEW))
    tested = {row.name: row.change for row in rows if row.change and not row.few}
    adjusted = dict(zip(tested, holm([change.p for change in tested.values()]), strict=True))
    rows = [row._replace(p=adjusted.get(row.name)) for row in rows]
    return sorted(rows, key=lambda row: (row.change is None, row.change.mean if row.change else 0.0))


def _change(last: Side, metric: str, name: str) -> Change | None:
    new = last.value(metric, name)
    if new is None:
        return None
    if metric == "win_rate":
        return from_bound(new, 0.5, prompts(new, last.rows(metric, name), metric))
    first = Side(last.run, last.run.track(metric)[0][0])
    old = first.value(metric, name)
    if old is None or first.step == last.step or not math.isfinite(new.mean - old.mean):
        return None
    return between(old, new, first.rows(metric, name), last.rows(metric, name), metric)
