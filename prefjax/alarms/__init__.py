"""Alarms: failures of preference tuning by their names, from what evaluations say. Pure functions, without a model.

A limit of `config.budget` that is passed is a "breach", on which a run may stop or roll back; all else is an "alarm".
What each means, where its threshold is from, and how often it is false: docs/alarms.md.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prefjax.alarms.limits import left, limits_of, over, unmeasured
from prefjax.alarms.signs import signs
from prefjax.alarms.view import Alarm, Row, View

__all__ = ["Alarm", "View", "check", "left", "limits_of", "unmeasured"]


def check(
    history: Sequence[Mapping[str, Any]],
    budget: Mapping[str, Any],
    *,
    rows: Callable[[int], Sequence[Row]] = lambda step: (),
    steps: int = 0,
) -> tuple[list[Alarm], list[str]]:
    """The alarms of the last evaluation of a run.

    Args:
      history: what evaluations said, in the order of steps, the first of them the start: `prefjax.evals.history`.
      budget: `config.budget`.
      rows: of a step: its completions, as samples.jsonl has them.
      steps: of the whole run; at the last one patience is at an end.

    Returns:
      The alarms, breaches first, and the names of the limits that the evaluation is over, patience or not: none of
      them where a checkpoint of this step is inside the budget.
    """
    view = View(history, rows, budget, steps)
    limits = list(over(view))
    patience = 1 if view.step >= steps else budget["patience"]
    raised = [a for a in limits if a.name != "kl-budget" or a.evidence["evaluations"] >= patience]
    return raised + list(signs(view)), list(dict.fromkeys(a.name for a in limits if a.severity == "breach"))
