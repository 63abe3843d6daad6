"""One decoder-only transformer: Llama, Qwen2 and GPT-2 are settings of it.

Parameters are float32, whatever the `dtype` of the computation; norms, softmax and logits are float32 too. The layers
are scanned, so their parameters have a leading axis `L`. Letters: `K` key-value heads, `S` slots of the cache.
"""

import dataclasses
import math
from operator import itemgetter
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name

from prefjax.models.gradients import collect, dot, spread
from prefjax.types import Packing, Params


class RopeScaling(NamedTuple):
    """The "llama3" stretch of rotary positions: slow waves by `factor`, fast ones not, a ramp between."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_positions: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """The shape of a transformer, all that its parameters depend on."""

    vocab: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    mlp: int  # width of the hidden layer of the MLP
    positions: int  # the longest row
    norm: str  # "rms" or "layer"
    gated: bool  # SwiGLU; otherwise GELU, tanh form
    qkv_bias: bool
    out_bias: bool  # of the output projection of attention
    mlp_bias: bool
    tied: bool  # the output embedding is the input embedding
    eps: float  # of the norms
    rope_theta: float | None = None  # None: learned positions
    rope_scaling: RopeScaling | None = None
    attributes: tuple[str, ...] = ()  # what the score head judges, a number each; by default one number

    def __post_init__(self):
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads must divide heads: got {self.kv_heads} and {self.heads}")
        if self.rope_theta is not None and self.head_size % 2:
            raise ValueError(f"rotary positions need an even head_size, got {self.head_size}")


class Cache(NamedTuple):
    """Keys and values of the tokens seen so far.

    Arrays of their own for each layer, so that a step updates them in place and reads them as they lie: a slice of a
    larger one is copied. For the same reason heads come before slots.
    """

    layers: tuple[tuple[jax.Array, jax.Array], ...]  # L times (keys, values), [B, K, S, head_size] each
    valid: jax.Array  # [B, S] bool
    length: jax.Array  # int32 scalar: slots written, the same in every row


class Block(nn.Module):
    """Attention and MLP, each behind a norm and beside a residual."""

    config: TransformerConfig
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, cache, turns, valid, start, packing):
        """`x` is `[B, T, D]`, `cache` the layer's (keys, values) or None; both are returned, the cache with x added.

        With `packing` x is the stream `[G, S, D]`, and attention alone sees rows.
        """
        c = self.config
        y = _norm(c, name="attention_norm")(x.astype(jnp.float32)).astype(self.dtype)
        q, k, v = (
            self._linear(n * c.head_size, name, bias=c.qkv_bias)(y).reshape(*x.shape[:2], n, c.head_size)
            for name, n in (("query", c.heads), ("key", c.kv_heads), ("value", c.kv_heads))
        )
        if turns is not None:
            q, k = _rotate(q, *turns), _rotate(k, *turns)
        if packing is not None:
            q, k, v = (spread(z, packing) for z in (q, k, v))
        if cache is not None:
            cache = tuple(
                jax.lax.dynamic_update_slice(old, jnp.swapaxes(new, 1, 2), (0, 0, start, 0))
                for old, new in zip(cache, (k, v), strict=True)
            )
        if cache is not None and x.shape[1] == 1:
            y = _attend_one(q, *cache, valid)
        else:
            mask = None if valid is None else valid[:, None, None, : x.shape[1]]
            with jax.numpy_dtype_promotion("standard"):  # inside, jax promotes bfloat16 scores to float32
                y = jax.nn.dot_product_attention(q, k, v, mask=mask, is_causal=True, implementation="xla")
        if packing is not None:
            y = collect(y, packing)
        x += self._linear(c.width, "out", bias=c.out_bias, residual=True)(y.reshape(*x.shape[:2], -1))

        y = _norm(c, name="mlp_norm")(x.astype(jnp.float32)).astype(self.dtype)
        up = self._linear(c.mlp, "up", bias=c.mlp_bias)(y)
        if c.gated:
            y = jax.nn.silu(self._linear(c.mlp, "gate", bias=c.mlp_bias)(y)) * up
        else:
            y = jax.nn.gelu(up, approximate=True)
        x += self._linear(c.width, "down", bias=c.mlp_bias, residual=True)(y)
        return x, cache

    def _linear(self, features, name, *, bias, residual=False):
        # 2 L branches are added to the residual stream; the scale keeps its variance at initialisation.
        init = nn.initializers.normal(0.02 / math.sqrt(2 * self.config.layers) if residual else 0.02)
        product = lambda x, kernel, *_, **__: dot(x, kernel)
        return Linear(features, bias, self.dtype, kernel_init=init, dot_general=product, name=name)


class Linear(nn.Dense):
    """`x W + bias`, and where adapters lie beside the kernel, `+ scale (x A) B`: see `prefjax.models.lora`.

    The product `A B` is never made: of several adapters under `vmap` each would be as large as the kernel they share.
    """

    @nn.compact
    def __call__(self, inputs):
        y = super().__call__(inputs)
        if self.has_variable("params", "lora_a"):
            leaves = (
                self.get_variable("params", name).astype(self.dtype) for name in ("lora_a", "lora_b", "lora_scale")
            )
            a, b, scale = leaves
            y += dot(scale * dot(inputs, a), b)
        return checkpoint_name(y, "projection")


class Transformer(nn.Module):
    """The model. `apply(params, tokens)` gives logits; other methods by name, `apply(params, ..., method="score")`.

    Token arrays are `[..., T]`, with any leading axes. With `valid=None` rows are right-padded and attention is purely
    causal: what follows a token never reaches it. With `valid` (bool, the shape of the tokens) tokens that are not
    valid are not attended to and do not count as positions, so padding may stand on either side. With `packing` rows
    are right-padded, and all but attention runs on the tokens alone; results are the same but under padding, where they
    have no meaning and no gradient.
    """

    config: TransformerConfig
    dtype: str = "float32"  # of the computation
    remat: bool = False  # keep nothing of a layer for the backward pass; else the products of its projections are kept
    shards: int = 1  # blocks in which the rows of a batch are dealt to devices

    def setup(self):
        c = self.config
        normal = nn.initializers.normal
        # What is not kept is computed again: attention, norms and nonlinearities, which cost little.
        keep = None if self.remat else jax.checkpoint_policies.save_only_these_names("projection")
        block = nn.remat(Block, prevent_cse=False, policy=keep)
        in_axes = (0, *4 * [nn.broadcast])  # of cache, angles, valid, start, packing
        scan = nn.scan(block, {"params": 0}, split_rngs={"params": True}, in_axes=in_axes, length=c.layers)
        self.embed = nn.Embed(c.vocab, c.width, embedding_init=normal(0.02))
        if c.rope_theta is None:
            self.positions = nn.Embed(c.positions, c.width, embedding_init=normal(0.02))
        self.layers = scan(c, jnp.dtype(self.dtype))
        self.norm = _norm(c)
        self.lm_head = nn.Embed(c.vocab, c.width, embedding_init=normal(0.02))
        normal_score = normal(1 / math.sqrt(c.width + 1))
        self.score_head = nn.Dense(len(c.attributes) or 1, use_bias=False, kernel_init=normal_score)

    def __call__(self, tokens: jax.Array, valid: jax.Array | None = None) -> jax.Array:
        """Logits `[..., T, V]`, float32; those at t predict the token at t + 1."""
        return self._logits(self.hidden(tokens, valid))

    def hidden(self, tokens: jax.Array, valid: jax.Array | None = None, packing: Packing | None = None) -> jax.Array:
        """Final hidden states `[..., T, D]`, after the last norm, in the dtype of the computation."""
        shape = tokens.shape
        self._check_length(shape[-1])
        tokens = tokens.reshape(-1, shape[-1])
        if packing is not None:
            tokens = collect(tokens, packing)
            x, _ = self._run(tokens, packing.stream % shape[-1], packing=packing)
            x = spread(x, packing)
        else:
            valid = None if valid is None else valid.reshape(tokens.shape)
            positions = jnp.arange(shape[-1])[None] if valid is None else _positions(valid)
            x, _ = self._run(tokens, positions, valid)
        return x.reshape(*shape, -1)

    def score(self, tokens: jax.Array, valid: jax.Array, packing: Packing | None = None) -> jax.Array:
        """Reward `[...]` of each row, float32, read at its last valid token; `[..., H]` of a model of H attributes.

        Parameters with a collection "moments" {mean, std}, of rewards on reference samples, give normalised rewards.
        """
        last = jnp.argmax(jnp.cumsum(valid, axis=-1), axis=-1)  # the first to reach the full count
        states = jnp.take_along_axis(self.hidden(tokens, valid, packing), last[..., None, None], axis=-2)
        scores = self.read_score(states[..., 0, :])
        if self.has_variable("moments", "mean"):
            scores = (scores - self.get_variable("moments", "mean")) / self.get_variable("moments", "std")
        return scores

    def values(self, tokens: jax.Array, valid: jax.Array | None = None, packing: Packing | None = None) -> jax.Array:
        """Value before each token `[..., T]`, float32: entry t is read from the state at t - 1, entry 0 is 0."""
        after = self.read_score(self.hidden(tokens, valid, packing))[..., :-1]
        return jnp.pad(after, [(0, 0)] * (after.ndim - 1) + [(1, 0)])

    def read_score(self, hidden: jax.Array) -> jax.Array:
        """The score head on hidden states `[..., D]`: float32 `[...]`, or `[..., H]` of H attributes."""
        scores = self.score_head(hidden.astype(jnp.float32))
        return scores if self.config.attributes else scores[..., 0]

    def extend(self, tokens: jax.Array, valid: jax.Array, cache: Cache) -> tuple[jax.Array, Cache]:
        """Logits after the last token `[B, V]`, and the cache with the tokens `[B, T]` added.

        Several tokens start an empty cache; after that, one at a time. Takes parameters that are `apart`.
        """
        self._check_length(cache.valid.shape[1])
        slots = jax.lax.dynamic_update_slice(cache.valid, valid, (0, cache.length))
        before = jnp.sum(cache.valid, axis=-1, keepdims=True)
        x, layers = self._run(tokens, before + _positions(valid), slots, cache.layers, cache.length)
        return self._logits(x[:, -1]), Cache(layers, slots, cache.length + tokens.shape[1])

    def _check_length(self, longest):
        if longest > self.config.positions:
            raise ValueError(f"rows of {longest} tokens: the model has {self.config.positions} positions")

    def _run(self, tokens, positions, valid=None, cache=None, start=0, packing=None):
        c = self.config
        x = self.embed(tokens).astype(self.dtype)
        if c.rope_theta is None:
            x += self.positions(positions).astype(self.dtype)
        turns = None if c.rope_theta is None else _turns(c, c.rope_theta, positions)
        if cache is None:
            x, _ = self.layers(x, None, turns, valid, start, packing)
        else:
            x, cache = self._each_layer(x, cache, turns, valid, start, packing)
        return self.norm(x.astype(jnp.float32)).astype(self.dtype), cache

    def _each_layer(self, x, cache, *rest):
        """The layers one by one: a scan copies the weights and the cache of each from where they are stacked."""
        block, grown = Block(self.config, jnp.dtype(self.dtype), parent=None), []
        for params, seen in zip(self.variables["params"]["layers"], cache, strict=True):
            x, seen = block.apply({"params": params}, x, seen, *rest)
            grown.append(seen)
        return x, tuple(grown)

    def _logits(self, x):
        table = self.embed if self.config.tied else self.lm_head
        return jnp.einsum("...d,vd->...v", x, table.embedding.astype(self.dtype), preferred_element_type=jnp.float32)

    # What follows is plain Python on the tree of parameters: no `apply`.

    def head(self, params: Params) -> jax.Array:
        """The output embedding `[V, D]`, float32."""
        return params["params"]["embed" if self.config.tied else "lm_head"]["embedding"]

    def cast(self, params: Params) -> Params:
        """`params` as the computation reads them: what each use would cast is cast once, the rest stays float32."""
        exact = ("norm", "attention_norm", "mlp_norm", "score_head")
        return jax.tree_util.tree_map_with_path(
            lambda path, x: x if any(key.key in exact for key in path) else x.astype(self.dtype), params
        )

    def apart(self, params: Params) -> Params:
        """`params` as `extend` takes them, with a tree for each layer: a loop over tokens need not take them apart."""
        stacked = params["params"]["layers"]
        layers = tuple(jax.tree.map(itemgetter(layer), stacked) for layer in range(self.config.layers))
        return {"params": params["params"] | {"layers": layers}}

    def empty_cache(self, rows: int, slots: int) -> Cache:
        """A cache for `rows` rows of at most `slots` tokens."""
        c = self.config
        zeros = jnp.zeros((rows, c.kv_heads, slots, c.head_size), self.dtype)
        return Cache(c.layers * ((zeros, zeros),), jnp.zeros((rows, slots), bool), jnp.int32(0))


def _norm(c: TransformerConfig, name: str | None = None) -> nn.Module:
    if c.norm == "rms":
        return nn.RMSNorm(epsilon=c.eps, dtype=jnp.float32, name=name)
    return nn.LayerNorm(epsilon=c.eps, dtype=jnp.float32, use_fast_variance=False, name=name)


def _positions(valid: jax.Array) -> jax.Array:
    """How many valid tokens stand before each: `[B, T]`."""
    return jnp.maximum(jnp.cumsum(valid, axis=-1) - 1, 0)


def _turns(c: TransformerConfig, theta: float, positions: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cosine and sine of the rotary angles, `[B, T, 1, head_size / 2]`: Su et al. 2021, equation 34.

    https://arxiv.org/abs/2104.09864. They are computed once, outside the layers, which would else each do it again.
    """
    frequency = theta ** (-jnp.arange(0, c.head_size, 2, dtype=jnp.float32) / c.head_size)
    if c.rope_scaling is not None:
        factor, low, high, original = c.rope_scaling
        turns = original * frequency / (2 * jnp.pi)  # over the context of pre-training
        ramp = jnp.clip((turns - low) / (high - low), 0, 1)
        frequency *= ramp + (1 - ramp) / factor
    angles = positions[..., None].astype(jnp.float32) * frequency[None, None]
    return jnp.cos(angles)[:, :, None], jnp.sin(angles)[:, :, None]


def _rotate(x: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
    """Turns each (i, i + head_size / 2) plane of `x` `[B, T, H, head_size]` by its angle."""
    a, b = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1).astype(x.dtype)


def _attend_one(q: jax.Array, keys: jax.Array, values: jax.Array, valid: jax.Array) -> jax.Array:
    """Attention of one query a row `[B, 1, H, head_size]` over the slots `[B, K, S, head_size]` that are valid."""
    rows, _, heads, size = q.shape
    q = q.reshape(rows, keys.shape[1], -1, size)  # [B, K, H / K, head_size]
    scores = jnp.einsum("bkgd,bksd->bkgs", q, keys, preferred_element_type=jnp.float32) / math.sqrt(size)
    scores = jnp.where(valid[:, None, None], scores, jnp.finfo(jnp.float32).min)
    weights = jax.nn.softmax(scores).astype(values.dtype)
    return jnp.einsum("bkgs,bksd->bkgd", weights, values).reshape(rows, 1, heads, size)
