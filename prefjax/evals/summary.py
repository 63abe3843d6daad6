"""What evaluations measured, with intervals and by slice: all that alarms, the page and the gate read of them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scipy import stats

from prefjax.evals.stats import Interval, ratio

Summary = dict[str, dict[str, Any]]  # metric -> {"mean", "low", "high", "n", "slices": {slice: the same four}}
OF_A_ROW = ("step", "eval", "record", "slice", "prompt", "response")  # what is no metric in a row of samples


def summarise(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Summary]:
    """The metrics of each evaluation.

    Args:
      results: name of the evaluation -> what it returned: numbers, `Interval`s, and rows under "samples".

    Returns:
      {evaluation: {metric: {"mean", "low", "high", "n", "slices"}}}. The interval of a metric of rows is that of the
      mean over rows, clustered by record; "n" counts the rows it applies to. A metric without rows has its own
      interval, or None for one, and no slices.
    """
    return {name: _summary(found) for name, found in results.items()}


def means(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The mean of each metric over the rows that it applies to."""
    told = {name: [row[name] for row in rows if row[name] is not None] for name in rows[0] if name not in OF_A_ROW}
    return {name: math.fsum(values) / len(values) for name, values in told.items() if values}


def mean(value: float | Interval) -> float:
    """A metric as the one number of metrics.jsonl."""
    return float(value.mean if isinstance(value, Interval) else value)


def _summary(found: Mapping[str, Any]) -> Summary:
    rows = found.get("samples", [])
    names = {str(row["slice"]) for row in rows if row.get("slice") is not None}
    summary = {}
    for metric, value in found.items():
        if metric == "samples":
            continue
        own = value._asdict() if isinstance(value, Interval) else {"mean": float(value), "low": None, "high": None}
        told = [row for row in rows if row.get(metric) is not None]
        if told and not isinstance(value, Interval):
            own = _of_rows(told, metric) | {"mean": float(value)}
        parts = {name: [row for row in told if str(row.get("slice")) == name] for name in sorted(names)}
        slices = {name: _of_rows(part, metric) for name, part in parts.items() if part}
        summary[metric] = {"n": len(told) or None, **own, "slices": slices}
    return summary


def _of_rows(rows: list[dict[str, Any]], metric: str) -> dict[str, Any]:
    values, records = [row[metric] for row in rows], [row["record"] for row in rows]
    found = ratio(values, [1.0] * len(rows), records)
    if found.low == found.high and set(values) <= {0.0, 1.0}:  # all alike: a share is not known without error
        prompts = len(set(records))
        exact = stats.binomtest(round(found.mean * prompts), prompts).proportion_ci()
        found = Interval(found.mean, float(exact.low), float(exact.high))
    return found._asdict() | {"n": len(rows)}
