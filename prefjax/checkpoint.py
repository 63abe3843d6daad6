"""Checkpoints of a run through Orbax, and references to the models in them.

A step is saved as three items: `params`, which another run may load alone, `rest`, all else of the state, and `cut`, a
logging interval that an interruption cut in two. Its folder holds a manifest from the moment it has its name, and is
believed only while its files have the sha256 written there.
"""

import contextlib
import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Container, Generator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from prefjax import files, models
from prefjax.data.load import MODEL_FOLDER
from prefjax.errors import CheckpointError, DiskError
from prefjax.processes import agree, is_first
from prefjax.types import Params, TrainState

MOMENTS = "reward.json"  # of rewards on reference samples, beside the config of a reward model
_FOLDER = "checkpoints"

_log = logging.getLogger(__name__)


class Checkpoints:
    """Those of one run, written while it goes on; of the newest steps `keep` stay.

    Steps that are damaged and newer than the newest good one are set aside, since the run will write them again.
    """

    def __init__(self, workdir: Path, keep: int = 2, inside: Callable[[], Container[int]] = tuple):
        """Opens the folder of a run.

        Args:
          workdir: of the run.
          keep: newest steps that stay.
          inside: returns the steps inside the budget of the run, of which the newest stays too: see `back`.

        Raises:
          CheckpointError: there are steps, and none of them is good.
        """
        import orbax.checkpoint as ocp
        from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, LatestN

        self._folder, self._size, self._inside = workdir.resolve() / _FOLDER, 0, inside
        self.latest = newest(workdir)
        for step in _steps(workdir) if is_first() else ():
            if step > (self.latest or 0):
                files.set_aside(self._folder / str(step))
        options = ocp.CheckpointManagerOptions(
            preservation_policy=AnyPreservationPolicy([LatestN(keep), _NewestOf(inside)]),
            cleanup_tmp_directories=True,
            async_options=ocp.AsyncOptions(post_finalization_callback=self._vouch),
        )
        with files.writing(self._folder):
            self._manager = ocp.CheckpointManager(self._folder, options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        with self._surfacing():
            self._manager.close()

    def save(self, state: TrainState, cut: Any = None) -> None:
        """Starts to save a state under its step; returns once the state may be donated.

        Args:
          state: the state.
          cut: what `restore` shall return with it, of JSON.

        Raises:
          DiskError: this or the save before it failed.
        """
        import orbax.checkpoint as ocp

        self._size = sum(x.nbytes for x in jax.tree.leaves(state))
        rest = state._asdict()
        items = {"params": ocp.args.StandardSave(rest.pop("params")), "rest": ocp.args.StandardSave(rest)}
        with self._surfacing():
            self._manager.save(int(state.step), args=ocp.args.Composite(**items, cut=ocp.args.JsonSave({"cut": cut})))

    def restore(self, like: TrainState) -> tuple[TrainState, Any]:
        """The newest good state, with the structure and types of `like`, and its `cut`; `like` before the first save.

        Raises:
          CheckpointError: the saved state has another structure, shape or type.
        """
        return (like, None) if self.latest is None else _restored(self._manager, self.latest, like)

    def back(self, start: TrainState) -> TrainState:
        """The newest good state inside the budget, which is then the newest of the run: later steps are set aside.

        Args:
          start: the state before the first step, which is saved and returned where no step is inside.
        """
        with self._surfacing():
            self._manager.wait_until_finished()
        steps = _steps(self._folder.parent)
        inside = [step for step in steps if step in self._inside() and files.damage(self._folder / str(step)) is None]
        target = max(inside, default=0)
        agree(target)  # all have looked before the first one renames
        for step in steps if is_first() else ():
            if step > target:
                files.set_aside(self._folder / str(step), "over_budget")
        agree(target)
        self._manager.reload()
        if not inside:
            self.save(start)
            return start
        return _restored(self._manager, target, start)[0]

    def _vouch(self) -> None:
        """The last act of a save: Orbax then gives the folder its name, so that no step is ever without a manifest."""
        (unnamed,) = self._folder.glob("*.orbax-checkpoint-tmp")
        files.vouch(unnamed)

    @contextlib.contextmanager
    def _surfacing(self) -> Generator[None]:
        try:
            yield
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            refusal = re.search(r"([^:]+) \[os_error_code", reason)  # at the end of a long story of the writer's
            reason = refusal[1].strip() if refusal else reason
            raise DiskError(
                f"{self._folder}: a checkpoint could not be written: {reason}; "
                f"a state takes {self._size:,} bytes, {files.free(self._folder)}"
            ) from error


def state(workdir: Path, step: int | None, like: TrainState) -> TrainState:
    """The state that a run had after a step, by default its newest; changes nothing in its workdir.

    Raises:
      CheckpointError: the step is not there, it is damaged, or it does not fit `like`.
    """
    import orbax.checkpoint as ocp

    step = _step(workdir, step)
    reason = files.damage(workdir / _FOLDER / str(step))
    if reason is not None:
        raise CheckpointError(f"{workdir}: step {step} is damaged: {reason}")
    options = ocp.CheckpointManagerOptions(read_only=True)
    with ocp.CheckpointManager(workdir.resolve() / _FOLDER, options=options) as manager:
        return _restored(manager, step, like)[0]


def _restored(manager: Any, step: int, like: TrainState) -> tuple[TrainState, Any]:
    import orbax.checkpoint as ocp

    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like)._asdict()
    items = {"params": ocp.args.StandardRestore(abstract.pop("params")), "rest": ocp.args.StandardRestore(abstract)}
    try:
        found: Any = manager.restore(step, args=ocp.args.Composite(**items, cut=ocp.args.JsonRestore()))
    except (ValueError, KeyError, TypeError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(f"{manager.directory}/{step} does not fit this run: {reason}") from error
    return TrainState(params=found.params, **found.rest), found.cut["cut"]


class _NewestOf(NamedTuple):
    """Orbax's rule that keeps the newest of some steps, however many newer ones there are."""

    steps: Callable[[], Container[int]]

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        del context
        newest = max((c.step for c in checkpoints if c.step in self.steps()), default=None)
        return [c.step == newest for c in checkpoints]


def digest(state: Any) -> str:
    """The sha256 over path, type, shape and bytes of every leaf of a state, or any tree: equal for equal runs alone."""
    whole = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        array = np.asarray(jax.device_get(leaf))
        whole.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}\n".encode())
        whole.update(np.ravel(array).view(np.uint8))
    return whole.hexdigest()


