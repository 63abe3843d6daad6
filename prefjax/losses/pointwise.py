"""Losses that hold each implicit reward of a pair by itself, and not only their difference.

r_0 and r_1 are the implicit rewards beta log(policy(y) / reference(y)) of the chosen and of the rejected response. Such
a loss says where both should be, so it can keep the chosen response from growing less likely, which DPO does not see.
"""

import jax

from prefjax.losses import implicit
from prefjax.metrics import Mean


def nca_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    beta: float | jax.Array = 0.1,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """Noise-contrastive alignment: L = -log sigmoid(r_0) - log sigmoid(-r_0) / 2 - log sigmoid(-r_1) / 2.

    Chen et al. 2024, equation 11 with two responses and rewards for the chosen one alone
    (https://arxiv.org/abs/2402.05369); TRL's "nca_pair".

    Args:
      logps, ref_logps, mask, beta, where: as in `dpo_loss`.

    Returns:
      The loss in nats a pair (2 log 2 where policy and reference agree), and the metrics of `dpo_loss`.

    >>> import jax.numpy as jnp
    >>> loss, _ = nca_loss(jnp.zeros((1, 2, 1)), jnp.zeros((1, 2, 1)), jnp.ones((1, 2, 1), bool))
    >>> print(f"{loss.value:.6f}")
    1.386294
    """
    rewards, metrics = implicit.rewards(logps, ref_logps, mask, beta, where)
    sure = jax.nn.log_sigmoid(rewards[:, 0])
    unsure = (jax.nn.log_sigmoid(-rewards[:, 0]) + jax.nn.log_sigmoid(-rewards[:, 1])) / 2
    return implicit.pairs(-sure - unsure, rewards, where, metrics)


def bco_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    beta: float | jax.Array = 0.1,
    shift: float | jax.Array = 0.0,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """Binary classifier optimisation: L = -log sigmoid(r_0 - shift) - log sigmoid(-(r_1 - shift)).

    Jung et al. 2024, equation 9 (https://arxiv.org/abs/2404.04656), where the shift is a running mean of rewards; TRL's
    "bco_pair" has none.

    Args:
      logps, ref_logps, mask, beta, where: as in `dpo_loss`.
      shift: what a response has to exceed to be a good one, in units of reward.

    Returns:
      The loss in nats a pair (2 log 2 where policy and reference agree), and the metrics of `dpo_loss`.

    >>> import jax.numpy as jnp
    >>> loss, _ = bco_loss(jnp.zeros((1, 2, 1)), jnp.zeros((1, 2, 1)), jnp.ones((1, 2, 1), bool))
    >>> print(f"{loss.value:.6f}")
    1.386294
    """
    rewards, metrics = implicit.rewards(logps, ref_logps, mask, beta, where)
    losses = -jax.nn.log_sigmoid(rewards[:, 0] - shift) - jax.nn.log_sigmoid(shift - rewards[:, 1])
    return implicit.pairs(losses, rewards, where, metrics)


def sppo_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    beta: float | jax.Array = 0.1,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """Self-play preference optimisation with hard labels: L = (r_0 - 1/2)^2 / beta^2 + (r_1 + 1/2)^2 / beta^2.

    Wu et al. 2024, equation 4.7 with a preference of 1 (https://arxiv.org/abs/2405.00675); its eta is 1 / beta.

    Args:
      logps, ref_logps, mask, beta, where: as in `dpo_loss`.

    Returns:
      The loss in nats squared a pair (1 / (2 beta^2) where policy and reference agree), and the metrics of `dpo_loss`.

    >>> import jax.numpy as jnp
    >>> loss, _ = sppo_loss(jnp.zeros((1, 2, 1)), jnp.zeros((1, 2, 1)), jnp.ones((1, 2, 1), bool))
    >>> print(f"{loss.value:.1f}")
    50.0
    """
    log_ratios, metrics = implicit.log_ratios(logps, ref_logps, mask, where)
    losses = (log_ratios[:, 0] - 0.5 / beta) ** 2 + (log_ratios[:, 1] + 0.5 / beta) ** 2
    return implicit.pairs(losses, beta * log_ratios, where, metrics)


def apo_zero_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    beta: float | jax.Array = 0.1,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """Anchored preference optimisation, for chosen responses above the policy's: up with one, down with the other.

        L = sigmoid(-r_0) + sigmoid(r_1)

    D'Oosterlinck et al. 2024, equation 7 (https://arxiv.org/abs/2408.06266).

    Args:
      logps, ref_logps, mask, beta, where: as in `dpo_loss`.

    Returns:
      The loss a pair, in (0, 2), 1 where policy and reference agree, and the metrics of `dpo_loss`.

    >>> import jax.numpy as jnp
    >>> loss, _ = apo_zero_loss(jnp.zeros((1, 2, 1)), jnp.zeros((1, 2, 1)), jnp.ones((1, 2, 1), bool))
    >>> print(f"{loss.value:.1f}")
    1.0
    """
    rewards, metrics = implicit.rewards(logps, ref_logps, mask, beta, where)
    losses = jax.nn.sigmoid(-rewards[:, 0]) + jax.nn.sigmoid(rewards[:, 1])
    return implicit.pairs(losses, rewards, where, metrics)


def apo_down_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    beta: float | jax.Array = 0.1,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """Anchored preference optimisation, for chosen responses below the policy's: down with both, less with one.

        L = sigmoid(r_0) + sigmoid(-(r_0 - r_1))

    D'Oosterlinck et al. 2024, equation 8 (https://arxiv.org/abs/2408.06266).

    Args:
      logps, ref_logps, mask, beta, where: as in `dpo_loss`.

    Returns:
      The loss a pair, in (0, 2), 1 where policy and reference agree, and the metrics of `dpo_loss`.

    >>> import jax.numpy as jnp
    >>> loss, _ = apo_down_loss(jnp.zeros((1, 2, 1)), jnp.zeros((1, 2, 1)), jnp.ones((1, 2, 1), bool))
    >>> print(f"{loss.value:.1f}")
    1.0
    """
    rewards, metrics = implicit.rewards(logps, ref_logps, mask, beta, where)
    losses = jax.nn.sigmoid(rewards[:, 0]) + jax.nn.sigmoid(rewards[:, 1] - rewards[:, 0])
    return implicit.pairs(losses, rewards, where, metrics)
