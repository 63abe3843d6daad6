"""What losses on rows of tokens `[B, T]` share: how arrays are masked, and the three ways to weigh them."""

import jax
import jax.numpy as jnp

from prefjax import ops
from prefjax.metrics import Mean


def masked(mask: jax.Array, where: jax.Array | None, **arrays: jax.Array) -> tuple[jax.Array, ...]:
    """The mask of the tokens that count, and each array in float32 with 0 under it.

    Raises:
      ValueError: the arrays are not `[B, T]` like `mask`, or `where` is not `[B]`.
    """
    ops.check_shape("mask", mask, (None, None))
    ops.check_same_shape(**arrays, mask=mask)
    if where is not None:
        ops.check_shape("where", where, mask.shape[:1])
        mask = mask & where[:, None]
    return mask, *(jnp.where(mask, x, 0).astype(jnp.float32) for x in arrays.values())


def average(losses: jax.Array, mask: jax.Array, per: str, where: jax.Array | None) -> Mean:
    """Mean of `losses` `[B, T]`: every token alike, or every response, by the mean or the sum over its tokens.

    Raises:
      ValueError: `per` is none of "token", "response" and "sequence".
    """
    if per not in ("token", "response", "sequence"):
        raise ValueError(f"per: expected 'token', 'response' or 'sequence', got {per!r}")
    if per == "token":
        return Mean.of(losses, mask)
    return Mean.of((ops.mean_tokens if per == "response" else ops.sum_tokens)(losses, mask), where)


def judged(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    target: jax.Array | None,
    beta: float | jax.Array,
    where: jax.Array | None,
) -> tuple[jax.Array, jax.Array, dict[str, Mean]]:
    """Log-ratios `[B]`, which responses are good, and the rewards of both kinds as metrics."""
    mask, logps, ref_logps = masked(mask, where, logps=logps, ref_logps=ref_logps)
    ratios = ops.sum_tokens(logps - ref_logps, mask)
    counted = jnp.ones(ratios.shape, bool) if where is None else where
    if target is not None:
        ops.check_shape("target", target, ratios.shape)
        ratios += jnp.where(counted & jnp.isnan(target), jnp.nan, 0)  # loud
    good = jnp.ones(ratios.shape, bool) if target is None else target > 0.5
    rewards = jax.lax.stop_gradient(beta * ratios)
    chosen, rejected = Mean.of(rewards, good & counted), Mean.of(rewards, ~good & counted)
    return ratios, good, {"rewards/chosen": chosen, "rewards/rejected": rejected}
