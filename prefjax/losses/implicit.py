"""What losses on implicit rewards share: log-ratios of responses, and the metrics of their pairs."""

from typing import Any

import jax
import jax.numpy as jnp

from prefjax import ops
from prefjax.losses.bradley_terry import bradley_terry_loss
from prefjax.metrics import Mean

Metrics = dict[str, Mean]


def log_ratios(
    logps: jax.Array, ref_logps: jax.Array, mask: jax.Array, where: jax.Array | None, *, mean: bool = False
) -> tuple[jax.Array, Metrics]:
    """log(policy / reference) of each response, 0 outside `where`, and both log-probabilities as metrics.

    Args:
      logps, ref_logps: `[B, 2, T]`, nats.
      mask: `[B, 2, T]` bool: the response tokens.
      where: `[B]` bool, the pairs that count.
      mean: over the tokens of a response, instead of their sum.

    Returns:
      `[B, 2]` float32, nats, and `logps/chosen`, `logps/rejected`: the policy's summed log-probabilities.

    Raises:
      ValueError: a shape other than those above.
    """
    ops.check_same_shape(logps=logps, ref_logps=ref_logps, mask=mask)
    logps, mask, metrics = responses(logps, mask, where)
    ref_logps = jnp.where(mask, ref_logps, 0).astype(jnp.float32)
    return (ops.mean_tokens if mean else ops.sum_tokens)(logps - ref_logps, mask), metrics


def rewards(
    logps: jax.Array, ref_logps: jax.Array, mask: jax.Array, beta: float | jax.Array, where: jax.Array | None
) -> tuple[jax.Array, Metrics]:
    """beta times `log_ratios`, with their metrics."""
    ratios, metrics = log_ratios(logps, ref_logps, mask, where)
    return beta * ratios, metrics


def is_mean(reduction: str) -> bool:
    """Whether a reduction over tokens is the mean; raises ValueError for one that is neither mean nor sum."""
    if reduction not in ("sum", "mean"):
        raise ValueError(f"reduction: expected 'sum' or 'mean', got {reduction!r}")
    return reduction == "mean"


def responses(logps: jax.Array, mask: jax.Array, where: jax.Array | None) -> tuple[jax.Array, jax.Array, Metrics]:
    """Log-probabilities `[B, 2, T]` in float32, 0 where they do not count; where they do; and the metrics of both."""
    ops.check_shape("logps", logps, (None, 2, None))
    ops.check_same_shape(logps=logps, mask=mask)
    if where is not None:
        ops.check_shape("where", where, logps.shape[:1])
        mask = mask & where[:, None, None]
    logps = jnp.where(mask, logps, 0).astype(jnp.float32)
    totals = jax.lax.stop_gradient(ops.sum_tokens(logps, mask))
    return logps, mask, {"logps/chosen": Mean.of(totals[:, 0], where), "logps/rejected": Mean.of(totals[:, 1], where)}


def logistic(rewards: jax.Array, where: jax.Array | None, metrics: Metrics, **label: Any) -> tuple[Mean, Metrics]:
    """`bradley_terry_loss` on rewards `[B, 2]`, with `metrics` beside its own."""
    loss, of_rewards = bradley_terry_loss(rewards, where=where, **label)
    return loss, of_rewards | metrics


def pairs(losses: jax.Array, rewards: jax.Array, where: jax.Array | None, metrics: Metrics) -> tuple[Mean, Metrics]:
    """The mean of losses `[B]`, with `metrics` and those of `bradley_terry_loss` on rewards `[B, 2]`."""
    _, of_rewards = bradley_terry_loss(jax.lax.stop_gradient(rewards), where=where)
    return Mean.of(losses, where), of_rewards | metrics
