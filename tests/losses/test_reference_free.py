"""Losses without a reference: an oracle in float64, and what each is a case of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax.losses import cpo_loss, dpo_loss, orpo_loss, sft_loss, simpo_loss, unlikelihood_loss

RNG = np.random.default_rng(0)
LOGPS = RNG.uniform(-3, -0.1, (5, 2, 6))
LENGTHS = RNG.integers(1, 7, (5, 2))
MASK = np.arange(6) < LENGTHS[..., None]
TOTALS = np.sum(LOGPS * MASK, axis=-1)
MEANS = TOTALS / LENGTHS


def log_sigmoid(x):
    return -np.logaddexp(0, -x)


def odds(p):
    return p - np.log(-np.expm1(p))


def absent():
    return np.sum(np.log(-np.expm1(LOGPS[:, 1])) * MASK[:, 1], axis=-1)


ORACLES = {
    "simpo": (simpo_loss, {"beta": 2.5, "gamma": 0.5}, -log_sigmoid(2.5 * (MEANS[:, 0] - MEANS[:, 1]) - 0.5)),
    "cpo": (cpo_loss, {"beta": 0.3, "nll": 0.5}, -log_sigmoid(0.3 * (TOTALS[:, 0] - TOTALS[:, 1])) - 0.5 * MEANS[:, 0]),
    "orpo": (orpo_loss, {"lam": 0.2}, -MEANS[:, 0] - 0.2 * log_sigmoid(odds(MEANS[:, 0]) - odds(MEANS[:, 1]))),
    "unlikelihood": (unlikelihood_loss, {"alpha": 0.5}, -TOTALS[:, 0] - 0.5 * absent()),
}


@pytest.mark.parametrize("name", ORACLES)
def test_against_float64(name):
    loss, knobs, expected = ORACLES[name]
    found = loss(jnp.float32(LOGPS), jnp.asarray(MASK), **knobs)[0].value
    np.testing.assert_allclose(found, expected.mean(), rtol=1e-6)


def test_cpo_without_likelihood_is_dpo_against_a_reference_that_finds_all_alike():
    logps, mask = jnp.float32(LOGPS), jnp.asarray(MASK)
    np.testing.assert_allclose(
        cpo_loss(logps, mask, nll=0.0)[0].value, dpo_loss(logps, jnp.zeros_like(logps), mask)[0].value, rtol=1e-6
    )


def test_without_unlikelihood_it_is_supervised_fine_tuning_on_the_chosen_side():
    logps, mask = jnp.float32(LOGPS), jnp.asarray(MASK)
    sft = sft_loss(logps[:, 0], mask[:, 0], per="sequence")[0].value
    np.testing.assert_allclose(unlikelihood_loss(logps, mask, alpha=0.0)[0].value, sft, rtol=1e-6)


def test_a_sure_policy_has_finite_odds():
    sure = jnp.zeros((1, 2, 2))
    for loss in (orpo_loss, unlikelihood_loss):
        gradient = jax.grad(lambda x, loss=loss: loss(x, jnp.ones((1, 2, 2), bool))[0].value)(sure)
        assert np.all(np.isfinite(gradient))


def test_simpo_measures_rewards_by_token():
    twice = jnp.float32(np.repeat(LOGPS, 2, axis=-1)), jnp.asarray(np.repeat(MASK, 2, axis=-1))
    once = jnp.float32(LOGPS), jnp.asarray(MASK)
    np.testing.assert_allclose(simpo_loss(*twice)[0].value, simpo_loss(*once)[0].value, rtol=1e-6)
