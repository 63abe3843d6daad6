"""How the reference of a loss is used, as `config.reference` says.

    "frozen"                       its log-probs are computed in every step
    "cached"                       computed once for all runs that share rows and reference, and kept on disk
    "sync(alpha=0.6, steps=100)"   computed in every step, of a reference that follows the policy

A step takes `frozen["reference"]` only in the first case. In the others it waits on the host for evaluations, which
measure drift against the original.
"""

import dataclasses
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from prefjax import __version__, checkpoint, models, optim
from prefjax.data.batches import epoch
from prefjax.data.rows import Rows
from prefjax.errors import ConfigError
from prefjax.log import progress, write_json
from prefjax.mesh import PMAP_AXIS, Parallel
from prefjax.resolve import keywords, resolve
from prefjax.types import Algorithm, Params

_log = logging.getLogger(__name__)


def check(config: Any, nets: models.Models) -> None:
    """Raises ConfigError where `config.reference` asks for what the run has no use of."""
    if config.reference == "frozen":
        return
    if "reference" not in nets:
        raise ConfigError(
            f"config.reference is {config.reference!r} and config.frozen.reference is not set; it should be a model: "
            "c.frozen.reference = c.model"
        )
    measured = config.reference != "cached" and config.reward  # the KL of samples, whatever the loss
    if not measured and not optim.takes(config, "ref_logps"):
        raise ConfigError(
            f"config.reference is {config.reference!r} and config.loss {config.loss!r} takes no ref_logps; "
            "config.reference should be 'frozen'"
        )
    if config.reference != "cached" and nets["policy"].config != nets["reference"].config:
        raise ConfigError(
            f"config.reference is {config.reference!r}, and config.frozen.reference is a model of another shape than "
            "the policy, which it cannot follow"
        )


def sync(
    reference: Params,
    params: Params,
    step: jax.Array,
    *,
    alpha: float | jax.Array = 1.0,
    steps: float | jax.Array = 1,
) -> Params:
    """Every `steps` steps: alpha policy + (1 - alpha) reference; in between the reference as it is.

    TR-DPO, Gorbatovski et al. 2024 (https://arxiv.org/abs/2404.09656), under TRL's names: `sync(alpha=0.01)` is the
    soft update, an average with decay 0.99, `sync(steps=100)` the hard one.
    """
    due = step % jnp.asarray(steps).astype(step.dtype) == 0
    rate = jnp.where(due, alpha, 0.0).astype(jnp.float32)
    return jax.tree.map(lambda r, p: rate * p + (1 - rate) * r, reference, params)


def follow(algorithm: Algorithm, config: Any, start: Params) -> Algorithm:
    """`algorithm` against a reference that follows the policy by the rule `config.reference`.

    The rule is a function like `sync`. What it moves is `carry["reference"]`, which begins as `start`; the algorithm is
    given it as `frozen["reference"]`. A step that is not finite does not move it.
    """
    rule = resolve(config.reference, __name__)

    def init(key, params):
        state = algorithm.init(key, params)
        moving = jax.tree.map(lambda x: jnp.array(x, copy=True), start)  # the state is donated, `start` may not be
        return state._replace(carry=state.carry | {"reference": moving})

    def step(state, frozen, hparams, batch, key):
        old = state.carry["reference"]
        state, metrics = algorithm.step(state, frozen | {"reference": old}, hparams, batch, key)
        new = rule.function(old, _part(state.params, old), state.step, **rule.words, **keywords(hparams, "reference"))
        finite = metrics["finite"].total == metrics["finite"].weight
        moving = jax.tree.map(lambda new, old: jnp.where(finite, new, old), new, old)
        return state._replace(carry=state.carry | {"reference": moving}), metrics

    return algorithm._replace(init=init, step=step)


def _part(tree: Params, like: Params) -> Params:
    """The leaves of a tree that are in another too: a policy may have a critic beside it."""
    return {name: _part(tree[name], x) if isinstance(x, dict) else tree[name] for name, x in like.items()}


