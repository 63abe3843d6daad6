import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax import models
from prefjax.errors import ConfigError
from prefjax.models.transformer import RopeScaling, Transformer, _turns

SIZES = {"vocab": 37, "width": 16, "layers": 2, "heads": 4, "positions": 32}
LLAMA = models.llama(**SIZES, kv_heads=2, tied=False)
GPT2 = models.gpt2(**SIZES)
FAMILIES = pytest.mark.parametrize(
    "model", [LLAMA, GPT2, models.llama(**SIZES, qkv_bias=True)], ids=["llama", "gpt2", "qwen2"]
)
LENGTHS = jnp.array([7, 3, 10])
VALID = jnp.arange(10)[None] < LENGTHS[:, None]
TOKENS = jnp.asarray(np.random.default_rng(0).integers(0, 37, (3, 10)), jnp.int32)


@functools.partial(jax.jit, static_argnames=("model", "method"))
def apply(model, params, *args, method=None):
    return model.apply(params, *args, method=method)


def random(model, seed=0):
    """Parameters far from initialisation, so that every one of them matters."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda: models.init(model, jax.random.key(0), ("lm", "score")))
    return jax.tree_util.tree_map_with_path(
        lambda path, x: jnp.float32(0.4 * rng.normal(size=x.shape) + (path[-1].key == "scale")), shapes
    )


def left(x):
    """The rows of `x` moved to the right edge."""
    return jnp.stack([jnp.roll(row, 10 - n) for row, n in zip(x, LENGTHS, strict=True)])


@FAMILIES
def test_a_token_depends_on_those_before_it_alone(model):
    params = random(model)
    changed = TOKENS.at[:, 5].set((TOKENS[:, 5] + 1) % 37)
    before, after = apply(model, params, TOKENS), apply(model, params, changed)
    assert before.dtype == jnp.float32
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert jnp.all(jnp.max(jnp.abs(before - after)[:, 5:], axis=-1) > 1e-3)


@FAMILIES
def test_padding_changes_nothing(model):
    params, alone = random(model), TOKENS[1:2, :3]  # row 1 without neighbours and padding
    longer = jnp.pad(left(TOKENS), ((0, 0), (3, 4))), jnp.pad(left(VALID), ((0, 0), (3, 4)))
    logits, masked, moved = (apply(model, params, *x) for x in ((TOKENS,), (TOKENS, VALID), longer))
    np.testing.assert_allclose(logits[1:2, :3], apply(model, params, alone), atol=1e-5)
    np.testing.assert_allclose(masked[VALID], logits[VALID], atol=1e-5)
    np.testing.assert_allclose(moved[:, 3:13][left(VALID)], logits[VALID], atol=1e-5)
    scores, elsewhere = (apply(model, params, *x, method="score") for x in ((TOKENS, VALID), longer))
    np.testing.assert_allclose(scores[1:2], apply(model, params, alone, alone >= 0, method="score"), atol=1e-5)
    np.testing.assert_allclose(elsewhere, scores, atol=1e-5)


def test_score_reads_the_last_valid_token_even_if_padding_equals_it():
    params = random(LLAMA)
    tokens = jnp.array([[5, 6, 2, 2, 2]])  # 2 ends the row, and pads it
    scores = [apply(LLAMA, params, tokens, jnp.arange(5)[None] < n, method="score") for n in (2, 3, 4)]
    hidden = apply(LLAMA, params, tokens, method="hidden")
    for n, score in zip((2, 3, 4), scores, strict=True):
        np.testing.assert_allclose(score, hidden[:, n - 1] @ params["params"]["score_head"]["kernel"][:, 0], atol=1e-5)
    assert len({round(float(score[0]), 3) for score in scores}) == 3


def test_values_are_scores_of_prefixes():
    params = random(GPT2)
    values = apply(GPT2, params, TOKENS, method="values")
    prefixes = [
        apply(GPT2, params, TOKENS, jnp.arange(10)[None] + 0 * TOKENS < t, method="score") for t in range(1, 10)
    ]
    np.testing.assert_allclose(values, jnp.stack([jnp.zeros(3), *prefixes], axis=1), atol=1e-5)


def test_leading_axes_are_kept():
    params, pairs = random(LLAMA), jnp.stack([TOKENS, TOKENS[::-1]], axis=1)  # [3, 2, 10]
    valid = jnp.stack([VALID, VALID[::-1]], axis=1)
    hidden, scores = (apply(LLAMA, params, pairs, valid, method=name) for name in ("hidden", "score"))
    assert hidden.shape == (3, 2, 10, 16) and scores.shape == (3, 2)
    np.testing.assert_allclose(scores[:, 0], apply(LLAMA, params, TOKENS, VALID, method="score"), atol=1e-5)


@FAMILIES
def test_cached_decoding_equals_the_forward_pass(model):
    params, extend = random(model), functools.partial(apply, model, method="extend")
    expected = jax.nn.log_softmax(apply(model, params, left(TOKENS), left(VALID)))
    params = model.apart(params)
    got, cache = extend(params, left(TOKENS)[:, :8], left(VALID)[:, :8], model.empty_cache(3, 12))
    np.testing.assert_allclose(jax.nn.log_softmax(got), expected[:, 7], atol=1e-4)
    for t in (8, 9):
        got, cache = extend(params, left(TOKENS)[:, t : t + 1], left(VALID)[:, t : t + 1], cache)
        np.testing.assert_allclose(jax.nn.log_softmax(got), expected[:, t], atol=1e-4)


def test_shared_key_value_heads_equal_repeated_ones():
    shared, full = LLAMA, LLAMA.clone(config=dataclasses.replace(LLAMA.config, kv_heads=4))
    params = random(shared)
    wide = jax.tree.map(lambda x: x, params)
    for name in ("key", "value"):
        kernel = params["params"]["layers"][name]["kernel"].reshape(2, 16, 2, 4)
        wide["params"]["layers"][name] = {"kernel": jnp.repeat(kernel, 2, axis=2).reshape(2, 16, 16)}
    np.testing.assert_allclose(apply(full, wide, TOKENS), apply(shared, params, TOKENS), atol=1e-5)


def test_llama3_scaling_stretches_slow_waves_alone():
    def angles(scaling):  # of position 1: the frequencies
        config = dataclasses.replace(LLAMA.config, head_size=16, rope_scaling=scaling)
        cos, sin = _turns(config, 10000.0, jnp.ones((1, 1), jnp.int32))
        return jnp.arctan2(sin, cos)[0, 0, 0]

    plain = angles(None)
    ratio = plain / angles(RopeScaling(8.0, 1.0, 4.0, 1024))
    turns = 1024 * plain / (2 * jnp.pi)
    np.testing.assert_allclose(ratio[turns > 4], 1, rtol=1e-6)
    np.testing.assert_allclose(ratio[turns < 1], 8, rtol=1e-6)
    between = ratio[(turns > 1) & (turns < 4)]
    assert between.size and jnp.all((between > 1) & (between < 8))


@FAMILIES
def test_gradients_are_finite_where_all_is_masked(model):
    params, nothing = random(model), VALID & jnp.array([[True], [False], [True]])

    def loss(params):
        return jnp.sum(jnp.where(left(nothing)[..., None], apply(model, params, left(TOKENS), left(nothing)), 0))

    assert all(jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(jax.grad(loss)(params)))


def test_remat_changes_nothing():
    params, both = random(LLAMA), (LLAMA, models.computing(LLAMA, remat=True))
    plain, again = (jax.value_and_grad(lambda p, m=m: jnp.mean(apply(m, p, TOKENS) ** 2))(params) for m in both)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), plain, again)


@FAMILIES
def test_bfloat16_is_close_and_gives_float32(model):
    params, half = random(model), models.computing(model, "bfloat16")
    exact, logits = apply(model, params, TOKENS), apply(half, params, TOKENS)
    assert logits.dtype == jnp.float32 and apply(half, params, TOKENS, method="hidden").dtype == jnp.bfloat16
    assert jnp.linalg.norm(logits - exact) < 0.05 * jnp.linalg.norm(exact)
    np.testing.assert_array_equal(apply(half, half.cast(params), TOKENS), logits)


def test_one_program_runs_many_models():
    runs = [random(LLAMA, seed) for seed in (0, 10, 20)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *runs)
    together = jax.vmap(lambda params: apply(LLAMA, params, TOKENS))(stacked)
    for params, logits in zip(runs, together, strict=True):
        np.testing.assert_allclose(logits, apply(LLAMA, params, TOKENS), atol=1e-5)


def test_rows_longer_than_the_positions_are_refused():
    with pytest.raises(ValueError, match="rows of 33 tokens: the model has 32 positions"):
        GPT2.apply(random(GPT2), jnp.zeros((1, 33), jnp.int32))


def test_a_model_is_its_settings():
    assert Transformer(LLAMA.config) == LLAMA and hash(LLAMA) == hash(Transformer(LLAMA.config))
    with pytest.raises(ConfigError, match="kv_heads must divide heads: got 3 and 4"):
        models.llama(**SIZES, kv_heads=3)
