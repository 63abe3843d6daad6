"""dpo_loss and ipo_loss against their closed values and float64 oracles."""

from math import exp, log

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax.losses import bradley_terry_loss, dpo_loss, ipo_loss, robust_dpo_loss


def pair(h):
    """Log-probabilities of one-token responses whose log-ratios differ by `h`, their reference and mask."""
    logps = jnp.array([[[h / 2 - 1.0], [-h / 2 - 1.0]]])
    return logps, jnp.full((1, 2, 1), -1.0), jnp.ones((1, 2, 1), bool)


def oracle(logps, ref_logps, mask, tau_or_beta, kind, mean=False):
    ratio = (np.asarray(logps, np.float64) - np.asarray(ref_logps, np.float64)) * mask
    sums = ratio.sum(-1) / (mask.sum(-1) if mean else 1)
    h = sums[:, 0] - sums[:, 1]
    return np.mean(np.logaddexp(0, -tau_or_beta * h) if kind == "dpo" else (h - 1 / (2 * tau_or_beta)) ** 2)


def test_closed_values():
    assert dpo_loss(*pair(0.0))[0].value == pytest.approx(log(2), rel=1e-6)
    assert dpo_loss(*pair(2.0), beta=0.1)[0].value == pytest.approx(log(1 + exp(-0.2)), rel=1e-6)
    conservative = dpo_loss(*pair(2.0), beta=0.1, label_smoothing=0.1)[0].value
    assert conservative == pytest.approx(0.9 * log(1 + exp(-0.2)) + 0.1 * log(1 + exp(0.2)), rel=1e-6)
    assert ipo_loss(*pair(2.0), tau=0.1)[0].value == pytest.approx((2 - 5) ** 2, rel=1e-6)
    assert ipo_loss(*pair(0.0), tau=0.1)[0].value == pytest.approx(1 / (4 * 0.1**2), rel=1e-6)


def test_gradients():
    logps, ref_logps, mask = pair(0.0)
    gradient = jax.grad(lambda x: dpo_loss(x, ref_logps, mask, beta=0.1)[0].value)
    np.testing.assert_allclose(gradient(logps)[0, :, 0], [-0.1 / 2, 0.1 / 2], rtol=1e-6)
    np.testing.assert_allclose(gradient(pair(2.0)[0])[0, 0, 0], -0.045017, rtol=1e-4)
    flat = jax.grad(lambda h: dpo_loss(*pair(h), beta=0.1, label_smoothing=0.1)[0].value)
    assert flat(10 * log(0.9 / 0.1)) == pytest.approx(0.0, abs=1e-7)  # its optimum: beta h = log((1 - e) / e)


def test_float64_oracle():
    rng = np.random.default_rng(0)
    logps, ref_logps = rng.normal(-2, 1, (2, 32, 2, 20)).astype(np.float32)
    mask = np.arange(20) < rng.integers(1, 21, (32, 2, 1))
    assert dpo_loss(logps, ref_logps, mask, beta=0.3)[0].value == pytest.approx(
        oracle(logps, ref_logps, mask, 0.3, "dpo"), rel=1e-6
    )
    for reduction in ("sum", "mean"):
        ours = ipo_loss(logps, ref_logps, mask, tau=0.2, reduction=reduction)[0].value
        assert ours == pytest.approx(oracle(logps, ref_logps, mask, 0.2, "ipo", reduction == "mean"), rel=1e-6)


def test_dpo_is_the_reward_model_loss_on_implicit_rewards():
    rng = np.random.default_rng(1)
    logps, ref_logps = rng.normal(-2, 1, (2, 8, 2, 5)).astype(np.float32)
    mask, margin = np.ones((8, 2, 5), bool), rng.uniform(0, 1, 8).astype(np.float32)
    ours = dpo_loss(logps, ref_logps, mask, beta=0.5, margin=margin)[0]
    rewards = 0.5 * (logps - ref_logps).sum(-1)
    assert ours.value == pytest.approx(float(bradley_terry_loss(rewards, margin=margin)[0].value), rel=1e-6)


def test_metrics_are_what_researchers_watch():
    logps = jnp.array([[[-1.0, -2.0, -9.0], [-3.0, -1.0, -9.0]]])
    ref_logps = jnp.array([[[-2.0, -2.0, 0.0], [-3.0, -2.0, 0.0]]])
    mask = jnp.array([[[True, True, False], [True, True, False]]])
    _, metrics = dpo_loss(logps, ref_logps, mask, beta=0.5)
    values = {name: float(mean.value) for name, mean in metrics.items()}
    assert values == pytest.approx(
        {
            "rewards/chosen": 0.5,
            "rewards/rejected": 0.5,
            "rewards/margin": 0.0,
            "rewards/accuracy": 0.5,
            "logps/chosen": -3.0,
            "logps/rejected": -4.0,
        }
    )


def test_unknown_reduction_is_refused():
    with pytest.raises(ValueError, match="reduction: expected 'sum' or 'mean', got 'max'"):
        ipo_loss(*pair(0.0), reduction="max")


@pytest.mark.parametrize("flipped", [0.5, 0.7])
def test_labels_that_are_noise_are_loud(flipped):
    assert np.isnan(robust_dpo_loss(*pair(1.0), label_smoothing=flipped)[0].value)
    assert np.isfinite(robust_dpo_loss(*pair(1.0), label_smoothing=0.49)[0].value)
