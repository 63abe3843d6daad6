"""Best-of-n against enumeration, simulation and closed values."""

from itertools import combinations
from math import log

import numpy as np
import pytest

from prefjax.sampling.best_of_n import expected_gold, kl_bound, law
from prefjax.worlds.exact import kl

PROBS = np.array([0.5, 0.3, 0.2])
REWARDS = np.array([1.0, 0.0, 2.0])


@pytest.mark.parametrize(
    ("n", "bound"),
    [(2, 0.193147), (4, 0.636294), (8, 1.204442), (16, 1.835089), (64, 3.174508), (128, 3.859843), (1000, 5.908755)],
)
def test_kl_bound(n, bound):
    assert kl_bound(n) == pytest.approx(bound, abs=5e-7)
    assert kl_bound(n) == pytest.approx(log(n) - 1 + 1 / n)


@pytest.mark.parametrize(
    ("n", "policy", "reward", "divergence"),
    [
        (2, [0.55, 0.09, 0.36], 1.27, 0.15567),
        (4, [0.4015, 0.0081, 0.5904], 1.5823, 0.52175),
        (16, [0.8**16 - 0.3**16, 0.3**16, 1 - 0.8**16], 1.97185, 1.45540),
    ],
)
def test_law_in_three_arms(n, policy, reward, divergence):
    ours = law(PROBS, REWARDS, n)
    np.testing.assert_allclose(ours, policy, rtol=1e-9)
    assert ours @ REWARDS == pytest.approx(reward, abs=5e-6)
    assert kl(ours, PROBS) == pytest.approx(divergence, abs=5e-6)
    assert kl(ours, PROBS) < kl_bound(n)
    assert law(PROBS, REWARDS, 1) == pytest.approx(PROBS)


def test_law_with_ties_is_that_of_drawing_evenly_among_them():
    probs, rewards = np.array([0.1, 0.4, 0.2, 0.3, 0.0]), np.array([1.0, 1.0, 0.0, 2.0, 3.0])
    rng = np.random.default_rng(0)
    drawn = rng.choice(5, size=(100_000, 3), p=probs)
    best = np.argmax(rewards[drawn] + 1e-6 * rng.random(drawn.shape), axis=1)
    counts = np.bincount(drawn[np.arange(len(drawn)), best], minlength=5) / len(drawn)
    ours = law(probs, rewards, 3)
    np.testing.assert_allclose(ours, counts, atol=4 * np.sqrt(0.25 / len(drawn)))
    assert ours.sum() == pytest.approx(1)


def test_the_bound_is_tight_without_ties():
    probs = np.full(100_000, 1e-5)
    assert kl(law(probs, np.arange(100_000.0), 8), probs) == pytest.approx(kl_bound(8), abs=1e-3)


@pytest.mark.parametrize("n", [1, 2, 5, 30])
def test_win_rate_is_at_most_n_in_n_plus_one(n):
    ours = law(PROBS, REWARDS, n)
    wins = np.sign(REWARDS[:, None] - REWARDS[None]) / 2 + 0.5  # ties half
    assert 0.5 - 1e-12 <= ours @ wins @ PROBS <= n / (n + 1) + 1e-12


def test_expected_gold_of_four():
    np.testing.assert_allclose(expected_gold(np.arange(4), np.array([10, 20, 5, 1])), [9, 5.5, 2, 1], rtol=1e-12)


def test_expected_gold_is_the_mean_over_subsets_for_many_prompts_and_any_order():
    rng = np.random.default_rng(0)
    proxy, gold = rng.normal(size=(2, 2, 3, 6))
    ours = expected_gold(proxy, gold)
    for n in range(1, 7):
        subsets = [list(s) for s in combinations(range(6), n)]
        best = [np.take_along_axis(gold[..., s], proxy[..., s].argmax(-1)[..., None], -1) for s in subsets]
        np.testing.assert_allclose(ours[..., n - 1], np.mean(best, axis=0)[..., 0], rtol=1e-12)
    np.testing.assert_allclose(expected_gold(proxy, gold, [2, 5]), ours[..., [1, 4]])


def test_expected_gold_draws_evenly_among_ties():
    proxy, gold = np.array([[1, 1, 0], [0, 0, 0]]), np.array([[4.0, 8.0, 3.0], [1.0, 2.0, 6.0]])
    np.testing.assert_allclose(expected_gold(proxy, gold), [[5, 6, 6], [3, 3, 3]], rtol=1e-12)


def test_expected_gold_of_thousands_of_samples_is_finite():
    normal = np.random.default_rng(0).normal(size=4096)
    ours = expected_gold(normal, normal, [1, 2, 4, 64, 4096])
    np.testing.assert_allclose(ours, [0, 0.56419, 1.02938, 2.34373, normal.max()], atol=0.1)  # means of the best of n


def test_expected_gold_is_unbiased_in_three_arms():
    rng = np.random.default_rng(1)
    gold = np.array([0.5, 2.0, -1.0])
    drawn = rng.choice(3, size=(20_000, 8), p=PROBS)
    for n, ours in zip(range(1, 9), expected_gold(REWARDS[drawn], gold[drawn]).T, strict=True):
        assert ours.mean() == pytest.approx(law(PROBS, REWARDS, n) @ gold, abs=4 * ours.std() / np.sqrt(len(ours)))


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"ns: expected sizes from 1 to 3, got \[4\]"):
        expected_gold(np.zeros(3), np.zeros(3), [4])
    with pytest.raises(ValueError, match=r"expected equal shapes, got proxy \[3\], gold \[2\]"):
        expected_gold(np.zeros(3), np.zeros(2))
