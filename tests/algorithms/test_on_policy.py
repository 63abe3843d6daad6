"""PPO, and what has advantages without a critic: their steps, on a tiny model of the desk world."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax import mesh, models, ops, reference
from prefjax.algorithms import (
    grpo,
    nash_md,
    on_policy,
    online_dpo,
    ppo,
    reinforce,
    reinforce_plus_plus,
    remax,
    rloo,
    rollouts,
    spin,
)
from prefjax.config import base, hparams
from prefjax.data import rows
from prefjax.data.batches import batches
from prefjax.errors import ConfigError, PrefjaxError
from prefjax.setup import mixed
from prefjax.train import one_step
from prefjax.types import Demos, Experience, Rollout, Sequences, TrainState
from prefjax.worlds import desk

TOKENIZER = desk.tokenizer()
NET = models.llama(vocab=TOKENIZER.vocab_size, width=16, layers=1, heads=2, tied=False)
MODULES = (ppo, grpo, rloo, reinforce, reinforce_plus_plus, remax, nash_md)
MAKE = {module.__name__.rpartition(".")[2]: module.make for module in (*MODULES, online_dpo, spin)}


@functools.cache
def trees():
    policy = models.init(NET, jax.random.key(0))
    reward = models.init(NET, jax.random.key(1), heads=("score",))
    return policy, {"reference": models.init(NET, jax.random.key(2)), "reward": reward}


def recipe(name="ppo", **settings):
    c = base()
    c.algorithm, c.loss, c.reward = name, "ppo_policy_loss(epsilon=0.2)", "model()"
    c.tokenizer, c.batch_size, c.mesh.data = "prefjax.worlds.desk:tokenizer()", 8, 1
    c.data.train, c.data.rows = "prefjax.worlds.desk:prompts(split='validation')", "prompts()"
    c.optim.tx, c.optim.lr, c.optim.schedule = "sgd()", 0.1, "constant()"
    c.rollout.max_new, c.rl.epochs = 6, 2
    c.rollout.n = 2 if name in ("grpo", "rloo", "online_dpo") else 1
    if name in ("online_dpo", "spin"):
        c.loss = "dpo_loss(beta=0.1)"
    for path, value in settings.items():
        part, _, leaf = path.rpartition("__")
        (c[part] if part else c)[leaf] = value
    return c


def run(c, steps=2, separate=False, params=None, frozen=None, states=None):
    """State, and the metrics of each step; the states on the way are appended to `states`."""
    policy, models_ = trees()
    params, frozen = params or policy, frozen or models_
    way = mesh.make(c)
    net = models.computing(NET, shards=way.blocks)
    nets = {name: net for name in ("policy", *frozen)}
    if separate:
        nets["value"], params = net, params | {"value": frozen["reward"]["params"]}
    eaten = rows.demos(list(desk.demos(n=32)), TOKENIZER, 80) if c.algorithm == "spin" else None
    table, _ = eaten or rows.prompts(list(desk.prompts("validation")), TOKENIZER, 80)
    batch_at = batches(table, c.batch_size, 80, seed=0, shards=way.shards)
    if c.data.pretrain:
        demos, _ = rows.demos(list(desk.demos(n=32)), TOKENIZER, 80)
        batch_at = mixed(batch_at, batches(demos, c.batch_size, 80, seed=0, shards=way.shards))
    algorithm = MAKE[c.algorithm](c, nets)
    if c.reference != "frozen":
        algorithm = reference.follow(algorithm, c, frozen["reference"])
    state = way.place(algorithm.init(jax.random.key(1), params))
    step, told = way.update(one_step(algorithm.step)), []
    for at in range(steps):
        state, metrics = step(state, way.place(frozen), hparams(c), way.deal(batch_at(at)), jax.random.key(2))
        told.append({name: float(mean.value) for name, mean in metrics.items()})
        if states is not None:
            states.append(jax.device_get(state))
    return state, told


def close(a, b, tolerance=1e-5):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance), a, b)


@pytest.mark.parametrize("name", ["ppo", "grpo", *(pytest.param(n, marks=pytest.mark.slow) for n in list(MAKE)[2:-2])])
def test_at_lr_0_the_ratio_stays_1_and_the_kl_0(name):
    policy, frozen = trees()
    state, told = run(recipe(name, optim__lr=0.0), frozen=frozen | {"reference": policy})
    for metrics in told:
        assert abs(metrics["policy/ratio"] - 1) < 1e-5
        assert metrics["policy/clip_fraction"] == 0
        assert abs(metrics["kl"]) < 1e-5
        assert metrics["mismatch"] < 1e-4
    close(state.params["params"]["layers"], policy["params"]["layers"], 0)
    assert int(state.step) == 2
    assert told[0]["score"] != told[1]["score"]  # every step draws samples of its own
    assert ("score_head" in state.params["params"]) == (name == "ppo")  # a critic on the trunk of the policy
    assert "value" not in state.params


@pytest.mark.parametrize(
    ("name", "parallel", "sizes"),
    [
        ("ppo", "jit", (2, 2, 2)),
        ("ppo", "pmap", (8, 1, 1)),
        pytest.param("rloo", "jit", (8, 1, 1), marks=pytest.mark.slow),
        pytest.param("nash_md", "pmap", (8, 1, 1), marks=pytest.mark.slow),
        pytest.param("online_dpo", "pmap", (8, 1, 1), marks=pytest.mark.slow),
        pytest.param("online_dpo", "jit", (2, 2, 2), marks=pytest.mark.slow),
        pytest.param("spin", "pmap", (8, 1, 1), marks=pytest.mark.slow),
    ],
)
def test_eight_devices_are_one(name, parallel, sizes):
    settings = {"data__pretrain": "prefjax.worlds.desk:demos()", "rl__pretrain_coef": 1.0} if name == "ppo" else {}
    one = run(recipe(name, mesh__data=1, **settings))
    many = run(
        recipe(name, parallel=parallel, mesh__data=sizes[0], mesh__fsdp=sizes[1], mesh__tensor=sizes[2], **settings)
    )
    close(many[0].params, one[0].params)
    for a, b in zip(many[1], one[1], strict=True):
        extremes = [name for name in a if name.startswith("mismatch")]  # of each device
        close(
            {k: v for k, v in a.items() if k not in extremes}, {k: v for k, v in b.items() if k not in extremes}, 2e-4
        )


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
def test_a_step_lowers_for_other_platforms(platform):
    c, (policy, frozen) = recipe(), trees()
    algorithm = MAKE["ppo"](c, dict.fromkeys(("policy", *frozen), NET))
    table, _ = rows.prompts(list(desk.prompts("validation")), TOKENIZER, 80)
    arguments = algorithm.init(jax.random.key(1), policy), frozen, hparams(c), batches(table, 8, 80, seed=0)(0)
    exported = jax.export.export(jax.jit(algorithm.step), platforms=[platform])(*arguments, jax.random.key(2))
    assert exported.platforms == (platform,)


def test_microbatches_change_nothing():
    whole, parts = (run(recipe(optim__accumulate=k, rl__minibatches=2)) for k in (1, 4))
    close(parts[0].params, whole[0].params)


def test_a_critic_of_its_own_starts_from_the_reward_model_and_warms_up_alone():
    (policy, frozen), states = trees(), []
    run(recipe(rl__critic_warmup=1), separate=True, states=states)
    assert "score_head" not in states[0].params["params"]
    close(states[0].params["params"], policy["params"], 0)
    start, learnt = (tree["score_head"]["kernel"] for tree in (frozen["reward"]["params"], states[0].params["value"]))
    assert learnt.shape == start.shape and 0 < np.abs(learnt - start).max() < np.abs(start).max()
    assert not np.array_equal(states[1].params["params"]["norm"]["scale"], policy["params"]["norm"]["scale"])


def test_the_price_of_a_nat_follows_the_kl():
    """That to the previous iterate, which is 0 after the first step: then the price falls as far as it may."""
    c = recipe(reference="sync(alpha=1.0)", rl__kl_target=1e-3, rl__kl_horizon=100.0, rl__lam=1.0)
    c.reward, c.rl.score_clip, c.rl.truncated = "model() + 0.5 * length(target=3)", 1e-3, "keep"
    state, told = run(c)
    assert told[0]["kl"] > 2e-3  # far beyond the target: the most it can rise, by a fifth of batch / horizon
    assert abs(told[1]["kl"]) < 1e-6
    np.testing.assert_allclose(told[1]["kl_coef"] / told[0]["kl_coef"], 1 + 0.2 * 8 / 100, rtol=1e-6)
    np.testing.assert_allclose(state.carry["kl_scale"], (1 + 0.2 * 8 / 100) * (1 - 0.2 * 8 / 100), rtol=1e-6)
    close(state.carry["reference"]["params"]["norm"], state.params["params"]["norm"], 0)
    for metrics in told:  # the parts of a sum are logged apart; what is learnt from is clipped
        assert metrics["score"] == pytest.approx(metrics["score/model"] + 0.5 * metrics["score/length"], abs=1e-5)
    assert abs(told[1]["score"]) > 1e-2 > 2e-3 > abs(told[1]["value/return"])


def test_the_loss_is_the_sum_of_its_parts():
    """Policy loss, KL, entropy bonus, value loss and the loss on demonstrations, each by its coefficient."""
    policy, _ = trees()
    head = models.add_score_head(policy, NET, jax.random.key(7))["params"]["score_head"]
    params = {"params": policy["params"] | {"score_head": head}}
    tokens = jax.random.randint(jax.random.key(4), (2, 6), 0, TOKENIZER.vocab_size)
    mask = jnp.arange(6)[None] > jnp.array([[1], [2]])
    sequences = Sequences(tokens, jnp.ones((2, 6), bool), mask)
    rows_, ones = jax.random.normal(jax.random.key(5), (4, 2, 6)), jnp.ones(2)
    logps = models.logps(NET, params, sequences)
    old, ref = logps + 0.1 * rows_[0], logps + rows_[1]
    batch = Experience(sequences, old, ref, 0 * rows_[2], rows_[2], rows_[3], ones, Demos(sequences, ones))
    c = recipe(rl__kl="k2", rl__kl_in="loss", rl__entropy_coef=0.0, rl__value_coef=0.0)
    critic = lambda params, tokens, hidden: NET.apply(params, hidden, method="read_score")

    def total(kl_coef=0.0, entropy=0.0, value=0.0, pretrain=0.0):
        knobs = hparams(c) | {"policy": 1.0, "kl_coef": kl_coef, "pretrain": pretrain}
        knobs |= {"rl.entropy_coef": jnp.float32(entropy), "rl.value_coef": jnp.float32(value)}
        loss, metrics = on_policy._loss_fn(c, {"policy": NET, "reference": NET}, critic)(params, {}, knobs, batch, None)
        return float(loss.total), metrics

    plain, metrics = total()
    found = models.divergence(NET, params, NET, params, sequences)
    assert plain == pytest.approx(float(metrics["policy/loss"].total))
    parts = {
        "kl_coef": float(jnp.sum(jnp.where(mask, (logps - ref) ** 2 / 2, 0))),
        "entropy": -float(jnp.sum(jnp.where(mask, found.entropy, 0))),
        "value": float(metrics["value/loss"].total),
        "pretrain": -float(jnp.sum(jnp.where(mask, logps, 0))),
    }
    for name, part in parts.items():
        assert total(**{name: 0.5})[0] == pytest.approx(plain + 0.5 * part, rel=1e-4), name
    c.loss = "ppo_policy_loss(epsilon=0.2) + 0.5 * kl_loss()"
    assert total()[0] == pytest.approx(plain + 0.5 * parts["kl_coef"], rel=1e-4)


def rollout(stopped=(True, False)):
    """Two rows of a prompt token and two response tokens."""
    mask = jnp.array([[False, True, True]] * 2)
    sequences = Sequences(jnp.zeros((2, 3), jnp.int32), jnp.ones((2, 3), bool), mask)
    logps, ref_logps = jnp.array([[0.0, -1.0, -2.0]] * 2), jnp.array([[0.0, -1.5, -1.0]] * 2)
    values = jnp.array([[0.0, 0.1, 0.2]] * 2)
    weight = jnp.ones(2)
    after, scores, rivals = jnp.array([5.0, 7.0]), jnp.array([1.0, 2.0]), jnp.array([3.0, 0.5])
    arrays = sequences, logps, ref_logps, values, after, scores, jnp.array(stopped), weight
    return Rollout(*arrays, rival=sequences, rival_scores=rivals)


def credit(name, monkeypatch, **settings):
    """Advantages and returns that an algorithm assigns to `rollout()`, before they are whitened."""
    c, seen = recipe(name, **settings), {}
    stub = SimpleNamespace(_replace=lambda **parts: None, init=None)
    monkeypatch.setattr(on_policy, "make", lambda config, nets, credit, *_, **__: seen.update(credit=credit) or stub)
    MAKE[name](c, {"policy": NET, "reference": NET})
    return seen["credit"](rollout(), jnp.float32(0.1), hparams(c), {"baseline": (jnp.float32(0), jnp.float32(0))})[:2]


def test_ppo_pays_the_score_at_the_end_and_the_kl_at_every_token(monkeypatch):
    advantages, returns = credit("ppo", monkeypatch, rl__lam=1.0, rl__truncated="keep")
    first, last = -0.1 * (-1 + 1.5), -0.1 * (-2 + 1)
    np.testing.assert_allclose(returns[:, 1], [first + last + 1, first + last + 2], rtol=1e-6)
    np.testing.assert_allclose(advantages[:, 1:], returns[:, 1:] - jnp.array([[0.1, 0.2]]), rtol=1e-6)
    assert not advantages[:, 0].any()


@pytest.mark.parametrize("ddof", [0, 1])
def test_whitened_rewards_keep_their_mean(monkeypatch, ddof):
    knobs = {"rl__lam": 1.0, "rl__truncated": "keep"}
    plain, white = (
        credit("ppo", monkeypatch, rl__whiten_rewards=on, rl__ddof=ddof, **knobs)[1] for on in (False, True)
    )
    single = lambda returns: np.stack([returns[:, 1] - returns[:, 2], returns[:, 2]])  # rewards of the two tokens
    before, after = single(np.asarray(plain)), single(np.asarray(white))
    expected = (before - before.mean()) / before.std(ddof=ddof) + before.mean()
    np.testing.assert_allclose(after, expected, rtol=1e-5)


def test_what_was_cut_may_be_worth_what_the_critic_expects(monkeypatch):
    _, returns = credit("ppo", monkeypatch, rl__lam=1.0, rl__truncated="bootstrap", rl__gamma=0.5)
    last = -0.1 * (-2 + 1)
    np.testing.assert_allclose(returns[:, 2], [last + 1, last + 0.5 * 7], rtol=1e-6)  # not its score


def test_groups_compare_whole_scores(monkeypatch):
    scores = jnp.array([1.0, 2.0]) - 0.1 * (-1 + 1.5 - 2 + 1)
    advantages, returns = credit("rloo", monkeypatch)
    np.testing.assert_allclose(advantages[:, 1:], jnp.array([[-1.0, -1.0], [1.0, 1.0]]), atol=1e-6)
    np.testing.assert_allclose(returns[:, 1], scores, rtol=1e-6)
    advantages, _ = credit("grpo", monkeypatch)
    np.testing.assert_allclose(advantages[:, 2], [-1, 1], rtol=1e-5)
    advantages, _ = credit("grpo", monkeypatch, rl__std=False)
    np.testing.assert_allclose(advantages[:, 2], [-0.5, 0.5], rtol=1e-5)
    advantages, returns = credit("reinforce", monkeypatch, rl__kl_in="loss", rl__kl="k2")
    np.testing.assert_allclose(advantages[:, 2], [1, 2], rtol=1e-6)  # the first baseline is 0


def test_scores_are_compared_with_those_of_others(monkeypatch):
    scores, nats = np.array([1.0, 2.0]), -1 + 1.5 - 2 + 1
    advantages, _ = credit("remax", monkeypatch)
    np.testing.assert_allclose(advantages[:, 1], scores - 0.1 * nats - [3, 0.5], rtol=1e-6)
    advantages, wins = credit("nash_md", monkeypatch)
    expected = 1 / (1 + np.exp([3 - 1, 0.5 - 2]))
    np.testing.assert_allclose(wins[:, 2], expected, rtol=1e-6)
    np.testing.assert_allclose(advantages[:, 2], expected - 0.5 - 0.1 * nats, rtol=1e-5)


def test_reinforce_plus_plus_charges_the_kl_from_each_token_on(monkeypatch):
    first, last = -0.1 * (-1 + 1.5), -0.1 * (-2 + 1)
    advantages, _ = credit("reinforce_plus_plus", monkeypatch)
    np.testing.assert_allclose(advantages[:, 1:], [[first + last + s, last + s] for s in (1, 2)], rtol=1e-5)
    advantages, _ = credit("reinforce_plus_plus", monkeypatch, rollout__n=2)  # less the mean score of the prompt
    np.testing.assert_allclose(advantages[:, 1:], [[first + last + s, last + s] for s in (-0.5, 0.5)], rtol=1e-5)


def test_a_rival_of_several_samples_is_judged_once(monkeypatch):
    """The greedy answer to a prompt, beside which two samples stand."""
    judged = []

    def reward(frozen, sequences, ids):
        judged.append(len(ids))
        return ids.astype(jnp.float32), {}

    monkeypatch.setattr(rollouts.rewards, "make", lambda *_: reward)
    c, (policy, frozen) = recipe("remax", rollout__n=2, rl__truncated="keep"), trees()
    greedy = lambda state, frozen, hparams, draw: draw(NET, state.params, n=1, temperature=0.0)
    roll = rollouts.roller(c, {"policy": NET, "reference": NET}, rival=greedy)
    batch = batches(rows.prompts(list(desk.prompts("validation")), TOKENIZER, 80)[0], 8, 80, seed=0)(0)
    state = TrainState(jnp.int32(0), policy, (), {})
    rolled, _ = jax.jit(roll)(state, frozen, hparams(c), batch, jax.random.key(2))
    assert judged == [16, 8]
    np.testing.assert_array_equal(rolled.rival_scores, np.repeat(batch.ids, 2))
    np.testing.assert_array_equal(rolled.rival.tokens[::2], rolled.rival.tokens[1::2])
    before = rolled.sequences.valid & ~rolled.sequences.response
    np.testing.assert_array_equal(rolled.rival.tokens[before], rolled.sequences.tokens[before])  # of its own prompt


def test_a_prompt_whose_samples_have_one_score_is_left_out():
    """A reward that every sample has alike: no token is learnt from, and nothing moves."""
    c = recipe("grpo", reward="length(target=6)", rl__drop_equal=True, rl__truncated="keep")
    (policy, _), states = trees(), []
    _, told = run(c, steps=1, states=states)  # an untrained model never stops
    assert told[0]["groups_kept"] == 0 and told[0]["policy/ratio"] == 0
    close(states[0].params["params"]["layers"], policy["params"]["layers"], 0)


@pytest.mark.slow
def test_a_prompt_whose_samples_differ_is_kept():
    _, told = run(recipe("grpo", rl__drop_equal=True, rl__epochs=1), steps=1)
    assert told[0]["groups_kept"] == 1 and told[0]["policy/ratio"] == pytest.approx(1)


@functools.cache
def cut(truncated):
    """The metrics of a step whose completions of two tokens are all truncated: an untrained model never stops."""
    settings = {"rollout__max_new": 2, "rl__penalty": 3.0, "rl__lam": 1.0, "rl__epochs": 1}
    return run(recipe(rl__truncated=truncated, **settings), steps=1)[1][0]


def test_no_token_of_what_was_cut_counts_where_it_is_masked():
    told = cut("mask")
    assert told["stopped"] == 0 and told["policy/ratio"] == 0


@pytest.mark.slow
def test_truncated_completions():
    kept, penalised, masked = map(cut, ("keep", "penalise", "mask"))
    for told in (kept, penalised, masked):
        assert told["stopped"] == 0
        assert told["score"] == pytest.approx(kept["score"])  # the score that is logged is the reward's own
    assert penalised["value/return"] == pytest.approx(kept["value/return"] - 3, abs=1e-4)
    assert kept["policy/ratio"] == pytest.approx(1) and masked["policy/ratio"] == 0  # no token counts


def test_rewards_of_texts_see_the_records_they_answer():
    c = recipe(reward="text(function='prefjax.worlds.desk:judge', key='gold')")
    _, told = run(c, steps=1)
    _, many = run(recipe(reward=c.reward, mesh__data=8), steps=1)
    assert told[0]["score"] == pytest.approx(many[0]["score"]) != 0


def test_a_sampler_that_is_not_the_trainer_stops_the_run():
    algorithm = MAKE["ppo"](recipe(), {name: NET for name in ("policy", "reference", "reward")})
    values = {"train/mismatch": 0.3, "train/mismatch/sampler": -3.2011, "train/mismatch/trainer": -3.5}
    with pytest.raises(PrefjaxError, match=r"-3\.2011 when it was sampled and -3\.5000"):
        algorithm.watch(values)
    algorithm.watch(values | {"train/mismatch": 0.01})


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("ppo", {"reward": ""}, "config.reward is ''"),
        ("ppo", {"rl__kl": "k4"}, "one of k1, k2, k3"),
        ("ppo", {"rl__kl_in": "loss"}, "gradient is 0; it should be 'k2'"),
        ("ppo", {"rl__minibatches": 3}, "divide the 8 samples"),
        ("ppo", {"rollout__temperature": 0.0}, "above 0"),
        ("ppo", {"loss": "ppo_policy_loss(per='sequence')"}, "per='sequence'"),
        ("grpo", {"rollout__n": 1}, "2 or more"),
        ("rloo", {"rl__truncated": "bootstrap"}, "needs a critic"),
        ("reinforce", {"rl__truncated": "bootstrap"}, "needs a critic, and reinforce has none"),
        ("grpo", {"rl__critic_warmup": 3}, "critic_warmup is 3, and grpo has no critic"),
        ("rloo", {"rl__whiten_rewards": True}, "whiten_rewards is True, and rloo has no critic that learns from them"),
        ("ppo", {"rl__drop_equal": True}, "drop_equal is True and rollout.n is 1; there should be 2 samples"),
        ("reinforce_plus_plus", {"rl__whiten_advantages": False}, "normalised advantages are all that makes"),
        ("grpo", {"data__pretrain": "x()", "rl__minibatches": 16}, "the 16 samples and the 8 demonstrations of a step"),
    ],
)
def test_settings_that_make_no_sense(name, settings, message):
    with pytest.raises(ConfigError, match=message):
        MAKE[name](recipe(name, **settings), {n: NET for n in ("policy", "reference", "reward")})


def test_divergence_is_that_of_the_full_distributions():
    policy, frozen = trees()
    tokens = jax.random.randint(jax.random.key(4), (3, 9), 0, TOKENIZER.vocab_size)
    valid = jnp.ones(tokens.shape, bool)
    sequences = Sequences(tokens, valid, valid.at[:, :4].set(False))
    found = models.divergence(NET, policy, NET, frozen["reference"], sequences, 0.7)
    p, q = (jax.nn.log_softmax(NET.apply(tree, tokens) / 0.7) for tree in (policy, frozen["reference"]))
    kl, entropy = jnp.sum(jnp.exp(p) * (p - q), axis=-1), -jnp.sum(jnp.exp(p) * p, axis=-1)
    np.testing.assert_allclose(found.kl[:, 4:], kl[:, 3:-1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.entropy[:, 4:], entropy[:, 3:-1], rtol=1e-5)
    np.testing.assert_allclose(found.logps[:, 4:], ops.token_logps(p, tokens)[:, 4:], rtol=1e-4, atol=1e-5)
    assert not found.kl[:, :4].any()
