"""Worlds of numbers, as an on-policy run names them: the stop token and the reward come from call strings."""

import jax
import jax.numpy as jnp
import numpy as np

from prefjax import rewards
from prefjax.data import load
from prefjax.types import Sequences
from prefjax.worlds import enumerable, goodhart


def make(world, sizes, call):
    tokens = load.tokenizer(f"prefjax.worlds.{world}:tokenizer({sizes})")
    return tokens, rewards.make(f"prefjax.worlds.{world}:reward({call})", {}, tokens, list)


def test_enumerable():
    tokens, reward = make("enumerable", "vocab=4", "vocab=4, length=2, prompts=1, seed=3")
    world = enumerable.make(vocab=4, length=2, prompts=1, seed=3)
    assert tokens == (4, enumerable.STOP)
    rows = jax.tree.map(lambda x: x[0], world.responses)
    np.testing.assert_array_equal(reward({}, rows, jnp.zeros(len(rows.tokens)))[0], world.rewards[0])


def test_goodhart():
    tokens, reward = make("goodhart", "", "")
    assert tokens == (goodhart.VOCAB, goodhart.STOP)
    rows = Sequences(jnp.array([[0, 9, 9, 4, 0]]), jnp.ones((1, 5), bool), jnp.arange(5)[None] > 0)
    np.testing.assert_allclose(reward({}, rows, jnp.zeros(1))[0], [1 + 1 - 1 / 9 - 1], rtol=1e-6)
