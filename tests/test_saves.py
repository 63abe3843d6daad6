"""What is kept of the checkpoints of a run, and the way back to the newest inside its budget."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax import checkpoint, files
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
