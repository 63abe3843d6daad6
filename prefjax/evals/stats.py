"""Intervals for what evaluations measure."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats


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
    groups: dict[Hashable, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        groups.setdefault(cluster, []).append(value)
    means = np.array([np.mean(group) for group in groups.values()])
    if len(means) < 2 or np.ptp(means) == 0:
        return Interval(*3 * [float(means.mean())])
    low, high = stats.t.interval(confidence, len(means) - 1, means.mean(), stats.sem(means))
    return Interval(float(means.mean()), float(low), float(high))


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
    number = {cluster: index for index, cluster in enumerate(dict.fromkeys(clusters))}
    places, count = np.array([number[cluster] for cluster in clusters]), len(number)
    top, bottom = (np.bincount(places, np.asarray(x, float), count) for x in (above, below))
    mean = top.sum() / bottom.sum()
    rest = top - mean * bottom
    if count < 2 or not rest.any():
        return Interval(*3 * [float(mean)])
    error = np.sqrt(count / (count - 1) * np.sum(rest**2)) / bottom.sum()
    low, high = stats.t.interval(confidence, count - 1, mean, error)
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
    names = {cluster: i for i, cluster in enumerate(dict.fromkeys(clusters))}
    count = min(groups, len(names))
    whole = float(statistic(values))
    if count < 2:
        return Interval(whole, whole, whole)
    group = [names[cluster] % count for cluster in clusters]
    parts = [[value for value, g in zip(values, group, strict=True) if g != left] for left in range(count)]
    without = np.array([statistic(part) for part in parts])
    error = np.sqrt((count - 1) / count * np.sum((without - without.mean()) ** 2))
    reach = stats.t.ppf((1 + confidence) / 2, count - 1) * error
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
    z = float(stats.norm.ppf((1 + confidence) / 2))
    p, se, sp = (n * share + z * z / 2) / (n + z * z), (hit + 1) / (positives + 2), (passed + 1) / (negatives + 2)
    rate = (p + sp - 1) / (se + sp - 1)
    spread = [x * (1 - x) / m for x, m in ((p, n + z * z), (se, positives + 2), (sp, negatives + 2))]
    shift = 2 * z * z * (rate * spread[1] - (1 - rate) * spread[2])
    reach = z * np.sqrt(spread[0] + rate**2 * spread[1] + (1 - rate) ** 2 * spread[2]) / (se + sp - 1)
    within = lambda x: float(np.clip(x, 0, 1))
    return Interval(
        within((share + passed / negatives - 1) / power), within(rate + shift - reach), within(rate + shift + reach)
    )
