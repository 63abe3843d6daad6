"""Reading the checkpoints of a run, and references to the models in them; `prefjax.saves` writes them.

A step is saved as three items: `params`, which another run may load alone, `rest`, all else of the state, and `cut`, a
logging interval that an interruption cut in two. Its folder holds a manifest from the moment it has its name, and is
believed only while its files have the sha256 written there.
"""

import hashlib
import json
import logging
import os
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np

from prefjax import files, models
from prefjax.data.load import MODEL_FOLDER
from prefjax.errors import CheckpointError
from prefjax.models import lora
from prefjax.types import Params, TrainState

MOMENTS = "reward.json"  # of rewards on reference samples, beside the config of a reward model
FOLDER = "checkpoints"

_log = logging.getLogger(__name__)


def state(workdir: Path, step: int | None, like: TrainState) -> TrainState:
    """The state that a run had after a step, by default its newest; changes nothing in its workdir.

    Raises:
      CheckpointError: the step is not there, it is damaged, or it does not fit `like`.
    """
    import orbax.checkpoint as ocp

    step = _step(workdir, step)
    reason = files.damage(workdir / FOLDER / str(step))
    if reason is not None:
        raise CheckpointError(f"{workdir}: step {step} is damaged: {reason}")
    options = ocp.CheckpointManagerOptions(read_only=True)
    with ocp.CheckpointManager(workdir.resolve() / FOLDER, options=options) as manager:
        return restored(manager, step, like)[0]


def restored(manager: Any, step: int, like: TrainState) -> tuple[TrainState, Any]:
    """A state and its `cut`, by Orbax's manager, with the structure and types of `like`."""
    import orbax.checkpoint as ocp

    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like)._asdict()
    items = {"params": ocp.args.StandardRestore(abstract.pop("params")), "rest": ocp.args.StandardRestore(abstract)}
    try:
        found: Any = manager.restore(step, args=ocp.args.Composite(**items, cut=ocp.args.JsonRestore()))
    except (ValueError, KeyError, TypeError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(f"{manager.directory}/{step} does not fit this run: {reason}") from error
    return TrainState(params=found.params, **found.rest), found.cut["cut"]


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
    if not (folder / FOLDER).is_dir():
        model, params = models.load(folder)
        return model, params | (_moments(folder, "") if moments else {})
    step = _step(folder, step)
    model, params = models.read_config(folder / MODEL_FOLDER), lora.merge(_whole(folder, _params(folder, step, ema)))
    return model, params | (_moments(folder / MODEL_FOLDER, str(step)) if moments else {})


def adapters(reference: str) -> tuple[Any, Params, dict[str, Any], str]:
    """The model of a run that trained adapters, its parameters with them apart, `config.lora`, and what they lie on.

    Raises:
      CheckpointError: as `load`, or the run trained no adapters of its policy.
    """
    folder, step, ema = split(reference)
    tree = _params(folder, _step(folder, step), ema) if (folder / FOLDER).is_dir() else {}
    if "params" not in lora.adapted(tree):
        raise CheckpointError(f"{folder} is no run that trained adapters of its policy: it had no config.lora.rank")
    config, facts = _read(folder, "config.json"), _read(folder, "run.json")
    return models.read_config(folder / MODEL_FOLDER), _whole(folder, tree), config["lora"], facts["frozen"]["base"]


def _whole(folder: Path, tree: Params) -> Params:
    """The policy of what a run has trained: adapters with the model that they lie on."""
    trained = {"params": tree["params"]}
    if not lora.adapted(trained):
        return trained
    config, facts = _read(folder, "config.json"), _read(folder, "run.json")
    base = facts["frozen"]["base"]
    try:
        fixed = load(base, moments=False)[1]
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: what its adapters lie on cannot be read: {error}") from error
    if digest(fixed["params"]) != facts["lora"]["params"]:
        raise CheckpointError(f"{base} is not the model that the adapters of {folder} were trained on: it has changed")
    whole = lora.scaled(lora.join(fixed, trained), config["lora"]["alpha"] / config["lora"]["rank"])
    if "score_head" in trained["params"] and not config["reward"]:  # a reward model, not a policy with a critic's head
        whole["params"].pop("lm_head", None)
    return whole


def _read(folder: Path, name: str) -> dict[str, Any]:
    try:
        return json.loads((folder / name).read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder / name}: {error}; it says what the adapters of this run lie on") from None


def save_moments(reference: str, mean: float, std: float, facts: dict[str, Any]) -> Path:
    """Stores with a reward model the mean and standard deviation of its rewards on reference samples.

    `load` gives them with its parameters, and its rewards are normalised from then on. Of a workdir they hold for the
    step that `reference` names.

    Returns:
      The file.
    """
    folder, step, _ = split(reference)
    if (folder / FOLDER).is_dir():
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
    if step is not None or not (folder / FOLDER).is_dir():
        return reference
    return f"{reference.removesuffix(':ema')}@{_step(folder, None)}{':ema' if ema else ''}"


def split(reference: str) -> tuple[Path, int | None, bool]:
    """The folder of a reference, its step, and whether the averaged copy is meant."""
    folder, step, ema = files.named(reference)
    if not os.path.isdir(folder):
        raise CheckpointError(f"{folder}: no such folder; a model is a Hugging Face folder, a workdir or workdir@step")
    return folder, step, ema


def newest(workdir: Path) -> int | None:
    """The newest step of a workdir that is as it was saved; None before the first save.

    It warns of newer ones that are damaged.

    Raises:
      CheckpointError: there are steps, and all are damaged.
    """
    damaged = {}
    for step in reversed(steps(workdir)):
        reason = files.damage(workdir / FOLDER / str(step))
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


def steps(workdir: Path) -> list[int]:
    """Those that are there, good or damaged."""
    folder = workdir / FOLDER
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name) for name in names if re.fullmatch("[0-9]+", name))


def _step(workdir: Path, step: int | None) -> int:
    """The newest good step of a workdir, or the one asked for if it is there."""
    there = steps(workdir)
    if not there or (step is not None and step not in there):
        names = ", ".join(map(str, there)) or "none"
        raise CheckpointError(f"{workdir}: no checkpoint of step {'any' if step is None else step}; it has {names}")
    found = newest(workdir) if step is None else step
    assert found is not None  # there are steps
    return found


def _params(workdir: Path, step: int | None, ema: bool) -> Params:
    import orbax.checkpoint as ocp
    from etils import epath

    item, found = "rest" if ema else "params", _step(workdir, step)
    folder = epath.Path(workdir.resolve()) / FOLDER / str(found)
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
