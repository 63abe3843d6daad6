"""Every response of a transformer: the list, the rewards, and the sampler and losses held against the sums."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax import models, ops
from prefjax.losses import policy_gradient_loss
from prefjax.losses.ppo import shaped_rewards
from prefjax.sampling import generate
from prefjax.worlds import enumerable, exact


@pytest.fixture(scope="module")
def world():
    return enumerable.make(vocab=4, length=3, prompts=2, seed=1)


@pytest.fixture(scope="module")
def policy(world):
    return enumerable.reference(world, jax.random.key(0))


def test_the_list_is_complete_and_its_rows_are_rows(world):
    tokens, valid, response, _ = world.responses
    written = {tuple(row[mask].tolist()) for row, mask in zip(tokens[0], response[0], strict=True)}
    assert len(written) == tokens.shape[1] == 1 + 3 + 3 * 3 * 4  # ended at 1, at 2, at 3 or full
    assert all(0 not in row[:-1] and (row[-1] == 0 or len(row) == 3) for row in written)
    np.testing.assert_array_equal(valid, response | (np.arange(4) == 0))
    np.testing.assert_array_equal(tokens[..., 0], [[0] * 40, [1] * 40])
    assert np.all(tokens[~valid] == 0)


def test_probabilities_add_up_to_one_and_are_not_even(world, policy):
    probs = np.exp(enumerable.log_probs(*policy, world))
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-5)
    assert exact.total_variation(probs[0], probs[1]) > 0.05


def test_scores_of_rows_whatever_their_padding(world):
    rows = world.responses
    np.testing.assert_array_equal(jax.jit(enumerable.score)(world, rows), world.rewards)
    wider = jax.tree.map(lambda x: np.pad(x, [(0, 0), (0, 0), (0, 2)]), rows)
    np.testing.assert_array_equal(enumerable.score(world, wider), world.rewards)
    again = enumerable.make(vocab=4, length=3, prompts=2, seed=1)
    np.testing.assert_array_equal(again.rewards, world.rewards)


def test_the_sampler_draws_what_the_sums_say(world, policy):
    model, params = policy
    batch = enumerable.prompts(world, 8192)
    rows, logps = generate(model, params, batch.tokens, batch.valid, jax.random.key(3), max_new=3, stop=enumerable.STOP)
    log_probs = enumerable.log_probs(model, params, world)
    index = enumerable.make(vocab=4, length=3, prompts=2)._replace(
        table=np.where(np.isnan(world.table), np.nan, np.cumsum(~np.isnan(world.table), axis=1) - 1)
    )
    drawn = np.asarray(enumerable.score(index, rows)).astype(int)
    np.testing.assert_allclose(logps.sum(axis=1), log_probs[batch.ids, drawn], atol=1e-4)
    for prompt in (0, 1):
        counts = np.bincount(drawn[batch.ids == prompt], minlength=40)
        expected = np.exp(log_probs[prompt]) * counts.sum()
        assert np.sum((counts - expected) ** 2 / expected) < 39 + 4 * np.sqrt(2 * 39)  # chi-squared


def test_the_expected_policy_gradient_is_the_gradient_of_the_objective(world, policy):
    """From shaped rewards by Monte Carlo returns to the loss, on every response with its probability."""
    model, params = policy
    reference = jax.tree.map(lambda x: x + 0.1 * jnp.cos(jnp.arange(x.size).reshape(x.shape)), params)
    rows, beta = jax.tree.map(lambda x: x.reshape(-1, 4), world.responses), 0.5
    scores, mask = world.rewards.ravel(), rows.response
    logps = jax.jit(lambda params: models.logps(model, params, rows))
    total = lambda params: ops.sum_tokens(logps(params), mask)
    ref_logps = logps(reference)

    def objective(params):
        p = total(params)
        return jnp.sum(jnp.exp(p) * (scores - beta * (p - ops.sum_tokens(ref_logps, mask))))

    rewards = shaped_rewards(scores, logps(params), ref_logps, mask, kl_coef=beta)
    returns, _ = ops.gae(rewards, jnp.zeros_like(rewards), mask, gamma=1.0, lam=1.0)
    weights = jnp.exp(total(params))[:, None]

    def sampled(params):
        loss, _ = policy_gradient_loss(logps(params), returns * weights, mask, per="sequence")
        return -loss.total

    ours, exactly = (jax.jit(jax.grad(f))(params) for f in (sampled, objective))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5), ours, exactly)
    assert max(float(jnp.max(jnp.abs(g))) for g in jax.tree.leaves(exactly)) > 0.1


def test_pairs_are_drawn_and_judged_as_said(world):
    probs = np.stack([np.full(40, 1 / 40), np.eye(40)[3] / 2 + np.eye(40)[5] / 2])
    batch = enumerable.pairs(world, probs, 4000, seed=0)
    tokens, _, response, _ = batch.sequences
    assert tokens.shape == (4000, 2, 4)
    np.testing.assert_array_equal(tokens[..., 0], np.arange(4000)[:, None] % 2 * np.ones((1, 2), int))
    second = enumerable.score(world, batch.sequences)[1::2]  # of the prompt with two responses
    apart = second[second[:, 0] != second[:, 1]]
    assert len(apart) == pytest.approx(1000, abs=4 * np.sqrt(2000 / 4))
    high, low = max(world.rewards[1, [3, 5]]), min(world.rewards[1, [3, 5]])
    share = float(np.mean(np.asarray(apart[:, 0]) == high))
    expected = float(1 / (1 + np.exp(low - high)))
    assert share == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / len(apart)))
    assert np.all(response.any(axis=-1))
