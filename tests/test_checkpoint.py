"""Checkpoints: what is damaged is seen, what is good is found, and a disk that is full is no secret."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax import checkpoint, files, models
from prefjax.errors import CheckpointError, DiskError
from prefjax.saves import Checkpoints
from prefjax.types import TrainState


def state(step, size=64):
    params = {"params": {"w": jax.random.normal(jax.random.key(step), (size,))}}
    return TrainState(jnp.int32(step), params, {"m": jnp.full((3,), step / 7)}, {"ema": params})


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A workdir with the steps 1, 2 and 3."""
    workdir = tmp_path_factory.mktemp("saved")
    models.save_config(workdir / "model", models.llama(vocab=8, width=8, layers=1, heads=1))
    with Checkpoints(workdir, keep=3) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(state(step), {"loss": [step, 1.0]})
    return workdir


@pytest.fixture
def workdir(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "run")


def restored(workdir):
    with Checkpoints(workdir, keep=3) as checkpoints:
        return checkpoints.restore(state(0))


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)
    return True


def test_a_state_comes_back_as_it_was_and_so_does_its_cut_interval(workdir):
    found, cut = restored(workdir)
    assert same(found, state(3))
    assert cut == {"loss": [3, 1.0]}


def test_before_the_first_save_there_is_nothing(tmp_path):
    (tmp_path / "checkpoints" / "3.orbax-checkpoint-tmp").mkdir(parents=True)  # killed in the first save
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.restore(state(0))[1] is None
        checkpoints.save(state(3))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["3"]


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def empty(folder):
    shutil.rmtree(folder)
    folder.mkdir()


def half(folder):
    shutil.rmtree(folder / "rest")


DAMAGES = {
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "missing": Path.unlink,
    "flipped": flip,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_to_any_file_is_seen_or_does_no_harm(workdir, damage):
    step = workdir / "checkpoints" / "3"
    vouched = {*files.json.loads((step / files.MANIFEST).read_text()), files.MANIFEST}
    for path in sorted(path for path in step.rglob("*") if path.is_file()):
        before, name = path.read_bytes(), str(path.relative_to(step))
        DAMAGES[damage](path)
        assert checkpoint.newest(workdir) == (2 if before and name in vouched else 3), name
        if name not in vouched:
            assert name in ("_CHECKPOINT_METADATA", "commit_success.txt")
            assert same(restored(workdir)[0], state(3))
        path.write_bytes(before)


@pytest.mark.parametrize("damage", [flip, empty, half, "manifest"])
def test_a_damaged_step_is_replaced_by_the_newest_good_one_with_one_warning(workdir, damage, caplog):
    step = workdir / "checkpoints" / "3"
    if damage is flip:
        flip(max(step.glob("params/d/*"), key=os.path.getsize))
    elif damage == "manifest":
        (step / files.MANIFEST).unlink()
    else:
        damage(step)
    assert same(restored(workdir)[0], state(2))
    (warning,) = [record.getMessage() for record in caplog.records if record.name == "prefjax.checkpoint"]
    assert f"{workdir}: step 3 is damaged (" in warning
    assert "step 2 is used instead" in warning
    with Checkpoints(workdir, keep=3) as checkpoints:
        checkpoints.save(state(3))  # the run writes it again
    assert same(restored(workdir)[0], state(3))


def test_a_reference_falls_back_too_but_not_one_that_names_the_step(workdir, caplog):
    flip(max(workdir.glob("checkpoints/3/params/d/*"), key=os.path.getsize))
    assert same(checkpoint.load(str(workdir))[1], state(2).params)
    assert checkpoint.pin(str(workdir)) == f"{workdir}@2"
    assert same(checkpoint.load(f"{workdir}@3:ema")[1], state(3).params)  # another item, which is whole
    with pytest.raises(CheckpointError, match="step 3 is damaged: params/.* is not as it was saved"):
        checkpoint.load(f"{workdir}@3")
    assert (workdir / "checkpoints" / "3").exists()  # reading sets nothing aside


def test_a_run_whose_checkpoints_are_all_damaged_does_not_start_again(workdir):
    for step in (1, 2, 3):
        empty(workdir / "checkpoints" / str(step))
    for read in (restored, lambda workdir: checkpoint.load(str(workdir))):
        with pytest.raises(CheckpointError, match="no checkpoint is whole: step 3 is damaged .* step 1 is damaged"):
            read(workdir)
    assert len(list((workdir / "checkpoints").iterdir())) == 3


@pytest.mark.parametrize(
    "reference", ["{}@../../x", "{}@2/../..", "{}@-1", "{}@²", "{}@1e9", "{}@99999999999999999999"]
)
def test_a_step_is_a_number_and_no_path(workdir, reference):
    with pytest.raises(CheckpointError, match="no such folder|no checkpoint of step"):
        checkpoint.load(reference.format(workdir))


def test_a_digest_tells_states_apart():
    one = checkpoint.digest(state(1))
    assert one == checkpoint.digest(jax.tree.map(np.asarray, state(1)))
    other = state(1)._replace(carry={})
    moved = state(1)._replace(opt_state={"m": state(1).opt_state["m"].at[0].add(1e-7)})
    retyped = state(1)._replace(step=jnp.float32(1))
    assert len({one, *(checkpoint.digest(s) for s in (state(2), other, moved, retyped))}) == 5


def save_until_it_fails(workdir, size):
    with Checkpoints(workdir, keep=9) as checkpoints:
        for step in range(1, 9):
            checkpoints.save(state(step, size))
            last = step
    return last


@pytest.fixture
def small_disk(tmp_path):
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("only root mounts a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("no right to mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


# Writes that are under way when the first one fails find the event loop of the save closed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_full_disk_is_said_and_the_last_good_step_stays(small_disk):
    with pytest.raises(
        DiskError, match=rf"{small_disk}.*: No space left on device; a state takes [\d,]+ bytes, [\d,]+ bytes are free"
    ):
        save_until_it_fails(small_disk, 50_000)
    step = checkpoint.newest(small_disk)
    with Checkpoints(small_disk) as checkpoints:
        assert same(checkpoints.restore(state(0, 50_000))[0], state(step, 50_000))


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("lost the writer")])
def test_what_goes_wrong_in_the_background_surfaces_at_the_next_save_and_at_the_end(tmp_path, monkeypatch, error):
    def broken(folder):
        raise error

    with Checkpoints(tmp_path / "next") as checkpoints:
        checkpoints.save(state(1))
    monkeypatch.setattr(files, "vouch", broken)
    with pytest.raises(DiskError, match=f"could not be written: .*{error.args[-1]}"):  # noqa: SIM117
        with Checkpoints(tmp_path / "next") as checkpoints:
            checkpoints.save(state(2))
            time.sleep(0.1)
            checkpoints.save(state(3))
            raise AssertionError("the second save should have said so")
    with pytest.raises(DiskError, match=f"could not be written: .*{error.args[-1]}"):  # noqa: SIM117
        with Checkpoints(tmp_path / "end") as checkpoints:
            checkpoints.save(state(1))
    monkeypatch.undo()
    assert same(restored(tmp_path / "next")[0], state(1))
