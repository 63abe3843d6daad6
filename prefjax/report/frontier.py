"""Reward against the distance to the reference, as in Gao et al. 2023 (https://arxiv.org/abs/2210.10760)."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefjax.errors import DataError
from prefjax.report.charts import SHOWN, Chart, Line
from prefjax.report.groups import Group
from prefjax.report.metrics import TASTE, known
from prefjax.report.runs import Estimate
from prefjax.report.verdict import budget, distance

BestOfN = tuple[float, float, float | None, int]  # KL in nats at most, proxy, gold or None, n


def frontier(groups: Sequence[Group], best_of_n: Sequence[BestOfN] = ()) -> Chart | None:
    """The reward that counts against the square root of the KL; None where there are fewer than three points.

    Args:
      groups: a curve each, a point an evaluation; of several seeds the means, with a band of the interval of the gold
        where few groups are drawn. Of three and more, the frontier beside them.
      best_of_n: points beside them.
    """
    metric = next((name for name in TASTE if any(group.track(name) for group in groups)), "reward")
    words = f"{known(metric).words}{' (no gold was measured)' if metric == 'reward' else ''}"
    limits = {limit for group in groups for run in group.runs if (limit := budget(run, "kl"))}
    limit = limits.pop() if len(limits) == 1 else None
    lines: list[Line] = []
    best: tuple[float, float, str] | None = None
    for colour, group in enumerate(groups):
        points = _points(group, metric)
        lines += _curves(group, metric, points, colour % SHOWN, group.label if len(groups) > 1 else words)
        inside = [(e.mean, x, step) for step, x, e in points if limit is None or x * x <= limit]
        if inside and (best is None or max(inside)[0] > best[1]):
            y, x, step = max(inside)
            name = f": {group.label}," if len(groups) > 1 else ":"
            best = x, y, f"best{' within the budget' if limit else ''}{name} step {step}"
    if len(groups) > 2:
        lines.append(_front([point for group in groups for point in _points(group, metric)]))
    if len(groups) > SHOWN:
        lines = [line._replace(low=None, high=None) for line in lines]
    lines += _best_of_n(sorted(best_of_n), metric)
    if sum(len(line.x) for line in lines if line.kind == "measured") < 3:
        return None
    notes = ["A point is an evaluation, where both are finite."]
    if metric == "gold":
        notes.append("Faint and dashed: the proxy, which is what was trained on.")
    if len(groups) > 2:
        notes.append("Grey: the frontier, the most that any setting reaches within a distance.")
    if len(groups) > SHOWN:
        notes.append("Intervals are in the table.")
    if best_of_n:
        notes.append("Best of n stands at its bound log n − (n−1)/n, which its KL does not exceed.")
    return Chart(
        key="frontier",
        title=f"{words[:1].upper()}{words[1:]} against the distance to the reference",
        unit="",
        lines=lines,
        x_label="√KL to the reference (nats)",
        percent=known(metric).share,
        walls=[(limit**0.5, f"budget {limit:g}", "budget")] if limit else [],
        star=best,
        note=" ".join(notes),
    )


def _points(group: Group, metric: str) -> list[tuple[int, float, Estimate]]:
    """(step, root of the KL, metric) at the evaluations that have both as finite numbers."""
    kl = {step: e.mean for step, e in distance(group) if math.isfinite(e.mean)}
    found = [(step, e) for step, e in group.track(metric) if step in kl and math.isfinite(e.mean)]
    return [(step, max(kl[step], 0.0) ** 0.5, e) for step, e in found]


def _front(points: Sequence[tuple[int, float, Estimate]]) -> Line:
    """The points that are worth more than all which are nearer."""
    front: list[tuple[float, float]] = []
    for x, y in sorted((x, -e.mean) for _, x, e in points):
        if not front or -y > front[-1][1]:
            front.append((x, -y))
    return Line("frontier", "smooth", [x for x, _ in front], [y for _, y in front], colour=7, named=False)


def _curves(
    group: Group, metric: str, points: Sequence[tuple[int, float, Estimate]], colour: int, label: str
) -> list[Line]:
    """The curve of a group with its band, and that of its proxy."""
    lines = []
    if points:
        x, y = [x for _, x, _ in points], [e.mean for _, _, e in points]
        low, high = [e.low for _, _, e in points], [e.high for _, _, e in points]
        lines.append(Line(label, "measured", x, y, low, high, colour=colour))
    if metric == "gold" and (proxy := _points(group, "reward")):
        x, y = [x for _, x, _ in proxy], [e.mean for _, _, e in proxy]
        lines.append(
            Line(
                f"{label}, proxy" if label == group.label else "proxy",
                "twin",
                x,
                y,
                dashed=True,
                colour=colour,
                named=False,
            )
        )
    return lines


def _best_of_n(points: Sequence[BestOfN], metric: str) -> list[Line]:
    """Best of n by what it is worth, and by the score it was chosen by."""
    gold = [(kl**0.5, value) for kl, _, value, _ in points if value is not None and metric == "gold"]
    proxy = [(kl**0.5, value) for kl, value, _, _ in points if metric in ("gold", "reward")]
    lines = [
        ("best of n", "measured" if metric == "gold" else "", gold),
        ("best of n, proxy", "twin" if metric == "gold" else "measured", proxy),
    ]
    return [
        Line(label, kind, [x for x, _ in found], [y for _, y in found], dashed=kind == "twin", colour=7, named=named)
        for label, kind, found in lines
        for named in (kind == "measured",)
        if found
    ]


def best_of_n(path: str | Path) -> BestOfN:
    """(KL in nats at most, mean proxy, mean gold or None, n) of the answers that `prefjax best-of-n --out` kept.

    Raises:
      DataError: the file is missing or damaged, or holds other rows.
    """
    try:
        lines = Path(path).read_text().splitlines()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    bounds, scores, golds, sizes = [], [], [], []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            bounds.append(_finite(row, "kl_bound"))
            scores.append(_finite(row, "score"))
            sizes.append(int(row["n"]))
            golds += [_finite(row, "gold")] if row.get("gold") is not None else []
        except (ValueError, TypeError, KeyError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise DataError(f"{path}:{number}: not a row of `prefjax best-of-n --keep=best`: {what}") from None
    if not bounds:
        raise DataError(f"{path}: no rows")
    mean = lambda values: math.fsum(values) / len(values)
    return mean(bounds), mean(scores), mean(golds) if golds else None, max(sizes)


def _finite(row: dict[str, Any], name: str) -> float:
    value = float(row[name])
    if not math.isfinite(value):
        raise ValueError(f"{name} is {value}")
    return value
