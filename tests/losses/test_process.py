"""The loss on judged steps: closed values, and a reward model that learns which steps are good."""

from math import exp, log

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax import models
from prefjax.algorithms import reward
from prefjax.config import base, hparams
from prefjax.data import rows
from prefjax.data.batches import batches
from prefjax.losses import process_reward_loss
from prefjax.train import one_step
from prefjax.types import Steps
from prefjax.worlds import desk


def test_closed_values():
    rewards, mask = jnp.array([[2.0, 7.0, -1.0], [0.0, 3.0, 0.5]]), jnp.array([[1, 0, 1], [0, 1, 0]], bool)
    target = jnp.array([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    loss, metrics = process_reward_loss(rewards, mask, target=target)
    assert loss.value == pytest.approx((log(1 + exp(-2)) + log(1 + exp(1)) + log(1 + exp(3))) / 3, rel=1e-6)
    assert loss.weight == 3 and metrics["rewards/accuracy"].value == pytest.approx(1 / 3)
    assert (metrics["rewards/chosen"].value, metrics["rewards/rejected"].value) == (0.5, 3)
    soft, _ = process_reward_loss(rewards[:1, :1], mask[:1, :1], target=jnp.full((1, 1), 0.5))
    assert soft.value == pytest.approx((log(1 + exp(-2)) + log(1 + exp(2))) / 2, rel=1e-6)


def test_a_reward_model_learns_which_steps_are_good():
    tokenizer = desk.tokenizer()
    good, bad = "I hear you.", "I cannot help with that."
    solutions = [[good, bad], [bad, good], [good, good], [bad, bad, good]] * 2
    records = [
        {"prompt": record["prompt"], "steps": texts, "labels": [text == good for text in texts]}
        for record, texts in zip(desk.prompts(), solutions, strict=False)
    ]
    table, counts = rows.steps(records, tokenizer, 80, separator=" ")
    assert counts["steps"] == 18
    batch = batches(table, 8, 80, seed=0)(0)
    assert isinstance(batch, Steps)
    lengths, ends = batch.sequences.valid.sum(-1), batch.ends
    assert ends.sum() == 18 and ends[np.arange(8), lengths - 1].all(), "the last step ends with the response"
    assert (batch.sequences.response | ~ends).all()
    c = base()
    c.algorithm, c.loss, c.optim.tx, c.optim.lr = "reward", "process_reward_loss()", "adam()", 1e-2
    c.optim.schedule, c.mesh.data = "constant()", 1
    net = models.llama(vocab=tokenizer.vocab_size, width=16, layers=1, heads=2)
    algorithm = reward.make(c, {"policy": net})
    state = algorithm.init(jax.random.key(0), models.init(net, jax.random.key(0)))
    step, told = jax.jit(one_step(algorithm.step)), []
    for _ in range(25):
        state, metrics = step(state, {}, hparams(c), batch, jax.random.key(1))
        told.append({name: float(mean.value) for name, mean in metrics.items()})
    assert told[-1]["loss"] < 0.2 < told[0]["loss"] and told[-1]["rewards/accuracy"] == 1
    tokens, valid, _, packing = batch.sequences
    scores = net.apply(state.params, tokens, valid, packing, method="score")
    last = batch.target[np.arange(8), lengths - 1]
    assert ((np.asarray(scores) > 0) == (last > 0.5)).all(), "a response is scored by its last step"
