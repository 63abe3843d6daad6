import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import dpo_storybyte
from prefjax import models, ops
from prefjax.data import load
from prefjax.data.batches import epoch
from prefjax.errors import ConfigError
from prefjax.types import Sequences

MODEL = models.llama(vocab=64, width=32, layers=3, heads=4, tied=False)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_logps_are_those_of_the_logits(dtype):
    model, params = models.computing(MODEL, dtype), models.init(MODEL, jax.random.key(0))
    tokens = jax.random.randint(jax.random.key(1), (2, 2, 9), 0, 64)
    valid = jnp.broadcast_to(jnp.arange(9) < 7, tokens.shape)
    response = valid & jnp.broadcast_to(jnp.arange(9) >= 4, tokens.shape)
    expected = jnp.where(response, ops.token_logps(model.apply(params, tokens), tokens), 0)
    got = models.logps(model, params, Sequences(tokens, valid, response))
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_random_weights_have_the_scales_of_the_paper():
    wide = models.llama(vocab=512, width=128, layers=8, heads=4, tied=False)
    trunk = models.init(wide, jax.random.key(0), ("lm", "score"))["params"]
    for tree, std in (
        (trunk["embed"], 0.02),
        (trunk["lm_head"], 0.02),
        (trunk["layers"]["query"], 0.02),
        (trunk["layers"]["down"], 0.02 / math.sqrt(2 * 8)),
        (trunk["layers"]["out"], 0.02 / math.sqrt(2 * 8)),
    ):
        np.testing.assert_allclose(jnp.std(jax.tree.leaves(tree)[0]), std, rtol=0.03)
    np.testing.assert_allclose(jnp.std(trunk["score_head"]["kernel"]), 1 / math.sqrt(129), rtol=0.2)


def test_heads():
    key = jax.random.key(0)
    names = lambda *heads: set(models.init(MODEL, key, heads)["params"])
    assert names("lm") == {"embed", "layers", "norm", "lm_head"}
    assert names("score") == {"embed", "layers", "norm", "score_head"}
    assert names("lm", "score") == {"embed", "layers", "norm", "lm_head", "score_head"}
    with pytest.raises(ValueError, match="heads: expected 'lm', 'score' or both"):
        models.init(MODEL, key, ("value",))


def test_a_score_head_leaves_the_trunk_and_differs_by_key():
    params = models.init(MODEL, jax.random.key(0))
    one, other = (models.add_score_head(params, MODEL, jax.random.key(seed))["params"] for seed in (1, 2))
    assert one["layers"] is params["params"]["layers"] and "lm_head" not in one
    assert not jnp.array_equal(one["score_head"]["kernel"], other["score_head"]["kernel"])


def test_impossible_sizes_are_refused():
    sizes = {"vocab": 64, "width": 32, "layers": 1, "heads": 4}
    for wrong, message in (
        ({"heads": 5}, "heads must divide width: got heads 5 and width 32"),
        ({"kv_heads": 3}, "kv_heads must divide heads: got 3 and 4"),
        ({"heads": 32}, "rotary positions need an even head_size, got 1"),
        ({"width": 32.0}, "width must be a whole number, 1 or more: got 32.0"),
        ({"layers": 0}, "layers must be a whole number, 1 or more: got 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            models.llama(**sizes | wrong)


def test_a_score_head_that_is_there_is_kept():
    params = models.init(MODEL, jax.random.key(0), ("lm", "score"))
    again = models.add_score_head(params, MODEL, jax.random.key(1))
    assert again["params"]["score_head"] is params["params"]["score_head"] and "lm_head" not in again["params"]


SOURCES = {
    "stories260K": "configs.reward_planted:pairs(limit=5)",
    "storybyte-nano": dpo_storybyte.PAIRS.replace("prompt=", "limit=3, prompt="),
}


@pytest.fixture(scope="module", params=SOURCES)
def ragged(request, real_data):
    """A real model with a score head too, and a packed batch of real pairs."""
    folder = real_data / "models" / request.param
    model, params = models.load(folder)
    scored = models.add_score_head(params, model, jax.random.key(0))["params"]
    positions = model.config.positions
    rows, _ = load.load(SOURCES[request.param], "pairs()", load.tokenizer(str(folder)), positions)
    (batch,) = epoch(rows, rows.size, positions)
    assert rows.size >= 3 and batch.sequences.packing is not None
    return model, {"params": params["params"] | scored}, batch.sequences


def alone(sequences):
    """Each row by itself, without the padding that longer rows gave it but for a few places, to compile less."""
    for tokens, valid, response in zip(*(x.reshape(-1, x.shape[-1]) for x in sequences[:3]), strict=True):
        length = -(-valid.sum() // 64) * 64
        yield Sequences(*(x[None, :length] for x in (tokens, valid, response)))


def padded(sequences, extra, token):
    """The rows with `extra` more places, and `token` in all that are not theirs."""
    wider = [np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, extra)]) for x in sequences[:3]]
    return Sequences(np.where(wider[1], wider[0], token), *wider[1:])


def test_logps_of_real_rows_do_not_depend_on_the_batch(ragged):
    model, params, sequences = ragged
    logps = jax.jit(lambda rows: models.logps(model, params, rows))
    expected = np.concatenate([logps(row)[row.response] for row in alone(sequences)])
    assert len(expected) == sequences.response.sum() and np.all(expected < 0)
    for rows in (sequences, sequences._replace(packing=None), padded(sequences, 8, 7)):
        np.testing.assert_allclose(logps(rows)[rows.response], expected, rtol=1e-5, atol=1e-5)


def test_scores_of_real_rows_do_not_depend_on_the_batch(ragged):
    model, params, sequences = ragged

    @jax.jit
    def score(tokens, valid, response, packing):
        return model.apply(params, tokens, valid, packing, method="score")

    expected = np.concatenate([score(*row) for row in alone(sequences)]).reshape(-1, 2)
    assert np.ptp(expected) > 0.1
    few = Sequences(*(x[:2] for x in sequences[:3]))
    for rows in (sequences, sequences._replace(packing=None), padded(sequences, 8, 7), few):
        np.testing.assert_allclose(score(*rows), expected[: len(rows.tokens)], atol=1e-5)
