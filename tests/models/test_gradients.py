"""Packed rows give the numbers of rows, and the gradients that are written out are those of the derivation."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefjax import models, optim
from prefjax.data.batches import epoch
from prefjax.data.rows import Rows
from prefjax.losses import sft_loss
from prefjax.models.gradients import collect, dot, spread

SIZES = {"vocab": 37, "width": 16, "layers": 2, "heads": 4, "positions": 32}
LLAMA = models.llama(**SIZES, kv_heads=2, tied=False)
ALL = {"llama": LLAMA, "gpt2": models.gpt2(**SIZES), "qwen2": models.llama(**SIZES, qkv_bias=True)}
LENGTHS = np.random.default_rng(1).integers(1, 13, (16, 3))
LENGTHS[3] = 12, 12, 12  # one that fills its rows


def batch(lengths, responses=2, microbatches=1, shards=1):
    """Rows whose prompt and responses have these lengths, one batch of them."""
    parts = np.asarray(lengths)[:, : responses + 1]
    ends = np.cumsum(parts).reshape(parts.shape)
    offsets = np.concatenate([ends[:, :1] - parts[:, :1], ends], axis=1)
    tokens = np.random.default_rng(0).integers(0, 37, ends[-1, -1]).astype(np.int32)
    rows = Rows(tokens, offsets, np.arange(len(parts), dtype=np.int32))
    (found,) = epoch(rows, len(parts), 32, microbatches=microbatches, shards=shards)
    return found


PAIRS, DEMOS = batch(LENGTHS), batch(np.tile(LENGTHS, (3, 1)), responses=1)


def loose(sequences):
    return sequences._replace(packing=None)


@functools.cache
def random(model):
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: models.init(model, jax.random.key(0), ("lm", "score")))
    return jax.tree.map(lambda x: jnp.float32(0.2 * rng.normal(size=x.shape)), shapes)


def logps(model, params, sequences):
    return models.logps(model, params, sequences)


def score(model, params, sequences):
    tokens, valid, _, packing = sequences
    return model.apply(params, tokens, valid, packing, method="score")


def values(model, params, sequences):
    tokens, valid, response, packing = sequences
    return jnp.where(response, model.apply(params, tokens, valid, packing, method="values"), 0)


@functools.partial(jax.jit, static_argnums=(0, 1))
def output_and_gradient(output, model, params, sequences):
    def loss(params):
        found = output(model, params, sequences)
        return jnp.mean(jnp.sin(found)), found

    return jax.grad(loss, has_aux=True)(params)[::-1]


def close(a, b, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


@pytest.mark.parametrize(
    ("output", "name", "rows"),
    [
        (logps, "llama", PAIRS),
        (score, "llama", PAIRS),
        (values, "llama", PAIRS),
        (logps, "gpt2", DEMOS),
        (logps, "qwen2", PAIRS),
    ],
    ids=["logps-llama-pairs", "score-llama-pairs", "values-llama-pairs", "logps-gpt2-demos", "logps-qwen2-pairs"],
)
def test_packed_rows_give_the_numbers_of_rows(output, name, rows):
    sequences, model = rows.sequences, ALL[name]
    assert sequences.packing.stream.size < sequences.tokens.size
    packed, plain = (output_and_gradient(output, model, random(model), x) for x in (sequences, loose(sequences)))
    close(packed, plain, rtol=1e-5, atol=1e-5)


def test_so_they_do_with_activations_recomputed():
    again, params = models.computing(LLAMA, remat=True), random(LLAMA)
    plain = output_and_gradient(logps, LLAMA, params, loose(PAIRS.sequences))
    close(output_and_gradient(logps, again, params, PAIRS.sequences), plain, rtol=1e-5, atol=1e-5)


def test_and_nearly_in_bfloat16():
    half, params = models.computing(LLAMA, "bfloat16"), random(LLAMA)
    with jax.numpy_dtype_promotion("standard"):  # attention of jax mixes its dtypes on the way back
        exact, packed = (output_and_gradient(logps, m, params, PAIRS.sequences) for m in (LLAMA, half))
    for a, b in zip(jax.tree.leaves(exact), jax.tree.leaves(packed), strict=True):
        assert b.dtype == jnp.float32
        assert jnp.linalg.norm(a - b) <= 0.05 * jnp.linalg.norm(a)


def test_many_models_share_a_packing():
    params = jax.tree.map(lambda x: jnp.stack([x, 0.5 * x]), random(LLAMA))
    each = functools.partial(output_and_gradient, logps, LLAMA)
    together = jax.vmap(each, in_axes=(0, None))(params, PAIRS.sequences)
    for run in range(2):
        one = lambda tree, run=run: jax.tree.map(lambda x: x[run], tree)
        close(one(together), each(one(params), loose(PAIRS.sequences)), rtol=1e-5, atol=1e-5)


def sft(params, frozen, hparams, batch, key):
    logps = models.logps(LLAMA, params, batch.sequences)
    return sft_loss(logps, batch.sequences.response, where=batch.weight > 0)


@functools.partial(jax.jit, static_argnums=2)
def update(params, rows, microbatches):
    return optim.gradients(sft, params, {}, {}, rows, jax.random.key(0), microbatches)


@pytest.mark.parametrize(("microbatches", "shards"), [(1, 2), (2, 1), (4, 1), (2, 2)])
def test_microbatches_and_shards_of_packed_rows_equal_the_full_batch(microbatches, shards):
    lengths = np.concatenate([np.tile(LENGTHS[:8, :2] // 6 + 1, (15, 1)), LENGTHS[:8, :2]])  # one row is much longer
    rows = batch(lengths, 1, microbatches, shards)
    assert len(rows.sequences.packing.stream) == microbatches * shards
    whole = rows._replace(sequences=loose(rows.sequences))
    close(update(random(LLAMA), rows, microbatches), update(random(LLAMA), whole, 1), rtol=1e-4, atol=1e-5)


def test_no_gradient_of_the_layers_is_a_scatter():
    """What scatters is an embedding of `[V, D]`, and what the heads read from rows."""

    def loss(params):
        return jnp.sum(LLAMA.apply(params, PAIRS.sequences.tokens, packing=PAIRS.sequences.packing, method="hidden"))

    text = str(jax.make_jaxpr(jax.grad(loss))(random(LLAMA)))
    scattered = re.findall(r":(\w+\[[\d,]*\]) = scatter", text)
    assert scattered == ["f32[37,16]"]
    assert "gather" in text


def test_gradients_of_gathers_are_their_transposes():
    """`<f(x), d> = <x, back(d)>` where d is 0 under padding and at places that are not used, as it is in a model."""
    packing, rng = PAIRS.sequences.packing, np.random.default_rng(0)
    stream = np.where(packing.copies[..., :1] >= 0, rng.normal(size=(*packing.stream.shape, 3)), 0).astype(np.float32)
    rows = rng.normal(size=(*PAIRS.sequences.valid.shape, 3)).astype(np.float32)
    rows = np.where(PAIRS.sequences.valid[..., None], rows, 0).reshape(32, -1, 3)
    for gather, x, d in ((spread, stream, rows), (collect, rows, stream)):
        y, back = jax.vjp(lambda x, gather=gather: gather(x, packing), x)
        np.testing.assert_allclose(jnp.sum(y * d), jnp.sum(x * back(jnp.asarray(d))[0]), rtol=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*3 * [st.integers(1, 10)]), min_size=8, max_size=8), st.sampled_from([1, 2, 4]))
def test_any_lengths_go_to_the_stream_and_back(lengths, microbatches):
    sequences = batch(lengths * 4, 2, microbatches).sequences  # four of each: some padding or prompt is worth packing
    packing = sequences.packing
    if packing is None:
        return
    rows = [np.arange(32) % microbatches == m for m in range(microbatches)]
    for group, here in enumerate(rows):
        one = packing._replace(
            stream=packing.stream[group, None], copies=packing.copies[group, None], place=packing.place[here]
        )
        flat = sequences.tokens[here].reshape(-1, sequences.tokens.shape[-1])
        stream = collect(flat, one)
        back = np.asarray(spread(stream, one)).reshape(sequences.tokens[here].shape)
        np.testing.assert_array_equal(back[sequences.valid[here]], sequences.tokens[here][sequences.valid[here]])
        assert (packing.copies[group, :, 0] >= 0).sum() == np.sum(lengths * 4, axis=1)[here].sum()


def test_the_gradient_of_a_product_is_that_of_the_product():
    rng = np.random.default_rng(0)
    x, kernel, d = (jnp.float32(rng.normal(size=shape)) for shape in ((2, 3, 4), (4, 5), (2, 3, 5)))
    ours, plain = (jax.vjp(f, x, kernel) for f in (dot, jnp.matmul))
    close((ours[0], ours[1](d)), (plain[0], plain[1](d)), rtol=1e-5)
