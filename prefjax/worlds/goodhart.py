"""A world in which too much of a good thing is bad, and exactly how much: reward hacking with a known peak.

A response is 8 of 10 tokens, and the reference draws them independently and evenly. A token v is worth w_v, from -1 to
1. The proxy adds up all tokens; gold counts each token once, and takes 0.6 for every repetition:

    proxy = sum_t w(y_t)        gold = sum over distinct v in y of w_v - 0.6 (8 - number of distinct tokens)

Both depend only on how often each token occurs: what holds of the 10^8 responses is a sum over 24,310 multisets. The
policy that maximises E proxy - beta KL draws tokens independently, with odds exp(w / beta).
"""

import functools
from collections.abc import Callable
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import gammaln

from prefjax.sampling.best_of_n import law
from prefjax.types import Prompts, Sequences
from prefjax.worlds import exact
from prefjax.worlds.tokens import Tokens

VOCAB, LENGTH, REPEAT = 10, 8, 0.6
WORTH = np.linspace(-1.0, 1.0, VOCAB)
STOP = -1  # no token: every response has 8


class Point(NamedTuple):
    """Where a policy stands."""

    kl: float  # to the reference, nats a response
    proxy: float
    gold: float


def prompts(count: int) -> Prompts:
    """A batch of prompts of one token, all alike."""
    shape = (count, 1)
    return Prompts(np.zeros(shape, np.int32), np.ones(shape, bool), np.zeros(count, np.int32))  # ty: ignore


def tokenizer() -> Tokens:
    """For `config.tokenizer`."""
    return Tokens(VOCAB, STOP)


def reward(run: Any) -> Callable:
    """For `config.reward`: the proxy."""
    del run
    return lambda frozen, sequences, ids: proxy(sequences)


def proxy(sequences: Sequences) -> jax.Array:
    """The reward that is trained on `[...]`, of the response tokens of rows `[..., T]`."""
    worth = jnp.asarray(WORTH, jnp.float32)[sequences.tokens]
    return jnp.sum(jnp.where(sequences.response, worth, 0.0), axis=-1)


def gold(sequences: Sequences) -> jax.Array:
    """The true reward `[...]`."""
    hits = sequences.response[..., None] & jax.nn.one_hot(sequences.tokens, VOCAB, dtype=bool)  # [..., T, V]
    distinct = jnp.any(hits, axis=-2).astype(jnp.float32)
    repeats = jnp.sum(sequences.response, axis=-1, dtype=jnp.float32) - jnp.sum(distinct, axis=-1)
    return distinct @ jnp.asarray(WORTH, jnp.float32) - REPEAT * repeats


def optimum(beta: float) -> Point:
    """What the policy that maximises E proxy - beta KL achieves; at an infinite beta it is the reference."""
    reference = np.full(VOCAB, 1 / VOCAB)
    token = exact.optimum(reference, WORTH, beta)
    present = 1 - (1 - token.policy) ** LENGTH  # probability that a token occurs at all
    repeats = LENGTH - present.sum()
    return Point(float(LENGTH * token.kl), float(LENGTH * token.reward), float(present @ WORTH - REPEAT * repeats))


def best_of(n: float) -> Point:
    """What the best of n responses of the reference by proxy achieves."""
    mass, proxies, golds = _multisets()
    chosen = law(mass, proxies, n)
    return Point(float(exact.kl(chosen, mass)), float(chosen @ proxies), float(chosen @ golds))


@functools.cache
def _multisets() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probability under the reference, proxy and gold of every multiset of tokens."""
    draws = np.array(list(combinations_with_replacement(range(VOCAB), LENGTH)))
    counts = np.stack([(draws == v).sum(axis=1) for v in range(VOCAB)], axis=1)  # [24310, V]
    mass = np.exp(gammaln(LENGTH + 1) - gammaln(counts + 1).sum(axis=1) - LENGTH * np.log(VOCAB))
    present = counts > 0
    ranks = counts @ np.arange(VOCAB)  # whole numbers, so that equal proxies are equal
    return mass, ranks * (WORTH[1] - WORTH[0]) - LENGTH, present @ WORTH - REPEAT * (LENGTH - present.sum(axis=1))
