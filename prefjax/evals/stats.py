"""Intervals for what evaluations measure."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

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
