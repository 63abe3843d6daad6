"""Variants of DPO: an oracle in float64, and the settings at which each is DPO."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax.losses import cal_dpo_loss, dpo_loss, f_dpo_loss, ld_dpo_loss, rdpo_loss, wpo_loss

RNG = np.random.default_rng(0)
LOGPS, REF_LOGPS = RNG.uniform(-3, -0.1, (2, 5, 2, 6))
LENGTHS = RNG.integers(1, 7, (5, 2))
MASK = np.arange(6) < LENGTHS[..., None]
RATIOS = np.sum((LOGPS - REF_LOGPS) * MASK, axis=-1)
ARRAYS = jnp.float32(LOGPS), jnp.float32(REF_LOGPS), jnp.asarray(MASK)


def log_sigmoid(x):
    return -np.logaddexp(0, -x)


def logistic(rewards):
    return -log_sigmoid(rewards[:, 0] - rewards[:, 1])


def common():
    weights = np.where(np.arange(6) < LENGTHS.min(axis=1)[:, None, None], 1.0, 0.3)
    return np.sum(weights * (LOGPS - REF_LOGPS) * MASK, axis=-1)


def weights():
    return np.exp(np.sum(np.sum(LOGPS * MASK, axis=-1) / LENGTHS, axis=-1))


ORACLES = {
    "rdpo": (rdpo_loss, {"alpha": 0.2}, logistic(0.5 * RATIOS + 0.2 * LENGTHS)),
    "ld_dpo": (ld_dpo_loss, {"alpha": 0.3}, logistic(0.5 * common())),
    "reverse KL": (f_dpo_loss, {"divergence": "reverse_kl"}, logistic(0.5 * RATIOS)),
    "forward KL": (f_dpo_loss, {"divergence": "forward_kl"}, logistic(-0.5 * np.exp(-RATIOS))),
    "JS": (f_dpo_loss, {"divergence": "js"}, logistic(0.5 * np.log(2 / (1 + np.exp(-RATIOS))))),
    "alpha": (f_dpo_loss, {"divergence": "alpha", "alpha": 0.3}, logistic(0.5 * (1 - np.exp(-0.3 * RATIOS)) / 0.3)),
    "cal_dpo": (cal_dpo_loss, {}, logistic(RATIOS) + (RATIOS[:, 0] - 1) ** 2 + (RATIOS[:, 1] + 1) ** 2),
    "wpo": (wpo_loss, {}, weights() * logistic(0.5 * RATIOS)),
}


@pytest.mark.parametrize("name", ORACLES)
def test_against_float64(name):
    loss, knobs, expected = ORACLES[name]
    np.testing.assert_allclose(loss(*ARRAYS, beta=0.5, **knobs)[0].value, expected.mean(), rtol=2e-6)


@pytest.mark.parametrize(("loss", "knobs"), [(rdpo_loss, {"alpha": 0.0}), (ld_dpo_loss, {"alpha": 1.0})])
def test_dpo_is_a_special_case(loss, knobs):
    np.testing.assert_allclose(loss(*ARRAYS, **knobs)[0].value, dpo_loss(*ARRAYS)[0].value, rtol=1e-6)


def test_the_alpha_divergence_tends_to_the_reverse_kl():
    near = f_dpo_loss(*ARRAYS, divergence="alpha", alpha=1e-3)[0].value
    np.testing.assert_allclose(near, dpo_loss(*ARRAYS)[0].value, rtol=1e-3)


def test_another_divergence_is_refused():
    with pytest.raises(ValueError, match="expected one of reverse_kl, forward_kl, js, alpha; got 'tv'"):
        f_dpo_loss(*ARRAYS, divergence="tv")


def test_cal_dpo_pulls_a_chosen_response_up_where_dpo_lets_it_fall():
    def pull(loss, x):
        ones = jnp.ones((1, 2, 1), bool)
        return -jax.grad(lambda x: loss(x[None, :, None], jnp.zeros((1, 2, 1)), ones, beta=0.5)[0].value)(x)

    far = jnp.array([-30.0, -80.0])  # both have become unlikely, the rejected one more so
    assert pull(dpo_loss, far)[0] == pytest.approx(0, abs=1e-6)
    assert pull(cal_dpo_loss, far)[0] > 1


def test_the_weights_of_pairs_have_no_gradient():
    def gradient(loss, logps, ref_logps, mask):
        return jax.grad(lambda x: loss(x, ref_logps, mask)[0].value)(logps)

    for at, weight in enumerate(weights()):
        one = [x[at : at + 1] for x in ARRAYS]
        np.testing.assert_allclose(gradient(wpo_loss, *one), weight * gradient(dpo_loss, *one), rtol=1e-5, atol=1e-8)
