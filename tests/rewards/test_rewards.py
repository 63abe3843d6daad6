import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax import models, rewards
from prefjax.errors import ConfigError, DataError
from prefjax.types import Sequences
from prefjax.worlds import desk

NET = models.llama(vocab=300, width=8, layers=1, heads=2)
MASK = jnp.array([[False, True, True, True], [False, True, True, False]])
SEQUENCES = Sequences(jnp.array([[5, 6, 7, 8], [5, 9, 10, 0]]), MASK.at[:, 0].set(True), MASK)
IDS = jnp.array([1, 0])


def make(reward, **trees):
    return rewards.make(reward, dict.fromkeys(trees, NET), desk.tokenizer(), lambda: desk.prompts("validation"))


def score(reward, **trees):
    return make(reward, **trees)(trees, SEQUENCES, IDS)


def trees(*seeds):
    return {f"reward{s}": models.init(NET, jax.random.key(s), heads=("score",)) for s in seeds}


def lengths(records, texts):
    return {"characters": [len(text) for text in texts], "first": [None, 1.0]}


def test_a_sum_of_parts_each_by_itself():
    total, parts = score("0.5 * length(target=3) - length(target=2)")
    np.testing.assert_allclose(parts["length"], [1, 2 / 3], rtol=1e-6)
    np.testing.assert_allclose(parts["length2"], [0.5, 1], rtol=1e-6)
    np.testing.assert_allclose(total, 0.5 * parts["length"] - parts["length2"], rtol=1e-6)


def test_the_last_tokens_have_a_price():
    rows = jnp.arange(10)[None] < jnp.arange(1, 11)[:, None]
    found = make("overlong(longest=8, margin=4)")({}, SEQUENCES._replace(response=rows), jnp.zeros(10))[0]
    np.testing.assert_allclose(found, [0, 0, 0, 0, -0.25, -0.5, -0.75, -1, -1, -1])
    with pytest.raises(ConfigError, match=r"overlong\(margin=0\): it should be 1 or more"):
        make("overlong(longest=8, margin=0)")


def test_ensembles():
    known = trees(0, 1, 2)
    each = jnp.stack([score(f"model(name='{name}')", **known)[0] for name in known])
    names = tuple(known)
    for combine, expected in {
        "mean": each.mean(axis=0),
        "worst": each.min(axis=0),
        "uncertain": each.mean(axis=0) - 0.5 * each.var(axis=0),
        "uncertain', of='std": each.mean(axis=0) - 0.5 * each.std(axis=0),
    }.items():
        got = score(f"ensemble(names={names}, combine='{combine}')", **known)[0]
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_any_function_of_texts_under_jit_and_vmap():
    reward = make("text(function='tests_rewards:lengths', key='characters')".replace("tests_rewards", __name__))
    eager = reward({}, SEQUENCES, IDS)[0]
    np.testing.assert_array_equal(jax.jit(reward)({}, SEQUENCES, IDS)[0], eager)
    twice = jax.tree.map(lambda x: jnp.stack([x, x]), (SEQUENCES, IDS))
    np.testing.assert_array_equal(jax.vmap(lambda s, i: reward({}, s, i)[0])(*twice), jnp.stack([eager, eager]))
    tokenizer = desk.tokenizer()
    assert eager.tolist() == [len(tokenizer.decode(ids)) for ids in ([6, 7, 8], [9, 10])]  # no prompt, no padding


def test_a_text_without_a_score_is_nan():
    got = score(f"text(function='{__name__}:lengths', key='first')")[0]
    np.testing.assert_array_equal(got, [np.nan, 1])


def test_what_a_reward_needs_is_named():
    with pytest.raises(ConfigError, match=r"frozen.reward is not set"):
        make("model()")
    with pytest.raises(ConfigError, match="'mean', 'worst', 'uncertain'"):
        make("ensemble(names=('reward0',), combine='best')", **trees(0))
    with pytest.raises(ConfigError, match="'variance', 'std'"):
        make("ensemble(names=('reward0',), of='range')", **trees(0))
    with pytest.raises(ConfigError, match="did you mean 'length'"):
        make("lenght(target=3)")
    with pytest.raises(ConfigError, match="frozen.lm has no score head"):
        score("model(name='lm')", lm=models.init(NET, jax.random.key(0)))


def test_what_a_function_of_texts_raises_is_told():
    reward = make(f"text(function='{__name__}:lengths')")
    with pytest.raises(DataError, match="one of characters, first"):
        reward({}, SEQUENCES, IDS)
    with pytest.raises(jax.errors.JaxRuntimeError, match="one of characters, first"):  # it was found on the way
        jax.jit(reward)({}, SEQUENCES, IDS)


def test_a_reward_model_has_to_have_room():
    short = models.llama(vocab=300, width=8, layers=1, heads=2, positions=3)
    reward = rewards.make("model()", {"reward": short}, None, lambda: [])
    with pytest.raises(ConfigError, match="frozen.reward has 3 positions, and rows have 4: lower max_new"):
        reward({"reward": models.init(short, jax.random.key(0), heads=("score",))}, SEQUENCES, IDS)


def test_a_model_of_attributes_is_worth_a_weighted_sum_of_them():
    net = models.judging(NET, ("fact", "warmth", "length"))
    params = models.init(net, jax.random.key(0), heads=("score",))
    make = lambda text: rewards.make(text, {"reward": net}, None, list)
    each = net.apply(params, SEQUENCES.tokens, SEQUENCES.valid, method="score")
    assert each.shape == (2, 3)
    got = make("model(weights={'length': -0.5, 'fact': 2})")({"reward": params}, SEQUENCES, IDS)[0]
    np.testing.assert_allclose(got, 2 * each[:, 0] - 0.5 * each[:, 2], rtol=1e-6)
    alone = make("ensemble(names=['reward'], weights={'length': -0.5, 'fact': 2})")
    np.testing.assert_array_equal(alone({"reward": params}, SEQUENCES, IDS)[0], got)
    with pytest.raises(ConfigError, match="judges fact, warmth, length: weights"):
        make("model()")
    with pytest.raises(ConfigError, match="does not judge 'fat'; did you mean 'fact'"):
        make("model(weights={'fat': 1})")
    with pytest.raises(ConfigError, match="does not judge 'fact'; it has none"):
        score("model(name='reward0', weights={'fact': 1})", **trees(0))
