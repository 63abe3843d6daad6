"""Models: the transformer, its families, and Hugging Face folders.

A model is a flax module without state, parameters are a tree: `model.apply(params, tokens)`. flax is imported when a
model is first made.
"""

import dataclasses
import functools
from os import PathLike
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from prefjax import ops
from prefjax.errors import ConfigError
from prefjax.types import Params, Sequences

Transformer = Any  # prefjax.models.transformer.Transformer, not imported here
Models = dict[str, Transformer]  # name -> model: {"policy": ..., "reference": ...}


def load(folder: str | PathLike) -> tuple[Transformer, Params]:
    """The model and float32 parameters of a Hugging Face folder: see `prefjax.models.huggingface`."""
    from prefjax.models import huggingface

    return huggingface.load(folder)


def read_config(folder: str | PathLike) -> Transformer:
    """The model of a Hugging Face folder, from its config.json alone."""
    from prefjax.models import huggingface

    return huggingface.read_config(folder)


def save(folder: str | PathLike, model: Transformer, params: Params, extra: dict[str, Any] | None = None) -> None:
    """Writes a Hugging Face folder; `extra` goes into its config, such as `{"eos_token_id": 2}`."""
    from prefjax.models import huggingface

    huggingface.save(folder, model, params, extra)


def save_config(folder: str | PathLike, model: Transformer, extra: dict[str, Any] | None = None) -> None:
    """Writes config.json and generation_config.json, what `read_config` reads."""
    from prefjax.models import huggingface

    huggingface.save_config(folder, model, extra)


def computing(model: Transformer, dtype: str = "float32", remat: bool = False, shards: int = 1) -> Transformer:
    """`model` with another way to compute.

    Args:
      model: any.
      dtype: of the computation, "float32" or "bfloat16".
      remat: whether the backward pass computes all activations again, rather than only those that cost little.
      shards: blocks in which the rows of a batch are dealt to devices.
    """
    return model.clone(dtype=dtype, remat=remat, shards=shards)


def judging(model: Transformer, attributes: tuple[str, ...]) -> Transformer:
    """`model` with a score head for each of the `attributes`; for one number if there are none.

    Raises:
      ConfigError: it judges others, or these in another order.
    """
    found = model.config.attributes
    if found and attributes and found != attributes:
        raise ConfigError(
            f"config.model judges {', '.join(found)}, and config.data.rows names {', '.join(attributes)}: it should be "
            f"'attributes(names={found})'"
        )
    return model.clone(config=dataclasses.replace(model.config, attributes=attributes))


def logps(model: Transformer, params: Params, sequences: Sequences, temperature: float | jax.Array = 1.0) -> jax.Array:
    """Log-probability, in nats, of every response token given all before it: `[..., T]`, 0 outside the response.

    `temperature` divides the logits: that of the sampler, where its samples are scored.
    """
    hidden = model.apply(params, sequences.tokens, packing=sequences.packing, method="hidden")
    tokens, mask, groups = sequences.tokens, sequences.response, _groups(model, sequences.tokens)
    return ops.chunked_token_logps(hidden, model.head(params), tokens, mask, temperature=temperature, groups=groups)


class Divergence(NamedTuple):
    """A policy beside its reference, at each response token: `[..., T]`, nats, 0 outside the response."""

    logps: jax.Array
    ref_logps: jax.Array
    kl: jax.Array  # KL(policy || reference) of the token's whole distribution, not an estimate
    entropy: jax.Array  # of the policy


def divergence(
    model: Transformer,
    params: Params,
    ref_model: Transformer,
    ref_params: Params,
    sequences: Sequences,
    temperature: float | jax.Array = 1.0,
) -> Divergence:
    """Both models' log-probabilities, the exact KL and the entropy, from one pass of each; arguments as in `logps`."""
    hidden = tuple(
        m.apply(p, sequences.tokens, packing=sequences.packing, method="hidden")
        for m, p in ((model, params), (ref_model, ref_params))
    )
    heads = model.head(params), ref_model.head(ref_params)

    def score(states, tokens):
        logits = [ops.project(x, head) / temperature for x, head in zip(states, heads, strict=True)]
        policy, reference = (jax.nn.log_softmax(x) for x in logits)
        probs = jnp.exp(policy)
        pick = lambda x: jnp.take_along_axis(x, tokens[..., None], axis=-1)[..., 0]
        kl, entropy = jnp.sum(probs * (policy - reference), axis=-1), -jnp.sum(probs * policy, axis=-1)
        return Divergence(pick(policy), pick(reference), kl, entropy)

    return _of_response(score, hidden, model, sequences)


def logps_and_entropy(
    model: Transformer, params: Params, hidden: jax.Array, sequences: Sequences, temperature: float | jax.Array = 1.0
) -> tuple[jax.Array, jax.Array]:
    """`logps`, and the entropy of each response token's distribution, from hidden states `[..., T, D]`."""

    def score(states, tokens):
        policy = jax.nn.log_softmax(ops.project(states, model.head(params)) / temperature)
        chosen = jnp.take_along_axis(policy, tokens[..., None], axis=-1)[..., 0]
        return chosen, -jnp.sum(jnp.exp(policy) * policy, axis=-1)

    return _of_response(score, hidden, model, sequences)


