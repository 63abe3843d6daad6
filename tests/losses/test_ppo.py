"""The parts of PPO against closed values and float64 oracles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax.losses import ppo_policy_loss, ppo_value_loss
from prefjax.losses.ppo import explained_variance, shaped_rewards
from prefjax.metrics import merge


def one(x):
    return jnp.full((1, 1), x)


TOKEN = jnp.ones((1, 1), bool)


@pytest.mark.parametrize(
    ("advantage", "ratio", "loss", "slope"),
    [(1, 1.5, -1.2, 0), (1, 0.5, -0.5, -1), (-1, 1.5, 1.5, 1), (-1, 0.5, 0.8, 0)],
)
def test_the_clip_takes_the_pessimistic_side(advantage, ratio, loss, slope):
    def value(ratio):
        return ppo_policy_loss(jnp.log(one(ratio)), one(0.0), one(float(advantage)), TOKEN, epsilon=0.2)[0].value

    assert value(ratio) == pytest.approx(loss, rel=1e-6)
    assert jax.grad(value)(ratio) == pytest.approx(slope, rel=1e-6)
    clipped = ppo_policy_loss(jnp.log(one(ratio)), one(0.0), one(float(advantage)), TOKEN)[1]["policy/clip_fraction"]
    assert clipped.value == float(slope == 0)


def test_the_clip_may_be_higher_than_it_is_low():
    value = lambda ratio: ppo_policy_loss(jnp.log(one(ratio)), one(0.0), one(1.0), TOKEN, epsilon_high=0.28)[0].value
    assert (value(1.25), value(1.5)) == pytest.approx((-1.25, -1.28), rel=1e-6)
    down = ppo_policy_loss(jnp.log(one(0.5)), one(0.0), one(-1.0), TOKEN, epsilon_high=0.28)[0].value
    assert down == pytest.approx(0.8, rel=1e-6)


@pytest.mark.parametrize(
    ("advantage", "ratio", "loss", "slope"),
    [(-1, 5.0, 3.0, 0), (-1, 2.0, 2.0, 1), (-1, 0.5, 0.8, 0), (1, 5.0, -1.2, 0)],
)
def test_the_dual_clip_bounds_the_loss_of_unwanted_tokens(advantage, ratio, loss, slope):
    def value(ratio):
        arrays = jnp.log(one(ratio)), one(0.0), one(float(advantage)), TOKEN
        return ppo_policy_loss(*arrays, dual_clip=3.0)[0].value

    assert value(ratio) == pytest.approx(loss, rel=1e-6)
    assert jax.grad(value)(ratio) == pytest.approx(slope, rel=1e-6)


def test_at_the_old_policy_the_gradient_is_that_of_reinforce():
    rng = np.random.default_rng(0)
    logps, advantages = rng.normal(-1, 1, (2, 4, 5)).astype(np.float32)
    mask = np.arange(5) < np.array([[1], [3], [5], [4]])
    loss, metrics = ppo_policy_loss(logps, logps, advantages, mask)
    gradient = jax.grad(lambda x: ppo_policy_loss(x, logps, advantages, mask)[0].value)(logps)
    np.testing.assert_allclose(gradient, np.where(mask, -advantages / mask.sum(), 0), rtol=1e-6)
    assert loss.value == pytest.approx(-advantages[mask].mean(), rel=1e-6)
    values = {name: float(mean.value) for name, mean in metrics.items()}
    assert values == {
        "policy/ratio": 1.0,
        "policy/clip_fraction": 0.0,
        "policy/approx_kl_k1": 0.0,
        "policy/approx_kl_k3": 0.0,
    }


def test_policy_loss_and_metrics_are_their_definitions_in_float64():
    rng = np.random.default_rng(1)
    logps, old, advantages = rng.normal(-1, 1, (3, 16, 12))
    mask = np.arange(12) < rng.integers(1, 13, (16, 1))
    ratio = np.exp(logps - old)
    token = -np.minimum(ratio * advantages, np.clip(ratio, 0.7, 1.3) * advantages)
    arrays = [x.astype(np.float32) for x in (logps, old, advantages)]
    loss, metrics = ppo_policy_loss(*arrays, mask, epsilon=0.3)
    assert loss.value == pytest.approx(token[mask].mean(), rel=1e-6)
    by_response = ppo_policy_loss(*arrays, mask, epsilon=0.3, per="sequence")[0]
    assert by_response.value == pytest.approx((token * mask).sum(-1).mean(), rel=1e-6)
    unwanted = np.where(advantages < 0, np.minimum(token, -2 * advantages), token)
    dual = ppo_policy_loss(*arrays, mask, epsilon=0.3, dual_clip=2.0)[0]
    assert dual.value == pytest.approx(unwanted[mask].mean(), rel=1e-6)
    values = {name: float(mean.value) for name, mean in metrics.items()}
    assert values == pytest.approx(
        {
            "policy/ratio": ratio[mask].mean(),
            "policy/clip_fraction": (token != -ratio * advantages)[mask].mean(),
            "policy/approx_kl_k1": (old - logps)[mask].mean(),
            "policy/approx_kl_k3": (ratio - 1 - (logps - old))[mask].mean(),
        },
        rel=1e-5,
    )


def test_value_loss_stays_near_the_old_values():
    arrays = one(1.0), one(0.5), one(1.2), TOKEN
    loss, metrics = ppo_value_loss(*arrays, epsilon=0.2)
    assert loss.value == pytest.approx((0.5 + 0.2 - 1.2) ** 2 / 2, rel=1e-6)  # 0.125
    assert metrics["value/clip_fraction"].value == 1
    assert jax.grad(lambda v: ppo_value_loss(v, *arrays[1:])[0].value)(arrays[0])[0, 0] == 0
    free, metrics = ppo_value_loss(*arrays, epsilon=10.0)
    assert free.value == pytest.approx((1 - 1.2) ** 2 / 2, rel=1e-5)
    assert metrics["value/clip_fraction"].value == 0


def test_explained_variance_of_merged_parts_is_that_of_the_whole():
    rng = np.random.default_rng(2)
    returns = rng.normal(3, 2, (8, 6)).astype(np.float32)
    values = (returns + rng.normal(1, 1, (8, 6))).astype(np.float32)
    mask = np.arange(6) < rng.integers(1, 7, (8, 1))
    expected = 1 - np.var((returns - values)[mask]) / np.var(returns[mask])
    measured = lambda rows: ppo_value_loss(values[rows], values[rows], returns[rows], mask[rows])[1]
    assert explained_variance(measured(slice(None))) == pytest.approx(expected, rel=1e-4)
    merged = merge(measured(slice(0, 3)), measured(slice(3, None)))
    assert explained_variance(merged) == pytest.approx(expected, rel=1e-4)
    assert explained_variance(ppo_value_loss(returns, returns, returns, mask)[1]) == pytest.approx(1.0)
    constant = np.full((8, 6), 0.1, np.float32)
    assert explained_variance(ppo_value_loss(values, values, constant, mask)[1]) == 0


def test_shaped_rewards_are_a_penalty_a_token_and_the_score_at_the_end():
    logps, ref_logps = jnp.array([[-1.0, -2.0, -0.5]]), jnp.array([[-1.2, -1.5, -0.5]])
    rewards = shaped_rewards(jnp.array([2.0]), logps, ref_logps, jnp.ones((1, 3), bool), kl_coef=0.1)
    np.testing.assert_allclose(rewards, [[-0.02, 0.05, 2.0]], rtol=1e-5)


def test_shaped_rewards_follow_the_mask():
    logps = np.array([[np.nan, -1.0, -1.0, np.nan], [np.nan, -1.0, np.nan, -1.0], [np.nan] * 4], np.float32)
    mask = ~np.isnan(logps)  # a row, one with a hole, and one without a response
    scores = np.array([0.7, 1.9, 5.0], np.float32)
    rewards = shaped_rewards(scores, logps, np.full((3, 4), -3.0, np.float32), mask, kl_coef=0.5)
    np.testing.assert_allclose(rewards, [[0, -1, 0.7 - 1, 0], [0, -1, 0, 1.9 - 1], [0, 0, 0, 0]], rtol=1e-6)


@pytest.mark.parametrize(("estimator", "penalty"), [("k1", -1.0), ("k2", 0.5), ("k3", np.e - 1 - 1)])
def test_shaped_rewards_with_other_estimators(estimator, penalty):
    arrays = jnp.zeros(1), one(-2.0), one(-1.0), TOKEN
    assert shaped_rewards(*arrays, kl_coef=1.0, estimator=estimator)[0, 0] == pytest.approx(-penalty, rel=1e-6)


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.bfloat16])
def test_scores_are_not_cut_to_the_type_of_a_buffer(dtype):
    tokens = jnp.zeros((2, 1), dtype)
    rewards = shaped_rewards(jnp.array([0.75, 1.5]), tokens, tokens, jnp.ones((2, 1), bool), kl_coef=0.1)
    assert rewards.dtype == jnp.float32
    np.testing.assert_array_equal(rewards, [[0.75], [1.5]])


def test_unknown_words_are_refused():
    with pytest.raises(ValueError, match="estimator: expected one of k1, k2, k3, got 'k4'"):
        shaped_rewards(jnp.zeros(1), one(0.0), one(0.0), TOKEN, kl_coef=0.1, estimator="k4")
    with pytest.raises(ValueError, match="per: expected 'token', 'response' or 'sequence', got 'row'"):
        ppo_policy_loss(one(0.0), one(0.0), one(0.0), TOKEN, per="row")
    with pytest.raises(ValueError, match=r"scores: expected shape \[1\], got \[2\]"):
        shaped_rewards(jnp.zeros(2), one(0.0), one(0.0), TOKEN, kl_coef=0.1)
