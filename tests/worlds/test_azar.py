"""Where IPO and DPO end up with three arms."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax.losses import dpo_loss, ipo_loss
from prefjax.worlds import bandit
from prefjax.worlds.azar import DATASETS, ipo_optimum


@pytest.mark.parametrize(
    ("tau", "policy"),
    [(0.1, [0.96437, 0.03440, 0.00123]), (0.5, [0.56274, 0.28892, 0.14834]), (1.0, [0.44844, 0.32132, 0.23024])],
)
def test_ipo_on_a_total_order(tau, policy):
    m = 1 / (2 * tau)
    ours = ipo_optimum(DATASETS["D1"].pairs, tau)
    assert ours == pytest.approx(policy, abs=5.1e-6)
    weights = np.exp([2 * m / 3, 0, -2 * m / 3])
    assert ours == pytest.approx(weights / weights.sum())


def test_ipo_on_a_cycle_and_without_a_word_on_c_is_uniform():
    for name in ("D2", "D3"):
        assert ipo_optimum(DATASETS[name].pairs, 0.1) == pytest.approx(np.full(3, 1 / 3))


@pytest.mark.parametrize(("tau", "last"), [(0.1, 0.00336), (0.5, 0.15536), (1.0, 0.23270)])
def test_ipo_on_a_draw_and_a_loser(tau, last):
    ours = ipo_optimum(DATASETS["D3 and (a, c)"].pairs, tau)
    assert ours[2] == pytest.approx(last, abs=5.1e-6)
    assert ours[0] == pytest.approx(ours[1])


def test_ipo_on_two_arms():
    for tau in (0.1, 1.0):
        assert ipo_optimum(np.array([(0, 1)]), tau, arms=2)[0] == pytest.approx(1 / (1 + np.exp(-0.5 / tau)))


@pytest.mark.parametrize(
    ("name", "far"),
    [("D1", [80, 40, 0]), ("D2", [0, 0, 0]), ("D3", [0, 0, 0]), ("D3 and (a, c)", [40, 40, 0])],
)
def test_the_losses_have_no_slope_there(name, far):
    pairs, limit = DATASETS[name]
    mask = np.ones((len(pairs), 2, 1), bool)

    @functools.partial(jax.jit, static_argnums=0)
    def slope(loss, logits):
        start = bandit.logps(jnp.zeros(3), pairs)
        return jax.grad(lambda x: loss(bandit.logps(x, pairs), start, mask)[0].value)(logits)

    np.testing.assert_allclose(slope(ipo_loss, jnp.log(jnp.float32(ipo_optimum(pairs, 0.1)))), 0, atol=5e-6)
    np.testing.assert_allclose(jax.nn.softmax(jnp.float32(far)), limit, atol=1e-6)
    np.testing.assert_allclose(slope(dpo_loss, 10 * jnp.float32(far)), 0, atol=1e-6)  # at beta 0.1
