"""Hugging Face folders: config.json and safetensors, to and from the transformer.

Weights are read from safetensors alone, never from pickles. `prefjax.models.families` has the names.
"""

import json
import re
from os import PathLike
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from prefjax import models
from prefjax.errors import CheckpointError
from prefjax.models.families import FAMILIES, Family, parse, rows, spell
from prefjax.models.transformer import Transformer, TransformerConfig
from prefjax.types import Params

_BUFFERS = re.compile(r"rotary_emb\.inv_freq$|\.attn\.(masked_)?bias$")  # constants that old files carry
_NO_IDS = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))  # null: readers would assume those of Llama


def read_config(folder: str | PathLike) -> Transformer:
    """The model that config.json describes.

    Raises:
      CheckpointError: there is none, it lacks a key, or it asks for what the transformer cannot do.
    """
    return Transformer(_read(Path(folder))[1])


def load(folder: str | PathLike) -> tuple[Transformer, Params]:
    """The model of a folder and its parameters, as float32. A reward model is known by its `score.weight`.

    Raises:
      CheckpointError: as `read_config`, or a tensor is missing, unexpected or of another shape.
    """
    folder = Path(folder)
    family, config = _read(folder)
    model = Transformer(config)
    tensors = _Tensors(folder, family.prefix)
    heads = ("score",) * tensors.has("score.weight") + ("lm",) * tensors.has("lm_head.weight")
    tree = jax.eval_shape(lambda: models.init(model, jax.random.key(0), heads or ("lm",)))
    shapes = {path: leaf.shape for path, leaf in flatten_dict(tree["params"], sep="/").items()}
    leaves = {}
    for row in rows(family, config, shapes):
        parts = [shapes[path][row.stacked :] for path in row.paths]
        shape = (*parts[0][:-1], sum(part[-1] for part in parts))
        arrays = [tensors.take(name, shape[::-1] if row.transposed else shape) for name in row.names]
        arrays = [array.T for array in arrays] if row.transposed else arrays
        whole = np.stack(arrays) if row.stacked else arrays[0]
        pieces = np.split(whole, np.cumsum([part[-1] for part in parts])[:-1], axis=-1)
        leaves |= dict(zip(row.paths, map(jnp.asarray, pieces), strict=True))
    tensors.finish(leaves["embed/embedding"])
    return model, {"params": unflatten_dict(leaves, sep="/")}


def save(folder: str | PathLike, model: Transformer, params: Params, extra: dict[str, Any] | None = None) -> None:
    """Writes a folder that `load` and transformers read: float32 weights, config.json, generation_config.json.

    Args:
      folder: made if missing; a tokenizer in it is left alone.
      model, params: with a score head it becomes a reward model, `...ForSequenceClassification`.
      extra: more keys for config.json; the ids of tokens, such as `{"eos_token_id": 2}`, go into both configs.

    Raises:
      CheckpointError: the model is of no family that Hugging Face knows.
    """
    folder = Path(folder)
    family, _ = spell(model.config)
    leaves = {path: np.asarray(leaf, np.float32) for path, leaf in flatten_dict(params["params"], sep="/").items()}
    tensors = {}
    for row in rows(family, model.config, leaves):
        whole = np.concatenate([leaves[path] for path in row.paths], axis=-1)
        for name, array in zip(row.names, whole if row.stacked else [whole], strict=True):
            tensors[name] = np.ascontiguousarray(array.T if row.transposed else array)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    reward = "score.weight" in tensors
    one_label = reward and not model.config.attributes
    labels = {"id2label": {"0": "score"}, "label2id": {"score": 0}} if one_label else {}
    save_config(folder, model, {"architectures": [family.classes[reward]]} | labels | (extra or {}))


def save_config(folder: str | PathLike, model: Transformer, extra: dict[str, Any] | None = None) -> None:
    """Writes config.json and generation_config.json alone; arguments as in `save`."""
    family, keys = spell(model.config)
    extra = _NO_IDS | (extra or {})
    config = {"architectures": family.classes[:1], "torch_dtype": "float32"} | keys | extra
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    ids = {key: value for key, value in extra.items() if key.endswith("_token_id")}
    for name, content in (("config.json", config), ("generation_config.json", ids)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")


def _read(folder: Path) -> tuple[Family, TransformerConfig]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text())
    except FileNotFoundError:
        raise CheckpointError(f"{path}: not found; a Hugging Face folder has one beside its safetensors") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON: {error}") from None
    family = FAMILIES.get(config.get("model_type"))
    if family is None:
        raise CheckpointError(f"{path}: model_type {config.get('model_type')!r} is not one of {', '.join(FAMILIES)}")
    try:
        return family, parse(family, config)
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: {error}") from error


class _Tensors:
    """The tensors of a folder by name, each to be taken once."""

    def __init__(self, folder: Path, prefix: str):
        self._files = {}  # name -> (name as written, open file)
        self._folder = folder
        for path in _files(folder):
            try:
                file = safe_open(path, framework="numpy")
            except (SafetensorError, OSError) as error:
                raise CheckpointError(f"{path}: not readable as safetensors: {error}") from None
            for name in file.keys():  # noqa: SIM118 (no dict)
                full = name if name.startswith((prefix, "lm_head.", "score.")) else prefix + name
                self._files[full] = (name, file)

    def has(self, name: str) -> bool:
        return name in self._files

    def take(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """The tensor `name` as float32, if it has the `shape`."""
        if name not in self._files:
            raise CheckpointError(f"{self._folder}: no tensor {name} of shape {shape}, which config.json asks for")
        written, file = self._files.pop(name)
        array = file.get_tensor(written)
        if array.shape != shape or not jnp.issubdtype(array.dtype, jnp.floating):
            raise CheckpointError(f"{self._folder}: {name}: expected floats {shape}, got {array.dtype} {array.shape}")
        return array.astype(np.float32)

    def finish(self, embedding: jax.Array) -> None:
        """Refuses what nobody took, other than constants and the tied output embedding."""
        if self.has("lm_head.weight") and not np.array_equal(self.take("lm_head.weight", embedding.shape), embedding):
            raise CheckpointError(f"{self._folder}: lm_head.weight is not the embedding, though config.json ties them")
        unknown = sorted(name for name in self._files if not _BUFFERS.search(name))
        if unknown:
            raise CheckpointError(f"{self._folder}: unexpected tensors, such as {unknown[0]}: {len(unknown)} in all")


def _files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        single = folder / "model.safetensors"
        if not single.is_file():
            raise CheckpointError(f"{single}: not found; weights are read from safetensors alone, never from pickles")
        return [single]
    try:
        shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (ValueError, KeyError, AttributeError):
        raise CheckpointError(f"{index}: not an index of shards: no 'weight_map'") from None
    for shard in shards:
        if not (folder / shard).is_file():
            raise CheckpointError(f"{folder / shard}: not found, though {index.name} lists it")
    return [folder / shard for shard in shards]
