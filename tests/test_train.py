"""The loop: record, resume, evaluations, and what is said when something is wrong."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest

from prefjax import checkpoint
from prefjax.config import base, numbers, validate
from prefjax.errors import CheckpointError, ConfigError, DataError, NonFiniteError, PrefjaxError
from prefjax.saves import Checkpoints
from prefjax.setup import records_of, setup
from prefjax.together import unpacked
from prefjax.train import compiled, due, prefetch, start, train, update

DEMOS = "prefjax.worlds.desk:demos(n=64)"
PAIRS = "prefjax.worlds.desk:pairs(n=64)"


def sft_config(steps=4):
    c = base()
    c.steps, c.batch_size, c.log_every = steps, 8, 2
    c.algorithm, c.loss = "sft", "sft_loss()"
    c.model, c.tokenizer = "llama(width=16, layers=2, heads=2)", "prefjax.worlds.desk:tokenizer()"
    c.data.train, c.data.rows, c.data.max_length = DEMOS, "demos()", 80
    c.optim.lr = 1e-2
    c.mesh.data = 1
    return c


def lines(workdir, name):
    return [json.loads(line) for line in (workdir / name).read_text().splitlines()]


@pytest.fixture(scope="module")
def sft_run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "sft"
    c = sft_config()
    c.evals.held_out = f"held_out(source={DEMOS!r}, batch_size=32, allow_overlap=True)"
    state = train(c, workdir)
    return workdir, c, state


def test_a_run_leaves_its_record(sft_run):
    workdir, config, _ = sft_run
    assert json.loads((workdir / "config.json").read_text()) == json.loads(json.dumps(config.to_dict()))
    facts = json.loads((workdir / "run.json").read_text())
    assert facts["data"] == {"rows": 64}
    assert facts["held_out"] == {DEMOS: {"rows": 64, "prompts trained on": 64}}
    assert facts["versions"]["jax"] == jax.__version__
    metrics = lines(workdir, "metrics.jsonl")
    assert [(row["step"], "train/loss" in row) for row in metrics] == [(0, False), (2, True), (4, True), (4, False)]
    assert metrics[-1]["eval/held_out/loss"] < metrics[0]["eval/held_out/loss"]
    assert not any("time" in key or "seconds" in key for row in metrics for key in row)
    assert [row["step"] for row in lines(workdir, "timing.jsonl")] == [0, 2, 4, 4]
    assert (workdir / "DONE").exists()


def test_a_step_compiled_ahead_is_the_step_and_takes_batches_that_did_not_fit():
    run = setup(sft_config())
    state, step = compiled(run)
    jax.tree.map(np.testing.assert_array_equal, state, start(run))
    batch, rest, key = run.batch_at(0), (run.frozen, run.hparams), jax.random.key(0)
    assert batch.sequences.packing is not None
    found, _ = step(state, *rest, batch, key)
    jax.tree.map(np.testing.assert_array_equal, found, update(run)(start(run), *rest, batch, key)[0])
    _, plain = step(start(run), *rest, unpacked(batch), key)
    _, packed = step(start(run), *rest, batch, key)
    np.testing.assert_allclose(plain["loss"].value, packed["loss"].value, rtol=1e-5)


def test_a_run_that_has_ended_compiles_no_step(sft_run, monkeypatch):
    workdir, config, state = sft_run
    monkeypatch.setattr("prefjax.train.compiled", None)
    jax.tree.map(np.testing.assert_array_equal, train(config, workdir), state)


def test_the_loop_is_imported_without_what_takes_long_and_comes_later():
    code = "import sys, prefjax.train; sys.exit(any(name in sys.modules for name in ('scipy.stats', 'orbax', 'grain')))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_first_held_out_loss_is_that_of_a_uniform_guess(sft_run):
    workdir, _, state = sft_run
    vocab = state.params["params"]["embed"]["embedding"].shape[0]
    assert lines(workdir, "metrics.jsonl")[0]["eval/held_out/loss"] == pytest.approx(np.log(vocab), rel=0.02)


def test_the_same_command_resumes_and_a_finished_run_stays_as_it_is(sft_run, tmp_path):
    whole, _, state = sft_run
    c = sft_config(steps=2)
    c.evals.held_out = f"held_out(source={DEMOS!r}, batch_size=32, allow_overlap=True)"
    train(c, tmp_path)
    c.steps = 4
    resumed = train(c, tmp_path)
    jax.tree.map(np.testing.assert_array_equal, resumed, state)
    kept = [row for row in lines(tmp_path, "metrics.jsonl") if not (row["step"] == 2 and "eval/held_out/loss" in row)]
    assert kept == lines(whole, "metrics.jsonl")
    before = (tmp_path / "metrics.jsonl").read_bytes()
    train(c, tmp_path)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_another_setting_in_the_same_workdir_is_refused_with_a_diff(sft_run):
    workdir, config, _ = sft_run
    other = config.copy_and_resolve_references()
    other.optim.lr = 5.0
    with pytest.raises(ConfigError, match=r"optim.lr: 0.01 there, 5.0 asked for"):
        train(other, workdir)


def dpo_config(workdir):
    c = base()
    c.steps, c.batch_size, c.log_every, c.mesh.data = 3, 8, 1, 1
    c.model = str(workdir)
    c.frozen.reference = c.get_ref("model")
    c.data.train, c.data.max_length = PAIRS, 80
    return c


def test_dpo_and_its_evaluations_from_a_workdir(sft_run, tmp_path):
    c = dpo_config(sft_run[0])
    prompts = "prefjax.worlds.desk:prompts(split='test')"
    judge = "prefjax.worlds.desk:judge"
    c.evals.answers = f"samples(source={prompts!r}, judge={judge!r}, limit=5, n=2, max_new=8)"
    train(c, tmp_path)
    metrics, samples = lines(tmp_path, "metrics.jsonl"), lines(tmp_path, "samples.jsonl")
    first = next(row for row in metrics if "train/loss" in row)
    assert first["train/loss"] == pytest.approx(np.log(2), abs=1e-5)
    assert {"train/logps/chosen", "train/logps/rejected", "train/rewards/margin"} <= first.keys()
    assert metrics[0]["eval/answers/kl"] == pytest.approx(0, abs=1e-6)
    assert len(samples) == 2 * 5 * 2
    assert {"prompt", "response", "gold", "kl", "length", "stopped", "eval"} <= samples[0].keys()
    mean = np.mean([row["gold"] for row in samples if row["step"] == 0])
    assert metrics[0]["eval/answers/gold"] == pytest.approx(mean)


def test_a_reward_model_gets_its_head_and_measures_a_policy(sft_run, tmp_path):
    c = dpo_config(sft_run[0])
    c.frozen = {}
    c.algorithm, c.loss = "reward", "bradley_terry_loss()"
    train(c, tmp_path / "reward")
    _, params = checkpoint.load(str(tmp_path / "reward"))
    assert "score_head" in params["params"]
    c = dpo_config(sft_run[0])
    c.frozen.reward = str(tmp_path / "reward")
    c.evals.answers = "samples(source=\"prefjax.worlds.desk:prompts(split='test')\", limit=3, max_new=4)"
    train(c, tmp_path / "dpo")
    assert "eval/answers/reward" in lines(tmp_path / "dpo", "metrics.jsonl")[0]


def test_a_reference_names_a_step(sft_run, tmp_path):
    c = sft_config(steps=4)
    c.checkpoint_every = 2
    train(c, tmp_path)
    middle, last = (checkpoint.load(f"{tmp_path}@{step}")[1] for step in (2, 4))
    newest = checkpoint.load(str(tmp_path))[1]
    jax.tree.map(np.testing.assert_array_equal, newest, last)
    assert any(np.any(a != b) for a, b in zip(jax.tree.leaves(middle), jax.tree.leaves(last), strict=True))
    with pytest.raises(CheckpointError, match="no checkpoint of step 3; it has 2, 4"):
        checkpoint.load(f"{tmp_path}@3")
    with pytest.raises(CheckpointError, match="no such folder"):
        checkpoint.load(f"{tmp_path}/nowhere")


def test_the_averaged_copy_is_a_reference_of_its_own(tmp_path):
    c = sft_config(steps=2)
    c.optim.ema = 0.5
    state = train(c, tmp_path)
    jax.tree.map(np.testing.assert_array_equal, checkpoint.load(f"{tmp_path}:ema")[1], state.carry["ema"])
    jax.tree.map(np.testing.assert_array_equal, checkpoint.load(f"{tmp_path}@2")[1], state.params)
    assert checkpoint.pin(f"{tmp_path}:ema") == f"{tmp_path}@2:ema"


def test_an_averaged_copy_that_was_not_kept_is_an_error(sft_run):
    with pytest.raises(CheckpointError, match="the run kept no averaged copy"):
        checkpoint.load(f"{sft_run[0]}:ema")


def test_a_resumed_run_keeps_its_reference(sft_run, tmp_path):
    reference = tmp_path / "sft"
    train(sft_config(steps=1), reference)
    c = dpo_config(reference)
    c.steps = 1
    train(c, tmp_path / "dpo")
    facts = json.loads((tmp_path / "dpo" / "run.json").read_text())
    assert facts["frozen"] == {"reference": f"{reference}@1"}
    train(sft_config(steps=2), reference)  # it moves on
    c.steps = 2
    train(c, tmp_path / "dpo")
    assert json.loads((tmp_path / "dpo" / "run.json").read_text())["frozen"] == facts["frozen"]


def test_a_tokenizer_of_another_model_is_refused(sft_run, tmp_path):
    c = dpo_config(sft_run[0])
    c.data.max_length = 500
    with pytest.raises(ConfigError, match="config.data.max_length is 500; it should be at most 80"):
        train(c, tmp_path)


def test_a_state_of_another_shape_is_refused(sft_run, tmp_path):
    c = sft_config(steps=1)
    train(c, tmp_path)
    with Checkpoints(tmp_path) as checkpoints:
        other = sft_run[2]._replace(params={"params": {}})
        with pytest.raises(CheckpointError, match="does not fit this run"):
            checkpoints.restore(other)


def test_a_loss_that_is_not_finite_stops_the_run_and_says_where(sft_run, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "from prefjax.losses import dpo_loss\n"
        "def broken_loss(logps, ref_logps, mask, *, where=None):\n"
        "    return dpo_loss(logps / 0.0, ref_logps, mask, where=where)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    c = dpo_config(sft_run[0])
    c.loss = "mine:broken_loss()"  # a loss from anywhere, by its call string
    batch = ", ".join(map(str, records_of(setup(c))(1)))
    with pytest.raises(
        NonFiniteError, match=rf"step 1: .*loss.* not finite on records {batch} of the source.*left out"
    ):
        train(c, tmp_path / "run")
    failure = json.loads((tmp_path / "run" / "FAILED.json").read_text())
    assert failure["error"] == "NonFiniteError"


def test_an_algorithm_that_sees_no_sense_in_a_run_stops_it_at_the_first_step(tmp_path, monkeypatch):
    (tmp_path / "watched.py").write_text(
        "from prefjax.algorithms import sft\n"
        "from prefjax.errors import PrefjaxError\n"
        "def watch(values):\n"
        "    raise PrefjaxError(f'a loss of {values[\"train/loss\"]:.1f}')\n"
        "def make(config, nets):\n"
        "    return sft.make(config, nets)._replace(watch=watch)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    c = sft_config(steps=1000)
    c.algorithm, c.log_every = "watched:make", 1000
    with pytest.raises(PrefjaxError, match=r"a loss of \d"):
        train(c, tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_no_usable_data_is_an_error_of_the_data(tmp_path):
    c = sft_config()
    c.data.max_length = 4
    with pytest.raises(DataError, match="no usable rows with max_length=4"):
        train(c, tmp_path)


def test_held_out_prompts_that_are_trained_on_stop_the_run_before_it_starts(tmp_path):
    c = sft_config()
    c.evals.held_out = f"held_out(source={DEMOS!r})"
    with pytest.raises(DataError, match=r"64 of 64 held-out rows have a prompt that is trained on, such as '.+'"):
        train(c, tmp_path)
    assert json.loads((tmp_path / "FAILED.json").read_text())["error"] == "DataError"
    assert not (tmp_path / "run.json").exists()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("steps", -1, r"config.steps is -1; it should be 0 or more"),
        ("batch_size", 0, r"config.batch_size is 0"),
        ("optim.accumulate", 3, r"config.optim.accumulate is 3; it should be a divisor of batch_size = 8"),
        ("optim.ema", 1.0, r"config.optim.ema is 1.0; it should be in \[0, 1\)"),
        ("dtype", "float16", r"config.dtype is 'float16'; it should be 'float32' or 'bfloat16'"),
        ("model", "", r"config.model is ''; it should be set"),
    ],
)
def test_settings_no_run_can_start_from(path, value, message):
    c = sft_config()
    c.update_from_flattened_dict({path: value})
    with pytest.raises(ConfigError, match=message):
        validate(c)


def test_every_number_reaches_the_step_under_its_path():
    c = base()
    c.loss, c.optim.tx, c.optim.schedule = "dpo_loss(beta=2)", "adamw(b1=0.5)", "cosine(warmup=3, final=0.1)"
    assert numbers(c) == {
        "loss.beta": 2.0,
        "optim.lr": 1e-4,
        "optim.clip": 1.0,
        "optim.ema": 0.0,
        "optim.tx.b1": 0.5,
        "optim.schedule.final": 0.1,
        "rollout.temperature": 1.0,
    }


def test_due():
    assert [at for at in range(1, 11) if due(at, 4, 10)] == [4, 8, 10]
    assert [at for at in range(1, 11) if due(at, 0, 10)] == [10]


def test_prefetch_gives_every_batch_once_in_order():
    batches = prefetch(lambda step: np.int32(step * 10), 2, 5)
    assert [(at, int(batch)) for at, batch in batches] == [(3, 20), (4, 30), (5, 40)]
    assert list(prefetch(lambda step: step, 5, 5)) == []
