"""Arithmetic of the audit: means, tests and ranks over arrays of a million pairs."""

from typing import Any

import numpy as np
from scipy import stats

from prefjax.evals.stats import wilson


def mean(values: np.ndarray, clusters: np.ndarray) -> dict[str, Any]:
    """A mean over pairs with its 95 % interval, in which pairs of one cluster are not independent.

    The variance is the cluster-robust one, that of the sums of residuals over clusters, with G / (G - 1) (Cameron and
    Miller 2015, "A Practitioner's Guide to Cluster-Robust Inference", section II; https://doi.org/10.3368/jhr.50.2.317).

    Args:
      values: a number a pair.
      clusters: what each pair belongs to, such as its prompt: integers.

    Returns:
      "mean", "low", "high" and "n"; low and high are None where there are not two clusters, all None without values.
    """
    if not len(values):
        return {"mean": None, "low": None, "high": None, "n": 0}
    values, found = np.asarray(values, float), float(np.mean(values))
    groups, ids = np.unique(clusters, return_inverse=True)
    result = {"mean": found, "low": None, "high": None, "n": len(values)}
    if len(groups) < 2:
        return result
    residuals = np.bincount(ids, values - found)
    error = np.sqrt(np.sum(residuals**2) * len(groups) / (len(groups) - 1)) / len(values)
    reach = float(stats.t.ppf(0.975, len(groups) - 1) * error)
    return result | {"low": found - reach, "high": found + reach}


def share(values: np.ndarray, clusters: np.ndarray) -> dict[str, Any]:
    """`mean` of numbers from 0 to 1; where all are 0, or all are 1, Wilson's interval for the number of clusters.

    Such values show no spread, though a handful of them says little.
    """
    result = mean(values, clusters)
    if result["low"] is not None and result["mean"] in (0, 1):
        number = len(np.unique(clusters))
        result |= wilson(int(result["mean"]) * number, number)._asdict()
    return result


def sign_test(signs: np.ndarray, clusters: np.ndarray) -> tuple[int, int, float]:
    """Whether one side has something more often than the other, by prompts: exact, and blind to repeated prompts.

    Each cluster counts once, by the sign of its sum; where no cluster has two pairs this is McNemar's exact test.

    Args:
      signs: 1 where only the chosen side has it, -1 where only the rejected one, 0 elsewhere.
      clusters: of the pairs, integers from 0.

    Returns:
      In how many clusters the chosen side has it more often, in how many the rejected one, and the two-sided p.
    """
    sums = np.bincount(clusters, signs)
    more, less = int(np.sum(sums > 0)), int(np.sum(sums < 0))
    return more, less, float(min(1.0, 2 * stats.binom.cdf(min(more, less), more + less, 0.5)))


def auc(positive: np.ndarray, negative: np.ndarray) -> float | None:
    """The share of (positive, negative) couples in which the positive is larger, ties half: the area under the ROC."""
    if not len(positive) or not len(negative):
        return None
    ranks = stats.rankdata(np.concatenate([positive, negative]))
    n, m = len(positive), len(negative)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def wins(differences: np.ndarray) -> np.ndarray:
    """1 where a difference is positive, a half where it is 0, else 0."""
    return (1 + np.sign(np.asarray(differences, float))) / 2


def mixed(*columns: np.ndarray) -> np.ndarray:
    """One 64-bit key of several columns of integers; equal where all of them are, else equal by accident alone."""
    key = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        key = (key ^ np.asarray(column).astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(29)
        key *= np.uint64(0xBF58476D1CE4E5B9)
        key ^= key >> np.uint64(32)
    return key
