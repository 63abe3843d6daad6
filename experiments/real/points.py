"""What each arm is worth on held-out pairs: metrics by prompt, and differences paired by prompt."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.dpo_frontier.points import reached
from experiments.objectives.points import rounded
from prefjax import sweep
from prefjax.data.prompts import prompt_key
from prefjax.evals.stats import by_prompt, interval

STORIES = {"kl": "kl_exact", "dialogue": "dialogue", "length": "length"}  # ours -> of a row of sampled stories
Point = dict[str, Any]
Row = Mapping[str, Any]  # of samples.jsonl


def read(found: Sequence[sweep.Run], folder: Path) -> list[Point]:
    """A point for each step that all runs of an arm have reached: `step`, `pairs`, `prompts`, and its metrics.

    A metric is {"mean": [mean, low, high], "of_seeds": [mean of each], "by_prompt": [a number or None of each]}: 95 %
    intervals over prompts, each the mean of its pairs and of all seeds; prompts in the order of their keys, which is
    the same for all arms of a study.
    """
    points = []
    for _, step, parts in reached(found, folder, ""):
        seeds: dict[int, list[Row]] = {}
        for run, rows in zip(found, parts, strict=True):
            seeds.setdefault(run.changes["seed"], []).extend(map(measured, rows))
        one = next(iter(seeds.values()))  # of the seeds, which have the same pairs
        pairs = [row for row in one if "right" in row]
        prompts = sorted({row["prompt"] for row in pairs})
        point: Point = {"step": step, "pairs": len(pairs), "prompts": len(prompts)}
        names = dict.fromkeys(name for row in one for name in row if name != "prompt")
        points.append(point | {name: _metric(name, [*seeds.values()], prompts) for name in names})
    return points


def measured(row: Row) -> dict[str, Any]:
    """The numbers of a row of samples, under the key of its prompt: of a pair that a model judged, or of a story.

    `right`, whether the model prefers the side that the label does, `longer`, whether that side is the longer one, and
    `picks_longer`, whether the model prefers the longer one: equal sides are half, and None where there is none to
    prefer. A reward model's `brier`, (sigmoid(margin) - target)^2, and that of saying 1/2, `even`. A policy prefers by
    its implicit reward, log(policy / reference); `likelier` is `right` by its log-probability a token, and `chosen` is
    by how much the chosen side has become likelier than in the reference, nats.
    """
    prompt = {"prompt": str(prompt_key(dict(row)))}
    if row["eval"] == "stories":
        return prompt | {ours: row[name] for ours, name in STORIES.items()}
    sides = lambda prefix: np.array([row[f"{prefix}chosen"], row[f"{prefix}rejected"]])
    said, tokens, policy = sides(""), sides("tokens_"), "reference_chosen" in row
    rewards = said - sides("reference_") if policy else said
    found = {"right": agrees(rewards, row["target"]), "longer": agrees(tokens, row["target"])}
    found["picks_longer"] = agrees(rewards, (1 + np.sign(tokens[0] - tokens[1])) / 2)
    if policy:
        found |= {"likelier": agrees(said / tokens, row["target"]), "chosen": float(rewards[0])}
    else:
        wins = 1 / (1 + np.exp(rewards[1] - rewards[0]))
        found |= {"brier": float((wins - row["target"]) ** 2), "even": (0.5 - row["target"]) ** 2}
    return prompt | found


def agrees(values: np.ndarray, target: float) -> float | None:
    """1 where the side of the larger value is the one that wins, 1/2 where they are equal; None where none wins.

    >>> agrees(np.array([2.0, 1.0]), 0.25), agrees(np.zeros(2), 1.0), agrees(np.zeros(2), 0.5)
    (0.0, 0.5, None)
    """
    return None if target == 0.5 else float(1 + np.sign(values[0] - values[1]) * np.sign(target - 0.5)) / 2


def _metric(name: str, seeds: Sequence[Sequence[Row]], prompts: Sequence[str]) -> dict[str, list[Any]]:
    known = {prompt: value for (_, prompt), value in by_prompt([row for rows in seeds for row in rows], name).items()}
    means = [by_prompt(rows, name).values() for rows in seeds]
    return {
        "mean": rounded(interval([*known.values()], [*known])),
        "of_seeds": rounded([sum(values) / len(values) for values in means]),
        "by_prompt": [rounded([known[prompt]])[0] if prompt in known else None for prompt in prompts],
    }
