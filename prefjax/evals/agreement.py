"""How far annotators agree: Krippendorff's alpha with its interval."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from prefjax.data.prompts import digest
from prefjax.evals.stats import Interval

LEVELS = ("nominal", "ordinal")


def tally(units: Iterable[Iterable[Any]]) -> np.ndarray:
    """Counts of values from the values themselves: a row for each unit, a column for each value, in its order.

    >>> tally([["A", "A"], ["B", "A"], []]).tolist()
    [[2, 0], [1, 1], [0, 0]]
    """
    rows = [list(unit) for unit in units]
    columns = {value: i for i, value in enumerate(sorted({value for row in rows for value in row}))}
    counts = np.zeros((len(rows), len(columns)), np.int64)
    np.add.at(counts, ([i for i, row in enumerate(rows) for _ in row], [columns[v] for row in rows for v in row]), 1)
    return counts


def first(a: str, b: str) -> bool:
    """Whether `a` counts as the first of two answers: a coin toss by hash, which falls alike for all who ask.

    >>> first("yes", "no") != first("no", "yes")
    True
    """
    return digest(f"{a}\0{b}") < digest(f"{b}\0{a}")


def alpha(
    counts: np.ndarray, level: str = "nominal", *, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Interval | None:
    """Krippendorff's alpha, 1 - (observed disagreement) / (disagreement by chance), any number of annotators a unit.

    1 is agreement, 0 what chance gives; below .4 labels say little. Krippendorff, "Computing Krippendorff's
    Alpha-Reliability" (2011), https://repository.upenn.edu/asc_papers/43.

    Args:
      counts: how often each unit was given each value, [units, values]; for "ordinal" the columns are in order. Units
        with fewer than two values say nothing of agreement and are left out. What a column stands for must not depend
        on the values: of verdicts on pairs it is not "for chosen", by which all agree that chosen is better, but "for
        the first", as `first` draws it.
      level: "nominal": values differ or not. "ordinal": they differ by what lies between them.
      resamples, confidence, seed: of the percentile bootstrap over units. Resamples in which one value alone occurs
        have no alpha and are left out.

    Returns:
      alpha and its interval; None where no unit has two values or only one value occurs: alpha is then 0 / 0.

    >>> alpha(tally([["A", "A"], ["B", "B"], ["A", "B"], ["B", "B"]])).mean.__round__(3)
    0.533
    """
    if level not in LEVELS:
        raise ValueError(f"level: expected one of {', '.join(LEVELS)}, got {level!r}")
    counts = np.asarray(counts, float)
    counts = counts[counts.sum(1) >= 2]
    if (counts.sum(0) > 0).sum() < 2:
        return None
    kinds, repeats = np.unique(counts, axis=0, return_counts=True)  # few: a million units resample as fast as ten
    given = kinds.sum(1)
    pairs = (kinds[:, :, None] * kinds[:, None, :] - np.eye(kinds.shape[1]) * kinds[:, None, :]) / (
        given[:, None, None] - 1
    )
    draws = np.random.default_rng(seed).multinomial(len(counts), repeats / len(counts), resamples)
    estimate, *others = _alphas(np.vstack([repeats, draws]), pairs, level)
    low, high = np.nanquantile(others, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(estimate), float(low), float(high))


def _alphas(weights: np.ndarray, pairs: np.ndarray, level: str) -> np.ndarray:
    """alpha for each row of weights [R, kinds] of the coincidences [kinds, V, V]; NaN where it has none."""
    coincidences = np.einsum("rk,kvw->rvw", weights, pairs)
    marginals = coincidences.sum(2)
    total = marginals.sum(1)
    if level == "nominal":
        distance = 1 - np.eye(pairs.shape[1])
    else:  # what lies between two values, half of their own included: the difference of their middle ranks, squared
        ranks = np.cumsum(marginals, 1) - marginals / 2
        distance = (ranks[:, :, None] - ranks[:, None, :]) ** 2
    observed = (coincidences * distance).sum((1, 2))
    chance = (marginals[:, :, None] * marginals[:, None, :] * distance).sum((1, 2)) / (total - 1)
    alone = (marginals > 0).sum(1) < 2
    return np.where(alone, np.nan, 1 - observed / np.where(alone, 1, chance))
