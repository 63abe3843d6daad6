"""Ratios of whole responses, and ratios as weights, against closed values and float64 oracles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax.losses import cispo_loss, gspo_loss, policy_gradient_loss

RNG = np.random.default_rng(0)
LOGPS, OLD = RNG.normal(-1, 1, (2, 16, 12))
MASK = np.arange(12) < RNG.integers(1, 13, (16, 1))
ADVANTAGES = np.repeat(RNG.normal(size=(16, 1)), 12, axis=1)
ARRAYS = [x.astype(np.float32) for x in (LOGPS, OLD, ADVANTAGES)]


def gradient(loss, **knobs):
    return jax.grad(lambda x: loss(x, *ARRAYS[1:], MASK, **knobs)[0].value)(ARRAYS[0])


def test_gspo_is_its_definition_in_float64():
    ratio = np.exp(((LOGPS - OLD) * MASK).sum(1) / MASK.sum(1))
    better = ADVANTAGES[:, 0]
    losses = -np.minimum(ratio * better, np.clip(ratio, 0.9, 1.2) * better)
    loss, metrics = gspo_loss(*ARRAYS, MASK, epsilon=0.1, epsilon_high=0.2)
    assert loss.value == pytest.approx(losses.mean(), rel=1e-6)
    assert float(loss.weight) == 16  # responses
    clipped = losses != -ratio * better
    assert 0 < clipped.mean() < 1
    share = (MASK * clipped[:, None]).sum() / MASK.sum()
    assert metrics["policy/clip_fraction"].value == pytest.approx(share)
    # equation 10: of a response that is not clipped the gradient is s A / |y| at each of its tokens
    expected = np.where(MASK & ~clipped[:, None], -(ratio * better / MASK.sum(1))[:, None], 0) / 16
    np.testing.assert_allclose(gradient(gspo_loss, epsilon=0.1, epsilon_high=0.2), expected, rtol=1e-5, atol=1e-8)


def test_cispo_is_its_definition_in_float64():
    ratio = np.exp(LOGPS - OLD)
    weights = np.clip(ratio, 0, 1.5)
    loss, metrics = cispo_loss(*ARRAYS, MASK, epsilon_high=0.5)
    assert loss.value == pytest.approx(-(weights * ADVANTAGES * LOGPS)[MASK].mean(), rel=1e-6)
    assert metrics["policy/clip_fraction"].value == pytest.approx((ratio > 1.5)[MASK].mean())
    expected = -(MASK * weights * ADVANTAGES) / MASK.sum()  # a token that is clipped keeps its gradient
    np.testing.assert_allclose(gradient(cispo_loss, epsilon_high=0.5), expected, rtol=1e-5, atol=1e-8)
    below = gradient(cispo_loss, epsilon=0.1, epsilon_high=0.5)
    np.testing.assert_allclose(below, expected * np.clip(ratio, 0.9, 1.5) / weights, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("loss", "per"), [(gspo_loss, "response"), (cispo_loss, "token")])
def test_at_the_old_policy_the_gradient_is_that_of_reinforce(loss, per):
    logps, _, advantages = map(jnp.asarray, ARRAYS)
    ours = jax.grad(lambda x: loss(x, logps, advantages, MASK)[0].value)(logps)
    plain = jax.grad(lambda x: policy_gradient_loss(x, advantages, MASK, per=per)[0].value)(logps)
    np.testing.assert_allclose(ours, plain, rtol=1e-6)
