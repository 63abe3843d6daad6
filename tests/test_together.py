"""Runs as one program are those runs alone."""

import contextlib
import functools
import json
import re
import shutil
import signal
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.sweep import measured, one_program, task
from prefjax import axes, checkpoint, memory, mesh, sweep, together
from prefjax.config import base
from prefjax.errors import Interrupted, SweepError
from prefjax.setup import evaluations, setup, sibling
from prefjax.train import train

AXES = ("optim.lr=1e-3,3e-4", "seed=0,1")


def config(steps=20):
    c = base()
    c.steps, c.batch_size, c.log_every, c.eval_every, c.checkpoint_every = steps, 4, 5, 10, 10
    c.algorithm, c.loss = "reward", "bradley_terry_loss()"
    c.model, c.tokenizer = "llama(width=16, layers=1, heads=2)", "prefjax.worlds.desk:tokenizer()"
    c.data.train, c.data.max_length, c.mesh.data = "prefjax.worlds.desk:pairs(n=16)", 80, 1
    c.evals.held_out = "held_out(source=\"prefjax.worlds.desk:pairs(split='validation', n=8)\")"
    return c


def swept(folder, *texts, steps=20, **knobs):
    found = sweep.runs(config(steps), [axes.axis(text) for text in texts])
    sweep.train(found, folder, **knobs)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    swept(folder, *AXES)
    return folder


def lines(workdir, name="metrics.jsonl"):
    return [json.loads(line) for line in (workdir / name).read_text().splitlines()]


def same(workdir, other):
    """Equal but for rounding: every array of parameters within 1e-5 of its norm, and every line of the record."""
    ours, theirs = (jax.tree.leaves(checkpoint.load(str(w))[1]["params"]) for w in (workdir, other))
    for x, y in zip(ours, theirs, strict=True):
        assert np.linalg.norm(x - y) <= 1e-5 * np.linalg.norm(y)
    for ours, theirs in zip(lines(workdir), lines(other), strict=True):
        assert list(ours) == list(theirs)
        np.testing.assert_allclose(list(ours.values()), list(theirs.values()), rtol=1e-3, atol=1e-5)


def test_each_is_the_run_alone(folder, tmp_path):
    found = sweep.runs(config(), [axes.axis(text) for text in AXES])
    for run in found[1:3]:
        train(run.config, tmp_path / run.name)
        same(folder / run.name, tmp_path / run.name)
        for name in ("config.json", "model/config.json"):
            assert (folder / run.name / name).read_bytes() == (tmp_path / run.name / name).read_bytes()
        assert json.loads((folder / run.name / "DONE").read_text())["step"] == 20


def test_what_is_finished_is_not_run_again(folder, monkeypatch):
    monkeypatch.setattr(together, "train", lambda *_, **__: pytest.fail("trained again"))
    swept(folder, *AXES)


def test_a_sweep_goes_on_where_its_runs_stand(folder, tmp_path):
    """Half of the runs have been stopped after ten steps, as a kill between two saves leaves them."""
    found = sweep.runs(config(), [axes.axis(text) for text in AXES])
    for run in found[:2]:
        shorter = run.config.copy_and_resolve_references()
        shorter.steps = 10
        train(shorter, tmp_path / run.name)
        (tmp_path / run.name / "DONE").unlink()
    swept(tmp_path, *AXES)
    for run in found:
        same(tmp_path / run.name, folder / run.name)


def test_a_signal_in_the_middle_of_an_interval_leaves_no_trace(folder, tmp_path, monkeypatch):
    asked = iter([None] * 12 + [signal.SIGTERM])  # after 13 steps: the interval has 3 of 5
    with monkeypatch.context() as patched:
        patched.setattr(together.interrupt, "deferred", lambda: contextlib.nullcontext(lambda: next(asked)))
        with pytest.raises(Interrupted, match="after step 13"):
            swept(tmp_path, *AXES)
    for run in swept(tmp_path, *AXES):
        same(tmp_path / run.name, folder / run.name)


def test_a_sweep_that_is_made_longer_goes_on_and_one_beside_it_is_added(folder, tmp_path):
    (short,) = swept(tmp_path, "optim.lr=1e-3", "seed=0", steps=10)
    (long,) = swept(tmp_path, "optim.lr=1e-3", "seed=0")
    assert short.name == long.name
    same(tmp_path / long.name, folder / long.name)
    swept(tmp_path, "optim.lr=3e-4", "seed=0", steps=0)
    assert [row["changes"]["optim.lr"] for row in json.loads((tmp_path / "sweep.json").read_text())["runs"]] == [
        1e-3,
        3e-4,
    ]


