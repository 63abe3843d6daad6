"""How a metric changed between two sets of samples of the same prompts, and what of that is more than chance."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from prefjax.evals.stats import by_prompt, clopper_pearson, differences
from prefjax.report.metrics import known
from prefjax.report.runs import Estimate

Rows = Sequence[Mapping[str, Any]]
FEW = 30  # prompts below which nothing is concluded of a slice


class Change(NamedTuple):
    """A difference of means, after minus before."""

    mean: float
    error: float  # its standard error
    freedom: float  # degrees of freedom of Student's t
    n: int  # prompts
    paired: bool
    share: bool = False  # of zeros and ones: where no prompt differs from another, others still may (Clopper, Pearson)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        if self.error:
            half = self.error * float(stats.t.ppf((1 + confidence) / 2, self.freedom))
        else:
            half = clopper_pearson(0, self.n, confidence).high if self.share else 0.0
        return self.mean - half, self.mean + half

    def p_below(self, bound: float = 0.0) -> float:
        """One-sided p-value of the hypothesis that the change is at least `bound`: small if it is certainly less."""
        if self.error:
            return float(stats.t.cdf((self.mean - bound) / self.error, self.freedom))
        if self.mean >= bound:
            return 1.0
        return max(1 - (bound - self.mean), 0.0) ** self.n if self.share else 0.0

    @property
    def p(self) -> float:
        """Two-sided p-value of no change."""
        return min(1.0, 2 * min(self.p_below(), self.turned().p_below()))

    def turned(self) -> "Change":
        """The change of the metric with the other sign: for metrics of which less is better."""
        return self._replace(mean=-self.mean)


def between(old: Estimate, new: Estimate, before: Rows, after: Rows, metric: str) -> Change | None:
    """The change of a metric, paired where most prompts are the same; None where it has no interval either.

    Args:
      old, new: the metric as summarised.
      before, after: the samples behind it, where there are any.
      metric: its name.
    """
    found = paired(before, after, metric)
    if found and 2 * found.n >= max(len(by_prompt(rows, metric)) for rows in (before, after)):
        return found
    n = min(prompts(old, before, metric), prompts(new, after, metric))
    return unpaired(old, new, n) or found  # few prompts are shared: what most of them say counts


def paired(before: Rows, after: Rows, metric: str) -> Change | None:
    """The change over the prompts that both sets have with the metric; None without any.

    The means of a prompt's rows are compared; prompts are independent, rows of a prompt are not.
    """
    moves = np.array([*differences(by_prompt(after, metric), by_prompt(before, metric)).values()])
    if not (n := len(moves)):
        return None
    if n > 1 and np.ptp(moves) == 0:
        return Change(float(moves[0]), 0.0, n - 1, n, True, known(metric).share)
    error = float(stats.sem(moves)) if n > 1 else math.inf
    return Change(float(moves.mean()), error, max(n - 1, 1), n, True)


def unpaired(before: Estimate, after: Estimate, n: int) -> Change | None:
    """The change between two summaries, as if they were independent; None where they have no intervals.

    Args:
      before, after: the summaries.
      n: prompts that the smaller of them is of; 0 where that is not known. One prompt says nothing.
    """
    errors = [_error(e) for e in (before, after)]
    if not all(map(math.isfinite, errors)):
        return None
    return Change(after.mean - before.mean, math.inf if n == 1 else math.hypot(*errors), math.inf, n, False)


def from_bound(after: Estimate, bound: float, n: int) -> Change | None:
    """How far a mean over `n` prompts is from a number that is known, such as a win rate from one half."""
    return unpaired(Estimate(bound, bound, bound), after, n)


def prompts(found: Estimate, rows: Rows, metric: str) -> int:
    """How many prompts a summary is of: counted in its samples, else its rows, else 0."""
    return len(by_prompt(rows, metric)) or found.n or 0


def of_slice(rows: Rows, name: str) -> Rows:
    return [row for row in rows if str(row.get("slice")) == name]


def _error(found: Estimate) -> float:
    """The standard error behind a 95 % interval; infinite without one."""
    if found.low is None or found.high is None:
        return math.inf
    return (found.high - found.low) / (2 * float(stats.norm.ppf(0.975)))
