"""Programs of a sweep elsewhere: jobs of submitit on this machine, tasks of a Ray that is started for it."""

import json
import os
import re
import signal
import sys
import threading
import time
from importlib.util import find_spec

import jax
import pytest

from prefjax import axes, engines, interrupt, sweep, together
from prefjax.errors import ConfigError, SweepError
from tests.test_together import config, same

LOCAL = "slurm(cluster='local', poll=0.1)"
needs = lambda name: pytest.mark.skipif(find_spec(name) is None, reason=f"{name} is missing")


def runs_of(*texts, **settings):
    c = config(2)
    c.evals, c.checkpoint_every = {}, 1
    c.update(settings)
    return sweep.runs(c, [axes.axis(text) for text in texts])


def digests(found, folder):
    return [json.loads((folder / run.name / "DONE").read_text())["digest"] for run in found]


def checked(engine, folder):
    """Two programs, of which the first cannot begin: its failure hides nothing of the other, and is tried again."""
    found = runs_of("data.max_length=8,80", "seed=0,1")
    for _ in range(2):
        with pytest.raises(SweepError, match=r"program 1: .*max_length") as error:
            sweep.train(found, folder, engine=engine)
        assert error.value.exit_code == 3 and "program 2" not in str(error.value)
        assert [sweep.over(run, folder) for run in found] == ["", "", "done", "done"]
        table = json.loads((folder / "sweep.json").read_text())
        assert [row["name"] for row in table["runs"]] == [run.name for run in found]
        assert table["programs"] == [[run.name for run in found[:2]], [run.name for run in found[2:]]]
    return found


def test_what_nobody_foresaw_ends_no_other_program(tmp_path, monkeypatch):
    """A device out of memory, or a bug: it is told with its trace."""
    trained = together.train
    ends = iter([lambda *_, **knobs: 1 / 0, trained])
    monkeypatch.setattr(together, "train", lambda *given, **knobs: next(ends)(*given, **knobs))
    found = runs_of("optim.clip=0.0,1.0", steps=0)
    with pytest.raises(SweepError, match=r"(?s)program 1: Traceback .*test_engines.*ZeroDivisionError") as error:
        sweep.train(found, tmp_path)
    assert error.value.exit_code == 1 and "program 2" not in str(error.value)
    assert [sweep.over(run, tmp_path) for run in found] == ["", "done"]


