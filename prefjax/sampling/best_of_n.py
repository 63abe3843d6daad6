"""Best-of-n, exactly: the law of the best of n samples, its distance from one sample, and what it is worth.

float64 on the host. Where rewards tie the winner is drawn evenly among the samples that tie.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import gammaln


def kl_bound(n: float) -> float:
    """log n - (n - 1) / n: the KL from one sample to the best of n is at most this, and this without ties.

    Beirami et al. 2024 (https://arxiv.org/abs/2401.01879).
    """
    return float(np.log(n) - (n - 1) / n)


def law(probs: np.ndarray, rewards: np.ndarray, n: float) -> np.ndarray:
    """Probability `[V]` that the best of n independent samples is each response.

        P(y) = (F(r)^n - F(r-)^n) probs(y) / P(reward = r),   r the reward of y, F its distribution function

    Args:
      probs: `[V]`, of one sample.
      rewards: `[V]`.
      n: samples.
    """
    probs, rewards = np.asarray(probs, np.float64), np.asarray(rewards, np.float64)
    _, level = np.unique(rewards, return_inverse=True)  # [V], equal rewards are one level
    mass = np.bincount(level, probs)
    below = np.cumsum(mass) - mass
    wins = (below + mass) ** n - below**n
    share = np.divide(probs, mass[level], out=np.zeros_like(probs), where=mass[level] > 0)
    return wins[level] * share


def expected_gold(proxy: np.ndarray, gold: np.ndarray, ns: Sequence[int] | None = None) -> np.ndarray:
    """Unbiased estimate of the gold reward of the best of n by proxy, for many n from one set of N samples.

    The mean over all subsets of n samples: with the samples sorted by proxy, the i-th (from 1) is the best of
    C(i - 1, n - 1) of the C(N, n) subsets. Nakano et al. 2021 (https://arxiv.org/abs/2112.09332).

    Args:
      proxy: `[..., N]`, by which the best is chosen.
      gold: `[..., N]`, what is estimated.
      ns: sizes, each at most N; by default 1 to N.

    Returns:
      `[..., len(ns)]`.

    Raises:
      ValueError: shapes that differ, or a size that is not in 1 to N.

    >>> expected_gold(np.array([1, 2, 3, 4]), np.array([10, 20, 5, 1])).round(9).tolist()
    [9.0, 5.5, 2.0, 1.0]
    """
    proxy, gold = np.asarray(proxy, np.float64), np.asarray(gold, np.float64)
    if proxy.shape != gold.shape:
        raise ValueError(f"expected equal shapes, got proxy {list(proxy.shape)}, gold {list(gold.shape)}")
    size = proxy.shape[-1]
    chosen = np.arange(1, size + 1) if ns is None else np.asarray(ns)
    if np.any((chosen < 1) | (chosen > size)):
        raise ValueError(f"ns: expected sizes from 1 to {size}, got {chosen.tolist()}")
    order = np.argsort(proxy, axis=-1)
    proxy, gold = np.take_along_axis(proxy, order, -1), np.take_along_axis(gold, order, -1)
    return _even_ties(proxy, gold) @ _weights(size, chosen).T


def _even_ties(proxy: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """`gold` with each run of equal `proxy` replaced by its mean: the expectation over a random order of ties."""
    starts = np.ones(proxy.shape, bool)
    starts[..., 1:] = proxy[..., 1:] != proxy[..., :-1]
    run = np.cumsum(starts) - 1  # over all rows: a row starts a run
    return (np.bincount(run, gold.ravel()) / np.bincount(run))[run].reshape(gold.shape)


def _weights(size: int, ns: np.ndarray) -> np.ndarray:
    """`[len(ns), size]`: the share of subsets of n in which the i-th smallest is the largest."""
    i, n = np.arange(size, dtype=np.float64)[None], np.asarray(ns, np.float64)[:, None]
    possible = i >= n - 1
    below = np.where(possible, i - n + 1, 0.0)
    choose = lambda a, b, rest: gammaln(a + 1) - gammaln(b + 1) - gammaln(rest + 1)
    return np.where(possible, np.exp(choose(i, n - 1, below) - choose(float(size), n, size - n)), 0.0)
