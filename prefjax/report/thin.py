"""Long curves as few points, honestly: what a bin held is kept as its least, its mean and its most."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Curve(NamedTuple):
    """A logged number over steps, in at most so many bins. Bins without a finite value have NaN."""

    steps: np.ndarray  # [bins] mean step
    low: np.ndarray  # [bins] the least value
    mean: np.ndarray  # [bins]
    high: np.ndarray  # [bins] the greatest
    logged: int  # rows it was made of
    lost: int  # rows that were NaN or infinite


def thin(steps: Sequence[int], values: Sequence[float], bins: int = 400) -> Curve:
    """A curve of at most `bins` points, of equally many rows each.

    >>> thin([1, 2, 3, 4], [1.0, 3.0, 5.0, 5.0], bins=2).mean.tolist()
    [2.0, 5.0]
    """
    x, y = np.asarray(steps, float), np.asarray(values, float)
    finite = np.isfinite(y)
    places = np.arange(len(x)) * min(bins, len(x)) // len(x)
    starts = np.flatnonzero(np.r_[True, np.diff(places) > 0])
    count = np.add.reduceat(finite.astype(float), starts)
    known = np.where(count > 0, count, np.nan)
    return Curve(
        steps=np.add.reduceat(x, starts) / np.diff(np.r_[starts, len(x)]),
        low=np.where(count > 0, np.minimum.reduceat(np.where(finite, y, np.inf), starts), np.nan),
        mean=np.add.reduceat(np.where(finite, y, 0.0), starts) / known,
        high=np.where(count > 0, np.maximum.reduceat(np.where(finite, y, -np.inf), starts), np.nan),
        logged=len(x),
        lost=int(len(x) - finite.sum()),
    )


def smooth(curve: Curve, share: float = 0.025) -> np.ndarray:
    """The means of a curve under a Gaussian window whose standard deviation is a share of its points."""
    width = max(share * len(curve.mean), 1e-9)
    reach = math.ceil(3 * width)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    known = np.isfinite(curve.mean)
    full = lambda x: np.convolve(x, kernel)[reach : reach + len(x)]
    weights = full(known.astype(float))
    sums = full(np.where(known, curve.mean, 0.0))
    return np.where(known, sums / np.where(weights > 0, weights, 1.0), np.nan)
