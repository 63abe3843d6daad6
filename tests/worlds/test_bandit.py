"""The bandit's published optima, and what training needs of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax.losses import dpo_loss
from prefjax.worlds import bandit, exact


@pytest.mark.parametrize(
    ("beta", "policy", "reward", "kl", "value"),
    [
        (0.5, [0.24772, 0.02012, 0.73217], 1.71205, 0.72179, 1.35116),
        (1.0, [0.43327, 0.09563, 0.47110], 1.37546, 0.23221, 1.14325),
        (2.0, [0.49422, 0.17985, 0.32593], 1.14608, 0.06140, 1.02327),
    ],
)
def test_tilted_optimum(beta, policy, reward, kl, value):
    best = exact.optimum(bandit.REFERENCE, bandit.REWARDS, beta)
    assert best.policy == pytest.approx(policy, abs=5.1e-6)
    assert (best.reward, best.kl, best.value) == pytest.approx((reward, kl, value), abs=5.1e-6)


def test_policy_and_score_under_jit():
    logits = jnp.log(jnp.asarray(bandit.REFERENCE, jnp.float32))
    arms = jnp.array([[0, 2], [1, 1]])
    np.testing.assert_allclose(jax.jit(bandit.logps)(logits, arms)[..., 0], np.log(bandit.REFERENCE[arms]), rtol=1e-6)
    np.testing.assert_allclose(jax.jit(bandit.score)(arms), bandit.REWARDS[arms])


def test_the_gradient_of_dpo_on_soft_labels_is_zero_at_the_optimum_and_not_elsewhere():
    arms, target = bandit.pairs()
    ref = jnp.log(jnp.asarray(bandit.REFERENCE, jnp.float32))

    def loss(logits):
        return dpo_loss(
            bandit.logps(logits, arms), bandit.logps(ref, arms), np.ones((3, 2, 1), bool), beta=0.5, target=target
        )[0].value

    best = exact.optimum(bandit.REFERENCE, bandit.REWARDS, 0.5).policy
    np.testing.assert_allclose(jax.grad(loss)(jnp.log(jnp.asarray(best, jnp.float32))), 0, atol=1e-7)
    assert np.abs(jax.grad(loss)(ref)).max() > 0.05


def test_dpo_does_not_mind_mass_on_arms_it_never_saw():
    """Xu et al. 2024, table 1: one pair over three arms, loss log(1 + (b / a)^beta) wherever the rest is."""
    uniform, mask = jnp.zeros(3), np.ones((1, 2, 1), bool)
    for a, b in ((0.1, 0.3), (0.45, 0.05), (0.1, 1e-9)):
        logits = jnp.log(jnp.array([a, b, 1 - a - b]))
        arms = np.array([[0, 1]])
        loss = dpo_loss(bandit.logps(logits, arms), bandit.logps(uniform, arms), mask, beta=0.5)[0].value
        assert loss == pytest.approx(np.log1p((b / a) ** 0.5), rel=1e-5)
