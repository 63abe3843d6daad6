"""A run that is killed and started again, however often, is the run that was never killed: to the last byte.

A process killed holds the lock of its workdir to the end, so that each of these starts also takes over a dead lock.
"""

import itertools
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
RECORD = ("DONE", "metrics.jsonl", "samples.jsonl", "alarms.jsonl", "eval/*.json")  # DONE holds the state's digest
RECIPE = """
from prefjax.config import base

def get_config(kind):
    c, world = base(), "prefjax.worlds.desk"
    rows = {"sft": "demos", "ppo": "prompts"}.get(kind, "pairs")
    losses = {"sft": "sft_loss()", "reward": "bradley_terry_loss()", "dpo": "dpo_loss()", "ppo": "ppo_policy_loss()"}
    c.algorithm, c.loss, c.data.rows = kind, losses[kind], f"{rows}()"
    c.data.train = f"{world}:{rows}(n=64)" if kind != "ppo" else f"{world}:prompts(split='train')"
    c.model, c.data.max_length, c.batch_size, c.mesh.data = "llama(width=16, layers=1, heads=2)", 80, 4, 1
    c.steps, c.log_every, c.checkpoint_every, c.eval_every, c.keep = 12, 2, 3, 6, 1
    c.tokenizer = f"{world}:tokenizer()" if kind == "sft" else ""
    c.evals.first = f"held_out(source='{world}:{rows}(n=16)', batch_size=16, allow_overlap=True)"
    c.evals.second = c.evals.first
    if kind in ("sft", "ppo"):
        c.evals.second = f"samples(source=\\"{world}:prompts(split='test')\\", limit=4, max_new=8)"
    if kind in ("dpo", "ppo"):
        c.frozen.reference = c.get_ref("model")
    if kind == "ppo":
        c.evals.first, c.reward, c.rollout.max_new = c.evals.second, "length(target=4)", 8
        c.rl.minibatches, c.rl.kl_target, c.rl.kl_horizon = 2, 0.1, 100.0  # the price of a nat moves
        c.budget.kl, c.budget.patience = 1e-9, 1  # any move at all is an alarm
        c.reference, c.optim.ema = "sync(alpha=0.5)", 0.9  # and so do the reference and an average
    return c
"""


class Runs(NamedTuple):
    """Runs of the command line that share compiled programs."""

    folder: Path

    def command(self, kind: str, workdir: Path, *settings: str) -> list[str]:
        command = [sys.executable, "-m", "prefjax", "train", f"--config={self.folder}/recipe.py:{kind}"]
        settings = (*settings, *([] if kind == "sft" else [f"model={self.folder}/sft"]))
        return [*command, f"--workdir={workdir}", *(f"--config.{setting}" for setting in settings)]

    def start(self, command: list[str], seed: int = 0) -> subprocess.Popen:
        """Starts a process; seed 0 lives elsewhere: another folder, time zone and order of hashes."""
        env = os.environ | {"JAX_COMPILATION_CACHE_DIR": f"{self.folder}/cache", "PYTHONPATH": str(ROOT)}
        env |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "PYTHONHASHSEED": str(seed)}
        env |= {} if seed else {"TZ": "Asia/Kathmandu"}
        cwd = ROOT if seed else self.folder
        return subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def finish(self, command: list[str], seed: int = 0) -> None:
        process = self.start(command, seed)
        _, error = process.communicate()
        assert process.returncode == 0, error


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    runs = Runs(tmp_path_factory.mktemp("kill"))
    (runs.folder / "recipe.py").write_text(RECIPE)
    runs.finish(runs.command("sft", runs.folder / "sft"))
    return runs


def _whole(runs, kind):
    """The record of the run that is not killed."""
    if kind != "sft":
        runs.finish(runs.command(kind, runs.folder / kind))
    return _record(runs.folder / kind)


def _record(workdir):
    return {str(path.relative_to(workdir)): path.read_bytes() for name in RECORD for path in workdir.glob(name)}


def _temporaries(workdir):
    return list((workdir / "checkpoints").glob("*.orbax-checkpoint-tmp"))


def _fresh(path, since):
    return path.exists() and path.stat().st_mtime_ns > since


def _evaluating(metrics):
    """Whether the first of two evaluations is in the record, after step 0, and the second is not."""
    last = metrics.read_text().splitlines()[-1:]
    return bool(last) and last[0].endswith("}") and "eval/first" in last[0] and not last[0].startswith('{"step": 0,')


def _kill(runs, command, workdir, moment, rng):
    """Runs until a moment, and kills; returns whether a save was under way, or None if the run was done before."""
    since, metrics = time.time_ns(), workdir / "metrics.jsonl"
    resumed = lambda: _fresh(metrics, since)  # what the kill before left behind is gone
    arrived = {
        "start": lambda: _fresh(workdir / "run.json", since),
        "save": lambda: resumed() and _temporaries(workdir),
        "eval": lambda: resumed() and _evaluating(metrics),
    }[moment]
    process = runs.start(command, rng.randrange(1, 99))
    while process.poll() is None and not arrived():
        time.sleep(0.002)
    time.sleep(rng.uniform(0, {"start": 0.3, "save": 0.03, "eval": 0.01}[moment]))
    process.kill()
    _, error = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), error
    return resumed() and bool(_temporaries(workdir)) if process.returncode else None


