"""Cheap classifiers against scikit-learn, and their folds."""

import numpy as np
import pytest
from scipy import sparse, special

from prefjax.audit import classify


@pytest.mark.parametrize("l2", [0.1, 1.0, 10.0])
def test_the_fit_is_that_of_scikit_learn(l2):
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 8)) * np.geomspace(0.1, 10, 8)
    x *= np.sign(x @ rng.normal(size=8) + 5 * rng.normal(size=300))[:, None]
    both = LogisticRegression(C=1 / (2 * l2), fit_intercept=False, tol=1e-10, max_iter=10_000)
    both.fit(np.concatenate([x, -x]), np.repeat([1, 0], 300))  # every pair in both orders, at half the weight
    assert classify.fit(x, l2) == pytest.approx(both.coef_[0], abs=1e-4)
    assert classify.fit(sparse.csr_array(x), l2) == pytest.approx(classify.fit(x, l2))


def test_the_fit_of_what_can_be_separated_is_finite_and_of_nothing_is_0():
    w = classify.fit(np.ones((1000, 1)))
    assert w[0] == pytest.approx(1000 * special.expit(-w[0]), rel=1e-3)  # where the gradient is 0
    assert classify.fit(np.zeros((10, 3))).tolist() == [0, 0, 0]


def test_folds_keep_keys_together_and_are_even():
    keys = np.random.default_rng(0).integers(0, 100, 1000).astype(np.uint64)
    fold = classify.folds(keys, 5, seed=1)
    assert all(len(set(fold[keys == key])) == 1 for key in np.unique(keys))
    assert [len(np.unique(keys[fold == i])) for i in range(5)] == [20] * 5
    assert classify.folds(keys, 5, seed=2).tolist() != fold.tolist()


def test_no_margin_is_of_a_pair_that_was_fitted():
    x, fold = np.ones((10, 1)), np.arange(10) % 2
    x[fold == 0] = -1
    assert np.all(classify.held_out(x, fold) < 0)  # each half is judged by the other


def test_noise_is_told_apart_half_the_time_and_calibration_knows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 100))
    margins = classify.held_out(x, classify.folds(np.arange(400), 5, 0), l2=0.1)
    assert 0.42 < np.mean(margins > 0) < 0.58
    assert np.abs(margins).max() > 3 > 0.5 > np.abs(classify.calibrated(margins)).max()


def test_words_of_one_side_alone():
    x = classify.words(["The same cat, cat", "a"], ["the same Dog", "A"]).toarray()
    assert sorted(x[0][x[0] != 0]) == [-1, 1]
    assert not x[1].any()
    assert x.shape == (2, classify.BUCKETS)


def test_features_that_never_differ_stay_0():
    assert classify.scaled(np.array([[0.0, 3.0], [0.0, -3.0]])).tolist() == [[0, 1], [0, -1]]
