"""What evaluations measured, with intervals and by slice: all that alarms, the page and the gate read of them."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from prefjax.evals.stats import Interval, clopper_pearson, ratio, unknown

Summary = dict[str, dict[str, Any]]  # metric -> {"mean", "low", "high", "n", "slices": {slice: the same four}}
Rows = Sequence[Mapping[str, Any]]
HEAD = ("record", "slice", "prompt", "response")  # how a row of samples begins
OF_A_ROW = ("step", "eval", *HEAD)  # what is no metric in a row of samples
_NO_METRIC = ("samples", "measure")  # in what an evaluation returns


def head(index: int, record: Mapping[str, Any], response: str) -> dict[str, Any]:
    """How a row of samples begins; its evaluation adds the numbers."""
    return dict(zip(HEAD, (index, record.get("slice"), record.get("prompt", ""), response), strict=True))


def means(rows: Rows) -> dict[str, Any]:
    """The mean of each metric over the rows that it applies to."""
    return _means(rows, [name for name in rows[0] if name not in OF_A_ROW])


def told(rows: Rows, measure: Callable[[Rows], dict[str, Any]] = means) -> dict[str, Any]:
    """What an evaluation returns: its metrics, the rows they are measured on, and how, for the rows of a slice."""
    return {**measure(rows), "samples": rows, "measure": measure}


def metrics(found: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of what an evaluation returned."""
    return {name: value for name, value in found.items() if name not in _NO_METRIC}


def mean(value: float | Interval) -> float:
    """A metric as the one number of metrics.jsonl."""
    return float(value.mean if isinstance(value, Interval) else value)


def summarise(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Summary]:
    """The metrics of each evaluation.

    Args:
      results: name of the evaluation -> what it returned, as from `told`: numbers, `Interval`s, rows under "samples",
        and under "measure" what makes the metrics of rows, by default their means.

    Returns:
      {evaluation: {metric: {"mean", "low", "high", "n", "slices"}}}. A number that rows have is their mean, and its
      interval is clustered by record; "n" counts the rows it applies to. An `Interval` is what it is; any other number
      has None for an interval, as has one prompt alone. Slices are measured as the whole is.
    """
    return {name: _summary(found) for name, found in results.items()}


def _means(rows: Rows, names: Iterable[str]) -> dict[str, Any]:
    values = {name: [row[name] for row in rows if row.get(name) is not None] for name in names}
    return {name: math.fsum(found) / len(found) for name, found in values.items() if found}


def _summary(found: Mapping[str, Any]) -> Summary:
    rows, whole = found.get("samples", []), metrics(found)
    names = sorted({str(row["slice"]) for row in rows if row.get("slice") is not None})
    parts = {name: [row for row in rows if str(row.get("slice")) == name] for name in names}
    measure = found.get("measure") or (lambda part: _means(part, whole))
    by_slice = {name: measure(part) for name, part in parts.items()}
    summary = {}
    for metric, value in whole.items():
        slices = {n: _metric(metric, by_slice[n][metric], part) for n, part in parts.items() if metric in by_slice[n]}
        summary[metric] = _metric(metric, value, rows) | {"slices": slices}
    return summary


def _metric(metric: str, value: float | Interval, rows: Rows) -> dict[str, Any]:
    """Mean, interval and count of a metric of rows; bounds that are not known are None."""
    rows = [row for row in rows if row.get(metric) is not None]
    own = value if isinstance(value, Interval) else _of_rows(rows, metric, value)
    bounds = {"low": own.low, "high": own.high}
    known = {name: None if math.isnan(bound) else bound for name, bound in bounds.items()}
    return {"n": len(rows) or None, "mean": own.mean, **known}


def _of_rows(rows: Rows, metric: str, value: float) -> Interval:
    """A mean of rows, `value`, with its interval; without one where no row has the metric."""
    found = unknown(value)
    if rows:
        values, records = [row[metric] for row in rows], [row["record"] for row in rows]
        found = ratio(values, [1.0] * len(rows), records)
        if found.low == found.high and set(values) <= {0.0, 1.0}:  # all alike: a share is not known without error
            count = len(set(records))
            found = clopper_pearson(round(found.mean * count), count)
    return found._replace(mean=float(value))
