"""What is kept of the checkpoints of a run, the way back to the newest inside its budget, and a writer that hangs."""

import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax import checkpoint, files, saves
from prefjax.errors import HungError
from prefjax.saves import Checkpoints
from prefjax.types import TrainState


def state(step):
    params = {"params": {"w": jax.random.normal(jax.random.key(step), (8,))}}
    return TrainState(jnp.int32(step), params, {"m": jnp.full((3,), step / 7)}, {})


def names(workdir):
    return sorted(path.name for path in (workdir / "checkpoints").iterdir())


def run(workdir, steps, inside, keep=1):
    with Checkpoints(workdir, keep, lambda: inside) as checkpoints:
        for step in steps:
            checkpoints.save(state(step))
        yield checkpoints


@pytest.mark.parametrize(
    ("inside", "kept"), [((), ["5"]), ((1, 2), ["2", "5"]), ((4, 5, 6), ["5"]), ((7,), ["5"])], ids=str
)
def test_the_newest_inside_the_budget_is_kept_beyond_the_newest(tmp_path, inside, kept):
    for _ in run(tmp_path, range(1, 6), inside):
        pass
    assert names(tmp_path) == kept


def test_the_way_back_sets_later_steps_aside_and_goes_on_from_there(tmp_path):
    for checkpoints in run(tmp_path, range(1, 5), (1, 2, 9), keep=2):
        back = checkpoints.back(state(0))
        jax.tree.map(np.testing.assert_array_equal, back, state(2))
        assert names(tmp_path) == ["2", "3.over_budget", "4.over_budget"]
        checkpoints.save(state(3))
    assert checkpoint.newest(tmp_path) == 3


def test_a_damaged_step_is_no_way_back(tmp_path):
    for checkpoints in run(tmp_path, range(1, 5), (1, 2), keep=5):
        checkpoints.save(state(5))
        (tmp_path / "checkpoints" / "2" / files.MANIFEST).unlink()
        assert int(checkpoints.back(state(0)).step) == 1
    assert names(tmp_path) == ["1", *(f"{step}.over_budget" for step in (2, 3, 4, 5))]


def test_without_a_step_inside_the_way_back_leads_to_the_start(tmp_path):
    for checkpoints in run(tmp_path, (1, 2), ()):
        assert checkpoints.back(state(0)).step == 0
    assert names(tmp_path) == ["0", "2.over_budget"]


@pytest.fixture
def hang(monkeypatch):
    """Lets writers hang from now on, until the test is over."""
    over = threading.Event()
    yield lambda: monkeypatch.setattr(files, "vouch", lambda folder: over.wait())
    over.set()


def test_a_writer_that_hangs_is_told_of_at_the_next_save_and_at_the_end(tmp_path, hang):
    with Checkpoints(tmp_path, limit=60) as checkpoints:
        checkpoints.save(state(1))
    hang()
    told = "writing the checkpoint of step 2 hangs, after .* seconds, .* the same command goes on from step 1"
    with pytest.raises(HungError, match=rf"{tmp_path}/checkpoints: {told}"):  # noqa: SIM117
        with Checkpoints(tmp_path, limit=1) as checkpoints:
            checkpoints.save(state(2))
            checkpoints.save(state(3))
            raise AssertionError("the second save should have said so")
    with pytest.raises(HungError, match="step 1 hangs, .*_timeout allows 1; the same command starts again"):  # noqa: SIM117
        with Checkpoints(tmp_path / "end", limit=1) as checkpoints:
            checkpoints.save(state(1))
    assert checkpoint.newest(tmp_path) == 1


def test_a_save_may_end_long_before_it_is_asked_after(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(saves, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    with Checkpoints(tmp_path, limit=60) as checkpoints:
        checkpoints.save(state(1))
        while not (tmp_path / "checkpoints" / "1").exists():
            time.sleep(0.01)
        clock[0] = 100.0
        checkpoints.save(state(2))
    assert checkpoint.newest(tmp_path) == 2


def test_a_program_does_not_wait_for_a_writer_that_hangs(tmp_path):
    code = """
import sys, threading
from pathlib import Path
import jax.numpy as jnp
from prefjax import cli, files, saves, types
from prefjax.cli import train

def main(argv):
    with saves.Checkpoints(Path(argv[0]), limit=1) as checkpoints:
        checkpoints.save(types.TrainState(jnp.int32(7), {"w": jnp.zeros(3)}, {}, {}))

files.vouch = lambda folder: threading.Event().wait()
train.main = main
sys.exit(cli.main(["train", sys.argv[1]]))
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 5, done.stderr
    assert "the checkpoint of step 7 hangs" in done.stderr.splitlines()[-1]
