"""Preference losses in a step, with and without a reference."""

import jax
import pytest

from prefjax import models
from prefjax.algorithms import dpo
from prefjax.config import base, hparams
from prefjax.data import rows
from prefjax.data.batches import batches
from prefjax.errors import ConfigError
from prefjax.train import one_step
from prefjax.worlds import desk

TOKENIZER = desk.tokenizer()
NET = models.llama(vocab=TOKENIZER.vocab_size, width=16, layers=1, heads=2)


def recipe(loss):
    c = base()
    c.loss, c.optim.tx, c.optim.lr, c.optim.schedule, c.mesh.data = loss, "adam()", 1e-2, "constant()", 1
    return c


def test_a_loss_on_log_probs_alone_needs_no_reference():
    c = recipe("simpo_loss(beta=2.0, gamma=1.0)")
    table, _ = rows.pairs(list(desk.pairs(n=8)), TOKENIZER, 80)
    batch, algorithm = batches(table, 8, 80, seed=0)(0), dpo.make(c, {"policy": NET})
    state = algorithm.init(jax.random.key(0), models.init(NET, jax.random.key(0)))
    step, told = jax.jit(one_step(algorithm.step)), []
    for _ in range(10):
        state, metrics = step(state, {}, hparams(c), batch, jax.random.key(1))
        told.append(float(metrics["loss"].value))
    assert told[-1] < told[0] - 0.3


def test_a_loss_on_ratios_needs_one():
    with pytest.raises(ConfigError, match=r"config.frozen.reference is not set; .* c.frozen.reference = c.model"):
        dpo.make(recipe("apo_zero_loss()"), {"policy": NET})
