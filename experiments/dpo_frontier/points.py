"""Where every method stands: KL to the reference and gold reward of each prompt, along training."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.dpo_frontier.recipes import SETTINGS
from prefjax import sweep
from prefjax.sampling.best_of_n import expected_gold, kl_bound

MEASURED = {"kl": "kl_exact", "gold": "gold", "proxy": "reward", "length": "length"}  # ours -> of a row of samples
BEST = "Best of n"
Rows = list[dict[str, Any]]  # of samples.jsonl


class Points(NamedTuple):
    """A method: `K` points of a setting and a step each, for `S` seeds and `P` prompts."""

    method: str
    where: list[tuple[float | None, int]]  # [K] (setting, step)
    values: dict[str, np.ndarray]  # "kl", "gold", "proxy", "length" -> [K, S, P]

    def mean(self, name: str) -> np.ndarray:
        """`[K]`, over seeds and prompts."""
        return self.values[name].mean(axis=(1, 2))


def read(method: str, found: Sequence[sweep.Run], folder: Path) -> Points | None:
    """The points of the runs in `folder` that all seeds of a setting have reached; None where there are none."""
    where, values = [], {name: [] for name in MEASURED}
    for setting, step, seeds in reached(found, folder, SETTINGS.get(method, "")):
        where.append((setting, step))
        ordered = [sorted(rows, key=lambda row: row["record"]) for rows in seeds]
        for ours, name in MEASURED.items():
            values[ours].append([[row[name] for row in rows] for rows in ordered])
    return Points(method, where, {name: np.array(x) for name, x in values.items()}) if where else None


def reached(found: Sequence[sweep.Run], folder: Path, axis: str) -> Iterator[tuple[Any, int, list[Rows]]]:
    """(setting, step, samples of each seed) for the steps that all seeds of a setting have reached, in order.

    Args:
      found: the runs of a sweep.
      folder: of the sweep.
      axis: config path of what tells settings apart; None is the setting of runs that do not have it.
    """
    settings: dict[Any, list[dict[int, Rows]]] = {}
    for run in found:
        settings.setdefault(run.changes.get(axis), []).append(_by_step(folder / run.name / "samples.jsonl"))
    for setting, seeds in settings.items():
        for step in sorted(set.intersection(*(set(steps) for steps in seeds))):
            yield setting, step, [steps[step] for steps in seeds]


def _by_step(path: Path) -> dict[int, Rows]:
    steps: dict[int, Rows] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        row = json.loads(line)
        steps.setdefault(row["step"], []).append(row)
    return steps


def best_of(seeds: Sequence[dict[str, np.ndarray]], ns: Sequence[int]) -> Points:
    """Best-of-n as points, a setting each; its KL is the bound log n - (n - 1) / n.

    Args:
      seeds: scores of the reward model, gold rewards and lengths `[P, N]` of a seed each.
      ns: numbers of completions, up to N.
    """
    best = lambda name: np.stack([expected_gold(x["proxy"], x[name], ns).T for x in seeds], axis=1)  # [K, S, P]
    values = {name: best(name) for name in ("gold", "proxy", "length")}
    bounds = np.array([kl_bound(n) for n in ns])[:, None, None]
    return Points(BEST, [(n, 0) for n in ns], {"kl": np.broadcast_to(bounds, values["gold"].shape)} | values)


def lines(found: Points, reference: np.ndarray) -> list[dict[str, Any]]:
    """A row of results.jsonl for each point and seed.

    Args:
      found: the points.
      reference: `[P]` gold rewards of the reference's completions, for win rates; ties are half a win.
    """
    won = wins(found, reference)
    return [
        {"method": found.method, "setting": setting, "step": step, "seed": seed}
        | {name: float(x[at, seed].mean()) for name, x in found.values.items()}
        | {"win_rate": None if won is None else float(won[at, seed].mean())}
        for at, (setting, step) in enumerate(found.where)
        for seed in range(found.values["gold"].shape[1])
    ]


def wins(found: Points, reference: np.ndarray) -> np.ndarray | None:
    """`[K, S, P]`, 1 where a completion has more gold than the reference's `[P]`, half where as much.

    None for best-of-n, whose gold rewards are expectations over many completions.
    """
    gold = found.values["gold"]
    return None if found.method == BEST else (gold > reference) + (gold == reference) / 2
