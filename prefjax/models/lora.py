"""Low-rank adapters: a linear layer `x W` becomes `x W + alpha / r (x A) B`, and A and B alone are trained.

Hu et al. 2021, equation 3 (https://arxiv.org/abs/2106.09685), with inputs on the left: A is `[in, r]`, B `[r, out]`,
and B is 0 at the start. They lie beside the kernel that they adapt, as `lora_a` and `lora_b`, with `lora_scale` =
alpha / r; layers are stacked, so all have a leading axis `L`. A tree says by its leaves what is trained: see `split`.
"""

import math
import re
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from prefjax.errors import ConfigError
from prefjax.types import Params

Path = tuple[str, ...]  # of a leaf, or of the layer that holds it

_LINEAR = r"/layers/(query|key|value|out|gate|up|down)/kernel$"


def targets(params: Params, pattern: str, rank: int) -> list[Path]:
    """The paths of the linear layers that a regex finds.

    Args:
      params: trees by name, `{"params": ...}`; a model trained beside the policy is another tree.
      pattern: searched for in paths such as `params/layers/query/kernel`.
      rank: r.

    Raises:
      ConfigError: it is no regex, it finds nothing, or a layer is narrower than the rank.
    """
    shapes = {path: leaf.shape for path, leaf in flatten_dict(params, sep="/").items()}
    linear = {path: shape for path, shape in shapes.items() if re.search(_LINEAR, path)}
    try:
        found = [path for path in linear if re.search(pattern, path)]
    except re.error as error:
        raise ConfigError(f"config.lora.targets is {pattern!r}, which is no regex: {error}") from None
    if not found:
        raise ConfigError(
            f"config.lora.targets is {pattern!r}, which finds no linear layer; there are {', '.join(linear)}"
        )
    narrow = min(found, key=lambda path: min(linear[path][1:]))
    if rank > min(linear[narrow][1:]):
        raise ConfigError(
            f"config.lora.rank is {rank}; it should be at most {min(linear[narrow][1:])}, the narrower side of {narrow}"
        )
    return [tuple(path.split("/")[:-1]) for path in found]


def add(params: Params, key: jax.Array, pattern: str, rank: int) -> Params:
    """`params` with adapters that change nothing yet; arguments and errors as in `targets`.

    B is 0, and A uniform between -1 and 1 over the root of its inputs, as in the authors' code.
    """
    flat, paths = flatten_dict(params), targets(params, pattern, rank)
    for path, own in zip(paths, jax.random.split(key, len(paths)), strict=True):
        layers, wide, out = flat[*path, "kernel"].shape
        bound = 1 / math.sqrt(wide)
        flat[*path, "lora_a"] = jax.random.uniform(own, (layers, wide, rank), minval=-bound, maxval=bound)
        flat[*path, "lora_b"] = jnp.zeros((layers, rank, out))
    return unflatten_dict(flat)


def scaled(params: Params, scale: float | jax.Array) -> Params:
    """`params` with `scale`, alpha / r, beside every adapter."""
    flat = flatten_dict(params)
    scales = {(*path, "lora_scale"): jnp.full(len(flat[*path, "lora_a"]), scale, jnp.float32) for path in _layers(flat)}
    return unflatten_dict(flat | scales)


def split(params: Params) -> tuple[Params, Params]:
    """What is trained of parameters, and what is fixed: `join` puts them together again.

    Of a tree with adapters these are trained, and a scalar head; of one without all is.
    """
    names = adapted(params)
    if not names:
        return params, {}
    trained = lambda path: path[0] not in names or path[-1] in ("lora_a", "lora_b") or "score_head" in path
    flat = flatten_dict(params)
    return tuple(unflatten_dict({p: x for p, x in flat.items() if trained(p) is side}) for side in (True, False))


def join(params: Params, other: Params) -> Params:
    """A tree with the leaves of both; `other` has the last word."""
    return unflatten_dict(flatten_dict(params) | flatten_dict(other)) if other else params


def merge(params: Params) -> Params:
    """Parameters without adapters that compute the same: W + scale A B."""
    flat = flatten_dict(params)
    for path in _layers(flat):
        a, b, scale = (flat.pop((*path, f"lora_{name}")) for name in ("a", "b", "scale"))
        added = jnp.einsum("l,ldr,lrf->ldf", scale, a, b, precision="highest")
        flat[*path, "kernel"] += added
    return unflatten_dict(flat)


def adapted(params: Params) -> set[str]:
    """The names of the trees that have adapters."""
    return {path[0] for path in _layers(flatten_dict(params))}


def _layers(flat: dict[Path, Any]) -> list[Path]:
    return [path[:-1] for path in flat if path[-1] == "lora_a"]
