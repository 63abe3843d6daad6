"""The one update: accumulation, clipping, schedules, averages, non-finite steps and sweeps."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from prefjax import models, optim
from prefjax.algorithms import dpo, reward, sft
from prefjax.config import base, hparams
from prefjax.errors import ConfigError
from prefjax.types import Demos, Pairs, Sequences

MODEL = models.llama(vocab=32, width=16, layers=2, heads=2)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def params():
    return models.init(MODEL, KEY)


def sequences(shape, seed=0):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(6, shape[-1] + 1, shape[:-1])[..., None]
    index = np.arange(shape[-1])
    return Sequences(rng.integers(0, 32, shape).astype(np.int32), index < lengths, (index >= 4) & (index < lengths))


def pairs(rows=8):
    return Pairs(sequences((rows, 2, 12)), np.ones(rows, np.float32))


def close(a, b, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def run(make, config, params, batch, steps=1, frozen=None):
    algorithm = make(config, {"policy": MODEL, "reference": MODEL})
    state, step = algorithm.init(KEY, params), jax.jit(algorithm.step)
    for _ in range(steps):
        state, metrics = step(state, frozen or {"reference": params}, hparams(config), batch, KEY)
    return state, metrics


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_microbatches_equal_the_full_batch(params, parts):
    config = base()
    batch = Demos(sequences((8, 12)), np.ones(8, np.float32))  # rows of different lengths: the parts weigh differently
    config.loss, config.optim.tx = "sft_loss()", "sgd()"
    whole, whole_metrics = run(sft.make, config, params, batch)
    config.optim.accumulate = parts
    split, split_metrics = run(sft.make, config, params, batch)
    close(whole.params, split.params, rtol=1e-5, atol=1e-6)
    close(whole_metrics, split_metrics, rtol=1e-5, atol=1e-6)


MIX = "dpo_loss(beta=0.5) + 0.2 * sft_loss()"


def of_ratios(text, microbatches=1):
    """Loss, metrics and gradient of a loss at log-probs that are a parameter times those of the reference."""
    config, batch = base(), pairs()
    config.loss = text
    ref_logps = np.where(batch.sequences.response, np.random.default_rng(1).uniform(-3, 0, (8, 2, 12)), 0)
    batch = batch._replace(ref_logps=ref_logps.astype(np.float32), margin=np.ones(8, np.float32))
    batch = batch._replace(weight=np.array([1, 1, 1, 1, 1, 0, 1, 0], np.float32))
    loss = optim.loss_of(config)

    def loss_fn(scale, frozen, hparams, batch, key):
        x = jnp.asarray(batch.ref_logps)
        return loss(hparams, batch, logps=scale * x, ref_logps=x, mask=batch.sequences.response)

    return optim.gradients(loss_fn, jnp.float32(1.1), {}, hparams(config), batch, KEY, microbatches), batch


def test_a_sum_of_losses_in_one_batch_and_in_microbatches():
    whole, batch = of_ratios(MIX)
    (dpo_alone, _), (sft_alone, _) = of_ratios("dpo_loss(beta=0.5)"), of_ratios("sft_loss()")
    loss, metrics = whole[0]
    for part in (lambda x: x[0][0].total, lambda x: x[1]):
        close(part(whole), part(dpo_alone) + 0.2 * part(sft_alone), rtol=1e-6)
    assert loss.weight == 6
    assert (metrics["loss/dpo_loss"], metrics["loss/sft_loss"]) == (dpo_alone[0][0], sft_alone[0][0])
    assert metrics["logps/response"] == metrics["logps/chosen"] and "rewards/accuracy" in metrics
    tokens = batch.sequences.response[:, 0]
    likelihood = 1.1 * batch.ref_logps[:, 0].sum(-1) / tokens.sum(-1)  # each chosen side alike, whatever its length
    close(sft_alone[0][0].value, -np.mean(likelihood[batch.weight > 0]), rtol=1e-5)
    close(of_ratios(MIX, 4)[0], whole, rtol=1e-5)


def test_one_term_says_what_all_weigh_alike():
    config = base()
    for text, default, what in (
        ("sft_loss() + 0.1 * kl_loss()", "", "token"),
        ("gspo_loss() + 0.1 * kl_loss()", "", "response"),
        ("sft_loss(per='sequence') + 0.1 * kl_loss()", "token", "sequence"),
        ("dpo_loss() + sft_loss()", "response", "response"),
        ("dpo_loss()", "", "token"),
    ):
        config.loss = text
        assert optim.weighs(config, default=default) == what, text
    once, twice = (of_ratios(f"dpo_loss() + sft_loss({per}) + sft_loss()")[0] for per in ("per='sequence'", ""))
    metrics = once[0][1]
    assert metrics["loss/sft_loss"] == metrics["loss/sft_loss2"]
    assert metrics["loss/sft_loss"].value > twice[0][1]["loss/sft_loss"].value  # sums of tokens, not their mean


def test_what_a_loss_says_of_its_batch_names_the_setting():
    with pytest.raises(ConfigError, match=r"config.loss \"sft_loss\(per='x'\)\".*expected 'token', 'response'"):
        of_ratios("sft_loss(per='x')")


def test_what_two_losses_report_is_kept_of_both():
    config, zero = base(), jnp.zeros((2, 2, 3))
    config.loss = "dpo_loss(beta=0.5) - 0.1 * dpo_loss(beta=2)"
    arrays = {"logps": zero - 1, "ref_logps": zero, "mask": jnp.ones((2, 2, 3), bool)}
    loss, metrics = optim.loss_of(config)(hparams(config), pairs(2), **arrays)
    assert loss.value == pytest.approx(0.9 * np.log(2))
    assert (metrics["rewards/chosen"].value, metrics["dpo_loss2/rewards/chosen"].value) == (-1.5, -6.0)


def test_filler_rows_change_nothing(params):
    config = base()
    batch = pairs()
    filled = jax.tree.map(lambda x: np.concatenate([x, x[:3]]), batch)
    filled = filled._replace(weight=np.array([1.0] * 8 + [0.0] * 3, np.float32))
    close(run(dpo.make, config, params, batch), run(dpo.make, config, params, filled), rtol=1e-5, atol=1e-6)


def test_the_first_loss_of_dpo_is_log_2(params):
    _, metrics = run(dpo.make, base(), params, pairs())
    assert metrics["loss"].value == pytest.approx(np.log(2), abs=1e-6)
    assert metrics["rewards/margin"].value == pytest.approx(0, abs=1e-6)


def test_gradients_are_clipped_by_their_global_norm(params):
    config = base()
    config.optim.tx, config.optim.lr, config.optim.clip = "sgd()", 1.0, 1e-3
    config.optim.schedule = "constant()"
    state, metrics = run(dpo.make, config, params, pairs())
    moved = optax.tree.norm(jax.tree.map(jnp.subtract, params, state.params))
    assert metrics["grad_norm"].value > 1e-3
    assert moved == pytest.approx(1e-3, rel=1e-3)
    config.optim.clip = 0.0
    state, metrics = run(dpo.make, config, params, pairs())
    moved = optax.tree.norm(jax.tree.map(jnp.subtract, params, state.params))
    assert moved == pytest.approx(float(metrics["grad_norm"].value), rel=1e-3)


def test_schedules():
    at = lambda schedule, *steps: [float(schedule(step)) for step in steps]
    assert at(optim.constant(100, warmup=3), 0, 1, 2, 3, 99) == [0.25, 0.5, 0.75, 1, 1]
    assert at(optim.constant(100), 0) == [1]
    assert at(optim.linear(10, final=0.5), 0, 5, 10, 20) == [1, 0.75, 0.5, 0.5]
    np.testing.assert_allclose(at(optim.cosine(110, warmup=10), 10, 60, 110), [1, 0.5, 0], atol=1e-7)


def test_the_average_follows_the_parameters(params):
    config = base()
    config.optim.ema = 0.9
    state, _ = run(dpo.make, config, params, pairs())
    close(state.carry["ema"], jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, params, state.params), rtol=1e-5, atol=1e-7)


def test_weight_decay_acts_on_matrices_alone(params):
    config = base()
    config.optim.tx, config.optim.lr, config.optim.schedule = "adamw(weight_decay=0.5)", 0.1, "constant()"
    blind = pairs()._replace(weight=np.zeros(8, np.float32))  # no gradient: what moves is decayed
    state, _ = run(dpo.make, config, params, blind)
    for (path, old), new in zip(
        jax.tree_util.tree_leaves_with_path(params), jax.tree.leaves(state.params), strict=True
    ):
        decays = "kernel" in str(path) or "embedding" in str(path)
        np.testing.assert_allclose(new, old * (0.95 if decays else 1.0), rtol=1e-5)


def test_a_step_that_is_not_finite_moves_nothing(params):
    config = base()
    config.optim.ema = 0.9
    batch = pairs()._replace(margin=np.full(8, np.nan, np.float32))
    algorithm = dpo.make(config, {"policy": MODEL, "reference": MODEL})
    before = algorithm.init(KEY, params)
    after, metrics = run(dpo.make, config, params, batch)
    close((before.params, before.opt_state, before.carry), (after.params, after.opt_state, after.carry), rtol=0)
    assert metrics["finite"].value == 0
    assert after.step == 1


def test_vmap_over_four_betas_is_four_runs_from_one_compilation(params):
    """A sweep: (state, hparams, key) carry a leading R axis; the batch and the frozen models are shared."""
    config, betas, batch = base(), [0.05, 0.1, 1.0, 5.0], pairs()
    config.optim.lr = 1e-2
    algorithm = dpo.make(config, {"policy": MODEL, "reference": MODEL})
    frozen, traces = {"reference": params}, []

    def step(state, frozen, hparams, batch, key):
        traces.append(1)
        return algorithm.step(state, frozen, hparams, batch, key)

    sweep = jax.jit(jax.vmap(step, in_axes=(0, None, 0, None, 0)))
    shared = hparams(config)
    stacked = {path: jnp.full(4, x) for path, x in shared.items()} | {"loss.beta": jnp.array(betas)}
    keys = jax.random.split(KEY, 4)
    states = jax.vmap(lambda key: algorithm.init(key, params))(keys)
    for _ in range(3):
        states, metrics = sweep(states, frozen, stacked, batch, keys)
    assert sum(traces) == 1

    alone = jax.jit(step)
    for run_, beta in enumerate(betas):
        state = algorithm.init(keys[run_], params)
        for _ in range(3):
            state, single = alone(state, frozen, shared | {"loss.beta": jnp.float32(beta)}, batch, keys[run_])
        close(jax.tree.map(lambda x, r=run_: x[r], states.params), state.params, rtol=1e-4, atol=1e-5)
        close(metrics["loss"].value[run_], single["loss"].value, rtol=1e-5)
    assert sum(traces) == 2  # four betas, one after the other: one compilation more


@pytest.mark.parametrize(
    ("algorithm", "loss", "batch", "message"),
    [
        ("dpo", "ipo_loss()", {"target": 0.5}, r"takes no target: config.data.rows should be 'pairs\(soft=False\)'"),
        ("reward", "mine_loss()", {"margin": 1.0}, r"takes no margin: .* 'pairs\(margin_per_grade=0.0\)'"),
        ("reward", "dpo_loss()", {}, r"'dpo_loss\(\)' does not fit .* 'reward', which has rewards: missing .*'logps'"),
        ("dpo", "bradley_terry_loss()", {}, r"does not fit .* 'dpo', which has logps, mask: missing .*'rewards'"),
        (
            "dpo",
            "dpo_loss() + sft_loss(per='token')",
            {},
            "sum of losses on responses weighs those",
        ),
        ("dpo", "dpo_loss() + sft_loss()", {"target": 0.5}, r"'sft_loss\(\)' takes no target: .*soft=False"),
        (
            "sft",
            "sft_loss(per='response') + sft_loss(per='sequence')",
            {},
            "weigh differently; they should have one `per`",
        ),
        ("sft", "sft_loss()", {}, r"'sft' eats Demos, got Pairs: config.data.rows should be 'demos\(\)'"),
    ],
)
def test_a_loss_and_a_batch_must_fit_the_algorithm(params, algorithm, loss, batch, message):
    config = base()
    config.algorithm = algorithm
    config.loss = loss.replace("mine_loss", f"{__name__}:mine_loss")
    batch = pairs()._replace(**{name: np.full(8, x, np.float32) for name, x in batch.items()})
    with pytest.raises(ConfigError, match=message):
        run({"dpo": dpo, "reward": reward, "sft": sft}[algorithm].make, config, params, batch)


def mine_loss(rewards, *, where):
    raise AssertionError("never called")


def test_dpo_eats_pairs(params):
    with pytest.raises(ConfigError, match="'dpo' eats Pairs or Rankings, got Demos"):
        run(dpo.make, base(), params, Demos(sequences((8, 12)), np.ones(8, np.float32)))


def test_dpo_without_a_reference_says_how_to_set_it():
    with pytest.raises(ConfigError, match="config.frozen.reference is not set; .* c.frozen.reference = c.model"):
        dpo.make(base(), {"policy": MODEL})


def test_a_mistyped_accumulate_is_named(params):
    config = base()
    config.optim.accumulate = 3
    with pytest.raises(ValueError, match="optim.accumulate: 3 does not divide the batch of 8 rows"):
        run(dpo.make, config, params, pairs())
