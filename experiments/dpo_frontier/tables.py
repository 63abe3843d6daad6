"""table.md: the claims, where every setting ends, and what the study took."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.dpo_frontier import claims, enumerable
from experiments.dpo_frontier.points import BEST, Points, wins
from prefjax.evals.stats import Interval, interval


def table(
    told: Sequence[claims.Claim],
    found: Mapping[str, Points],
    stands: Sequence[enumerable.Stand],
    facts: Mapping[str, Any],
    seconds: Mapping[str, float],
) -> str:
    """The whole file.

    Args:
      told: the claims.
      found: points by method.
      stands: of the enumerable world.
      facts: what was measured once: name -> number.
      seconds: of each stage.
    """
    parts = [claims.table(told), ends(found)]
    parts += [enumerable.table(stands)] if stands else []
    parts += [_two("measured once", "", facts, "{:.4g}"), _two("stage", "seconds", seconds, "{:.0f}")]
    return "\n".join(parts)


def ends(found: Mapping[str, Points]) -> str:
    """Where every setting is at its last step: means over seeds and prompts, intervals by prompt."""
    heads = ("method", "setting", "step", "seeds", "KL, nats", "gold [95 %]", "proxy", "tokens", "win rate [95 %]")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    usual = reference(found)
    for points in found.values():
        won = wins(points, usual)
        last = {setting: at for at, (setting, _) in enumerate(points.where)}  # steps rise
        for setting, at in last.items():
            values = {name: x[at] for name, x in points.values.items()}  # [S, P]
            cells = [
                points.method,
                "" if setting is None else f"{setting:g}",
                str(points.where[at][1] or ""),
                str(len(values["gold"])),
                f"{values['kl'].mean():.2f}",
                _told(values["gold"]),
                f"{values['proxy'].mean():.2f}",
                f"{values['length'].mean():.1f}",
                "" if won is None else _told(won[at]),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def reference(found: Mapping[str, Points]) -> np.ndarray:
    """Gold rewards `[P]` of the reference's completions: those before the first step, which all runs share."""
    start = next(points for points in found.values() if points.method != BEST)
    return start.values["gold"][0, 0]


def _told(values: np.ndarray) -> str:
    """The mean of `[S, P]` with Student's interval by prompt."""
    i: Interval = interval(values.mean(axis=0).tolist(), range(values.shape[1]))
    return f"{i.mean:.3f} [{i.low:.3f}, {i.high:.3f}]"


def _two(name: str, unit: str, values: Mapping[str, float], form: str) -> str:
    rows = [f"| {key} | {form.format(value)} |" for key, value in values.items()]
    return "\n".join([f"| {name} | {unit} |", "|---|---|", *rows]) + "\n"
