"""Intervals for what evaluations measure.

The bounds of an interval that nothing is known of, as from a single cluster, are NaN.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy  # `scipy.stats` takes half a second to import, and comes when it is first used


class Interval(NamedTuple):
    """An estimate with its confidence interval."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def interval(values: Sequence[float], clusters: Sequence[Hashable], confidence: float = 0.95) -> Interval:
    """Student's interval for the mean of cluster means.

    Args:
      values: one number an observation; for a paired comparison, the differences.
      clusters: what each observation belongs to, such as its prompt: observations of one cluster are not independent.
      confidence: coverage.

    >>> interval([1.0, 3.0, 2.0], ["a", "a", "b"]).mean
    2.0
    """
    means = _means(values, clusters)
    mean = float(means.mean())
    if len(means) < 2:
        return unknown(mean)
    if np.ptp(means) == 0:
        return Interval(mean, mean, mean)
    low, high = scipy.stats.t.interval(confidence, len(means) - 1, mean, scipy.stats.sem(means))
    return Interval(mean, float(low), float(high))


def unknown(mean: float) -> Interval:
    """An estimate of whose error nothing is known."""
    return Interval(float(mean), math.nan, math.nan)


def ratio(
    above: Sequence[float], below: Sequence[float], clusters: Sequence[Hashable], confidence: float = 0.95
) -> Interval:
    """Student's interval for sum(above) / sum(below), linearised, with the spread between clusters.

    With ones below it is that of a mean over all observations, however many a cluster has.

    Args:
      above, below: one number an observation.
      clusters: as in `interval`.
      confidence: coverage.

    >>> ratio([2.0, 4.0, 3.0], [1.0, 1.0, 1.0], ["a", "a", "b"]).mean
    3.0
    """
    places = numbered(clusters)
    count = int(places.max()) + 1
    top, bottom = (np.bincount(places, np.asarray(x, float), count) for x in (above, below))
    mean = top.sum() / bottom.sum()
    rest = top - mean * bottom
    if count < 2:
        return unknown(mean)
    if not rest.any():
        return Interval(*3 * [float(mean)])
    error = np.sqrt(count / (count - 1) * np.sum(rest**2)) / bottom.sum()
    low, high = scipy.stats.t.interval(confidence, count - 1, mean, error)
    return Interval(float(mean), float(low), float(high))


def jackknife(
    statistic: Callable[[Sequence[Any]], float],
    values: Sequence[Any],
    clusters: Sequence[Hashable],
    *,
    groups: int = 20,
    confidence: float = 0.95,
) -> Interval:
    """A statistic of all values together, with the delete-a-group jackknife's interval (Shao & Tu 1995, section 2.3).

    For what a bootstrap gets wrong: it repeats values, and the share of different n-grams, say, counts repetitions.

    Args:
      statistic: a smooth function of values, such as a ratio of totals; not a median.
      values: observations.
      clusters: what each belongs to: they are left out together.
      groups: of clusters, at most, left out one after the other.
      confidence: coverage.
    """
    numbers = numbered(clusters)
    count = min(groups, int(numbers.max()) + 1)
    whole = float(statistic(values))
    if count < 2:
        return unknown(whole)
    group = numbers % count
    parts = [[value for value, g in zip(values, group, strict=True) if g != left] for left in range(count)]
    without = np.array([statistic(part) for part in parts])
    error = np.sqrt((count - 1) / count * np.sum((without - without.mean()) ** 2))
    reach = scipy.stats.t.ppf((1 + confidence) / 2, count - 1) * error
    return Interval(whole, float(whole - reach), float(whole + reach))


def rogan_gladen(
    share: float, n: int, sensitivity: tuple[int, int], specificity: tuple[int, int], confidence: float = 0.95
) -> Interval:
    """The share of positives behind the share that an imperfect test finds (Rogan & Gladen 1978).

    (share + specificity - 1) / (sensitivity + specificity - 1), within 0 and 1. The interval counts the error of all
    three proportions (Lang & Reiczigel 2014, section 2.3).

    Args:
      share: of those tested that test positive.
      n: how many independent ones are tested.
      sensitivity: how many of the positives that were labelled the test finds, and how many there were.
      specificity: how many of the negatives it passes, and how many there were.
      confidence: coverage.

    Raises:
      ValueError: the test tells positives from negatives no better than chance.
    """
    (hit, positives), (passed, negatives) = sensitivity, specificity
    power = hit / positives + passed / negatives - 1
    if power <= 0:
        raise ValueError(f"sensitivity {hit}/{positives} and specificity {passed}/{negatives}: no better than chance")
    z = float(scipy.stats.norm.ppf((1 + confidence) / 2))
    p, se, sp = (n * share + z * z / 2) / (n + z * z), (hit + 1) / (positives + 2), (passed + 1) / (negatives + 2)
    rate = (p + sp - 1) / (se + sp - 1)
    spread = [x * (1 - x) / m for x, m in ((p, n + z * z), (se, positives + 2), (sp, negatives + 2))]
    shift = 2 * z * z * (rate * spread[1] - (1 - rate) * spread[2])
    reach = z * np.sqrt(spread[0] + rate**2 * spread[1] + (1 - rate) ** 2 * spread[2]) / (se + sp - 1)
    within = lambda x: float(np.clip(x, 0, 1))
    return Interval(
        within((share + passed / negatives - 1) / power), within(rate + shift - reach), within(rate + shift + reach)
    )


