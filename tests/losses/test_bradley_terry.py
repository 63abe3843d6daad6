"""bradley_terry_loss against its closed values and a float64 oracle."""

from math import exp, log

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax.losses import bradley_terry_loss


def oracle(rewards, margin=0.0, target=1.0, smoothing=0.0, centering=0.0):
    rewards = np.asarray(rewards, np.float64)
    h = rewards[:, 0] - rewards[:, 1] - margin
    q = target * (1 - 2 * smoothing) + smoothing
    losses = q * np.logaddexp(0, -h) + (1 - q) * np.logaddexp(0, h) + centering * rewards.sum(1) ** 2
    return losses.mean()


def test_closed_values():
    one = jnp.array([[1.0, 0.0]])
    assert bradley_terry_loss(one)[0].value == pytest.approx(log(1 + exp(-1)), rel=1e-6)
    assert bradley_terry_loss(one, margin=jnp.array([1 / 3]))[0].value == pytest.approx(log(1 + exp(-2 / 3)), rel=1e-6)
    centred = bradley_terry_loss(jnp.array([[1.5, 0.5]]), centering=0.01)[0].value
    assert centred == pytest.approx(log(1 + exp(-1)) + 0.01 * 2.0**2, rel=1e-6)
    gradient = jax.grad(lambda r: bradley_terry_loss(r)[0].value)(one)
    np.testing.assert_allclose(gradient, [[-0.268941, 0.268941]], atol=1e-6)


def test_float64_oracle():
    rng = np.random.default_rng(0)
    rewards = rng.normal(0, 3, (64, 2)).astype(np.float32)
    margin, target = rng.uniform(0, 1, (2, 64)).astype(np.float32)
    ours = bradley_terry_loss(rewards, margin=margin, target=target, label_smoothing=0.1, centering=0.01)[0].value
    assert ours == pytest.approx(oracle(rewards, margin, target, 0.1, 0.01), rel=1e-6)


def test_a_margin_of_shape_b_does_not_broadcast_to_b_by_b():
    rewards, margin = jnp.zeros((4, 2)), jnp.arange(4.0)
    loss, _ = bradley_terry_loss(rewards, margin=margin)
    assert loss.value == pytest.approx(oracle(rewards, np.arange(4.0)), rel=1e-6)
    with pytest.raises(ValueError, match=r"margin: expected shape \[4\], got \[4, 1\]"):
        bradley_terry_loss(rewards, margin=margin[:, None])


def test_target_is_the_probability_that_candidate_0_wins():
    rewards = jnp.array([[0.3, -0.4]])
    flipped = bradley_terry_loss(rewards, target=jnp.zeros(1))[0].value
    assert flipped == pytest.approx(float(bradley_terry_loss(rewards[:, ::-1])[0].value), rel=1e-6)
    tie = bradley_terry_loss(jnp.zeros((1, 2)), target=jnp.full(1, 0.5))
    assert tie[0].value == pytest.approx(log(2), rel=1e-6)


def test_smoothing_is_a_target_that_is_less_sure():
    rewards = jnp.array([[2.0, 0.5], [0.1, 0.9]])
    smoothed = bradley_terry_loss(rewards, label_smoothing=0.2)[0].value
    assert smoothed == pytest.approx(float(bradley_terry_loss(rewards, target=jnp.full(2, 0.8))[0].value), rel=1e-6)


def test_accuracy_counts_ties_half_and_leaves_tied_labels_out():
    rewards = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [5.0, 0.0]])
    assert bradley_terry_loss(rewards)[1]["rewards/accuracy"].value == pytest.approx((1 + 0 + 0.5 + 1) / 4)
    target = jnp.array([1.0, 0.0, 1.0, 0.5])
    assert bradley_terry_loss(rewards, target=target)[1]["rewards/accuracy"].value == pytest.approx((1 + 1 + 0.5) / 3)


def test_nan_in_margin_or_target_under_where_changes_nothing():
    rewards, where = jnp.array([[1.0, 0.0], [jnp.nan, 0.0]]), jnp.array([True, False])
    column = jnp.array([0.5, jnp.nan])
    loss = bradley_terry_loss(rewards, margin=column, target=column, where=where)[0]
    alone = bradley_terry_loss(rewards[:1], margin=column[:1], target=column[:1])[0]
    assert loss.value == alone.value
