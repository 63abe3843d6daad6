"""Reward-model losses on the steps of a response, each good or bad by itself."""

import jax
import jax.numpy as jnp

from prefjax.losses.rows import masked
from prefjax.metrics import Mean


def process_reward_loss(
    rewards: jax.Array,
    mask: jax.Array,
    *,
    target: jax.Array | None = None,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """Negative log-likelihood of the labels of steps: a score a step, read after its last token.

        L = mean over steps of -q log sigmoid(r) - (1 - q) log sigmoid(-r)

    Lightman et al. 2023, section 2.4 (https://arxiv.org/abs/2305.20050), with good and bad alone; before them Uesato et
    al. 2022, section 3.2 (https://arxiv.org/abs/2211.14275). Every step weighs alike.

    Args:
      rewards: `[B, T]`, entry t after the token at t has been read.
      mask: `[B, T]` bool: the last token of each step.
      target: `[B, T]` in [0, 1], q: 1 a good step, 0 a bad one; by default all are good.
      where: `[B]` bool, the rows that count.

    Returns:
      The loss in nats a step (log 2 at rewards of 0), `rewards/chosen` and `rewards/rejected` of good and bad steps,
      and `rewards/accuracy`, the share of steps whose reward has the sign of their label (0 half).

    Raises:
      ValueError: a shape other than those above.

    >>> import jax.numpy as jnp
    >>> rewards, ends = jnp.array([[9.0, 1.0]]), jnp.array([[False, True]])
    >>> loss, _ = process_reward_loss(rewards, ends, target=jnp.zeros((1, 2)))
    >>> print(f"{loss.value:.6f}")  # log(1 + e)
    1.313262
    """
    target = jnp.ones(rewards.shape, jnp.float32) if target is None else target
    mask, rewards, q = masked(mask, where, rewards=rewards, target=target)
    losses = -q * jax.nn.log_sigmoid(rewards) - (1 - q) * jax.nn.log_sigmoid(-rewards)
    side = jnp.sign(q - 0.5)
    metrics = {
        "rewards/chosen": Mean.of(rewards, mask & (side > 0)),
        "rewards/rejected": Mean.of(rewards, mask & (side < 0)),
        "rewards/accuracy": Mean.of((jnp.sign(rewards) * side + 1) / 2, mask & (side != 0)),
    }
    return Mean.of(losses, mask), jax.lax.stop_gradient(metrics)
