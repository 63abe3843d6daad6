"""Checkpoints of a run through Orbax, and references to the models in them.

A step is saved as two items: `params`, which another run may load alone, and `rest`, all else of the state.
"""

import os
import re
from pathlib import Path
from typing import Any

import jax

from prefjax import models
from prefjax.data.load import MODEL_FOLDER
from prefjax.errors import CheckpointError
from prefjax.types import Params, TrainState


def manager(workdir: Path, keep: int = 2) -> Any:
    """The Orbax manager of `workdir/checkpoints`: asynchronous, keeps the newest `keep` steps."""
    import orbax.checkpoint as ocp

    options = ocp.CheckpointManagerOptions(max_to_keep=keep, cleanup_tmp_directories=True)
    return ocp.CheckpointManager(Path(workdir).resolve() / "checkpoints", options=options)


def save(checkpoints: Any, state: TrainState) -> None:
    """Starts to save a state under its step; returns once the state may be donated."""
    import orbax.checkpoint as ocp

    rest = state._replace(params=None)._asdict()
    del rest["params"]
    items = ocp.args.Composite(params=ocp.args.StandardSave(state.params), rest=ocp.args.StandardSave(rest))
    checkpoints.save(int(state.step), args=items)


def restore(checkpoints: Any, like: TrainState) -> TrainState:
    """The newest saved state, with the structure and types of `like`; `like` itself before the first save.

    Raises:
      CheckpointError: the saved state has another structure, shape or type.
    """
    import orbax.checkpoint as ocp

    step = checkpoints.latest_step()
    if step is None:
        return like
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like)._asdict()
    params = ocp.args.StandardRestore(abstract.pop("params"))
    try:
        items = checkpoints.restore(
            step, args=ocp.args.Composite(params=params, rest=ocp.args.StandardRestore(abstract))
        )
    except (ValueError, KeyError, TypeError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(f"{checkpoints.directory}/{step} does not fit this run: {reason}") from error
    return TrainState(params=items.params, **items.rest)


def load(reference: str) -> tuple[Any, Params]:
    """The model and parameters that a reference names.

    Args:
      reference: a Hugging Face folder, a workdir (its newest checkpoint), or `workdir@step`; of a run with
        `optim.ema`, `workdir:ema` or `workdir@step:ema` is the averaged copy.

    Raises:
      CheckpointError: nothing is there, or not that step.
    """
    folder, step, ema = split(reference)
    if (folder / "checkpoints").is_dir():
        return models.read_config(folder / MODEL_FOLDER), _params(folder, step, ema)
    return models.load(folder)


def pin(reference: str) -> str:
    """A reference that goes on naming the same parameters: a workdir with the step it has now."""
    folder, step, ema = split(reference)
    if step is not None or not (folder / "checkpoints").is_dir():
        return reference
    return f"{reference.removesuffix(':ema')}@{_step(folder, None)}{':ema' if ema else ''}"


def split(reference: str) -> tuple[Path, int | None, bool]:
    """The folder of a reference, its step, and whether the averaged copy is meant."""
    stem = reference.removesuffix(":ema")
    match = re.fullmatch(r"(.*)@(\d+)", stem)
    folder = Path(os.path.expandvars(match[1] if match else stem)).expanduser()
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder; a model is a Hugging Face folder, a workdir or workdir@step")
    return folder, int(match[2]) if match else None, stem != reference


def _step(folder: Path, step: int | None) -> int:
    """The newest step of a workdir, or the one asked for if it is there."""
    steps = sorted(int(path.name) for path in (folder / "checkpoints").iterdir() if path.name.isdigit())
    if not steps or (step is not None and step not in steps):
        there = ", ".join(map(str, steps)) or "none"
        raise CheckpointError(f"{folder}: no checkpoint of step {'any' if step is None else step}; it has {there}")
    return steps[-1] if step is None else step


def _params(folder: Path, step: int | None, ema: bool) -> Params:
    import orbax.checkpoint as ocp

    item = "rest" if ema else "params"
    with ocp.CheckpointManager(folder.resolve() / "checkpoints", item_names=("params", "rest")) as checkpoints:
        args = ocp.args.Composite(**{item: ocp.args.StandardRestore()})
        saved = checkpoints.restore(_step(folder, step), args=args)[item]
    if not ema:
        return saved
    if "ema" not in saved["carry"]:
        raise CheckpointError(f"{folder}: the run kept no averaged copy: it had optim.ema = 0")
    return saved["carry"]["ema"]
