"""Losses on the margin h of implicit rewards, other than the logistic one of DPO.

h = beta (log(policy(y_0) / reference(y_0)) - log(policy(y_1) / reference(y_1)))
"""

import jax
import jax.numpy as jnp

from prefjax.losses import implicit
from prefjax.metrics import Mean


def slic_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    beta: float | jax.Array = 0.1,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """The hinge of SLiC on implicit rewards: L = max(0, 1 - h).

    Liu et al. 2023, equation 6, "hinge-norm" (https://arxiv.org/abs/2309.06657); TRL's "hinge".

    Args:
      logps, ref_logps, mask, beta, where: as in `dpo_loss`.

    Returns:
      The loss a pair (1 where policy and reference agree), and the metrics of `dpo_loss`.

    >>> import jax.numpy as jnp
    >>> loss, _ = slic_loss(jnp.array([[[2.0], [0.0]]]), jnp.zeros((1, 2, 1)), jnp.ones((1, 2, 1), bool))
    >>> print(f"{loss.value:.1f}")
    0.8
    """
    rewards, metrics = implicit.rewards(logps, ref_logps, mask, beta, where)
    margins = rewards[:, 0] - rewards[:, 1]
    return implicit.pairs(jax.nn.relu(1 - margins), rewards, where, metrics)


def exo_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    beta: float | jax.Array = 0.1,
    label_smoothing: float | jax.Array = 1e-3,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """The reverse KL from the policy's choice between two responses to the labels': EXO.

        L = KL((sigmoid(h), sigmoid(-h)) || (1 - e, e))

    Ji et al. 2024, equation 16 (https://arxiv.org/abs/2402.00856); DPO is the KL the other way round.

    Args:
      logps, ref_logps, mask, beta, where: as in `dpo_loss`.
      label_smoothing: e, above 0: at 0 the loss is infinite.

    Returns:
      The loss in nats a pair, 0 at h = log((1 - e) / e), and the metrics of `dpo_loss`.

    >>> import jax.numpy as jnp
    >>> shape = (1, 2, 1)
    >>> loss, _ = exo_loss(jnp.zeros(shape), jnp.zeros(shape), jnp.ones(shape, bool), label_smoothing=0.5)
    >>> print(f"{loss.value:.1f}")
    0.0
    """
    rewards, metrics = implicit.rewards(logps, ref_logps, mask, beta, where)
    margins = rewards[:, 0] - rewards[:, 1]
    smoothing = jnp.float32(label_smoothing)
    kept = jax.nn.sigmoid(margins) * (jax.nn.log_sigmoid(margins) - jnp.log1p(-smoothing))
    flipped = jax.nn.sigmoid(-margins) * (jax.nn.log_sigmoid(-margins) - jnp.log(smoothing))
    return implicit.pairs(kept + flipped, rewards, where, metrics)


def discopop_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    beta: float | jax.Array = 0.05,
    tau: float | jax.Array = 0.05,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """The loss that a language model proposed: a blend of the logistic and the exponential loss.

        L = sigmoid(-h / tau) (-log sigmoid(h)) + sigmoid(h / tau) exp(-h)

    Lu et al. 2024, equation 5 (https://arxiv.org/abs/2406.08414), log-ratio modulated loss. It is not convex.

    Args:
      logps, ref_logps, mask, beta, where: as in `dpo_loss`.
      tau: temperature of the blend, at most 1: above it the loss overflows where h is far below 0.

    Returns:
      The loss a pair ((log 2 + 1) / 2 where policy and reference agree), and the metrics of `dpo_loss`.

    >>> import jax.numpy as jnp
    >>> loss, _ = discopop_loss(jnp.zeros((1, 2, 1)), jnp.zeros((1, 2, 1)), jnp.ones((1, 2, 1), bool))
    >>> print(f"{loss.value:.6f}")
    0.846574
    """
    rewards, metrics = implicit.rewards(logps, ref_logps, mask, beta, where)
    margins = rewards[:, 0] - rewards[:, 1]
    logistic = jax.nn.sigmoid(-margins / tau) * -jax.nn.log_sigmoid(margins)
    exponential = jnp.exp(jax.nn.log_sigmoid(margins / tau) - margins)  # one exponent: the product does not overflow
    return implicit.pairs(logistic + exponential, rewards, where, metrics)
