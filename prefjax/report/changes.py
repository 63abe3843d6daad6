"""How a metric changed between two sets of samples of the same prompts, and what of that is more than chance."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from prefjax.report.runs import Estimate

Rows = Sequence[Mapping[str, Any]]
FEW = 30  # observations below which nothing is concluded of a slice


class Change(NamedTuple):
    """A difference of means, after minus before."""

    mean: float
    error: float  # its standard error
    freedom: float  # degrees of freedom of Student's t
    n: int  # prompts, of a paired change; else rows
    paired: bool
    beyond: float = 0.0  # the least half-width: of a share that moved nowhere, what n prompts cannot rule out

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        half = self.error * float(stats.t.ppf((1 + confidence) / 2, self.freedom)) if self.error else self.beyond
        return self.mean - half, self.mean + half

    def p_below(self, bound: float = 0.0) -> float:
        """One-sided p-value of the hypothesis that the change is at least `bound`: small if it is certainly less."""
        if not self.error:
            return 0.0 if self.mean + self.beyond < bound else 1.0
        return float(stats.t.cdf((self.mean - bound) / self.error, self.freedom))

    @property
    def p(self) -> float:
        """Two-sided p-value of no change."""
        return min(1.0, 2 * min(self.p_below(), self.turned().p_below()))

    def turned(self) -> "Change":
        """The change of the metric with the other sign: for metrics of which less is better."""
        return self._replace(mean=-self.mean)


def paired(before: Rows, after: Rows, metric: str) -> Change | None:
    """The change over the prompts that both sets have with the metric; None without any.

    The means of a prompt's rows are compared; prompts are independent, rows of a prompt are not.
    """
    olds, news = by_prompt(before, metric), by_prompt(after, metric)
    shared = [prompt for prompt in olds if prompt in news]
    if not shared:
        return None
    differences = np.array([news[prompt] - olds[prompt] for prompt in shared])
    n = len(shared)
    if (
        n > 1 and np.ptp(differences) == 0
    ):  # a share of which no prompt changed may still change in others (Clopper, Pearson)
        share = all(value in (0.0, 1.0) for found in (olds, news) for value in found.values())
        return Change(float(differences[0]), 0.0, n - 1, n, True, 1 - 0.025 ** (1 / n) if share else 0.0)
    error = float(stats.sem(differences)) if n > 1 else math.inf
    return Change(float(differences.mean()), error, max(n - 1, 1), n, True)


def unpaired(before: Estimate, after: Estimate) -> Change | None:
    """The change between two summaries, as if they were independent; None where they have no intervals."""
    ends = [end for e in (before, after) for end in (e.low, e.high)]
    if any(end is None or not math.isfinite(end) for end in ends):
        return None
    errors = [(e.high - e.low) / (2 * 1.96) for e in (before, after) if e.high is not None and e.low is not None]
    n = min(before.n or 0, after.n or 0)
    return Change(after.mean - before.mean, math.hypot(*errors), math.inf, n, False)


def from_bound(after: Estimate, bound: float) -> Change | None:
    """How far a mean is from a number that is known, such as a win rate from one half."""
    return unpaired(Estimate(bound, bound, bound, after.n), after)


def by_prompt(rows: Rows, metric: str) -> dict[Any, float]:
    """The mean of a metric over the rows of each prompt that it applies to and is finite of."""
    values: dict[Any, list[float]] = {}
    for row in rows:
        value = row.get(metric)
        if value is not None and math.isfinite(value):
            values.setdefault((row.get("record"), str(row.get("prompt"))), []).append(value)
    return {prompt: math.fsum(found) / len(found) for prompt, found in values.items()}


def of_slice(rows: Rows, name: str) -> Rows:
    return [row for row in rows if str(row.get("slice")) == name]
