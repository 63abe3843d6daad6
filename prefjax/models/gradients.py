"""Linear maps with their gradients written out, where those that JAX derives are slow. The numbers are the same.

`spread` and `collect` go between the rows and the stream of a `Packing`. They are gathers, and so are their gradients:
derived, these would be scatters, which are serial on a CPU and slow on a GPU.
"""

import jax
import jax.numpy as jnp

from prefjax.types import Packing


@jax.custom_vjp
def spread(x: jax.Array, packing: Packing) -> jax.Array:
    """Rows `[B, T, ...]` of a stream `[G, S, ...]`. Padding holds the first of the stream, and passes no gradient."""
    rows = _take(x, packing.place.reshape(len(x), -1))
    return rows.reshape(-1, packing.place.shape[-1], *x.shape[2:])


def _spread_forward(x, packing):
    return spread(x, packing), packing


def _spread_backward(packing, d):
    d = d.reshape(len(packing.stream), -1, *d.shape[2:])
    return jnp.sum(_take(d, packing.copies), axis=2), None


spread.defvjp(_spread_forward, _spread_backward)


@jax.custom_vjp
def collect(rows: jax.Array, packing: Packing) -> jax.Array:
    """The stream `[G, S, ...]` of rows `[B, T, ...]`; of the copies of a token the first is read."""
    return _take(rows.reshape(len(packing.stream), -1, *rows.shape[2:]), packing.stream)


def _collect_forward(rows, packing):
    return collect(rows, packing), packing


def _collect_backward(packing, d):
    place = packing.place.reshape(len(d), -1)  # [G, R * T]
    read = _take(packing.stream, place) == jnp.arange(place.shape[1])[None]
    rows = _take(d, jnp.where(read, place, -1))
    return rows.reshape(-1, packing.place.shape[-1], *d.shape[2:]), None


collect.defvjp(_collect_forward, _collect_backward)


def _take(x: jax.Array, index: jax.Array) -> jax.Array:
    """`x[g, index[g]]` of every group g, 0 where the index is -1."""
    get = lambda x, index: x.at[index].get(mode="fill", fill_value=0, wrap_negative_indices=False)
    return jax.vmap(get)(x, index)


@jax.custom_vjp
def dot(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`x @ kernel`, for x `[B, T, D]`.

    The left side of a product that sums over tokens is copied, transposed, on a CPU. In the kernel's gradient that is
    here `x`, which several projections share; derived, it would be what comes down, with its nonlinearity recomputed.
    """
    return x @ kernel


def _dot_forward(x, kernel):
    return x @ kernel, (x, kernel)


def _dot_backward(saved, d):
    x, kernel = saved
    return d @ kernel.T, jnp.einsum("btd,btf->df", x, d)


dot.defvjp(_dot_forward, _dot_backward)