def load(reference: str, *, moments: bool = True) -> tuple[Any, Params]:
    """The model and parameters that a reference names.

    Args:
      reference: a Hugging Face folder, a workdir (its newest good checkpoint), or `workdir@step`; of a run with
        `optim.ema`, `workdir:ema` or `workdir@step:ema` is the averaged copy.
      moments: whether a reward model is normalised by its moments, if it has any.

    Raises:
      CheckpointError: nothing is there, or not that step, or it is damaged.
    """
    folder, step, ema = split(reference)
    if not (folder / _FOLDER).is_dir():
        model, params = models.load(folder)
        return model, params | (_moments(folder, "") if moments else {})
    step = _step(folder, step)
    model, params = models.read_config(folder / MODEL_FOLDER), {"params": _params(folder, step, ema)["params"]}
    return model, params | (_moments(folder / MODEL_FOLDER, str(step)) if moments else {})


def save_moments(reference: str, mean: float, std: float, facts: dict[str, Any]) -> Path:
    """Stores with a reward model the mean and standard deviation of its rewards on reference samples.

    `load` gives them with its parameters, and its rewards are normalised from then on. Of a workdir they hold for the
    step that `reference` names.

    Returns:
      The file.
    """
    folder, step, _ = split(reference)
    if (folder / _FOLDER).is_dir():
        step, folder = _step(folder, step), folder / MODEL_FOLDER
    file = folder / MOMENTS
    known = json.loads(file.read_text()) if file.exists() else {}
    files.write_json(file, known | {"" if step is None else str(step): {"mean": mean, "std": std, **facts}})
    return file


