"""Sampling: one prefill and a while loop of single tokens, in one compiled program."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from prefjax import ops
from prefjax.models import Transformer
from prefjax.types import Params, Sequences


@functools.partial(jax.jit, static_argnames=("model", "max_new", "top_k", "n"))
def generate(
    model: Transformer,
    params: Params,
    tokens: jax.Array,
    valid: jax.Array,
    key: jax.Array,
    *,
    max_new: int,
    stop: int | jax.Array,
    temperature: float | jax.Array = 1.0,
    top_k: int | None = None,
    top_p: float | jax.Array | None = None,
    n: int = 1,
    first: int | jax.Array = 0,
) -> tuple[Sequences, jax.Array]:
    """Samples `n` responses to each prompt, until their stop token or `max_new` tokens.

    A prompt is read once, whatever `n`: the responses to it start from copies of its keys and values. What a row draws
    depends on its prompt, its index in the batch and `key` alone: not on the other rows, nor on how
    far the batch is padded. The loop ends when every row has stopped. The stop token is part of the response, and a
    response cut at `max_new` does not have one.

    Args:
      model, params: as everywhere; or a `prefjax.sampling.mixture.Mixture` of two.
      tokens, valid: `[B, P]` prompts, right-padded.
      key: a new one for each call.
      max_new: the longest response.
      stop: the token that ends a response: one, or one for each prompt `[B]`.
      temperature: divides the logits; 0 takes the most likely token, and then log-probs are those at temperature 1.
      top_k: draw among the k most likely tokens.
      top_p: draw among the most likely tokens that together have this probability, or just more (after top_k).
      n: responses to each prompt, one after the other.
      first: index of the first row, where the rows are a part of a batch.

    Returns:
      Rows `[B * n, P + max_new]`, `[prompt | response | padding]`, padded with token 0, and the log-probability, in
      nats, of each response token under the distribution it was drawn from, 0 elsewhere.
    """
    ops.check_shape("tokens", tokens, (None, None))
    ops.check_same_shape(tokens=tokens, valid=valid)
    rows, width = tokens.shape[0] * n, tokens.shape[1]
    stop = jnp.repeat(jnp.broadcast_to(jnp.asarray(stop, jnp.int32), tokens.shape[:1]), n)
    params = model.apart(model.cast(params))
    lengths = jnp.sum(valid, axis=-1)  # [B]
    row_keys = jax.vmap(jax.random.fold_in, (None, 0))(key, first + jnp.arange(rows))

    def going(state):
        step, done = state[:2]
        return (step < max_new) & ~jnp.all(done)

    def advance(state):
        step, done, count, response, logps, logits, cache = state
        keys = jax.vmap(jax.random.fold_in, (0, None))(row_keys, step)
        token, logp = _draw(keys, logits, temperature, top_k, top_p)
        response = jax.lax.dynamic_update_slice(response, token[:, None], (0, step))
        logps = jax.lax.dynamic_update_slice(logps, logp[:, None], (0, step))
        count = jnp.where(done, count, step + 1)
        logits, cache = model.apply(params, token[:, None], jnp.ones((rows, 1), bool), cache, method="extend")
        return step + 1, done | (token == stop), count, response, logps, logits, cache

    # Prompts move to the right edge, so that every row writes the same slot of the cache.
    cache = model.empty_cache(len(tokens), width + max_new)
    prompts: Any = model.apply(params, *_align_right(tokens, lengths), cache, method="extend")
    logits, cache = prompts
    tokens, lengths, logits = (jnp.repeat(x, n, axis=0) for x in (tokens, lengths, logits))
    cache = jax.tree.map(lambda x: jnp.repeat(x, n, axis=0) if x.ndim else x, cache)  # all but the slots written
    response, logps = jnp.zeros((rows, max_new), jnp.int32), jnp.zeros((rows, max_new), jnp.float32)
    state = (jnp.int32(0), jnp.zeros(rows, bool), jnp.zeros(rows, jnp.int32), response, logps, logits, cache)
    _, _, count, response, logps, _, _ = jax.lax.while_loop(going, advance, state)
    return _join(tokens, lengths, response, logps, count)


def _draw(keys, logits, temperature, top_k, top_p):
    """One token a row and its log-probability, from logits `[B, V]`."""
    temperature = jnp.asarray(temperature, jnp.float32)
    greedy = temperature == 0
    logits = logits / jnp.where(greedy, 1.0, temperature)
    order = None
    if top_k is not None or top_p is not None:
        logits, order = jax.lax.top_k(logits, min(top_k or logits.shape[-1], logits.shape[-1]))  # [B, k], falling
    if top_p is not None:
        probs = jax.nn.softmax(logits)
        before = jnp.cumsum(probs, axis=-1) - probs
        logits = jnp.where((before < top_p).at[:, 0].set(True), logits, -jnp.inf)
    drawn = jax.vmap(_categorical)(keys, logits)
    token = jnp.where(greedy, jnp.argmax(logits, axis=-1), drawn)[:, None]
    logp = jnp.take_along_axis(logits, token, axis=-1)[:, 0] - jax.nn.logsumexp(logits, axis=-1)
    token = token if order is None else jnp.take_along_axis(order, token, axis=-1)
    return token[:, 0].astype(jnp.int32), logp


def _categorical(key, logits):
    """An index drawn from logits `[V]`, first a block and then a place in it: V random numbers would cost too much."""
    size = math.isqrt(len(logits) - 1) + 1
    blocks = jnp.pad(logits, (0, -len(logits) % size), constant_values=-jnp.inf).reshape(-1, size)
    first, second = jax.random.split(key)
    block = jax.random.categorical(first, jax.nn.logsumexp(blocks, axis=-1))
    return block * size + jax.random.categorical(second, blocks[block])


def _align_right(tokens, lengths):
    """Left-padded rows and their mask, from right-padded ones."""
    width = tokens.shape[1]
    source = jnp.arange(width)[None] - (width - lengths)[:, None]  # [B, P], negative in the padding
    return jnp.take_along_axis(tokens, jnp.maximum(source, 0), axis=1), source >= 0


def _join(tokens, lengths, response, logps, count):
    """`[prompt | response | padding]` and its log-probs, from prompts and the `count` tokens that follow them."""
    total = tokens.shape[1] + response.shape[1]
    index = jnp.arange(total)[None] - lengths[:, None]  # [B, T], the place in the response
    written = (index >= 0) & (index < count[:, None])
    source = jnp.clip(index, 0, response.shape[1] - 1)
    pick = functools.partial(jnp.take_along_axis, indices=source, axis=1)
    prompt = jnp.where(index < 0, jnp.pad(tokens, ((0, 0), (0, response.shape[1]))), 0)
    return (
        Sequences(jnp.where(written, pick(response), prompt), (index < 0) | written, written),
        jnp.where(written, pick(logps), 0.0),
    )
