"""Means, tests and ranks against brute force, scipy and scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from prefjax.audit.numbers import auc, mean, mixed, share, sign_test, wins

numbers = st.lists(st.integers(-3, 3), min_size=1, max_size=20)


def test_a_mean_of_single_pairs_has_students_interval():
    values = np.random.default_rng(0).normal(size=30)
    found = mean(values, np.arange(30))
    low, high = stats.t.interval(0.95, 29, values.mean(), stats.sem(values))
    assert (found["mean"], found["low"], found["high"]) == pytest.approx((values.mean(), low, high))
    assert found["n"] == 30


def test_pairs_told_twice_say_no_more():
    values, clusters = np.array([1.0, 0.0, 1.0, 1.0, 0.0]), np.arange(5)
    once, twice = mean(values, clusters), mean(np.tile(values, 2), np.tile(clusters, 2))
    assert twice == {**once, "n": 10}


def test_the_interval_covers_means_of_clustered_pairs():
    rng = np.random.default_rng(0)
    hits, clusters = 0, np.repeat(np.arange(60), 5)
    for _ in range(400):
        won = rng.random(300) < np.repeat(rng.choice([0.2, 0.8], 60), 5)
        found = mean(won, clusters)
        hits += found["low"] <= 0.5 <= found["high"]
    assert 0.92 <= hits / 400 <= 0.98


def test_means_of_little():
    assert mean(np.zeros(0), np.zeros(0)) == {"mean": None, "low": None, "high": None, "n": 0}
    assert mean(np.ones(3), np.zeros(3)) == {"mean": 1.0, "low": None, "high": None, "n": 3}


def test_shares_that_are_all_alike_say_as_much_as_there_are_prompts():
    expected = stats.binomtest(5, 5).proportion_ci(method="wilson")
    for value, low, high in ((1.0, expected.low, 1), (0.0, 0, 1 - expected.low)):
        found = share(np.full(10, value), np.arange(10) // 2)
        assert found == {"mean": value, "low": pytest.approx(low), "high": pytest.approx(high), "n": 10}
    values, clusters = np.array([1.0, 0.0, 0.5]), np.arange(3)
    assert share(values, clusters) == mean(values, clusters)
    assert share(np.ones(3), np.zeros(3)) == mean(np.ones(3), np.zeros(3))


@given(numbers, st.integers(0, 2**32 - 1))
def test_the_sign_test_is_the_exact_one_over_prompts(signs, seed):
    signs = np.sign(signs)
    clusters = np.random.default_rng(seed).integers(0, 5, len(signs))
    sums = [int(signs[clusters == c].sum()) for c in range(5)]
    more, less = sum(s > 0 for s in sums), sum(s < 0 for s in sums)
    tail = sum(math.comb(more + less, k) for k in range(min(more, less) + 1)) / 2 ** (more + less)
    assert sign_test(signs, clusters) == (more, less, pytest.approx(min(1, 2 * tail)))


@given(numbers, numbers)
def test_auc_is_that_of_scikit_learn_and_of_all_couples(positive, negative):
    from sklearn.metrics import roc_auc_score

    found = auc(np.array(positive), np.array(negative))
    labels = [1] * len(positive) + [0] * len(negative)
    assert found == pytest.approx(roc_auc_score(labels, positive + negative))
    assert found == pytest.approx(np.mean([(p > n) + (p == n) / 2 for p in positive for n in negative]))
    assert auc(np.array(positive), np.array([])) is None


def test_ties_win_half():
    assert wins(np.array([2, 0, -1])).tolist() == [1, 0.5, 0]


def test_mixed_keys_are_equal_where_all_columns_are():
    rows = np.random.default_rng(0).integers(-3, 3, (2000, 3))
    keys = mixed(*rows.T)
    assert len(np.unique(keys)) == len(np.unique(rows, axis=0))
    assert mixed(rows[:, 0], rows[:, 1]).tolist() != mixed(rows[:, 1], rows[:, 0]).tolist()