def test_a_run_that_is_not_finite_ends_and_the_others_go_on(folder, tmp_path):
    found = swept(tmp_path, "optim.lr=1e-3,1e38", "seed=0")
    assert [sweep.over(run, tmp_path) for run in found] == ["done", "not finite"]
    assert "not finite" in json.loads((tmp_path / found[1].name / "FAILED.json").read_text())["message"]
    assert checkpoint.newest(tmp_path / found[1].name) is None  # nothing of it is saved any more
    same(tmp_path / found[0].name, folder / found[0].name)


@pytest.mark.parametrize("resident", [0, 2**28])
def test_a_program_that_takes_too_much_is_run_in_parts(resident, folder, tmp_path, monkeypatch):
    """The estimate is told, of the process where it is known, and a limit just under it makes two programs of one."""
    monkeypatch.setattr(together.jax, "devices", lambda: jax.local_devices()[:1])  # all runs on one
    monkeypatch.setattr(memory.host, "resident", lambda: (resident, resident))
    say = lambda text: told.append((int(text.split()[0]), *map(float, re.findall(r"([\d.]+) MiB", text))))
    told = []
    swept(tmp_path / "whole", "optim.lr=1e-3,3e-4", steps=0, say=say)
    ((count, *_, most),) = told
    assert count == 2 and most > resident / 2**20
    told.clear()
    found = swept(tmp_path, "optim.lr=1e-3,3e-4", limit=(most - 0.1) * 2**20, say=say)
    assert [count for count, *_ in told] == [1, 1] and all(figures[-1] < most for figures in told)
    for run in found:
        same(tmp_path / run.name, folder / run.name)


@pytest.mark.slow
@pytest.mark.parametrize("runs", [4, 16])
def test_the_memory_foretold_is_that_of_the_process(runs, tmp_path):
    if jax.default_backend() != "cpu" or not memory.host.resident()[1]:
        pytest.skip("memory of a process on a CPU, as Linux tells it")
    train = functools.partial(one_program, tmp_path / "sweep", *task(tmp_path, "desk", runs, steps=20))
    told = measured(train, tmp_path / "sweep", warm=True)
    assert told["foretold_mib"] == pytest.approx(told["peak_mib"], rel=0.15)
    assert told["compilations"] == 1


def test_a_turn_is_a_lane_of_vmap():
    def step(active, state, frozen, number):
        return jax.lax.cond(active, lambda: (state + frozen * number, number), lambda: (state, jnp.zeros_like(number)))

    arguments = np.array([True, False, True]), jnp.ones((3, 2)), jnp.float32(2), jnp.arange(3.0)
    for found in (jax.vmap, together.in_turn):
        states, metrics = jax.jit(found(step, (0, 0, None, 0)))(*arguments)
        np.testing.assert_array_equal(states, [[1, 1], [1, 1], [5, 5]])
        np.testing.assert_array_equal(metrics, [0, 0, 2])


@pytest.mark.parametrize("accelerator", [False, True])
def test_a_device_may_have_several_runs(accelerator, folder, tmp_path, monkeypatch):
    """Three runs on two devices: two, and one beside a copy that never moves."""
    if accelerator:
        monkeypatch.setattr(together, "in_turn", jax.vmap)
    monkeypatch.setattr(together.jax, "devices", lambda: jax.local_devices()[:2])
    found = sweep.runs(config(), [axes.axis(text) for text in AXES])[:3]
    sweep.train(found, tmp_path)
    for run in found:
        same(tmp_path / run.name, folder / run.name)


def test_evaluations_of_several_runs_hold_one_state():
    """The newest: else those of all runs would lie on one device between two evaluations."""
    run, held = setup(config(), parallel=mesh.single()), []
    for one in (run, sibling(run, config())):
        state = one.parallel.place(one.algorithm.init(jax.random.key(0), one.start(0)))
        evaluations(one)["held_out"](state, one.frozen, jax.random.key(0))
        held.append(weakref.ref(jax.tree.leaves(state.params)[0]))
        del state
    assert [ref() is None for ref in held] == [True, False]


def test_a_frozen_reward_model_may_have_moments(folder, tmp_path):
    """They are numbers without an axis, which lie whole on every device as the rest of the model does."""
    model = tmp_path / "reward"
    shutil.copytree(folder / sweep.runs(config(), [axes.axis(text) for text in AXES])[0].name, model)
    checkpoint.save_moments(str(model), 1.0, 2.0, {})
    c = config(1)
    c.frozen.reward, c.evals = str(model), {}
    found = sweep.runs(c, [axes.axis(AXES[0])])
    sweep.train(found, tmp_path / "sweep")
    assert all(sweep.over(run, tmp_path / "sweep") == "done" for run in found)


