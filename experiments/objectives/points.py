"""Where an objective stands along its training: what is measured at each setting and step, and which point is shown."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.dpo_frontier.points import Rows, reached
from prefjax import sweep
from prefjax.evals.stats import by_prompt, interval

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
        point[name] = rounded(interval([*values.values()], [*values]))
    for name in ("gold", "kl"):
        means = [by_prompt(own, MEASURES[name]).values() for own in seeds]
        point[f"{name}_of_seeds"] = rounded([sum(values) / len(values) for values in means])
    by_record = {record: value for (record, _), value in by_prompt(rows, "gold").items()}
    return point | {"gold_by_prompt": rounded([by_record[record] for record in sorted(by_record)])}


def rounded(values: Sequence[float]) -> list[float]:
    """To as many digits as count."""
    return [float(f"{value:.{DIGITS}g}") for value in values]


def nearest(points: Sequence[Point], kl: float) -> Point | None:
    """The point of a step after the start whose KL is nearest to `kl`, of equally near ones the first; None of none."""
    trained = [point for point in points if point["step"]]
    return min(trained, key=lambda point: abs(point["kl"][0] - kl), default=None)


def start(points: Sequence[Point]) -> Point:
    """That before the first step: the SFT model, in which the settings of an objective agree."""
    return next(point for point in points if not point["step"])
