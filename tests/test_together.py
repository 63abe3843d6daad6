"""Runs as one program are those runs alone."""

import contextlib
import json
import shutil
import signal

import jax
import numpy as np
import pytest

from prefjax import checkpoint, sweep, together
from prefjax.config import base
from prefjax.errors import Interrupted
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
    found = sweep.runs(config(steps), [sweep.axis(text) for text in texts])
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
    found = sweep.runs(config(), [sweep.axis(text) for text in AXES])
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
    found = sweep.runs(config(), [sweep.axis(text) for text in AXES])
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
    same(tmp_path / found[0].name, folder / found[0].name)


def test_a_program_that_takes_too_much_is_run_in_parts(folder, tmp_path):
    found = sweep.runs(config(), [sweep.axis("optim.lr=1e-3,3e-4")])
    assert list(map(len, sweep.train(found, tmp_path, limit=1))) == [1, 1]
    for run in found:
        same(tmp_path / run.name, folder / run.name)


def test_a_frozen_reward_model_may_have_moments(folder, tmp_path):
    """They are numbers without an axis, which lie whole on every device as the rest of the model does."""
    model = tmp_path / "reward"
    shutil.copytree(folder / sweep.runs(config(), [sweep.axis(text) for text in AXES])[0].name, model)
    checkpoint.save_moments(str(model), 1.0, 2.0, {})
    c = config(1)
    c.frozen.reward, c.evals = str(model), {}
    found = sweep.runs(c, [sweep.axis(AXES[0])])
    sweep.train(found, tmp_path / "sweep")
    assert all(sweep.over(run, tmp_path / "sweep") == "done" for run in found)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["ppo", "grpo"])
def test_samples_of_a_run_are_those_it_draws_alone(algorithm, tmp_path):
    c = config(steps=2)
    c.algorithm, c.loss, c.reward = algorithm, "ppo_policy_loss(epsilon=0.2)", "length(target=4)"
    c.data.train, c.data.rows = "prefjax.worlds.desk:prompts(split='validation')", "prompts()"
    c.rollout.max_new, c.rollout.n, c.optim.lr, c.log_every, c.evals = 6, 2, 1e-3, 1, {}
    c.model = str(start(tmp_path / "start"))
    c.frozen.reference, c.tokenizer = c.model, ""
    found = sweep.runs(c, [sweep.axis("rl.kl_coef=0.1,0.3"), sweep.axis("seed=0,1")])
    sweep.train(found, tmp_path)
    for run in found[1:3]:
        train(run.config, tmp_path / f"{run.name}-alone")
        same(tmp_path / run.name, tmp_path / f"{run.name}-alone")


def start(folder):
    """A model to start from."""
    c = config(steps=1)
    c.algorithm, c.loss, c.evals = "sft", "sft_loss()", {}
    c.data.train, c.data.rows = "prefjax.worlds.desk:demos(n=8)", "demos()"
    train(c, folder)
    return folder
