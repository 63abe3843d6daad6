"""Where an objective stands along its training: what is measured at each setting and step, and which point is shown."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy import stats

from experiments.dpo_frontier.points import Rows, reached
from prefjax import sweep
from prefjax.evals.stats import Interval, by_prompt, holm, interval

MEASURES = {  # ours -> of a row of samples
    "kl": "kl_exact",
    "gold": "gold",
    "right": "factuality",
    "wanted": "unsafe_refusal",
    "unwanted": "benign_refusal",
    "length": "length",
    "proxy": "reward",
}
DIGITS = 4  # that count
Point = dict[str, Any]


def read(found: Sequence[sweep.Run], folder: Path, axis: str) -> list[Point]:
    """The points that all seeds of a setting have reached, by setting and step, the start (step 0) among them.

    A point holds `setting`, `step`, `seeds`; of each of `MEASURES` its mean and 95 % interval [mean, low, high] over
    prompts, each prompt the mean of its completions of all seeds; `gold_of_seeds` and `kl_of_seeds`; and
    `gold_by_prompt`, for comparisons paired by prompt.
    """
    return [_point(setting, step, seeds) for setting, step, seeds in reached(found, folder, axis)]


def _point(setting: float, step: int, seeds: Sequence[Rows]) -> Point:
    rows = [row for own in seeds for row in own]
    point: Point = {"setting": setting, "step": step, "seeds": len(seeds)}
    for name, metric in MEASURES.items():
        values = by_prompt(rows, metric)
        point[name] = _rounded(interval([*values.values()], [*values]))
    for name in ("gold", "kl"):
        means = [by_prompt(own, MEASURES[name]).values() for own in seeds]
        point[f"{name}_of_seeds"] = _rounded([sum(values) / len(values) for values in means])
    by_record = {record: value for (record, _), value in by_prompt(rows, "gold").items()}
    return point | {"gold_by_prompt": _rounded([by_record[record] for record in sorted(by_record)])}


def _rounded(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in values]


def nearest(points: Sequence[Point], kl: float) -> Point | None:
    """The point of a step after the start whose KL is nearest to `kl`, of equally near ones the first; None of none."""
    trained = [point for point in points if point["step"]]
    return min(trained, key=lambda point: abs(point["kl"][0] - kl), default=None)


def start(points: Sequence[Point]) -> Point:
    """That before the first step: the SFT model, in which the settings of an objective agree."""
    return next(point for point in points if not point["step"])


def differences(points: Mapping[str, Point], other: Point) -> dict[str, tuple[Interval, float]]:
    """By how much the gold utility of each point is above that of another one, paired by prompt, and the p-value.

    The p-value is that of a paired t-test, adjusted for the number of comparisons (Holm).
    """
    gaps = {
        name: [a - b for a, b in zip(point["gold_by_prompt"], other["gold_by_prompt"], strict=True)]
        for name, point in points.items()
    }
    raw = [float(stats.ttest_1samp(gap, 0.0).pvalue) if len({*gap}) > 1 else 1.0 for gap in gaps.values()]
    return {name: (interval(gap, range(len(gap))), p) for (name, gap), p in zip(gaps.items(), holm(raw), strict=True)}
