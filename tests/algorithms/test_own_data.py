"""Online DPO, XPO, RAFT and SPIN: what they make of samples, one update by hand, and where they come to rest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.closed_form import online
from experiments.closed_form.transformers import recipe, world_settings
from prefjax import models, ops
from prefjax.algorithms import online_dpo, own_data, raft, spin, xpo
from prefjax.config import base, hparams
from prefjax.errors import ConfigError, PrefjaxError
from prefjax.sampling import generate
from prefjax.train import train
from prefjax.types import Demos, Rollout, Sequences
from prefjax.worlds import enumerable

WORLD = enumerable.make(4, 2, 2)
NET, START = enumerable.reference(WORLD, jax.random.key(0))
MAKE = {"online_dpo": online_dpo.make, "xpo": xpo.make, "raft": raft.make, "spin": spin.make}
LOSS = {"xpo": "xpo_loss(beta=0.5, alpha=0.1)", "raft": "sft_loss()"}


def config(name, **settings):
    c = recipe(name, **world_settings(4, 2, 2), batch_size=4, rollout__n=3, rl__epochs=1, optim__lr=0.1)
    c.loss = LOSS.get(name, "dpo_loss(beta=0.5)")
    c.optim.tx, c.optim.schedule, c.optim.clip = "sgd()", "constant()", 0.0
    for path, value in settings.items():
        part, _, leaf = path.rpartition("__")
        (c[part] if part else c)[leaf] = value
    return c


def make(c):
    return MAKE[c.algorithm](c, {"policy": NET, "reference": NET})


def rollout(scores, weight=None, rivals=None):
    """Rows whose only response token is their own index."""
    rows = len(scores)
    tokens = jnp.stack([jnp.zeros(rows, jnp.int32), jnp.arange(rows)], axis=1)
    mask = jnp.array([[False, True]] * rows)
    sequences = Sequences(tokens, jnp.ones((rows, 2), bool), mask)
    logps = jnp.where(mask, -jnp.arange(1.0, rows + 1)[:, None], 0.0)
    scores, weight = jnp.array(scores), jnp.ones(rows) if weight is None else jnp.array(weight)
    theirs = sequences._replace(tokens=tokens + 10)
    zero = jnp.zeros(rows)
    arrays = sequences, logps, 2 * logps, 0 * logps, zero, scores, zero > 0, weight
    return Rollout(*arrays, theirs, None if rivals is None else jnp.array(rivals))


def made(name, monkeypatch, samples, **settings):
    """The batch that an algorithm makes of samples."""
    seen = {}
    monkeypatch.setattr(own_data, "make", lambda config, nets, inner, data, **_: seen.update(data=data))
    c = config(name, **settings)
    make(c)
    return seen["data"](samples, hparams(c))


def test_online_dpo_pairs_the_best_with_the_worst(monkeypatch):
    samples = rollout(
        [1.0, 5.0, 2.0, 3.0, 9.0, 2.0, 4.0, 4.0, 4.0, 1.0, 2.0, 3.0], [1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0, 0]
    )
    pairs = made("online_dpo", monkeypatch, samples)
    np.testing.assert_array_equal(pairs.sequences.tokens[:2, :, 1], [[1, 0], [3, 5]])  # the 9 may not be learnt from
    np.testing.assert_array_equal(pairs.weight, [1, 1, 0, 0])  # all alike; only one that counts
    np.testing.assert_array_equal(pairs.ref_logps[:2, :, 1], [[-4, -2], [-8, -12]])
    assert pairs.target is None
    pairs = made("online_dpo", monkeypatch, samples, rl__labels="soft")
    np.testing.assert_array_equal(pairs.weight, [1, 1, 1, 0])
    np.testing.assert_allclose(pairs.target[:3], 1 / (1 + np.exp([-4, -1, 0])), rtol=1e-6)


def test_xpo_pairs_a_sample_with_one_of_the_reference(monkeypatch):
    samples = rollout([1.0, 5.0, 2.0], rivals=[2.0, 4.0, 2.0])
    pairs = made("xpo", monkeypatch, samples)
    np.testing.assert_array_equal(pairs.sequences.tokens[..., 1], [[0, 10], [1, 11], [2, 12]])
    np.testing.assert_array_equal(pairs.target[:2], [0, 1])
    np.testing.assert_array_equal(pairs.weight, [1, 1, 0])
    pairs = made("xpo", monkeypatch, samples, rl__labels="soft")
    np.testing.assert_allclose(pairs.target, 1 / (1 + np.exp([1, -1, 0])), rtol=1e-6)


def test_raft_keeps_the_best(monkeypatch):
    samples = rollout([1.0, 5.0, 2.0, 3.0, 9.0, 2.0, 1.0, 1.0, 1.0], [1, 1, 1, 1, 0, 1, 0, 0, 0])
    demos = made("raft", monkeypatch, samples, rl__kl_coef=0.0)
    np.testing.assert_array_equal(demos.sequences.tokens[:2, 1], [1, 3])
    np.testing.assert_array_equal(demos.weight, [1, 1, 0])
    demos = made("raft", monkeypatch, samples, rl__kl_coef=-4.0)  # log-ratios of 1, 2, ... 9 nats, paid for
    np.testing.assert_array_equal(demos.sequences.tokens[:2, 1], [2, 5])


def test_spin_sets_its_answers_beside_the_demonstrations():
    long, short = (
        Sequences(
            jnp.full((2, width), width),
            jnp.ones((2, width), bool),
            jnp.arange(width)[None] > jnp.zeros((2, 1), jnp.int32),
        )
        for width in (5, 3)
    )
    for chosen, rejected in ((long, short), (short, long)):
        both = spin.beside(chosen, rejected)
        assert both.tokens.shape == (2, 2, 5)
        np.testing.assert_array_equal(both.response.sum(-1), [[x.tokens.shape[1] - 1 for x in (chosen, rejected)]] * 2)
        np.testing.assert_array_equal(both.tokens[..., 0], [[x.tokens.shape[1] for x in (chosen, rejected)]] * 2)


def test_an_update_of_online_dpo_is_that_by_hand():
    """The samples drawn again, the coefficients of the gradient in float64: beta sigmoid(-h) / pairs."""
    c, key, batch = config("online_dpo", rollout__temperature=0.7), jax.random.key(4), enumerable.prompts(WORLD, 4)
    params = jax.tree.map(lambda x: x + 0.1 * jnp.cos(jnp.arange(x.size).reshape(x.shape)), START)
    algorithm = make(c)
    step, numbers = jax.jit(algorithm.step), hparams(c)
    state, told = step(algorithm.init(key, params), {"reference": START}, numbers, batch, key)
    changed = {path: number + 0.1 for path, number in numbers.items()}
    step(algorithm.init(key, params), {"reference": START}, changed, batch, key)
    assert step._cache_size() == 1  # all numbers are traced
    assert {"loss.beta", "rollout.temperature", "rl.penalty"} <= numbers.keys()
    knobs = {"max_new": 2, "stop": enumerable.STOP, "temperature": 0.7, "n": 3}
    rows, _ = generate(NET, params, batch.tokens, batch.valid, jax.random.split(key)[0], **knobs)
    scores = np.asarray(enumerable.score(WORLD, rows), np.float64).reshape(4, 3)
    total = jax.jit(lambda tree: ops.sum_tokens(models.logps(NET, tree, rows, 0.7), rows.response).reshape(4, 3))
    ratios = np.asarray(total(params), np.float64) - np.asarray(total(START), np.float64)
    at, best, worst = np.arange(4), scores.argmax(axis=1), scores.argmin(axis=1)
    counted = scores[at, best] > scores[at, worst]
    h = 0.5 * (ratios[at, best] - ratios[at, worst])
    pull = 0.5 / (1 + np.exp(h)) * counted / counted.sum()
    coefficients = np.zeros((4, 3), np.float32)
    coefficients[at, best] += pull
    coefficients[at, worst] -= pull
    ascent = jax.jit(jax.grad(lambda tree: jnp.sum(total(tree) * coefficients)))(params)
    expected = jax.tree.map(lambda p, g: p + 0.1 * g, params, ascent)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), state.params, expected)
    assert float(told["learnt_from"].value) == counted.mean()
    assert float(told["loss"].value) == pytest.approx(np.log1p(np.exp(-h))[counted].mean(), rel=1e-4)


def test_a_step_of_spin_prefers_the_demonstrations():
    """At the start the policy is its opponent: log 2, and a gradient from the samples to the data."""
    c = config("spin", reference="sync(steps=1)")
    rows = jax.tree.map(lambda x: x[:, 5], WORLD.responses)
    batch = Demos(jax.tree.map(jnp.asarray, rows), jnp.ones(2))
    algorithm, key = make(c), jax.random.key(3)
    state, told = jax.jit(algorithm.step)(algorithm.init(key, START), {"reference": START}, hparams(c), batch, key)
    assert float(told["loss"].value) == pytest.approx(np.log(2), rel=1e-5)
    assert float(told["fits"].value) == 1
    total = jax.jit(lambda tree: jnp.sum(models.logps(NET, tree, batch.sequences)))
    assert total(state.params) > total(START)
    with pytest.raises(PrefjaxError, match=r"40.0% of the prompts have more than 1 tokens"):
        algorithm.watch({"train/fits": 0.6})


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("online_dpo", {"rollout__n": 1}, "rollout.n is 1; online_dpo compares"),
        ("online_dpo", {"rl__labels": "best"}, "rl.labels is 'best'; it should be one of hard, soft"),
        ("online_dpo", {"rl__labels": "soft", "loss": "ipo_loss()"}, r"ipo_loss\(\)' takes no target"),
        ("xpo", {"loss": "ipo_loss()"}, "xpo with config.rl.labels 'hard' says by it"),
        ("raft", {"rl__minibatches": 3}, "divide the 4 samples"),
        ("xpo", {"rl__entropy_coef": 0.1}, "rl.entropy_coef is 0.1, of which xpo makes no use; it should be 0.0"),
        ("raft", {"rl__truncated": "bootstrap"}, "needs a critic, and raft has none"),
        ("online_dpo", {"reward": ""}, "config.reward is ''"),
        ("spin", {"rl__minibatches": 3}, "divide the 4 samples"),
        ("spin", {"rl__epochs": 0}, "rl.epochs is 0; it should be 1 or more"),
        ("spin", {"rollout__temperature": 0.0}, "rollout.temperature is 0.0; it should be above 0"),
        ("spin", {"rollout__max_new": 3}, "rollout.max_new is 3; it should be below the 3 positions"),
    ],
)
def test_settings_that_make_no_sense(name, settings, message):
    with pytest.raises(ConfigError, match=message):
        make(config(name, **settings))


@pytest.mark.parametrize("name", MAKE)
def test_another_batch_is_refused(name):
    algorithm, c = make(config(name)), config(name)
    batch = enumerable.pairs(WORLD, np.full((2, 13), 1 / 13), 4, seed=0)
    with pytest.raises(ConfigError, match="eats .* got Pairs: config.data.rows should be"):
        algorithm.step(algorithm.init(jax.random.key(0), START), {}, hparams(c), batch, jax.random.key(1))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["online_dpo", "spin"])
def test_a_run_that_goes_on_is_the_run_that_was_never_stopped(name, tmp_path):
    """Against a reference that moves, so that it has to be in the state too."""
    world = "prefjax.worlds.desk"
    c = base()
    c.algorithm, c.loss, c.reference = name, "dpo_loss(beta=0.1)", "sync(alpha=0.5)"
    c.model, c.tokenizer = "llama(width=16, layers=1, heads=2)", f"{world}:tokenizer()"
    c.data.train, c.data.rows, c.data.max_length = f"{world}:demos(n=16)", "demos()", 128
    if name == "online_dpo":
        c.data.rows, c.reward, c.rollout.n = "prompts()", "length(target=4)", 2
    c.steps, c.batch_size, c.mesh.data, c.rollout.max_new, c.rl.epochs = 1, 4, 1, 8, 1
    start = train(sft(c, steps=1), tmp_path / "sft") and str(tmp_path / "sft")
    c.model, c.tokenizer, c.frozen.reference = start, "", start
    train(c, tmp_path / "stopped")
    c.steps = 2
    gone_on, whole = train(c, tmp_path / "stopped"), train(c, tmp_path / "whole")
    jax.tree.map(np.testing.assert_array_equal, gone_on, whole)
    assert "reference" in whole.carry


def sft(c, steps):
    """A config for the model that a run starts from."""
    c = c.copy_and_resolve_references()
    c.algorithm, c.loss, c.reference, c.reward = "sft", "sft_loss()", "frozen", ""
    c.data.rows, c.steps = "demos()", steps
    return c


@pytest.mark.parametrize(
    "name", [n if n == "online DPO" else pytest.param(n, marks=pytest.mark.slow) for n in online.STUDIES]
)
def test_training_comes_to_rest_where_it_should(name):
    start, ends = online.study(name, seeds=1)
    assert ends.max() < online.STUDIES[name].within < start / 10
