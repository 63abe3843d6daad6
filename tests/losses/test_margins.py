"""Losses on margins: an oracle in float64, and where each is least."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax.losses import discopop_loss, dpo_loss, exo_loss, slic_loss

MASK = jnp.ones((1, 2, 1), bool)


def at(loss, h, **knobs):
    """A loss at log-ratios h and 0."""
    return loss(jnp.array([[[h], [0.0]]]), jnp.zeros((1, 2, 1)), MASK, **knobs)[0].value


def log_sigmoid(x):
    return -np.logaddexp(0, -x)


def sigmoid(x):
    return np.exp(log_sigmoid(x))


def exo(h, e):
    return sum(sigmoid(x) * (log_sigmoid(x) - np.log(p)) for x, p in ((h, 1 - e), (-h, e)))


def discopop(h, tau):
    return sigmoid(-h / tau) * -log_sigmoid(h) + sigmoid(h / tau) * np.exp(-h)


@pytest.mark.parametrize("h", [-30.0, -2.0, -0.1, 0.0, 0.1, 2.0, 30.0])
def test_against_float64(h):
    np.testing.assert_allclose(at(slic_loss, h, beta=0.5), max(0, 1 - h / 2), rtol=1e-6)
    np.testing.assert_allclose(at(exo_loss, h, beta=0.5, label_smoothing=0.1), exo(h / 2, 0.1), rtol=2e-6)
    np.testing.assert_allclose(at(discopop_loss, h, beta=0.5, tau=0.5), discopop(h / 2, 0.5), rtol=2e-6)


def test_exo_is_least_where_the_policy_is_as_sure_as_the_labels():
    best = float(np.log(0.9 / 0.1))
    gradient = jax.grad(lambda h: at(exo_loss, h, beta=1.0, label_smoothing=0.1))
    assert at(exo_loss, best, beta=1.0, label_smoothing=0.1) == pytest.approx(0, abs=1e-6)
    assert gradient(best - 0.5) < 0 < gradient(best + 0.5)


def test_exo_is_infinite_without_smoothing():
    assert at(exo_loss, 1.0, label_smoothing=0.0) == jnp.inf


def test_the_hinge_is_content_with_a_margin_of_one():
    gradient = jax.grad(lambda h: at(slic_loss, h, beta=1.0))
    assert gradient(0.99) == -1 and gradient(1.01) == 0


def test_discopop_is_the_logistic_loss_far_below_0():
    np.testing.assert_allclose(at(discopop_loss, -20.0, beta=0.5), at(dpo_loss, -20.0, beta=0.5), rtol=1e-6)
