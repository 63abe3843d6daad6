"""Losses on single judged responses: closed values."""

from math import exp

import jax.numpy as jnp
import numpy as np
import pytest

from prefjax.losses import apo_zero_unpaired_loss, kto_loss


def rows(*ratios):
    x = jnp.array(ratios, jnp.float32)[:, None]
    return x - 1, jnp.full_like(x, -1), jnp.ones(x.shape, bool)


def test_anchored_by_itself_is_kto_at_the_reference():
    loss, metrics = apo_zero_unpaired_loss(*rows(2, -1), beta=0.5, target=jnp.array([1.0, 0.0]))
    assert loss.value == pytest.approx((1 / (1 + exp(1)) + 1 / (1 + exp(0.5))) / 2, rel=1e-6)
    assert (metrics["rewards/chosen"].value, metrics["rewards/rejected"].value) == (1, -0.5)
    kto, _ = kto_loss(*rows(2, -1), *rows(0, 0), beta=0.5, target=jnp.array([1.0, 0.0]))
    np.testing.assert_allclose(loss.value, kto.value, rtol=1e-6)