def _of_response(score, hidden, model, sequences):
    tokens, mask = sequences.tokens, sequences.response
    return ops.chunked(score, hidden, tokens, mask, model.config.vocab, groups=_groups(model, tokens))


def _groups(model: Transformer, tokens: jax.Array) -> int:
    """Blocks of rows that keep to themselves: those that are dealt to devices, if the rows are."""
    return 1 if len(tokens) % model.shards else model.shards


@functools.partial(jax.jit, static_argnames=("model", "heads"))
def init(model: Transformer, key: jax.Array, heads: tuple[str, ...] = ("lm",)) -> Params:
    """Random parameters with an output embedding ("lm"), a scalar head for rewards or values ("score"), or both."""
    if not heads or not set(heads) <= {"lm", "score"}:
        raise ValueError(f"heads: expected 'lm', 'score' or both, got {heads}")
    lm_key, score_key = jax.random.split(key)
    trees = _init(model, lm_key, "__call__" if "lm" in heads else "hidden")
    return {"params": trees | (_init(model, score_key, "score", "score_head") if "score" in heads else {})}


def add_score_head(params: Params, model: Transformer, key: jax.Array) -> Params:
    """Parameters of a reward model or critic from those of a language model, without its own output embedding.

    A score head that they hold already is kept.

    Raises:
      ConfigError: it judges another number of attributes than `model`.
    """
    trees = {name: tree for name, tree in params["params"].items() if name != "lm_head"}
    if "score_head" not in trees:
        trees |= _init(model, key, "score", "score_head")
    found, wanted = trees["score_head"]["kernel"].shape[-1], len(model.config.attributes) or 1
    if found != wanted:
        raise ConfigError(
            f"config.model has a score head of {found} and config.data.rows asks for {wanted}: start from a model "
            "without one, or name the attributes that it judges"
        )
    return {"params": trees}


@functools.partial(jax.jit, static_argnums=(0, 2, 3))
def _init(model, key, method, only=""):
    """Random parameters of a method by module, or of one module alone: every one that is drawn has to be compiled."""
    token = jnp.zeros((1, 1), jnp.int32)
    trees = model.init(key, token, token == 0, method=method)["params"]
    return {only: trees[only]} if only else trees


def llama(
    *,
    vocab: int,
    width: int,
    layers: int,
    heads: int,
    kv_heads: int | None = None,
    mlp: int | None = None,
    positions: int = 256,
    tied: bool = True,
    qkv_bias: bool = False,
    rope_theta: float = 10000.0,
) -> Transformer:
    """A Llama, or a Qwen2 with `qkv_bias`.

    Args:
      vocab, width, layers, heads: sizes; a head is `width / heads` wide.
      kv_heads: key-value heads, each serving `heads / kv_heads` queries; by default as many as heads.
      mlp: width inside the MLP; by default 8/3 of the width, up to a multiple of 8.
      positions: the longest row.
      tied: whether the input embedding is the output embedding too.
      qkv_bias: whether queries, keys and values have biases.
      rope_theta: base of the rotary frequencies.

    Raises:
      ConfigError: sizes that make no model.
    """
    kinds = {"norm": "rms", "gated": True, "qkv_bias": qkv_bias, "out_bias": False, "mlp_bias": False}
    sizes = {"vocab": vocab, "width": width, "layers": layers, "heads": heads, "positions": positions, "tied": tied}
    return _model(**sizes, **kinds, kv_heads=kv_heads or heads, mlp=mlp or -(-width // 3) * 8, rope_theta=rope_theta)


def gpt2(
    *, vocab: int, width: int, layers: int, heads: int, mlp: int | None = None, positions: int = 256, tied: bool = True
) -> Transformer:
    """A GPT-2; arguments as in `llama`, but the MLP is 4 widths wide by default."""
    kinds = {"norm": "layer", "gated": False, "qkv_bias": True, "out_bias": True, "mlp_bias": True}
    sizes = {"vocab": vocab, "width": width, "layers": layers, "heads": heads, "positions": positions, "tied": tied}
    return _model(**sizes, **kinds, kv_heads=heads, mlp=mlp or 4 * width)


def _model(**settings):
    from prefjax.models.transformer import Transformer, TransformerConfig

    for name in ("vocab", "width", "layers", "heads", "kv_heads", "mlp", "positions"):
        if not isinstance(settings[name], int) or settings[name] < 1:
            raise ConfigError(f"{name} must be a whole number, 1 or more: got {settings[name]!r}")
    width, heads = settings["width"], settings["heads"]
    if width % heads:
        raise ConfigError(f"heads must divide width: got heads {heads} and width {width}")
    try:
        return Transformer(TransformerConfig(head_size=width // heads, eps=1e-5, **settings))
    except ValueError as error:
        raise ConfigError(str(error)) from None
