"""What each family of Hugging Face models calls its settings and tensors.

A family is a row of tables; what the transformer cannot do is refused, by name.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

from prefjax.errors import CheckpointError
from prefjax.models.transformer import RopeScaling, TransformerConfig


class Family(NamedTuple):
    """How one `model_type` spells a `TransformerConfig` and its parameters."""

    classes: tuple[str, str]  # of the language model and of the reward model
    prefix: str  # of all tensors but the heads; files of the bare trunk lack it
    keys: dict[str, str]  # key of config.json -> field
    defaults: dict[str, Callable[[dict], Any]]  # field -> its value where the key is missing or null
    fixed: dict[str, Any]  # fields that all of the family share
    only: dict[str, tuple]  # key -> values that the transformer can do; a missing key is one
    modules: dict[str, str]  # module in the file -> module in the tree; several share one tensor, side by side
    transposed: bool  # linear weights are [out, in] in the file


_LLAMA = Family(
    classes=("LlamaForCausalLM", "LlamaForSequenceClassification"),
    prefix="model.",
    keys={
        "vocab_size": "vocab",
        "hidden_size": "width",
        "num_hidden_layers": "layers",
        "num_attention_heads": "heads",
        "num_key_value_heads": "kv_heads",
        "head_dim": "head_size",
        "intermediate_size": "mlp",
        "max_position_embeddings": "positions",
        "rms_norm_eps": "eps",
        "tie_word_embeddings": "tied",
        "attention_bias": "qkv_bias",
        "mlp_bias": "mlp_bias",
    },
    defaults={
        "kv_heads": lambda fields: fields["heads"],
        "head_size": lambda fields: fields["width"] // fields["heads"],
        "tied": lambda _: False,
        "qkv_bias": lambda _: False,
        "out_bias": lambda fields: fields["qkv_bias"],
        "mlp_bias": lambda _: False,
    },
    fixed={"norm": "rms", "gated": True},
    only={
        "hidden_act": ("silu",),
        "sliding_window": (None,),
        "use_qk_norm": (None, False),
        "partial_rotary_factor": (None, 1),
        "quantization_config": (None,),
    },
    modules={
        "model.embed_tokens": "embed",
        "model.layers.{}.input_layernorm": "layers/attention_norm",
        "model.layers.{}.self_attn.q_proj": "layers/query",
        "model.layers.{}.self_attn.k_proj": "layers/key",
        "model.layers.{}.self_attn.v_proj": "layers/value",
        "model.layers.{}.self_attn.o_proj": "layers/out",
        "model.layers.{}.post_attention_layernorm": "layers/mlp_norm",
        "model.layers.{}.mlp.gate_proj": "layers/gate",
        "model.layers.{}.mlp.up_proj": "layers/up",
        "model.layers.{}.mlp.down_proj": "layers/down",
        "model.norm": "norm",
        "lm_head": "lm_head",
        "score": "score_head",
    },
    transposed=True,
)

_QWEN2 = _LLAMA._replace(
    classes=("Qwen2ForCausalLM", "Qwen2ForSequenceClassification"),
    keys={key: field for key, field in _LLAMA.keys.items() if not key.endswith("_bias")},
    fixed=_LLAMA.fixed | {"qkv_bias": True, "out_bias": False, "mlp_bias": False},
    only={key: values for key, values in _LLAMA.only.items() if key != "sliding_window"}
    | {"use_sliding_window": (None, False), "use_mrope": (None, False)},
)

_GPT2 = Family(
    classes=("GPT2LMHeadModel", "GPT2ForSequenceClassification"),
    prefix="transformer.",
    keys={
        "vocab_size": "vocab",
        "n_embd": "width",
        "n_layer": "layers",
        "n_head": "heads",
        "n_inner": "mlp",
        "n_positions": "positions",
        "layer_norm_epsilon": "eps",
        "tie_word_embeddings": "tied",
    },
    defaults={
        "kv_heads": lambda fields: fields["heads"],
        "head_size": lambda fields: fields["width"] // fields["heads"],
        "mlp": lambda fields: 4 * fields["width"],
        "tied": lambda _: True,
    },
    fixed={"norm": "layer", "gated": False, "qkv_bias": True, "out_bias": True, "mlp_bias": True},
    only={
        "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (None, False),
        "add_cross_attention": (None, False),
        "quantization_config": (None,),
    },
    modules={
        "transformer.wte": "embed",
        "transformer.wpe": "positions",
        "transformer.h.{}.ln_1": "layers/attention_norm",
        "transformer.h.{}.attn.c_attn": "layers/query layers/key layers/value",
        "transformer.h.{}.attn.c_proj": "layers/out",
        "transformer.h.{}.ln_2": "layers/mlp_norm",
        "transformer.h.{}.mlp.c_fc": "layers/up",
        "transformer.h.{}.mlp.c_proj": "layers/down",
        "transformer.ln_f": "norm",
        "lm_head": "lm_head",
        "score": "score_head",
    },
    transposed=False,
)

FAMILIES = {"llama": _LLAMA, "qwen2": _QWEN2, "gpt2": _GPT2}  # by model_type
_LLAMA3 = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")  # as in RopeScaling


def parse(family: Family, config: dict[str, Any]) -> TransformerConfig:
    """The shape of the transformer that the keys of a config.json describe.

    Raises:
      ValueError: a key is missing, or its value is not supported.
    """
    for key, values in family.only.items():
        if config.get(key, values[0]) not in values:
            raise ValueError(f"{key} = {config[key]!r} is not supported, only {' or '.join(map(repr, values))}")
    if set(config.get("layer_types") or ()) - {"full_attention"}:
        raise ValueError("layer_types other than 'full_attention' are not supported")
    fields = family.fixed | {field: config[key] for key, field in family.keys.items() if config.get(key) is not None}
    for key, field in family.keys.items():
        if field not in fields and field not in family.defaults:
            raise ValueError(f"no {key!r}")
    for field, default in family.defaults.items():
        fields.setdefault(field, default(fields))
    rope = {} if "positions" in family.modules.values() else _rope(config)
    labels = config.get("id2label") if config.get("architectures") == [family.classes[1]] else None
    attributes = tuple(labels[key] for key in sorted(labels, key=int)) if labels and len(labels) > 1 else ()
    return TransformerConfig(**fields, **rope, attributes=attributes)


def _rope(config: dict[str, Any]) -> dict[str, Any]:
    """Rotary settings: transformers 5 keeps them in `rope_parameters`, before it they were two keys."""
    settings = config.get("rope_parameters") or config.get("rope_scaling") or {}
    theta = settings.get("rope_theta") or config.get("rope_theta") or 10000.0
    kind = settings.get("rope_type", settings.get("type", "default"))
    if kind == "default":
        return {"rope_theta": theta}
    if kind != "llama3":
        raise ValueError(f"rope_type {kind!r} is not supported, only 'default' or 'llama3'")
    missing = [key for key in _LLAMA3 if key not in settings]
    if missing:
        raise ValueError(f"rope_type 'llama3' without {', '.join(missing)}")
    return {"rope_theta": theta, "rope_scaling": RopeScaling(*(settings[key] for key in _LLAMA3))}


def spell(config: TransformerConfig) -> tuple[Family, dict[str, Any]]:
    """The first family that can say all of `config`, and the keys with which it does.

    Raises:
      CheckpointError: none can.
    """
    for model_type, family in FAMILIES.items():
        keys = {"model_type": model_type} | {key: getattr(config, field) for key, field in family.keys.items()}
        keys |= {key: values[0] for key, values in family.only.items() if values[0] is not None}
        if config.rope_theta is not None:
            scaling = config.rope_scaling and {"rope_type": "llama3"} | dict(
                zip(_LLAMA3, config.rope_scaling, strict=True)
            )
            keys |= {"rope_theta": config.rope_theta, "rope_scaling": scaling}
        if config.attributes:
            labels = {str(i): name for i, name in enumerate(config.attributes)}
            keys |= {"id2label": labels, "label2id": {name: int(i) for i, name in labels.items()}}
            keys |= {"architectures": [family.classes[1]], "problem_type": "regression"}
        if parse(family, keys) == config:
            return family, keys
    raise CheckpointError(f"Hugging Face ({', '.join(FAMILIES)}) has no name for {config}")


class Row(NamedTuple):
    names: list[str]  # tensors in the file, one for each layer where stacked
    paths: list[str]  # leaves of the tree that each holds, joined on the last axis
    stacked: bool
    transposed: bool


def rows(family: Family, config: TransformerConfig, leaves: Collection[str]) -> Iterator[Row]:
    """How the `leaves` of a tree lie in a file."""
    for module, homes in family.modules.items():
        stacked = "{}" in module
        for leaf in ("embedding", "scale", "kernel", "bias"):
            paths = [f"{home}/{leaf}" for home in homes.split()]
            if paths[0] in leaves:
                name = f"{module}.{'bias' if leaf == 'bias' else 'weight'}"
                names = [name.format(layer) for layer in range(config.layers)] if stacked else [name]
                yield Row(names, paths, stacked, leaf == "kernel" and (family.transposed or module == "score"))
