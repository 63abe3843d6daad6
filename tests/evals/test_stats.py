"""Intervals: coverage, clusters and the obvious cases."""

import numpy as np
import pytest

from prefjax.evals.stats import interval, jackknife, rogan_gladen


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


def test_a_rate_corrected_for_the_test_that_found_it():
    assert rogan_gladen(0.5, 1000, (100, 100), (100, 100)).mean == 0.5
    assert rogan_gladen(0.9 * 0.3 + 0.05 * 0.7, 10**6, (9000, 10000), (9500, 10000)).mean == pytest.approx(0.3)
    assert rogan_gladen(0.01, 100, (90, 100), (95, 100)).mean == 0  # fewer than the test's own false alarms
    with pytest.raises(ValueError, match="no better than chance"):
        rogan_gladen(0.5, 100, (50, 100), (50, 100))


@pytest.mark.parametrize("truth", [0.02, 0.3, 0.9])
def test_its_interval_counts_the_errors_of_the_test(truth):
    rng, found = np.random.default_rng(0), []
    for _ in range(1000):
        labelled = (rng.binomial(94, 0.9), 94), (rng.binomial(104, 0.98), 104)
        positive = rng.binomial(64, truth * 0.9 + (1 - truth) * 0.02)
        found.append(rogan_gladen(positive / 64, 64, *labelled))
    assert 0.93 <= np.mean([low <= truth <= high for _, low, high in found]) <= 0.995


def test_the_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(2).normal(size=20).tolist()
    assert jackknife(np.mean, values, range(20)) == pytest.approx(interval(values, range(20)))
    assert jackknife(np.mean, [1.0, 2.0], "aa") == (1.5, 1.5, 1.5)