def cached(
    config: Any, net: Any, params: Params, parallel: Parallel, tokenizer: str, rows: Rows, *, compute: bool = True
) -> tuple[Rows, dict[str, str]]:
    """Rows with the reference's log-probs as their column `ref_logps`, from the cache or, if need be, put there.

    The file is `<key>.npy` in `config.cache`, beside a `<key>.json` that says what the key is made of. It is written
    under another name and moved into place, so that a run sees all of it or nothing, and read as a memory map.

    Args:
      config: of the run.
      net, params: the reference.
      parallel: how it is computed, like a step.
      tokenizer: digest of the tokenizer.
      rows: pairs, rankings or judged responses.
      compute: otherwise a column that is not there is zeros: enough to lower a step.

    Returns:
      The rows, and for the record of the run the file and whether it was found or computed.

    Raises:
      ConfigError: the rows are none of these, or the cache cannot be written.
    """
    if rows.responses < 2 and rows.target is None:
        raise ConfigError(
            "config.reference is 'cached', which is for rows of judged responses: config.data.rows should be 'pairs()'"
        )
    parts = {
        "prefjax": __version__,
        "rows": checkpoint.digest((rows.tokens, rows.offsets)),
        "reference": checkpoint.digest(params),
        "model": dataclasses.asdict(net.config),
        "tokenizer": tokenizer,
        "max_length": config.data.max_length,
        "dtype": config.dtype,
    }
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    file, how = _folder(config) / f"{key}.npy", "found"
    if not _sound(file):
        if not compute:
            zeros = np.broadcast_to(np.float32(0), rows.tokens.shape)
            return rows._replace(ref_logps=zeros), {"file": str(file), "logps": "not there yet"}
        _write(file, parts, len(rows.tokens), _logps(config, net, params, parallel, rows))
        how = "computed"
    return rows._replace(ref_logps=np.load(file, mmap_mode="r")), {"file": str(file), "logps": how}


def _folder(config: Any) -> Path:
    named = config.cache or os.environ.get("PREFJAX_CACHE") or "~/.cache/prefjax"
    return Path(os.path.expandvars(named)).expanduser()


def _logps(config: Any, net: Any, params: Params, parallel: Parallel, rows: Rows) -> Iterator[np.ndarray]:
    """The column in pieces, row by row from the first: 0 at the tokens of a prompt."""

    @parallel.measure
    def logps_of(state, frozen, hparams, batch, key):
        logps = models.logps(net, frozen["reference"], batch.sequences)
        return jax.lax.all_gather(logps, PMAP_AXIS, tiled=True) if config.parallel == "pmap" else logps

    size = config.batch_size // config.optim.accumulate  # what a step has room for, gradients and all
    frozen = parallel.place({"reference": params})
    all_pairs: Iterator[Any] = epoch(rows, size, config.data.max_length, shards=parallel.shards)
    with progress(0, rows.size, "reference log-probs, rows") as advance:
        for number, batch in enumerate(all_pairs):
            logps, response = logps_of(None, frozen, {}, parallel.deal(batch), None), batch.sequences.response
            first, last = number * size, min((number + 1) * size, rows.size)
            for row, found, mask in zip(range(first, last), np.asarray(logps), response, strict=False):
                yield np.zeros(rows.part(row, 0).size, np.float32)
                yield found[mask]
            advance(last, {})


def _sound(file: Path) -> bool:
    """Whether the cache holds a file, as it was written; a damaged one is warned of."""
    about = file.with_suffix(".json")
    if not (file.exists() and about.exists()):
        return False
    try:
        if _sha256(file) == json.loads(about.read_text())["sha256"]:
            return True
    except (OSError, ValueError, KeyError, TypeError):
        pass
    _log.warning("%s is damaged; its log-probs are computed again", file)
    return False


def _write(file: Path, parts: dict[str, Any], size: int, pieces: Iterator[np.ndarray]) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (size,)}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=".") as temporary:
            array, about = (Path(temporary) / f"new.{suffix}" for suffix in ("npy", "json"))
            with array.open("wb") as stream:
                np.lib.format.write_array_header_1_0(stream, header)
                stream.writelines(pieces)
            write_json(about, parts | {"sha256": _sha256(array)})
            os.replace(array, file)
            os.replace(about, file.with_suffix(".json"))  # last: without it there is nothing to be found
    except OSError as error:
        raise ConfigError(
            f"config.cache: {file.parent} cannot be written: {error.strerror}; name another with config.cache or the "
            "variable PREFJAX_CACHE"
        ) from error


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
