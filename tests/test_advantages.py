"""Advantages against closed values and definitions."""

import jax.numpy as jnp
import numpy as np
import pytest

from prefjax import advantages
from prefjax.advantages import adaptive_kl, centred, equal, grpo, rloo, running_mean
from prefjax.metrics import Mean

SCORES = np.array([[1.0, 2.0, 3.0, 6.0]], np.float32)
NONE = Mean(jnp.float32(0), jnp.float32(0))


def test_dr_grpo_leaves_the_standard_deviation_out():
    np.testing.assert_allclose(centred(SCORES), SCORES - 3, atol=1e-6)


def test_rloo_compares_with_the_others():
    np.testing.assert_allclose(rloo(SCORES), [[1 - 11 / 3, 2 - 10 / 3, 0, 6 - 6 / 3]], atol=1e-6)


@pytest.mark.parametrize(("ddof", "expected"), [(0, [-1.0690, -0.5345, 0, 1.6036]), (1, [-0.9258, -0.4629, 0, 1.3887])])
def test_grpo_is_standardised(ddof, expected):
    np.testing.assert_allclose(grpo(SCORES, ddof=ddof), [expected], atol=5e-5)
    np.testing.assert_allclose(grpo(SCORES, ddof=ddof), (SCORES - 3) / np.std(SCORES, ddof=ddof), rtol=1e-6)


def test_equal_scores_have_no_advantage():
    for scores in (np.full((2, 7), 0.1, np.float32), np.full((1, 1), 3.0, np.float32)):
        for ddof in (0, 1):
            assert np.all(np.asarray(grpo(scores, ddof=ddof)) == 0)
        np.testing.assert_allclose(rloo(scores), 0, atol=1e-7)


def test_equal_scores_are_told_whatever_could_not_be_scored():
    scores = np.array([[1, 1, 1], [1, 2, 1], [1, np.nan, 1], [np.nan] * 3], np.float32)
    np.testing.assert_array_equal(equal(scores, where=~np.isnan(scores))[:, 0], [True, False, True, True])


@pytest.mark.parametrize("method", [rloo, grpo, centred])
def test_what_could_not_be_scored_is_in_no_baseline(method):
    scores = np.array([[1, np.nan, 3, 6], [np.nan, np.nan, 2, np.nan], [np.nan] * 4], np.float32)
    where = ~np.isnan(scores)
    ours = np.asarray(method(scores, where=where))
    np.testing.assert_allclose(ours[0, [0, 2, 3]], np.asarray(method(scores[:1, [0, 2, 3]]))[0], rtol=1e-6)
    assert np.all(ours[~where] == 0)
    assert np.all(ours[1:] == 0)  # one score, with nothing to compare it to, and none


def test_a_score_that_counts_and_is_nan_is_loud():
    scores = np.array([[1, np.nan, 3, 6]], np.float32)
    assert np.all(np.isnan(rloo(scores)))
    assert np.all(np.isnan(grpo(scores)))


def test_running_mean_is_that_of_earlier_steps():
    steps = np.random.default_rng(0).normal(1, 1, (4, 8)).astype(np.float32)
    baseline = NONE
    for i, scores in enumerate(steps):
        ours, baseline = running_mean(scores, baseline)
        np.testing.assert_allclose(ours, scores - (steps[:i].mean() if i else 0), rtol=1e-5, atol=1e-6)
    assert baseline.value == pytest.approx(steps.mean(), rel=1e-6)


def test_running_mean_forgets_and_leaves_out():
    _, baseline = running_mean(np.array([4.0, 4.0], np.float32), NONE, decay=0.5)
    ours, baseline = running_mean(
        np.array([1.0, np.nan], np.float32), baseline, decay=0.5, where=np.array([True, False])
    )
    np.testing.assert_allclose(ours, [1 - 4, 0])
    assert baseline.value == pytest.approx((0.5 * 2 * 4 + 1) / (0.5 * 2 + 1))


def test_adaptive_kl():
    assert adaptive_kl(0.15, 12.0, batch=512) == pytest.approx(0.15 * (1 + 0.2 * 512 / 1e4))
    assert adaptive_kl(0.15, 3.0, batch=512) == pytest.approx(0.15 * (1 - 0.2 * 512 / 1e4))
    assert adaptive_kl(0.15, 6.0, batch=512) == pytest.approx(0.15)
    assert adaptive_kl(0.15, 6.6, batch=512) == pytest.approx(0.15 * (1 + 0.1 * 512 / 1e4))
    assert adaptive_kl(0.1, 4.0, target=2.0, horizon=100.0, batch=50) == pytest.approx(0.1 * 1.1)


def test_wrong_shapes_are_refused():
    for method in (advantages.rloo, advantages.grpo):
        with pytest.raises(ValueError, match=r"scores: expected shape \[\*, \*\], got \[4\]"):
            method(SCORES[0])
        with pytest.raises(ValueError, match="expected equal shapes, got"):
            method(SCORES, where=np.ones((1, 3), bool))
