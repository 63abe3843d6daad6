"""The geometric mixture of two models, against the probabilities it should have."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax import models
from prefjax.sampling import generate
from prefjax.sampling.mixture import Mixture, MixtureParams

FIRST = models.gpt2(vocab=7, width=8, layers=1, heads=2)
SECOND = models.llama(vocab=7, width=8, layers=2, heads=2, kv_heads=1, tied=False)


def random(model, seed):
    shapes = jax.eval_shape(lambda: models.init(model, jax.random.key(0)))
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.float32(0.6 * rng.normal(size=x.shape)), shapes)


TREES = random(FIRST, 0), random(SECOND, 1)


def sample(model, params, rows, **knobs):
    prompt = jnp.tile(jnp.array([[3, 1]]), (rows, 1))
    return generate(model, params, prompt, prompt >= 0, jax.random.key(5), stop=-1, **knobs)


@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_tokens_are_drawn_from_the_normalised_product(weight):
    params, rows, temperature = MixtureParams(*TREES, weight), 4096, 0.8
    knobs = {"max_new": 2, "temperature": temperature, "n": 2}
    sequences, logps = sample(Mixture(FIRST, SECOND), params, rows // 2, **knobs)
    each = [model.apply(tree, sequences.tokens) for model, tree in zip((FIRST, SECOND), TREES, strict=True)]
    logits = (1 - weight) * each[0] + weight * each[1]  # read as a trainer would, not from a cache
    expected = jax.nn.log_softmax(logits[:, 1:3] / temperature)
    drawn = sequences.tokens[:, 2:]
    np.testing.assert_allclose(
        logps[:, 2:], jnp.take_along_axis(expected, drawn[..., None], axis=-1)[..., 0], atol=1e-4
    )
    p = np.exp(np.asarray(expected[0, 0], np.float64))
    frequency = np.bincount(np.asarray(drawn[:, 0]), minlength=7) / rows
    assert np.all(np.abs(frequency - p) <= 4 * np.sqrt(p * (1 - p) / rows))


def test_without_weight_it_is_the_first_model():
    mixed, _ = sample(Mixture(FIRST, SECOND), MixtureParams(*TREES, 0.0), 8, max_new=5)
    alone, _ = sample(FIRST, TREES[0], 8, max_new=5)
    np.testing.assert_array_equal(mixed.tokens, alone.tokens)
    other, _ = sample(Mixture(FIRST, SECOND), MixtureParams(*TREES, 1.0), 8, max_new=5)
    assert not np.array_equal(mixed.tokens, other.tokens)
