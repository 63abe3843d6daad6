"""Policy losses on rankings: closed values, oracles in float64, what they are of two candidates."""

from math import log

import jax
import numpy as np
import pytest

from prefjax.losses import (
    all_pairs_dpo_loss,
    all_pairs_ipo_loss,
    all_pairs_loss,
    dpo_loss,
    ipo_loss,
    lipo_loss,
    plackett_luce_dpo_loss,
    plackett_luce_loss,
)

RNG = np.random.default_rng(0)
RANKS = np.int32([[0, 1, 2, 3, 4], [2, 0, 1, -1, -1], [0, 1, 1, 2, -1], [-1, 0, -1, 5, -1]] * 2)
LOGPS, REF_LOGPS = RNG.normal(-2, 1, (2, 8, 5, 6)).astype(np.float32)
MASK = (np.arange(6) < RNG.integers(1, 7, (8, 5, 1))) & (RANKS >= 0)[..., None]
RATIOS = ((LOGPS - REF_LOGPS) * MASK).sum(-1, dtype=np.float64)


def test_dpo_on_rankings():
    logps, ref_logps, mask = LOGPS, REF_LOGPS, MASK
    loss, metrics = plackett_luce_dpo_loss(logps, ref_logps, mask, beta=0.5, ranks=RANKS)
    rewards = 0.5 * ((logps - ref_logps) * mask).sum(-1)
    np.testing.assert_allclose(loss.value, plackett_luce_loss(rewards, ranks=RANKS)[0].value, rtol=1e-5)
    assert metrics["logps/chosen"].weight == 8 and metrics["logps/rejected"].weight == 20
    start = plackett_luce_dpo_loss(logps[:1], logps[:1], mask[:1], ranks=RANKS[:1])[0].value
    assert start == pytest.approx(log(120), rel=1e-6)
    two = [x[:, :2] for x in (logps, ref_logps, mask)]
    of_two = [loss(*two, beta=0.5) for loss in (plackett_luce_dpo_loss, dpo_loss)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), *of_two)


def test_all_pairs_are_those_of_different_rank():
    knobs = {"beta": 0.5, "ranks": RANKS}
    expected = all_pairs_loss((0.5 * RATIOS).astype(np.float32), ranks=RANKS)[0].value
    np.testing.assert_allclose(all_pairs_dpo_loss(LOGPS, REF_LOGPS, MASK, **knobs)[0].value, expected, rtol=1e-5)
    losses = []
    for h, ranks in zip(RATIOS, RANKS, strict=True):
        above = [(i, j) for i in range(5) for j in range(5) if 0 <= ranks[i] < ranks[j]]
        losses.append(np.mean([(h[i] - h[j] - 2.5) ** 2 for i, j in above]))
    value = all_pairs_ipo_loss(LOGPS, REF_LOGPS, MASK, tau=0.2, ranks=RANKS)[0].value
    np.testing.assert_allclose(value, np.mean(losses), rtol=1e-5)


def lipo(scores, ranks):
    """In float64, pair by pair."""
    there = [i for i in range(len(ranks)) if ranks[i] >= 0]
    place = {i: 1 + sum(scores[j] > scores[i] for j in there) for i in there}
    gain = {i: 2 ** (1 - ranks[i] / max(ranks)) for i in there}
    weight = lambda i, j: abs(gain[i] - gain[j]) * abs(1 / np.log1p(place[i]) - 1 / np.log1p(place[j]))
    pairs = ((i, j) for i in there for j in there if ranks[i] < ranks[j])
    return sum(weight(i, j) * np.logaddexp(0, scores[j] - scores[i]) for i, j in pairs)


def test_lipo_weighs_pairs_by_what_their_order_is_worth():
    expected = np.mean([lipo(0.5 * h, ranks) for h, ranks in zip(RATIOS, RANKS, strict=True)])
    value = lipo_loss(LOGPS, REF_LOGPS, MASK, beta=0.5, ranks=RANKS)[0].value
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    at_the_start = lipo_loss(LOGPS, LOGPS, MASK, ranks=RANKS)[
        0
    ].value  # equal rewards lie in the order they are written
    assert at_the_start > 0.1
    gradient = jax.grad(lambda x: lipo_loss(x, LOGPS, MASK, ranks=RANKS)[0].value)(LOGPS)
    assert (gradient[0, 0] < 0)[MASK[0, 0]].all() and (gradient[0, 4] > 0)[MASK[0, 4]].all()


def test_two_candidates_are_a_pair():
    two = [x[:, :2] for x in (LOGPS, REF_LOGPS, np.broadcast_to(np.arange(6) < 4, LOGPS.shape))]
    np.testing.assert_allclose(all_pairs_dpo_loss(*two)[0].value, dpo_loss(*two)[0].value, rtol=1e-5)
    np.testing.assert_allclose(all_pairs_ipo_loss(*two)[0].value, ipo_loss(*two)[0].value, rtol=1e-5)
    worth = 1 / log(2) - 1 / log(3)
    np.testing.assert_allclose(lipo_loss(*two)[0].value, worth * dpo_loss(*two)[0].value, rtol=1e-5)
