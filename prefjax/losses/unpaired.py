"""Losses on single judged responses that need nothing of the rest of their batch."""

import jax
import jax.numpy as jnp

from prefjax.losses.rows import judged
from prefjax.metrics import Mean


def apo_zero_unpaired_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    beta: float | jax.Array = 0.1,
    target: jax.Array | None = None,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """Anchored preference optimisation on single responses: up with good ones, down with bad ones.

        L = sigmoid(-r)  of good responses,   sigmoid(r)  of bad ones

    r = beta log(policy(y | x) / reference(y | x)). D'Oosterlinck et al. 2024, equation 7, one side at a time
    (https://arxiv.org/abs/2408.06266); TRL's "apo_zero_unpaired". It is `kto_loss` with z_0 = 0: it needs no mismatched
    responses and no whole batch.

    Args:
      logps, ref_logps, mask, beta, target, where: as in `kto_loss`.

    Returns:
      The loss a response, in (0, 1), 1/2 where policy and reference agree, and `rewards/chosen`, `rewards/rejected`.

    >>> import jax.numpy as jnp
    >>> x, mask = jnp.array([[2.0], [2.0]]), jnp.ones((2, 1), bool)
    >>> loss, _ = apo_zero_unpaired_loss(x, 0 * x, mask, beta=1.0, target=jnp.array([1.0, 0.0]))
    >>> print(f"{loss.value:.1f}")
    0.5
    """
    ratios, good, metrics = judged(logps, ref_logps, mask, target, beta, where)
    return Mean.of(jax.nn.sigmoid(beta * jnp.where(good, -ratios, ratios)), where), metrics
