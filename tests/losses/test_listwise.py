"""Losses on rankings: closed values, oracles in float64, candidates that are not there, equal ranks."""

from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax.losses import all_pairs_loss, bradley_terry_loss, plackett_luce_loss
from prefjax.metrics import merge

RNG = np.random.default_rng(0)
REWARDS = RNG.normal(0, 2, (8, 5)).astype(np.float32)
RANKS = np.int32([[0, 1, 2, 3, 4], [2, 0, 1, -1, -1], [0, 1, 1, 2, -1], [-1, 0, -1, 5, -1]] * 2)


def oracle(rewards, ranks):
    """Negative log-likelihood, and mean of the losses of pairs, of one ranking."""
    rewards, ranks = np.asarray(rewards, np.float64)[ranks >= 0], ranks[ranks >= 0]
    ranking = sum(np.log(np.exp(rewards[ranks >= k] - r).sum()) for r, k in zip(rewards, ranks, strict=True))
    pairs = [np.logaddexp(0, b - a) for a, i in zip(rewards, ranks) for b, j in zip(rewards, ranks) if i < j]  # noqa: B905
    return ranking, np.mean(pairs)


@pytest.mark.parametrize(
    ("rewards", "ranking", "pairs"), [((2, 1, 0), 0.720868, 0.251150), ((3, 1, 0.5, -1), 0.968037, 0.171064)]
)
def test_closed_values(rewards, ranking, pairs):
    rewards = jnp.array([rewards], jnp.float32)
    assert plackett_luce_loss(rewards)[0].value == pytest.approx(ranking, abs=1e-6)
    assert all_pairs_loss(rewards)[0].value == pytest.approx(pairs, abs=1e-6)


@pytest.mark.parametrize("loss", [plackett_luce_loss, all_pairs_loss])
def test_against_float64_and_whatever_stands_where_there_is_no_candidate(loss):
    expected = np.mean([oracle(r, k)[loss is all_pairs_loss] for r, k in zip(REWARDS, RANKS, strict=True)])
    spoiled = np.where(RANKS < 0, np.nan, REWARDS)
    both = [jax.value_and_grad(lambda r: loss(r, ranks=RANKS)[0].value)(rewards) for rewards in (REWARDS, spoiled)]
    for value, gradient in both:
        np.testing.assert_allclose(value, expected, rtol=1e-6)
        assert not np.any(np.asarray(gradient)[RANKS < 0])
    np.testing.assert_array_equal(both[0][1], both[1][1])
    parts = [loss(REWARDS[i::4], ranks=RANKS[i::4]) for i in range(4)]
    whole = merge(merge(parts[0], parts[1]), merge(parts[2], parts[3]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), whole, loss(REWARDS, ranks=RANKS))


@pytest.mark.parametrize("loss", [plackett_luce_loss, all_pairs_loss])
def test_a_ranking_of_two_is_a_pair(loss):
    ranking, pair = loss(REWARDS[:, :2]), bradley_terry_loss(REWARDS[:, :2])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), ranking, pair)


def test_the_likelihoods_of_all_orders_add_to_one():
    total = sum(np.exp(-plackett_luce_loss(REWARDS[:1, order])[0].value) for order in permutations(range(4)))
    assert total == pytest.approx(1, rel=1e-6)


def test_equal_ranks_draw_together_and_order_within_them_does_not_matter():
    ranks = np.int32([[0, 1, 1]])
    rewards = np.float32([[0, 1, -1]])
    gradient = jax.grad(lambda r: plackett_luce_loss(r, ranks=ranks)[0].value)(rewards)[0]
    assert gradient[1] > 0 > gradient[0] and gradient[1] > gradient[2]
    swapped = plackett_luce_loss(rewards[:, [0, 2, 1]], ranks=ranks)[0].value
    assert plackett_luce_loss(rewards, ranks=ranks)[0].value == pytest.approx(float(swapped), rel=1e-6)
    assert all_pairs_loss(np.float32([[3, 3]]), ranks=np.int32([[0, 0]]))[0].value == 0


def test_gradients_are_finite_at_the_ends():
    for scale in (1e4, -1e4):
        rewards = np.float32([[scale, 0, -scale]])
        value, gradient = jax.value_and_grad(lambda r: plackett_luce_loss(r)[0].value)(rewards)
        assert np.isfinite(value) and np.isfinite(gradient).all()
