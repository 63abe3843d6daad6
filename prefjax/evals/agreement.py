"""How far annotators agree: Krippendorff's alpha with its interval."""

import json
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from prefjax.data.prompts import digest
from prefjax.data.records import Record, lead, ranks
from prefjax.evals.stats import Interval

LEVELS = ("nominal", "ordinal")
LOW = 0.4  # alpha below which labels say little


class Comparison(NamedTuple):
    """What a judgement says of two answers."""

    pair: int  # key of the prompt and the two, whoever won: 64 bits
    a: str  # the first of them, as `first` draws it
    b: str
    value: int  # -3..3, positive where a is better, 0 a tie
    graded: bool  # the value is a grade, and not a sign alone


def comparisons(judgement: Record) -> Iterator[Comparison]:
    """Every two answers that a judgement compares, those of one rank included: a tie."""
    graded = "grade" in judgement and not {"votes", "ranking"} & judgement.keys()
    if "ranking" in judgement:
        placed = [(text, place) for place, rank in enumerate(ranks(judgement["ranking"])) for text in rank]
        pairs = [(a, b, int(i < j)) for (a, i), (b, j) in combinations(placed, 2)]
    else:
        pairs = [(judgement["chosen"], judgement["rejected"], lead(judgement))]
    for a, b, value in pairs:
        value = value if graded else (value > 0) - (value < 0)
        if not first(a, b):
            a, b, value = b, a, -value
        yield Comparison(digest(json.dumps([judgement["prompt"], a, b])), a, b, value, graded)


def shared(
    pairs: Sequence[int], annotators: Sequence[Any], values: Sequence[int], graded: Sequence[bool]
) -> tuple[np.ndarray, int]:
    """Counts for `alpha` from comparisons, in the order in which they were made.

    The last judgement of an annotator on a pair counts. Values are grades where all that count are, and else signs: one
    scale's 1 is not the other's.

    Args:
      pairs, values, graded: as of `Comparison`.
      annotators: texts, or integers.

    Returns:
      How often each pair that several annotators judged was given each value, [pairs, 7] for -3 to 3; and how many
      annotators there are of them.
    """
    _, unit = np.unique(np.asarray(pairs, np.uint64), return_inverse=True)
    people, who = np.unique(np.asarray(annotators), return_inverse=True)
    _, last = np.unique((unit * len(people) + who)[::-1], return_index=True)
    last = len(unit) - 1 - last
    last = last[np.bincount(unit[last], minlength=1)[unit[last]] > 1]
    value = np.asarray(values, np.int64)[last]
    value = value if np.asarray(graded, bool)[last].all() else np.sign(value)
    units, row = np.unique(unit[last], return_inverse=True)
    counts = np.zeros((len(units), 7), np.int64)
    np.add.at(counts, (row, value + 3), 1)
    return counts, len(np.unique(who[last]))


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

    1 is agreement, 0 what chance gives; below `LOW` labels say little. Krippendorff, "Computing Krippendorff's
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

    >>> alpha(np.array([[2, 0], [0, 2], [1, 1], [0, 2]])).mean.__round__(3)
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