@needs("submitit")
@pytest.mark.filterwarnings("ignore:.*unclosed file.*")
def test_jobs_of_submitit_in_this_process(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", [*sys.path])
    found = checked("slurm(cluster='debug', poll=0.0)", tmp_path / "jobs")
    sweep.train(found[2:], tmp_path / "here")
    assert digests(found[2:], tmp_path / "jobs") == digests(found[2:], tmp_path / "here")
    capsys.readouterr()


@needs("submitit")
@pytest.mark.slow
def test_jobs_of_submitit(tmp_path):
    checked(LOCAL, tmp_path)


@needs("submitit")
@pytest.mark.slow
def test_the_nodes_of_a_job_train_one_program(tmp_path):
    found = runs_of("seed=0,1")
    sweep.train(found, tmp_path / "jobs", engine="slurm(cluster='local', poll=0.1, nodes=2)")
    assert [sweep.over(run, tmp_path / "jobs") for run in found] == ["done", "done"]
    devices = json.loads((tmp_path / "jobs" / found[0].name / "run.json").read_text())["devices"]
    assert len(devices) == 2
    sweep.train(found, tmp_path / "here")
    for run in found:
        same(tmp_path / "jobs" / run.name, tmp_path / "here" / run.name)


@needs("submitit")
@pytest.mark.slow
def test_a_job_that_is_killed_fails_alone_and_goes_on_by_the_same_call(tmp_path):
    found = runs_of("seed=0,1", "optim.clip=0.0,1.0", steps=400, log_every=1, checkpoint_every=20)
    with striking(tmp_path, found[0], signal.SIGKILL), pytest.raises(SweepError) as error:
        sweep.train(found, tmp_path / "jobs", engine=LOCAL)
    assert re.fullmatch(r"program 1: job \d+ ended without a result.*", str(error.value)) and error.value.exit_code == 1
    assert [sweep.over(run, tmp_path / "jobs") for run in found] == ["", "done", "", "done"]
    sweep.train(found, tmp_path / "jobs", engine=LOCAL)
    sweep.train(found[::2], tmp_path / "whole", engine=LOCAL)
    assert digests(found[::2], tmp_path / "jobs") == digests(found[::2], tmp_path / "whole")


@needs("submitit")
@pytest.mark.slow
def test_a_job_whose_time_is_over_saves_and_is_queued_again(tmp_path):
    found = runs_of("seed=0,1", steps=400, log_every=1, checkpoint_every=0)
    with striking(tmp_path, found[0], signal.SIGUSR2):
        sweep.train(found, tmp_path / "jobs", engine=LOCAL)
    lines = (tmp_path / "jobs" / found[0].name / "timing.jsonl").read_text().splitlines()
    assert sum("resumed" in json.loads(line) for line in lines) == 1
    sweep.train(found, tmp_path / "whole", engine=LOCAL)
    assert digests(found, tmp_path / "jobs") == digests(found, tmp_path / "whole")


class striking:
    """Within, the process that trains a run gets a signal once it has taken a few steps."""

    def __init__(self, folder, run, number):
        self.record = folder / "jobs" / run.name / "metrics.jsonl"
        self.lock, self.number = self.record.with_name("LOCK"), number
        self.thread = threading.Thread(target=self.strike)

    def strike(self):
        until = time.monotonic() + 240
        while not (self.record.exists() and len(self.record.read_text().splitlines()) > 40):
            assert time.monotonic() < until
            time.sleep(0.05)
        os.kill(int(self.lock.read_text().split()[1]), self.number)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.thread.join()


@needs("ray")
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # of the tests' process, which has devices
def test_tasks_of_ray(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    found = checked("ray(cpus=1)", tmp_path / "tasks")
    sweep.train(found[2:], tmp_path / "here")
    for run in found[2:]:
        same(tmp_path / "tasks" / run.name, tmp_path / "here" / run.name)


def test_a_job_asks_to_be_queued_again_only_where_its_time_is_over(monkeypatch):
    asked = []
    before = signal.signal(signal.SIGUSR2, lambda number, _: asked.append(number))
    try:
        for code in (0, 143, 128 + signal.SIGUSR2):
            monkeypatch.setattr(engines, "away", lambda *_, code=code: engines.Failure("", code) if code else None)
            engines._Job()(None)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert asked == [signal.SIGUSR2]


@needs("submitit")
def test_an_engine_that_is_left_ends_its_jobs(tmp_path, monkeypatch):
    """And the command that only waits for them takes no device, which a job on the same machine may need."""
    for name in ("devices", "local_devices", "process_count", "process_index"):
        monkeypatch.setattr(jax, name, lambda *_: pytest.fail("looked for devices"))
    ended = []

    class Job:
        job_id, paths = "1", type("Paths", (), {"stderr": "log"})
        done = lambda self: False
        cancel = lambda self, check: ended.append(check)

    class Executor:
        __init__ = lambda self, folder, cluster: None
        update_parameters = lambda self, **asked: None
        batch = lambda self: interrupt.contextlib.nullcontext()
        submit = lambda self, *_: Job()

    engines.slurm()  # imports submitit as it should be
    import submitit

    monkeypatch.setattr(submitit, "AutoExecutor", Executor)
    monkeypatch.setattr(engines.time, "sleep", lambda _: signal.default_int_handler(signal.SIGINT, None))
    with pytest.raises(KeyboardInterrupt):
        sweep.train(runs_of("seed=0,1", "optim.clip=0.0,1.0"), tmp_path, engine="slurm")
    assert len(ended) == 2


@pytest.mark.parametrize(("name", "module"), [("slurm", "submitit"), ("ray", "ray")])
def test_an_engine_that_is_not_installed(name, module, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=rf"--engine={name} needs {module}: pip install prefjax\[{name}\]"):
        sweep.train(runs_of("seed=0,1"), tmp_path / "sweep", engine=name)
    assert not (tmp_path / "sweep").exists()


@needs("submitit")
@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ("slurm(timeout='0h')", "timeout is '0h'; it should be such as '90m', '4h' or '2d'"),
        ("slurm(cluster='local', partitoin='gpu')", "--engine=slurm"),
        ("slurm()", "--engine=slurm"),
    ],
)
def test_what_no_engine_takes(engine, message, tmp_path):
    with pytest.raises(ConfigError) as error:
        sweep.train(runs_of("seed=0,1"), tmp_path, engine=engine)
    assert message in str(error.value)