def by_prompt(rows: Iterable[Mapping[str, Any]], metric: str) -> dict[tuple[Any, str], float]:
    """The mean of a metric over the rows of each prompt, (record, text), that it applies to; NaN stays NaN."""
    values: dict[tuple[Any, str], list[float]] = {}
    for row in rows:
        if row.get(metric) is not None:
            values.setdefault((row.get("record"), str(row.get("prompt"))), []).append(row[metric])
    return {prompt: sum(found) / len(found) for prompt, found in values.items()}


def differences(after: Mapping[Any, float], before: Mapping[Any, float]) -> dict[Any, float]:
    """By how much each prompt of `by_prompt` changed, where both have it: `interval([*d.values()], d)` is paired."""
    return {prompt: value - before[prompt] for prompt, value in after.items() if prompt in before}


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for how many there are: below alpha, all together are wrong with probability alpha at most.

    Holm 1979, "A simple sequentially rejective multiple test procedure", https://www.jstor.org/stable/4615733.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    raised = np.sort(p_values) * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return adjusted.tolist()


def paired(
    arms: Mapping[str, Sequence[float | None]], other: Sequence[float | None]
) -> dict[str, tuple[Interval, float]]:
    """By how much each arm is above another one, from a number for each prompt, and the p-value.

    Prompts come in one order in all, and those without a number on either side are left out. The p-value is that of a
    paired t-test, adjusted for the number of comparisons by `holm`.
    """
    both = lambda values: [(a, b) for a, b in zip(values, other, strict=True) if a is not None and b is not None]
    gaps = {name: [a - b for a, b in both(values)] for name, values in arms.items()}
    raw = [float(scipy.stats.ttest_1samp(gap, 0.0).pvalue) if len({*gap}) > 1 else 1.0 for gap in gaps.values()]
    return {name: (interval(gap, range(len(gap))), p) for (name, gap), p in zip(gaps.items(), holm(raw), strict=True)}


def wilson(successes: float, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval for a share, of which a tie may be half: right on average over shares, not for each."""
    z = float(scipy.stats.norm.ppf((1 + confidence) / 2))
    middle = (successes + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * math.sqrt(successes * (n - successes) / n + z**2 / 4)
    low, high = (0.0 if not successes else middle - half), (1.0 if successes == n else middle + half)
    return Interval(successes / n, low, high)


def clopper_pearson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """The exact interval for a share, which covers every share at least as often as it says."""
    low, high = scipy.stats.binomtest(successes, n).proportion_ci(confidence, "exact")
    return Interval(successes / n, float(low), float(high))


def share(values: Sequence[float], clusters: Sequence[Hashable], **knobs: int) -> Interval:
    """The mean of numbers from 0 to 1: Wilson's interval for zeros and ones of a cluster each, else the bootstrap.

    Where all clusters have one mean, resampling shows no spread: Wilson's interval for as many outcomes then.

    Args:
      values: an outcome each, such as 1 a win, 1/2 a tie, 0 a loss.
      clusters, **knobs: as in `bootstrap`.
    """
    x, means = np.asarray(values, float), _means(values, clusters)
    if len(means) < 2:
        return unknown(x.mean())
    if np.ptp(means) == 0 or (len(means) == len(x) and np.isin(x, (0, 1)).all()):
        return wilson(float(means.sum()), len(means))
    return bootstrap(lambda weights: weights @ x / weights.sum(axis=1), clusters, **knobs)


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray],
    clusters: Sequence[Hashable],
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The percentile bootstrap over whole clusters.

    Args:
      statistic: of weights `[R, n]`, how often each observation is drawn in each resample, to `[R]`; NaN where it is
        not defined, which is left out.
      clusters: what each observation belongs to.
      resamples, confidence, seed: as the names say.

    Returns:
      The statistic at weights of 1, and its interval.
    """
    rng, numbers = np.random.default_rng(seed), numbered(clusters)
    size = int(numbers.max()) + 1
    estimate = float(statistic(np.ones((1, len(numbers))))[0])
    if size < 2:
        return unknown(estimate)
    block = max(1, 2**22 // len(numbers))  # resamples at a time: 32 MiB of weights
    found = []
    for first in range(0, resamples, block):
        drawn = rng.multinomial(size, np.full(size, 1 / size), min(block, resamples - first))
        found.append(statistic(drawn[:, numbers].astype(float)))
    low, high = np.nanquantile(np.concatenate(found), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(estimate, float(low), float(high))


def numbered(clusters: Sequence[Hashable]) -> np.ndarray:
    """The clusters as numbers from 0, in the order in which they first come."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters])


def _means(values: Sequence[float], clusters: Sequence[Hashable]) -> np.ndarray:
    numbers = numbered(clusters)
    if len(numbers) != len(values):
        raise ValueError(f"{len(values)} values and {len(numbers)} clusters: there should be one for each")
    return np.bincount(numbers, np.asarray(values, float)) / np.bincount(numbers)
