"""Cheap classifiers of which answer was chosen: how much of the labels does not need the answers to be read.

Each is a Bradley-Terry model of features: P(chosen) = sigmoid(w . (f(chosen) - f(rejected))), without an intercept, so
that it cannot know which side is which.
"""

import re
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import sparse, special

_WORD = re.compile(r"\w+")
BUCKETS = 2**13  # of hashed words
_NEWTON, _CONJUGATE = 30, 100  # steps at most


def fit(x: Any, l2: float = 1.0) -> np.ndarray:
    """The w that minimises sum log(1 + exp(-x w)) + l2 / 2 |w|^2, by Newton's method with conjugate gradients.

    Sparse products alone: dense ones of this size start threads, which wait for each other on a busy machine.

    Args:
      x: differences of features, chosen less rejected, [n, F]: an array, or a sparse one.
      l2: weight of the penalty.
    """
    x = sparse.csr_array(x)
    back = x.T.tocsr()
    w, margins = np.zeros(x.shape[1]), np.zeros(x.shape[0])
    loss = lambda w, margins: l2 / 2 * np.sum(w * w) - np.sum(special.log_expit(margins))
    for _ in range(_NEWTON):
        wrong = special.expit(-margins)
        gradient = l2 * w - back @ wrong
        if np.abs(gradient).max() < 1e-7 * x.shape[0]:
            break
        step = _conjugate(lambda v, h=wrong * (1 - wrong): l2 * v + back @ (h * (x @ v)), -gradient)
        ahead, size, before = x @ step, 1.0, loss(w, margins)
        while loss(w + size * step, margins + size * ahead) > before and size > 1e-9:
            size /= 2
        w, margins = w + size * step, margins + size * ahead
    return w


def _conjugate(product: Callable[[np.ndarray], np.ndarray], b: np.ndarray) -> np.ndarray:
    """Solves `product(v) = b` for a positive definite product, to a hundredth."""
    v, residual = np.zeros_like(b), b
    direction, left = residual, np.sum(residual**2)
    enough = 1e-4 * left
    for _ in range(_CONJUGATE):
        if left <= enough:
            break
        curved = product(direction)
        size = left / np.sum(direction * curved)
        v, residual, before = v + size * direction, residual - size * curved, left
        left = np.sum(residual**2)
        direction = residual + left / before * direction
    return v


def folds(keys: np.ndarray, count: int, seed: int) -> np.ndarray:
    """A fold for each pair, [n]: pairs of equal keys are in one, and folds have equal numbers of keys."""
    groups, ids = np.unique(keys, return_inverse=True)
    return (np.random.default_rng(seed).permutation(len(groups)) % count)[ids]


def held_out(x: Any, fold: np.ndarray, l2: float = 1.0) -> np.ndarray:
    """Margins [n], in nats of log-odds, of each pair by the model that was fitted to the other folds."""
    margins = np.zeros(x.shape[0])
    for number in np.unique(fold):
        margins[fold == number] = x[fold == number] @ fit(x[fold != number], l2)
    return margins


def calibrated(margins: np.ndarray) -> np.ndarray:
    """Held-out margins times the factor that makes them the log-odds they claim to be (Platt 1999), or 0."""
    return margins * max(0.0, float(fit(margins[:, None])[0]))


def scaled(x: np.ndarray) -> np.ndarray:
    """Features of unit root mean square; those that never differ stay 0."""
    size = np.sqrt(np.mean(x**2, axis=0))
    return x / np.where(size > 0, size, 1)


def words(chosen: Sequence[str], rejected: Sequence[str]) -> sparse.csr_array:
    """Which hashed words only the chosen side has (1) and only the rejected one (-1), [n, BUCKETS]."""
    indices, values, starts = [], [], [0]
    for first, second in zip(chosen, rejected, strict=True):
        a, b = _bag(first), _bag(second)
        indices += [*(a - b), *(b - a)]
        values += [1.0] * len(a - b) + [-1.0] * len(b - a)
        starts.append(len(indices))
    return sparse.csr_array((np.array(values), np.array(indices, np.int64), starts), shape=(len(chosen), BUCKETS))


def _bag(text: str) -> set[int]:
    return {zlib.crc32(word.encode()) % BUCKETS for word in _WORD.findall(text.casefold())}
