import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax import models
from prefjax.models.transformer import Transformer
from prefjax.sampling import generate

MODEL = models.llama(vocab=23, width=16, layers=2, heads=4, kv_heads=2, positions=40)
TOKENS = jnp.asarray(np.random.default_rng(3).integers(0, 23, (4, 6)), jnp.int32)
VALID = jnp.arange(6)[None] < jnp.array([6, 2, 4, 1])[:, None]
KEY = jax.random.key(5)


def random(model, seed=0):
    """Parameters far from initialisation, so that every one of them matters."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda: models.init(model, jax.random.key(0)))
    return jax.tree_util.tree_map_with_path(
        lambda path, x: jnp.float32(0.4 * rng.normal(size=x.shape) + (path[-1].key == "scale")), shapes
    )


PARAMS = random(MODEL)


def sample(key=KEY, tokens=TOKENS, valid=VALID, model=MODEL, params=PARAMS, max_new=8, stop=-1, **knobs):
    return generate(model, params, tokens, valid, key, max_new=max_new, stop=stop, **knobs)


def responses(sequences):
    return [row[mask].tolist() for row, mask in zip(sequences.tokens, np.asarray(sequences.response), strict=True)]


def test_rows_are_prompt_response_padding():
    (tokens, valid, response, _), logps = sample()
    for row, n in enumerate((6, 2, 4, 1)):
        np.testing.assert_array_equal(tokens[row, :n], TOKENS[row, :n])
        np.testing.assert_array_equal(response[row], (np.arange(14) >= n) & (np.arange(14) < n + 8))
        np.testing.assert_array_equal(valid[row], np.arange(14) < n + 8)
        np.testing.assert_array_equal(tokens[row, n + 8 :], 0)
    assert jnp.all((logps != 0) == response)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.1)])
def test_logps_are_those_of_the_scorer(dtype, tolerance):
    model = models.computing(MODEL, dtype)
    sequences, logps = sample(model=model)
    np.testing.assert_allclose(logps, models.logps(model, PARAMS, sequences), atol=tolerance)


def test_the_key_decides():
    first, again, other = sample()[0], sample()[0], sample(jax.random.key(6))[0]
    np.testing.assert_array_equal(first.tokens, again.tokens)
    assert all(a != b for a, b in zip(responses(first), responses(other), strict=True))
    same = sample(tokens=jnp.tile(TOKENS[:1], (4, 1)), valid=jnp.ones((4, 6), bool))[0]
    assert len(set(map(tuple, responses(same)))) == 4  # one prompt, four rows


def test_a_row_does_not_depend_on_its_neighbours_or_on_padding():
    expected = responses(sample()[0])
    assert responses(sample(tokens=TOKENS[:2], valid=VALID[:2])[0]) == expected[:2]
    longer = {"tokens": jnp.pad(TOKENS, ((0, 0), (0, 5))), "valid": jnp.pad(VALID, ((0, 0), (0, 5)))}
    assert responses(sample(**longer)[0]) == expected


def test_each_row_stops_at_its_own_token_and_keeps_it():
    free = responses(sample()[0])
    stop = jnp.array([free[0][0], free[1][3], 99, free[3][7]])
    sequences, logps = sample(stop=stop)
    for row, end in zip(range(4), stop.tolist(), strict=True):
        upto = free[row].index(end) + 1 if end in free[row] else 8
        assert responses(sequences)[row] == free[row][:upto]
    assert jnp.all((logps != 0) == sequences.response)


def test_greedy_is_the_most_likely_token_and_top_k_1_too():
    greedy, logps = sample(temperature=0.0)
    np.testing.assert_allclose(logps, models.logps(MODEL, PARAMS, greedy), atol=1e-4)
    likely = jnp.argmax(MODEL.apply(PARAMS, greedy.tokens), axis=-1)[:, :-1]
    np.testing.assert_array_equal(*(jnp.where(greedy.response[:, 1:], x, 0) for x in (likely, greedy.tokens[:, 1:])))
    first, logps = sample(top_k=1)
    np.testing.assert_array_equal(first.tokens, greedy.tokens)
    np.testing.assert_array_equal(logps, 0)
    np.testing.assert_array_equal(sample(top_p=0.0)[0].tokens, greedy.tokens)


@pytest.mark.parametrize(
    "knobs",
    [{}, {"temperature": 0.5}, {"top_k": 3}, {"top_p": 0.7, "temperature": 2.0}, {"top_k": 4, "top_p": 0.8}],
    ids=str,
)
def test_frequencies_are_the_exact_probabilities(knobs):
    model, rows = models.gpt2(vocab=7, width=8, layers=1, heads=2), 4096
    params = random(model)
    prompt = jnp.tile(jnp.array([[3, 1]]), (rows, 1))
    sequences, logps = sample(tokens=prompt, valid=prompt >= 0, model=model, params=params, max_new=1, **knobs)
    p = np.asarray(jax.nn.softmax(model.apply(params, prompt[:1])[0, -1] / knobs.get("temperature", 1)), np.float64)
    order = np.argsort(-p)
    p[order[knobs.get("top_k", 7) :]] = 0
    p /= p.sum()
    p[order[np.cumsum(p[order]) - p[order] >= knobs.get("top_p", 2)]] = 0
    p /= p.sum()
    drawn = np.asarray(sequences.tokens[:, 2])
    frequency = np.bincount(drawn, minlength=7) / rows
    assert np.all(np.abs(frequency - p) <= 4 * np.sqrt(p * (1 - p) / rows))
    np.testing.assert_allclose(logps[:, 2], np.log(p[drawn]), atol=1e-5)


class Watched(Transformer):
    """A transformer that notes each time it is traced, and each time it runs, for one token or more."""

    def extend(self, tokens, valid, cache):
        TRACES.append(tokens.shape)
        jax.debug.callback(lambda: STEPS.append(tokens.shape))
        return super().extend(tokens, valid, cache)


TRACES, STEPS = [], []


def test_the_loop_ends_with_the_last_row():
    model, free = Watched(MODEL.config), responses(sample()[0])
    STEPS.clear()
    stop = jnp.array([free[row][2] for row in range(4)])
    longest = max(free[row].index(free[row][2]) + 1 for row in range(4))
    jax.block_until_ready(sample(model=model, stop=stop))
    jax.effects_barrier()
    assert len(STEPS) == 1 + longest  # the prefill and one step a token


def test_one_shape_is_one_program():
    model = Watched(MODEL.config)
    sample(model=model, temperature=0.7, max_new=7)
    TRACES.clear()
    sample(jax.random.key(8), 22 - TOKENS, VALID[::-1], model, random(MODEL), max_new=7, stop=4, temperature=1.3)
    assert not TRACES


def test_the_cache_is_updated_in_place():
    program = generate.lower(MODEL, PARAMS, TOKENS, VALID, KEY, max_new=8, stop=-1).compile().as_text()
    cache = "f32[4,2,14,4]"
    assert f"{cache}{{3,2,1,0}} dynamic-update-slice" in program
    loops = program[: program.index("ENTRY")].splitlines()
    assert not [line for line in loops if f"= {cache}" in line and " copy(" in line]


def test_many_runs_sample_in_one_program():
    runs = [random(MODEL, seed) for seed in (0, 1)]
    keys = jax.random.split(KEY, 2)
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *runs)
    together, _ = jax.vmap(lambda params, key: sample(key, params=params))(stacked, keys)
    for run, params in enumerate(runs):
        np.testing.assert_array_equal(together.tokens[run], sample(keys[run], params=params)[0].tokens)


def test_more_than_the_positions_is_refused():
    with pytest.raises(ValueError, match="rows of 41 tokens: the model has 40 positions"):
        sample(max_new=35)
