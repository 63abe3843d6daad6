"""Intervals for what evaluations measure."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
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
    means = _means(values, clusters)
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


def p_value(values: Sequence[float], clusters: Sequence[Hashable]) -> float:
    """Student's two-sided test, on cluster means, that the mean is 0; 1 where a single cluster says nothing."""
    means = _means(values, clusters)
    if len(means) < 2 or np.ptp(means) == 0:
        return float(len(means) < 2 or means[0] == 0)
    return float(stats.ttest_1samp(means, 0.0).pvalue)


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


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval for a share: right on average over shares, not for each."""
    return _proportion(successes, n, confidence, "wilson")


def clopper_pearson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """The exact interval for a share, which covers every share at least as often as it says."""
    return _proportion(successes, n, confidence, "exact")


def share(values: Sequence[float], clusters: Sequence[Hashable], *more: Sequence[Hashable], **knobs: int) -> Interval:
    """The mean of numbers from 0 to 1: Wilson's interval for zeros and ones of a cluster each, else the bootstrap.

    Where all are 0, or all are 1, resampling shows no spread: Wilson's interval for the number of clusters then.

    Args:
      values: an outcome each, such as 1 a win, 1/2 a tie, 0 a loss.
      clusters, *more, **knobs: as in `bootstrap`.
    """
    x, count = np.asarray(values, float), len(set(clusters))
    alike, alone = np.ptp(x) == 0, count == len(x) and not more
    if (alike or alone) and np.isin(x, (0, 1)).all():
        return wilson(round(float(x.mean()) * count), count)
    return bootstrap(lambda weights: weights @ x / weights.sum(axis=1), clusters, *more, **knobs)


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray],
    clusters: Sequence[Hashable],
    *more: Sequence[Hashable],
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The percentile bootstrap over whole clusters.

    With several kinds of clusters, such as prompts and seeds, each kind is drawn by itself and the weights multiply
    (the pigeonhole bootstrap: Owen 2007, https://arxiv.org/abs/0712.1111).

    Args:
      statistic: of weights `[R, n]`, how often each observation is drawn in each resample, to `[R]`; NaN where it is
        not defined, which is left out.
      clusters: what each observation belongs to.
      *more: what else it belongs to.
      resamples, confidence, seed: as the names say.

    Returns:
      The statistic at weights of 1, and its interval.
    """
    rng, kinds = np.random.default_rng(seed), [numbered(kind) for kind in (clusters, *more)]
    estimate = float(statistic(np.ones((1, len(kinds[0]))))[0])
    block = max(1, 2**22 // len(kinds[0]))  # resamples at a time: 32 MiB of weights
    found = []
    for first in range(0, resamples, block):
        weights = np.ones((min(block, resamples - first), len(kinds[0])))
        for numbers in kinds:
            size = numbers.max() + 1
            weights *= rng.multinomial(size, np.full(size, 1 / size), len(weights))[:, numbers]
        found.append(statistic(weights[weights.any(axis=1)]))  # crossed kinds may draw nothing
    low, high = np.nanquantile(np.concatenate(found), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(estimate, float(low), float(high))


def _proportion(successes: int, n: int, confidence: float, method: str) -> Interval:
    low, high = stats.binomtest(successes, n).proportion_ci(confidence, method)
    return Interval(successes / n, float(low), float(high))


def numbered(clusters: Sequence[Hashable]) -> np.ndarray:
    """The clusters as numbers from 0, in the order in which they first come."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters])


def _means(values: Sequence[float], clusters: Sequence[Hashable]) -> np.ndarray:
    numbers = numbered(clusters)
    if len(numbers) != len(values):
        raise ValueError(f"{len(values)} values and {len(numbers)} clusters: there should be one for each")
    return np.bincount(numbers, np.asarray(values, float)) / np.bincount(numbers)
