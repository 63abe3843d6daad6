"""Intervals: coverage, clusters and the obvious cases."""

import numpy as np
import pytest

from prefjax.evals.stats import interval


def test_it_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = [interval(rng.normal(0.3, 1, 20), range(20)) for _ in range(2000)]
    assert np.mean([low <= 0.3 <= high for _, low, high in hits]) == pytest.approx(0.95, abs=0.015)


def test_observations_of_a_cluster_count_once():
    values = np.random.default_rng(1).normal(size=30)
    once = interval(values, range(30))
    repeated = interval(np.repeat(values, 5), np.repeat(np.arange(30), 5))
    assert once == pytest.approx(repeated)


def test_excludes_zero():
    assert interval([1.0, 1.1, 0.9], "abc").excludes_zero
    assert not interval([1.0, -1.1, 0.9], "abc").excludes_zero
    assert interval([2.0, 2.0], "ab") == (2.0, 2.0, 2.0)