def test_a_program_is_compiled_once(tmp_path, caplog):
    with jax.log_compiles(), caplog.at_level("WARNING"):
        swept(tmp_path, "optim.lr=1e-3,3e-4", "seed=0,1", "optim.clip=0.0,1.0", steps=2)
    compiled = [record.getMessage() for record in caplog.records if "Finished XLA compilation" in record.getMessage()]
    assert sum("stepped" in message for message in compiled) == 2  # with clipping and without


def test_a_sweep_that_was_killed_ends_with_the_same_bytes(folder, tmp_path):
    """Whatever has been saved until then: of four runs one had ended, two stood at step 10, one had saved nothing."""
    found = sweep.runs(config(), [axes.axis(text) for text in AXES])
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    for run in found[1:]:
        (tmp_path / run.name / "DONE").unlink()
        for step in ("20", "10")[: 1 if run is not found[3] else 2]:
            shutil.rmtree(tmp_path / run.name / "checkpoints" / step)
    written = lambda: (tmp_path / found[0].name / "DONE").stat().st_mtime_ns
    before = written()
    swept(tmp_path, *AXES)
    for run in found:
        for name in ("DONE", "metrics.jsonl", "eval/20.json"):
            assert (tmp_path / run.name / name).read_bytes() == (folder / run.name / name).read_bytes()
    assert written() == before  # what had ended was left alone


def test_a_program_that_fails_ends_no_other(tmp_path):
    found = sweep.runs(config(2), [axes.axis("data.max_length=8,80"), axes.axis("seed=0,1")])
    with pytest.raises(SweepError, match=r"program 1: .*max_length") as error:
        sweep.train(found, tmp_path)
    assert error.value.exit_code == 3
    assert [sweep.over(run, tmp_path) for run in found] == ["", "", "done", "done"]


@pytest.mark.parametrize(("algorithm", "accelerator"), [("sft", False), ("dpo", False), ("dpo", True)])
def test_other_algorithms(algorithm, accelerator, tmp_path, monkeypatch):
    if accelerator:
        monkeypatch.setattr(together, "in_turn", jax.vmap)
    c = config()
    c.algorithm, c.loss, c.evals = algorithm, f"{algorithm}_loss()", {}
    if algorithm == "sft":
        c.data.train, c.data.rows = "prefjax.worlds.desk:demos(n=16)", "demos()"
    else:
        c.loss, c.model, c.tokenizer = "dpo_loss(beta=0.1)", str(start(tmp_path / "start")), ""
        c.frozen.reference = c.model
    found = sweep.runs(c, [axes.axis("optim.lr=1e-3,3e-4"), axes.axis("seed=0,1")])
    sweep.train(found, tmp_path)
    train(found[3].config, tmp_path / "alone")
    same(tmp_path / found[3].name, tmp_path / "alone")


def test_a_reference_that_waits_on_the_host_stays_there(tmp_path):
    c = config()
    c.algorithm, c.loss, c.model, c.tokenizer = "dpo", "dpo_loss(beta=0.1)", str(start(tmp_path / "start")), ""
    c.frozen.reference, c.reference, c.cache, c.evals = c.model, "cached", str(tmp_path / "cache"), {}
    step = together.Program([setup(c, parallel=mesh.single())])
    assert {type(x) for x in jax.tree.leaves(step.frozen)} == {np.ndarray}
    found = sweep.runs(c, [axes.axis("seed=0,1")])
    sweep.train(found, tmp_path)
    assert all(sweep.over(run, tmp_path) == "done" for run in found)


@pytest.mark.parametrize("algorithm", [pytest.param("ppo", marks=pytest.mark.slow), "grpo"])
def test_samples_of_a_run_are_those_it_draws_alone(algorithm, tmp_path):
    c = config(steps=1)
    c.algorithm, c.loss, c.reward = algorithm, "ppo_policy_loss(epsilon=0.2)", "length(target=4)"
    c.data.train, c.data.rows = "prefjax.worlds.desk:prompts(split='validation')", "prompts()"
    c.rollout.max_new, c.rollout.n, c.optim.lr, c.log_every, c.evals = 6, 2, 1e-3, 1, {}
    c.model = str(start(tmp_path / "start"))
    c.frozen.reference, c.tokenizer = c.model, ""
    found = sweep.runs(c, [axes.axis("rl.kl_coef=0.1,0.3"), axes.axis("seed=0,1")])
    sweep.train(found, tmp_path)
    train(found[3].config, tmp_path / "alone")
    same(tmp_path / found[3].name, tmp_path / "alone")


def start(folder):
    """A model to start from."""
    c = config(steps=1)
    c.algorithm, c.loss, c.evals = "sft", "sft_loss()", {}
    c.data.train, c.data.rows = "prefjax.worlds.desk:demos(n=8)", "demos()"
    train(c, folder)
    return folder
