"""Adapters as the folder that the peft library reads: adapter_config.json and adapter_model.safetensors."""

import json
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file

from prefjax.errors import CheckpointError
from prefjax.models.families import rows, spell
from prefjax.models.transformer import Transformer
from prefjax.types import Params

_MODEL = "base_model.model."  # what peft wraps a model in


def save(folder: str | PathLike, model: Transformer, params: Params, *, rank: int, alpha: float, base: str) -> None:
    """Writes a folder that `peft.PeftModel.from_pretrained` puts on the base model.

    Args:
      folder: made if missing.
      model, params: with adapters; a scalar head, which is trained whole, is saved whole.
      rank, alpha: of the adapters.
      base: what peft should load the base model from.

    Raises:
      CheckpointError: adapters lie on one of several layers that share a tensor in the file, as in GPT-2's attention.
    """
    family, _ = spell(model.config)
    leaves = {path: np.asarray(leaf, np.float32) for path, leaf in flatten_dict(params["params"], sep="/").items()}
    tensors: dict[str, np.ndarray] = {}
    modules = set()
    for row in rows(family, model.config, leaves):
        layers = [path.removesuffix("/kernel") for path in row.paths]
        if layers == ["score_head"]:
            tensors[f"{_MODEL}{row.names[0]}"] = np.ascontiguousarray(leaves[row.paths[0]].T)
        if not any(f"{layer}/lora_a" in leaves for layer in layers):
            continue
        if len(layers) > 1:
            raise CheckpointError(
                f"{', '.join(layers)} are one tensor in a file of this family: peft has no adapter for a part"
            )
        for name, a, b in zip(row.names, leaves[f"{layers[0]}/lora_a"], leaves[f"{layers[0]}/lora_b"], strict=True):
            module = name.removesuffix(".weight")
            tensors[f"{_MODEL}{module}.lora_A.weight"] = np.ascontiguousarray(a.T)
            tensors[f"{_MODEL}{module}.lora_B.weight"] = np.ascontiguousarray(b.T)
            modules.add(".".join(module.split(".")[-2:]))
    reward = f"{_MODEL}score.weight" in tensors
    config: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS" if reward else "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted(modules),
        "modules_to_save": ["score"] if reward else None,
        "fan_in_fan_out": not family.transposed,
        "inference_mode": True,
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
