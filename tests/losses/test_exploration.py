"""XPO is DPO on targets, and a bonus that is linear in a log-probability."""

import jax
import numpy as np
import pytest

from prefjax.losses import dpo_loss, xpo_loss

RNG = np.random.default_rng(0)
LOGPS, REF = (-RNG.exponential(size=(2, 8, 2, 6))).astype(np.float32)
MASK = np.arange(6) < RNG.integers(1, 7, (8, 2, 1))
TARGET = np.float32([0, 1] * 4)


def test_value_and_gradient_in_float64():
    ratios = 0.5 * np.where(MASK, LOGPS.astype(np.float64) - REF, 0).sum(-1)
    gap = (ratios[:, 0] - ratios[:, 1]) * (2 * TARGET - 1)  # of the preferred one over the other
    theirs = np.where(MASK, LOGPS, 0)[:, 1].sum(-1)
    loss, metrics = xpo_loss(LOGPS, REF, MASK, beta=0.5, alpha=0.1, target=TARGET)
    assert loss.value == pytest.approx(np.log1p(np.exp(-gap)).mean() + 0.1 * theirs.mean(), rel=1e-5)
    assert metrics["loss/dpo"].value == pytest.approx(np.log1p(np.exp(-gap)).mean(), rel=1e-5)
    ours, plain = (
        jax.grad(lambda x, f=f, k=k: f(x, REF, MASK, beta=0.5, target=TARGET, **k)[0].value)(LOGPS)
        for f, k in ((xpo_loss, {"alpha": 0.1}), (dpo_loss, {}))
    )
    bonus = 0.1 * MASK * [[[0], [1]]] / 8  # pushes the reference's responses down, token by token
    np.testing.assert_allclose(ours - plain, bonus, atol=1e-7)
