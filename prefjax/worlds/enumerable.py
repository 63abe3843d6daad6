"""All responses of a real transformer, listed: every probability, divergence and optimum is a sum.

Responses are up to `length` tokens of a small vocabulary and end at token 0 or when they are full. A prompt is one
token. Rewards are normal numbers, one for each prompt and response. Letters: `P` prompts, `S` responses.
"""

import functools
from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from prefjax import models, ops
from prefjax.types import Pairs, Params, Prompts, Sequences
from prefjax.worlds.tokens import Tokens

STOP = 0


class World(NamedTuple):
    """A world as data: a pytree, so that a jitted reward can take it as an argument."""

    responses: Sequences  # [P, S, 1 + length]
    rewards: np.ndarray  # [P, S] float32
    table: np.ndarray  # [P, vocab^length] float32: rewards by the digits of a response; NaN for what is none


def make(vocab: int = 5, length: int = 3, prompts: int = 2, seed: int = 0) -> World:
    """The world of a seed.

    Args:
      vocab: tokens, of which 0 is the stop token.
      length: tokens of the longest response.
      prompts: P, the prompts are the tokens 0 to P - 1.
      seed: of the rewards.
    """
    digits = np.array(list(product(range(vocab), repeat=length)), np.int32)  # in the order of their codes
    ended = np.cumsum(digits == STOP, axis=1) - (digits == STOP) > 0  # a stop token came before
    kept = np.all(~ended | (digits == STOP), axis=1)
    digits, written = digits[kept], ~ended[kept]
    starts = np.broadcast_to(np.arange(prompts, dtype=np.int32)[:, None, None], (prompts, len(digits), 1))
    every = lambda x: np.broadcast_to(x, (prompts, *x.shape))
    response = np.concatenate([np.zeros(starts.shape, bool), every(written)], axis=-1)
    tokens = np.concatenate([starts, every(digits)], axis=-1)
    valid = response | (np.arange(1 + length) == 0)
    rewards = np.random.default_rng(seed).normal(size=(prompts, len(digits))).astype(np.float32)
    table = np.full((prompts, len(kept)), np.nan, np.float32)
    table[:, kept] = rewards
    return World(Sequences(tokens, valid, response), rewards, table)  # ty: ignore[invalid-argument-type]


def score(world: World, sequences: Sequences) -> jax.Array:
    """Reward `[...]` of rows `[..., T]` that a prompt of the world begins, whatever their padding."""
    length = world.responses.tokens.shape[-1] - 1
    vocab = round(world.table.shape[1] ** (1 / length))
    place = jnp.cumsum(sequences.response, axis=-1)  # 1 at the first token of a response
    code = jnp.sum(jnp.where(sequences.response, sequences.tokens * vocab ** (length - place), 0), axis=-1)
    return jnp.asarray(world.table)[sequences.tokens[..., 0], code]


def tokenizer(vocab: int = 5) -> Tokens:
    """For `config.tokenizer`."""
    return Tokens(vocab, STOP)


def reward(run: Any, *, vocab: int = 5, length: int = 3, prompts: int = 2, seed: int = 0) -> Callable:
    """For `config.reward`: the rewards of the world that these make."""
    del run
    world = make(vocab, length, prompts, seed)
    return lambda frozen, sequences, ids: score(world, sequences)


def prompts(world: World, count: int) -> Prompts:
    """A batch in which the prompts take turns."""
    ids = np.arange(count, dtype=np.int32) % len(world.rewards)
    return Prompts(ids[:, None], np.ones((count, 1), bool), ids)  # ty: ignore[invalid-argument-type]


def pairs(world: World, probs: np.ndarray, count: int, seed: int, soft: bool = False) -> Pairs:
    """Pairs of responses drawn with `probs` `[P, S]`, the first preferred by a Bradley-Terry rater.

    With `soft` they carry the probability that the rater prefers the first, who may then have preferred the second.
    """
    prompt, ordered, chance = judged(world, probs, count, seed, soft)
    sequences = jax.tree.map(lambda x: x[prompt[:, None], ordered], world.responses)
    target = chance.astype(np.float32) if soft else None
    return Pairs(sequences, np.ones(count, np.float32), target=target)  # ty: ignore[invalid-argument-type]


def judged(
    world: World, probs: np.ndarray, count: int, seed: int, soft: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What `pairs` is made of, by index.

    Returns:
      Prompts `[N]`, responses `[N, 2]` with the preferred one first, and the probability `[N]` that the rater prefers
      the one that was drawn first.
    """
    rng = np.random.default_rng(seed)
    prompt = np.arange(count) % len(probs)
    drawn = np.array([rng.choice(probs.shape[1], size=2, p=probs[p]) for p in prompt])
    rewards = world.rewards[prompt[:, None], drawn]
    chance = 1 / (1 + np.exp(rewards[:, 1] - rewards[:, 0]))
    first = soft | (rng.random(count) < chance)
    return prompt, np.where(first[:, None], drawn, drawn[:, ::-1]), chance


def reference(world: World, key: jax.Array, spread: float = 8.0) -> tuple[models.Transformer, Params]:
    """A Llama of two layers, random, its output embedding `spread` times the usual so that responses differ.

    Its positions are relative, so that a prompt token and the same token repeated look alike to it: after prompt 1 it
    cannot draw another token than after prompt 1 and response 1, and may miss the optimum. Prompt 0 is never repeated.
    """
    vocab = int(np.max(world.responses.tokens)) + 1
    model = models.llama(
        vocab=vocab, width=32, layers=2, heads=2, positions=world.responses.tokens.shape[-1], tied=False
    )
    params = models.init(model, key)["params"]
    return model, {"params": params | {"lm_head": jax.tree.map(lambda x: spread * x, params["lm_head"])}}


def log_probs(model: models.Transformer, params: Params, world: World) -> np.ndarray:
    """Log-probability of every response `[P, S]`, float64; the probabilities of a prompt add up to 1."""
    return np.asarray(_log_probs(model, params, world.responses), np.float64)


@functools.partial(jax.jit, static_argnums=0)
def _log_probs(model, params, sequences):
    return ops.sum_tokens(models.logps(model, params, sequences), sequences.response)
