"""Mirrors of the metrics: what they hold, also after a resume, and that no run ends by one."""

import json
import sys

import pytest

from prefjax.config import base
from prefjax.errors import ConfigError
from prefjax.log import Record


def record(workdir, name):
    c = base()
    c[name] = True
    started = Record(workdir, c.to_dict())
    started.begin({})
    return started


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def events(workdir):
    """{name: [(step, value)]} of the event files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    read = EventAccumulator(str(workdir / "tensorboard"), purge_orphaned_data=False).Reload()
    value = lambda event: float(tensor_util.make_ndarray(event.tensor_proto))
    return {name: [(e.step, value(e)) for e in read.Tensors(name)] for name in read.Tags()["tensors"]}


def test_wandb_mirrors_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = record(tmp_path, "wandb")
    run.metrics(1, {"train/loss": 0.5})
    run.close()
    assert list((tmp_path / "wandb").glob("offline-run-*"))
    assert lines(tmp_path) == [{"step": 1, "train/loss": 0.5}]


def test_wandb_has_the_runs_of_a_sweep_as_one_group(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    started, init = [], wandb.init
    monkeypatch.setattr(wandb, "init", lambda **words: started.append(init(**words)) or started[-1])
    (tmp_path / "betas").mkdir()
    (tmp_path / "betas" / "sweep.json").write_text('{"runs": []}')
    for workdir in ("betas/first", "betas/second", "alone"):
        record(tmp_path / workdir, "wandb").close()
        assert list((tmp_path / workdir / "wandb").glob("offline-run-*/run-*.wandb"))
    assert [(run.group, run.name) for run in started] == [("betas", "first"), ("betas", "second"), ("", "alone")]


def test_events_hold_every_step_once_after_a_resume_too(tmp_path):
    pytest.importorskip("tensorboard")
    run = record(tmp_path, "tensorboard")
    run.resume(0)
    for step in (1, 2, 3):
        run.metrics(step, {"train/loss": 1 / step})
    run.close()
    assert events(tmp_path) == {"train/loss": [(s, pytest.approx(1 / s)) for s in (1, 2, 3)]}

    run = record(tmp_path, "tensorboard")  # from the checkpoint of step 2
    run.resume(2)
    run.metrics(3, {"train/loss": 1 / 3})
    run.metrics(3, {"eval/held_out/loss": 7.0})
    run.close()
    assert events(tmp_path) == {
        "train/loss": [(s, pytest.approx(1 / s)) for s in (1, 2, 3)],
        "eval/held_out/loss": [(3, 7.0)],
    }


@pytest.mark.parametrize(("name", "extra"), [("wandb", "wandb"), ("tensorboard", "tb")])
def test_a_mirror_that_is_not_installed(tmp_path, monkeypatch, name, extra):
    for module in [m for m in sys.modules if m.split(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=rf"config.{name} is True.*pip install prefjax\[{extra}\]"):
        record(tmp_path, name)


@pytest.mark.parametrize("name", ["wandb", "tensorboard"])
@pytest.mark.parametrize("when", ["start", "log", "close"])
def test_a_mirror_that_fails_ends_no_run(tmp_path, monkeypatch, caplog, name, when):
    from prefjax import mirrors

    def fail(*_):
        raise OSError("no route to host")

    def start(workdir, config):
        if when == "start":
            fail()
        return mirrors.Mirror(fail if when == "log" else lambda *_: None, fail, retold=True)

    monkeypatch.setitem(mirrors.STARTS, name, (start, name))
    run = record(tmp_path, name)
    run.resume(0)
    for step in (1, 2):
        run.metrics(step, {"train/loss": 0.5})
    run.close()
    assert lines(tmp_path) == [{"step": step, "train/loss": 0.5} for step in (1, 2)]
    assert (tmp_path / "DONE").exists()
    (warning,) = caplog.records
    assert warning.getMessage() == f"{name} is left out from now on, metrics.jsonl goes on: OSError: no route to host"
