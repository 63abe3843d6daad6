"""The metrics by slice, the worst change first."""

from typing import NamedTuple

from prefjax.evals.stats import holm
from prefjax.report.changes import FEW, Change, from_bound, of_slice, paired, unpaired
from prefjax.report.metrics import TASTE
from prefjax.report.runs import Estimate, Run, estimate

COLUMNS = ("win_rate", "gold", "reward", "length", "benign_refusal", "unsafe_refusal", "factuality")


class Slice(NamedTuple):
    """A row of the table."""

    name: str
    n: int  # rows of the metric of the change, or the most of any
    values: dict[str, Estimate]  # metric -> at the last evaluation
    change: Change | None  # of `metric`, since the first evaluation; of a win rate, from one half
    p: float | None  # adjusted over the slices with enough rows
    few: bool  # fewer rows than anything is concluded from


def taste(run: Run) -> str | None:
    """What the change of a slice is a change of: gold, else the win rate, else the proxy."""
    return next((name for name in TASTE if run.slices(name)), None)


def slices(run: Run) -> list[Slice]:
    """Every slice that an evaluation reports."""
    metric = taste(run)
    columns = {name: run.slices(name) for name in COLUMNS}
    names = sorted({name for column in columns.values() for name in column})
    rows = []
    for name in names:
        values = {metric: column[name] for metric, column in columns.items() if name in column}
        change = _change(run, metric, name) if metric else None
        n = max((value.n or 0 for value in values.values()), default=0)
        rows.append(Slice(name, n, values, change, None, n < FEW))
    tested = [row for row in rows if row.change and not row.few]
    adjusted = dict(
        zip((row.name for row in tested), holm([row.change.p for row in tested if row.change]), strict=True)
    )
    rows = [row._replace(p=adjusted.get(row.name)) for row in rows]
    return sorted(rows, key=lambda row: (row.change is None, row.change.mean if row.change else 0.0))


def _change(run: Run, metric: str, name: str) -> Change | None:
    if metric == "win_rate":
        return from_bound(run.slices(metric)[name], 0.5) if name in run.slices(metric) else None
    before, after = run.rows(metric)
    if before is not after:
        found = paired(of_slice(before, name), of_slice(after, name), metric)
        if found:
            return found
    ends = [e for e in run.evaluations if any(name in s.get(metric, {}).get("slices", {}) for s in e["evals"].values())]
    if len(ends) < 2:
        return None
    first, last = (
        next(
            estimate(s[metric]["slices"][name])
            for s in e["evals"].values()
            if name in s.get(metric, {}).get("slices", {})
        )
        for e in (ends[0], ends[-1])
    )
    return unpaired(first, last)
