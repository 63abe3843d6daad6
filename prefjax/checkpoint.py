"""Checkpoints of a run through Orbax, and references to the models in them.

A step is saved as two items: `params`, which another run may load alone, and `rest`, all else of the state.
"""

import os
import re
from pathlib import Path
from typing import Any

import jax

from prefjax import models
from prefjax.errors import CheckpointError
from prefjax.types import Params, TrainState

MODEL_FOLDER = "model"  # config.json and the tokenizer, as a Hugging Face folder without weights


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
      reference: a Hugging Face folder, a workdir (its newest checkpoint), or `workdir@step`.

    Raises:
      CheckpointError: nothing is there, or not that step.
    """
    folder, step = split(reference)
    if (folder / "checkpoints").is_dir():
        return models.read_config(folder / MODEL_FOLDER), _params(folder, step)
    return models.load(folder)


def split(reference: str) -> tuple[Path, int | None]:
    """The folder and the step of a reference."""
    match = re.fullmatch(r"(.*)@(\d+)", reference)
    folder = Path(os.path.expandvars(match[1] if match else reference)).expanduser()
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder; a model is a Hugging Face folder, a workdir or workdir@step")
    return folder, int(match[2]) if match else None


def _params(folder: Path, step: int | None) -> Params:
    import orbax.checkpoint as ocp

    with ocp.CheckpointManager(folder.resolve() / "checkpoints", item_names=("params", "rest")) as checkpoints:
        steps = checkpoints.all_steps()
        if not steps or (step is not None and step not in steps):
            there = ", ".join(map(str, sorted(steps))) or "none"
            raise CheckpointError(
                f"{folder}: no checkpoint of step {step if step is not None else 'any'}; it has {there}"
            )
        args = ocp.args.Composite(params=ocp.args.StandardRestore())
        return checkpoints.restore(step if step is not None else max(steps), args=args).params
