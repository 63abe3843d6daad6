"""Losses whose statistic spans the batch: closed values, and what the statistic is of."""

from math import exp, log

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax import optim
from prefjax.config import base
from prefjax.errors import ConfigError
from prefjax.losses import aot_loss, bco_unpaired_loss, beta_dpo_loss, dpo_loss, kto_loss


def rows(*ratios):
    """Log-probs of one-token responses at log-ratios, their reference and mask."""
    x = jnp.array(ratios, jnp.float32)[:, None]
    return x - 1, jnp.full_like(x, -1), jnp.ones(x.shape, bool)


def kto(ratios, others, good, **knobs):
    return kto_loss(*rows(*ratios), *rows(*others), target=jnp.array(good, jnp.float32), **knobs)


def test_kto_closed_values():
    for ratio, good in ((2, 1), (-1, 0)):
        assert kto([ratio], [0.5], [good])[0].value == pytest.approx(1 / (1 + exp(0.15)), rel=1e-5)  # .462570
    assert kto([0, 0], [0, 0], [1, 0])[0].value == 0.5
    loss, metrics = kto([0, 0], [3, -1], [1, 0], beta=1.0, desirable=2.0, undesirable=0.5)
    assert metrics["kl"].value == 1
    assert loss.value == pytest.approx((2 / (1 + exp(-1)) + 0.5 / (1 + exp(1))) / 2, rel=1e-6)


def test_the_reference_point_of_kto_is_never_negative_and_has_no_gradient():
    assert kto([0, 0], [-3, 1], [1, 0])[1]["kl"].value == 0
    gradient = jax.grad(lambda x: kto_loss(*rows(1, 2), x, *rows(3, 4)[1:])[0].value)(rows(3, 4)[0])
    assert not gradient.any()


def test_rows_that_do_not_count_and_mismatches_that_do_not_fit_leave_the_reference_point_alone():
    others, mask = rows(1, 2, jnp.nan), jnp.array([[True], [False], [True]])
    loss, metrics = kto_loss(*rows(0, 0, 0), *others[:2], mask, where=jnp.array([True, True, False]))
    assert (metrics["kl"].value, loss.weight) == (1, 2)


def test_bco_on_single_responses():
    knobs = {"beta": 0.5, "target": jnp.array([1.0, 0, 0])}
    loss, metrics = bco_unpaired_loss(*rows(4, 1, -1), **knobs)
    assert metrics["shift"].value == (2 + 0) / 2
    assert loss.value == pytest.approx((log(1 + exp(-1)) + log(1 + exp(-0.5)) + log(1 + exp(-1.5))) / 3, rel=1e-5)
    alone, metrics = bco_unpaired_loss(*rows(4, 2), beta=0.5)
    assert metrics["shift"].value == 1.5 and alone.weight == 2


@pytest.mark.parametrize("paired", [True, False])
def test_aot_compares_quantiles(paired):
    rng = np.random.default_rng(0)
    logps, ref_logps = rng.normal(-2, 1, (2, 6, 2, 3)).astype(np.float32)
    mask = np.ones((6, 2, 3), bool)
    policy, reference = logps.sum(-1, dtype=np.float64), ref_logps.sum(-1, dtype=np.float64)
    high, low = (x[:, 0] - x[:, 1] for x in (policy, reference)) if paired else (policy - reference).T
    expected = np.logaddexp(0, -0.5 * (np.sort(high) - np.sort(low)))
    knobs = {"beta": 0.5, "paired": paired}
    assert aot_loss(logps, ref_logps, mask, **knobs)[0].value == pytest.approx(expected.mean(), rel=1e-5)
    one = [x[:1] for x in (logps, ref_logps, mask)]
    assert aot_loss(*one, **knobs)[0].value == pytest.approx(float(dpo_loss(*one, beta=0.5)[0].value), rel=1e-5)


def test_beta_grows_with_the_mean_margin_of_the_batch_and_is_held():
    logps = jnp.array([[[3.0], [0.0]], [[1.0], [2.0]]])
    zeros, mask = jnp.zeros_like(logps), jnp.ones(logps.shape, bool)
    loss, metrics = beta_dpo_loss(logps, zeros, mask, beta=0.5, alpha=0.6, threshold=0.1)
    beta = 0.5 * (1 + 0.6 * (0.5 * 1.0 - 0.1))  # margins of 3 and -1 nats
    assert metrics["beta"].value == pytest.approx(beta, rel=1e-6)
    np.testing.assert_allclose(loss.value, dpo_loss(logps, zeros, mask, beta=beta)[0].value, rtol=1e-6)
    held = jax.grad(lambda x: beta_dpo_loss(x, zeros, mask, beta=0.5, threshold=0.1)[0].value)(logps)
    plain = jax.grad(lambda x: dpo_loss(x, zeros, mask, beta=beta)[0].value)(logps)
    np.testing.assert_allclose(held, plain, rtol=1e-6)
    assert beta_dpo_loss(logps, zeros, mask, alpha=0.6, threshold=9.0)[1]["beta"].value == 0  # never the wrong way


@pytest.mark.parametrize("changes", [{"parallel": "pmap"}, {"optim": {"accumulate": 2}}])
def test_a_run_that_would_cut_the_batch_is_refused(changes):
    c = base()
    c.update({"loss": "dpo_loss(beta=0.1) + aot_loss()"} | changes)
    with pytest.raises(ConfigError, match=r"'aot_loss\(\)' compares rows .*accumulate should be 1 and .*'jit'"):
        optim.loss_of(c)
