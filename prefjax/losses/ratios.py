"""Policy losses that clip another ratio than that of each token, or weigh by it instead of following it."""

import jax
import jax.numpy as jnp

from prefjax import ops
from prefjax.losses.ppo import movement, ratio_of
from prefjax.losses.rows import average, masked
from prefjax.metrics import Mean


def gspo_loss(
    logps: jax.Array,
    old_logps: jax.Array,
    advantages: jax.Array,
    mask: jax.Array,
    *,
    epsilon: float | jax.Array = 3e-4,
    epsilon_high: float | jax.Array = 4e-4,
    per: str = "response",
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """Group sequence policy optimisation: the ratio of a whole response is clipped, whose length-th root is taken.

        L = -min(s A, clip(s, 1 - epsilon, 1 + epsilon_high) A),   s = (policy(y) / old policy(y))^(1 / |y|)

    Zheng et al. 2025, equations 5 to 7, with the epsilons of section 5.1 (https://arxiv.org/abs/2507.18071).

    Args:
      logps: `[B, T]`, nats.
      old_logps: `[B, T]`, nats, of the policy that drew the samples.
      advantages: `[B, T]`; in the paper one number a response, at each of its tokens.
      mask: `[B, T]` bool: the response tokens.
      epsilon: how far a ratio may fall.
      epsilon_high: how far it may rise.
      per: as in `prefjax.losses.policy_gradient_loss`; "response" is the paper's.
      where: `[B]` bool, the rows that count.

    Returns:
      The loss, and the metrics of `ppo_policy_loss`, its ratio that of the response.

    Raises:
      ValueError: a shape other than those above, or another `per`.

    >>> import jax.numpy as jnp
    >>> logps, one = jnp.log(jnp.array([[4.0, 0.25], [1.5, 1.5]])), jnp.ones((2, 2))
    >>> loss, metrics = gspo_loss(logps, jnp.log(one), one, one > 0, epsilon=0.2, epsilon_high=0.2)
    >>> print(f"{loss.value:.2f} {metrics['policy/clip_fraction'].value:.1f}")  # -(1 + 1.2) / 2
    -1.10 0.5
    """
    mask, logps, old_logps, advantages = masked(mask, where, logps=logps, old_logps=old_logps, advantages=advantages)
    ratio = ratio_of(ops.mean_tokens(logps - old_logps, mask))[:, None]
    plain = -ratio * advantages
    losses = jnp.maximum(plain, -jnp.clip(ratio, 1 - epsilon, 1 + epsilon_high) * advantages)
    return average(losses, mask, per, where), movement(ratio, losses != plain, logps, old_logps, mask)


def cispo_loss(
    logps: jax.Array,
    old_logps: jax.Array,
    advantages: jax.Array,
    mask: jax.Array,
    *,
    epsilon: float | jax.Array = 1.0,
    epsilon_high: float | jax.Array = 4.0,
    per: str = "token",
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """REINFORCE weighed by the clipped ratio, held fixed: every token keeps its gradient, however far it moved.

        L = -w A log policy(y_t),   w = clip(policy(y_t) / old policy(y_t), 1 - epsilon, 1 + epsilon_high)

    CISPO: MiniMax 2025, equations 4 and 5 (https://arxiv.org/abs/2506.13585), who do not bound the ratio below and
    leave the bound above to be tuned; ratios up to 5 are of Khatri et al. 2025 (https://arxiv.org/abs/2510.13786).

    Args:
      logps: `[B, T]`, nats.
      old_logps: `[B, T]`, nats, of the policy that drew the samples.
      advantages: `[B, T]`.
      mask: `[B, T]` bool: the response tokens.
      epsilon: how far below 1 a weight may be; 1: as far as it likes.
      epsilon_high: how far above.
      per: as in `prefjax.losses.policy_gradient_loss`; "token" is the paper's.
      where: `[B]` bool, the rows that count.

    Returns:
      The loss, whose gradient alone has a meaning, and the metrics of `ppo_policy_loss`: `policy/clip_fraction` is the
      share of tokens whose weight is clipped.

    Raises:
      ValueError: a shape other than those above, or another `per`.

    >>> import jax.numpy as jnp
    >>> logps, one = jnp.array([[-1.0, -1.0]]), jnp.ones((1, 2))
    >>> loss, metrics = cispo_loss(logps, logps - jnp.log(jnp.array([[2.0, 8.0]])), one, one > 0)
    >>> print(f"{loss.value:.1f} {metrics['policy/clip_fraction'].value:.1f}")  # (2 + 5) / 2
    3.5 0.5
    """
    mask, logps, old_logps, advantages = masked(mask, where, logps=logps, old_logps=old_logps, advantages=advantages)
    ratio = ratio_of(logps - old_logps)
    weights = jnp.clip(ratio, 1 - epsilon, 1 + epsilon_high)
    losses = -jax.lax.stop_gradient(weights) * advantages * logps
    return average(losses, mask, per, where), movement(ratio, weights != ratio, logps, old_logps, mask)