def _moments(folder: Path, step: str) -> Params:
    """The collection "moments" of a reward model; nothing where none are stored."""
    file = folder / MOMENTS
    found = json.loads(file.read_text()).get(step) if file.exists() else None
    return {"moments": {name: np.float32(found[name]) for name in ("mean", "std")}} if found else {}


def pin(reference: str) -> str:
    """A reference that goes on naming the same parameters: a workdir with the step it has now."""
    folder, step, ema = split(reference)
    if step is not None or not (folder / _FOLDER).is_dir():
        return reference
    return f"{reference.removesuffix(':ema')}@{_step(folder, None)}{':ema' if ema else ''}"


def split(reference: str) -> tuple[Path, int | None, bool]:
    """The folder of a reference, its step, and whether the averaged copy is meant."""
    stem = reference.removesuffix(":ema")
    match = re.fullmatch(r"(.*)@([0-9]+)", stem)
    folder = Path(os.path.expandvars(match[1] if match else stem)).expanduser()
    if not os.path.isdir(folder):
        raise CheckpointError(f"{folder}: no such folder; a model is a Hugging Face folder, a workdir or workdir@step")
    return folder, int(match[2]) if match else None, stem != reference


def newest(workdir: Path) -> int | None:
    """The newest step of a workdir that is as it was saved; None before the first save.

    It warns of newer ones that are damaged.

    Raises:
      CheckpointError: there are steps, and all are damaged.
    """
    damaged = {}
    for step in reversed(_steps(workdir)):
        reason = files.damage(workdir / _FOLDER / str(step))
        if reason is None:
            if damaged:
                _log.warning("%s: %s; step %d is used instead", workdir, _list(damaged), step)
            return step
        damaged[step] = reason
    if damaged:
        raise CheckpointError(f"{workdir}: no checkpoint is whole: {_list(damaged)}")
    return None


def _list(damaged: dict[int, str]) -> str:
    return ", ".join(f"step {step} is damaged ({reason})" for step, reason in damaged.items())


def _steps(workdir: Path) -> list[int]:
    folder = workdir / _FOLDER
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name) for name in names if re.fullmatch("[0-9]+", name))


def _step(workdir: Path, step: int | None) -> int:
    """The newest good step of a workdir, or the one asked for if it is there."""
    steps = _steps(workdir)
    if not steps or (step is not None and step not in steps):
        there = ", ".join(map(str, steps)) or "none"
        raise CheckpointError(f"{workdir}: no checkpoint of step {'any' if step is None else step}; it has {there}")
    found = newest(workdir) if step is None else step
    assert found is not None  # there are steps
    return found


def _params(workdir: Path, step: int | None, ema: bool) -> Params:
    import orbax.checkpoint as ocp
    from etils import epath

    item, found = "rest" if ema else "params", _step(workdir, step)
    folder = epath.Path(workdir.resolve()) / _FOLDER / str(found)
    reason = files.damage(Path(folder), f"{item}/")
    if reason is not None:
        raise CheckpointError(f"{workdir}: step {found} is damaged: {reason}")
    reader = ocp.PyTreeCheckpointHandler()  # of numpy arrays: the devices that saved them may not be there
    numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), reader.metadata(folder / item).tree)
    saved = jax.device_put(reader.restore(folder / item, args=ocp.args.PyTreeRestore(restore_args=numpy)))
    if not ema:
        return saved
    if "ema" not in saved["carry"]:
        raise CheckpointError(f"{workdir}: the run kept no averaged copy: it had optim.ema = 0")
    return saved["carry"]["ema"]