def _killed_often(runs, kind, moments, rng, workdir):
    """Kills at each of the moments, then lets the run finish; returns how many kills fell into a save."""
    command, during = runs.command(kind, Path(os.path.relpath(workdir, ROOT))), 0
    for moment in moments:
        killed = _kill(runs, command, workdir, moment, rng)
        if killed is None:
            return None
        during += killed
    runs.finish(command, 7)
    assert not _temporaries(workdir)
    return during


@pytest.mark.parametrize("kind", ["sft", "reward", "dpo", "ppo"])
def test_four_kills_leave_no_trace(runs, kind, tmp_path):
    rng = random.Random(kind)
    moments = ["start", *rng.sample(["save", "save", "eval"], 3)]
    workdir = tmp_path / "läuft noch"
    during_saves = _killed_often(runs, kind, moments, rng, workdir)
    assert during_saves is not None and during_saves >= 2
    whole = _whole(runs, kind)
    assert _record(workdir) == whole
    assert "eval/12.json" in whole
    if kind == "ppo":  # the state that is resumed is not only parameters and the moments of the optimizer
        assert len(whole["alarms.jsonl"].splitlines()) > 1
        lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
        prices = [line["train/kl_coef"] for line in lines if "train/kl_coef" in line]
        assert len({*prices}) == len(prices) > 5


@pytest.mark.slow
def test_kills_leave_no_trace_in_a_run_that_its_budget_rolls_back(runs, tmp_path):
    settings = ("steps=24", "budget.on_breach=rollback", "budget.kl=1e-3", "checkpoint_every=6", "keep=1")
    whole, workdir = tmp_path / "whole", tmp_path / "run"
    runs.finish(runs.command("ppo", whole, *settings))
    ended = json.loads((whole / "DONE").read_text())
    assert ended["stopped"]["alarm"] == "kl-budget" and ended["step"] == ended["stopped"]["rolled_back_to"]
    command, rng = runs.command("ppo", workdir, *settings), random.Random(0)
    for moment in ("start", "save", "eval"):
        _kill(runs, command, workdir, moment, rng)
    runs.finish(command, 7)
    assert _record(workdir) == _record(whole)


@pytest.mark.slow
def test_a_hundred_kills_leave_no_trace(runs, tmp_path):
    whole = {kind: _whole(runs, kind) for kind in ("sft", "reward", "dpo", "ppo")}
    rng, kills, during_saves = random.Random(0), 0, 0
    for run in itertools.count():
        kind, workdir = rng.choice([*whole]), tmp_path / str(run)
        moments = [rng.choice(["start", "save", "save", "save", "eval"]) for _ in range(5)]
        found = _killed_often(runs, kind, moments, rng, workdir)
        if found is not None:  # None: the run was done before the last of its kills
            assert _record(workdir) == whole[kind], (kind, moments)
            kills, during_saves = kills + len(moments), during_saves + found
        if kills >= 100:
            break
    assert during_saves >= 40


def test_signals_stop_a_run_that_then_goes_on_as_if_they_had_not(runs, tmp_path):
    settings = "steps=1000", "checkpoint_every=0", "log_every=7", "eval_every=0"
    whole, workdir = tmp_path / "whole", tmp_path / "run"
    runs.finish(runs.command("sft", whole, *settings))
    command = runs.command("sft", workdir, *settings)
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        lines = _lines(workdir)
        process = runs.start(command, 1)
        while process.poll() is None and _lines(workdir) < lines + 3:
            time.sleep(0.002)
        process.send_signal(number)
        start = time.perf_counter()
        _, error = process.communicate()
        assert process.returncode == code, error
        assert time.perf_counter() - start < 30
        assert f"{number.name}: stopped after step" in error
        assert "Traceback" not in error
        assert json.loads((workdir / "INTERRUPTED.json").read_text())["error"] == "Interrupted"
        assert not (workdir / "FAILED.json").exists() and not (workdir / "DONE").exists()
    runs.finish(command, 1)
    assert not (workdir / "INTERRUPTED.json").exists()
    assert _record(workdir) == _record(whole)


def _lines(workdir):
    path = workdir / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_a_workdir_in_use_is_refused_at_once(runs, tmp_path):
    settings = "steps=100000", "eval_every=0"
    command = runs.command("sft", tmp_path, *settings)
    first = runs.start(command, 1)
    while first.poll() is None and not _lines(tmp_path):
        time.sleep(0.01)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    second = runs.start(command, 1)
    _, error = second.communicate()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1  # the clock of a busy machine lies
    assert second.returncode == 6, error
    assert f"{tmp_path}: another run is at work here: process {first.pid} on " in error
    assert first.poll() is None
    first.kill()
    first.communicate()
