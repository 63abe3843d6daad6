"""A mean that remembers its weight: sum now, divide last."""

import operator
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp

Tree = TypeVar("Tree")


class Mean(NamedTuple):
    """A weighted mean as its two sums.

    Adding the sums of parts and dividing once gives the mean of the whole, so one device, eight devices and eight
    microbatches agree. `Mean.of` masks before it sums: NaN under the mask is ignored, NaN outside it is loud.
    """

    total: jax.Array
    weight: jax.Array

    @classmethod
    def of(cls, x: jax.Array, where: jax.Array | None = None) -> "Mean":
        """Mean of `x` over the entries where `where` (same shape, bool) is True; over all of them without it."""
        if where is None:
            return cls(jnp.sum(x, dtype=jnp.float32), jnp.float32(x.size))
        if where.shape != x.shape:
            raise ValueError(f"where: expected shape {list(x.shape)}, got {list(where.shape)}")
        where = where.astype(bool)
        return cls(jnp.sum(jnp.where(where, x, 0), dtype=jnp.float32), jnp.sum(where, dtype=jnp.float32))

    @property
    def value(self) -> jax.Array:
        """The mean; 0 where nothing was weighed."""
        empty = self.weight == 0
        return jnp.where(empty, 0.0, self.total / jnp.where(empty, 1.0, self.weight))


def merge(a: Tree, b: Tree) -> Tree:
    """Sums of two parts as sums of the whole: any tree of `Mean`s."""
    return jax.tree.map(operator.add, a, b)
