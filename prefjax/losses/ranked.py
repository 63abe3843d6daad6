"""What losses on rankings share: which candidates there are, which stands above which, and their metrics."""

import jax
import jax.numpy as jnp

from prefjax import ops
from prefjax.metrics import Mean


def masked(rewards: jax.Array, ranks: jax.Array | None, where: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """Rewards in float32, 0 where they do not count, and ranks `[B, N]`, -1 there."""
    ops.check_shape("rewards", rewards, (None, None))
    if ranks is None:
        ranks = jnp.broadcast_to(jnp.arange(rewards.shape[1]), rewards.shape)
    ops.check_shape("ranks", ranks, rewards.shape)
    if where is not None:
        ops.check_shape("where", where, rewards.shape[:1])
        ranks = jnp.where(where[:, None], ranks, -1)
    return jnp.where(ranks >= 0, rewards, 0).astype(jnp.float32), ranks


def implicit(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    beta: float | jax.Array,
    ranks: jax.Array | None,
    where: jax.Array | None,
) -> tuple[jax.Array, jax.Array, dict[str, Mean]]:
    """Implicit rewards and ranks `[B, N]` as `masked` has them, and their metrics beside those of log-probabilities."""
    ops.check_shape("logps", logps, (None, None, None))
    ops.check_same_shape(logps=logps, ref_logps=ref_logps, mask=mask)
    policy, reference = (ops.sum_tokens(x.astype(jnp.float32), mask) for x in (logps, ref_logps))
    rewards, ranks = masked(beta * (policy - reference), ranks, where)
    policy, _ = masked(jax.lax.stop_gradient(policy), ranks, where)
    of_logps = {"logps/chosen": Mean.of(policy, best(ranks)), "logps/rejected": Mean.of(policy, rest(ranks))}
    return rewards, ranks, metrics(rewards, ranks) | of_logps


def mean_of_pairs(losses: jax.Array, ranks: jax.Array, where: jax.Array | None) -> Mean:
    """Mean over rows of the mean of losses `[B, N, N]` over pairs of different rank."""
    pairs = above(ranks)
    counts = jnp.sum(pairs, axis=(1, 2), dtype=jnp.float32)
    return Mean.of(jnp.sum(jnp.where(pairs, losses, 0), axis=(1, 2)) / jnp.maximum(counts, 1.0), where)


def above(ranks: jax.Array) -> jax.Array:
    """`[B, N, N]` bool: candidate i of a row stands above its candidate j."""
    return (ranks[:, :, None] >= 0) & (ranks[:, :, None] < ranks[:, None, :])


def best(ranks: jax.Array) -> jax.Array:
    """`[B, N]` bool: the candidates of the first rank."""
    return (ranks >= 0) & ~jnp.any(above(ranks), axis=1)


def rest(ranks: jax.Array) -> jax.Array:
    """`[B, N]` bool: the candidates of all other ranks."""
    return (ranks >= 0) & ~best(ranks)


def metrics(rewards: jax.Array, ranks: jax.Array) -> dict[str, Mean]:
    """Over the ordered pairs of candidates margin and accuracy, and the rewards of the best and of the others."""
    rewards = jax.lax.stop_gradient(rewards)
    gaps, pairs = rewards[:, :, None] - rewards[:, None, :], above(ranks)
    return {
        "rewards/chosen": Mean.of(rewards, best(ranks)),
        "rewards/rejected": Mean.of(rewards, rest(ranks)),
        "rewards/margin": Mean.of(gaps, pairs),
        "rewards/accuracy": Mean.of((jnp.sign(gaps) + 1) / 2, pairs),
    }
