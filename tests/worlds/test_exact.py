"""What is known of any finite world, against definitions."""

import numpy as np
import pytest

from prefjax.worlds import exact


def test_optimum_is_better_than_its_neighbours():
    rng = np.random.default_rng(0)
    reference, rewards = rng.dirichlet(np.ones(6), 3), rng.normal(size=(3, 6))
    best = exact.optimum(reference, rewards, 0.7)
    objective = lambda policy: np.sum(policy * rewards, axis=-1) - 0.7 * exact.kl(policy, reference)
    np.testing.assert_allclose(best.value, objective(best.policy))
    np.testing.assert_allclose(best.value, 0.7 * np.log(np.sum(reference * np.exp(rewards / 0.7), axis=-1)))
    for other in rng.dirichlet(np.ones(6), (20, 3)):
        near = 0.99 * best.policy + 0.01 * other
        assert np.all(objective(near) < best.value)


def test_optimum_at_the_two_ends_of_beta():
    reference, rewards = np.array([0.5, 0.3, 0.2]), np.array([1.0, 0.0, 2.0])
    assert exact.optimum(reference, rewards, 1e-3).policy == pytest.approx([0, 0, 1])
    free = exact.optimum(reference, rewards, np.inf)
    assert free.policy == pytest.approx(reference)
    assert free.value == pytest.approx(0.5 + 2 * 0.2)


def test_divergences():
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.5, 0.3])
    assert exact.kl(p, q) == pytest.approx(0.223805, abs=5e-7)
    assert exact.kl(np.array([1.0, 0.0]), np.array([0.5, 0.5])) == pytest.approx(np.log(2))
    assert exact.total_variation(p, q) == pytest.approx(0.3)


def test_hackable_rewards():
    assert not exact.hackable([0.0, 1.0, 5.0], [1.0, 4.0, 16.0])  # r2 = 3 r1 + 1
    assert exact.hackable([1.0, 0.0], [0.0, 1.0])
    assert not exact.hackable([2.0, 2.0], [0.0, 1.0])
    assert exact.hackable(
        [0.0, 1.0, 2.0], [0.0, 1.0, 5.0]
    )  # arms in one order; mixtures of the ends against the middle


@pytest.mark.parametrize("seed", range(5))
def test_hackable_means_that_two_policies_disagree(seed):
    rng = np.random.default_rng(seed)
    first = rng.normal(size=4)
    second = first + rng.normal(size=4) if seed else 2 * first - 1
    policies = rng.dirichlet(np.ones(4), 500)
    one, two = (np.sign(np.round(x[:, None] - x[None], 9)) for x in (policies @ first, policies @ second))
    assert exact.hackable(first, second) == bool(np.any(one * two < 0))
