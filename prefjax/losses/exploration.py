"""DPO on samples of its own, with a bonus for what the policy has not tried."""

import jax

from prefjax import ops
from prefjax.losses import implicit
from prefjax.metrics import Mean


def xpo_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    beta: float | jax.Array = 0.1,
    alpha: float | jax.Array = 1e-5,
    target: jax.Array | None = None,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """DPO that makes what the reference would say less likely: exploratory preference optimisation.

        L = DPO(target) + alpha log policy(y_1 | x),   y_0 of the policy, y_1 of the reference

    Xie et al. 2024, algorithm 1, line 7 (https://arxiv.org/abs/2405.21046). A policy that is optimal for its implicit
    rewards and gives less to the reference's responses expects more elsewhere: the bonus is optimism.

    Args:
      logps, ref_logps, mask, beta: as in `dpo_loss`; candidate 0 is the policy's sample, candidate 1 the reference's.
      alpha: of the bonus, in nats a nat of log-probability.
      target: `[B]`, 1 where candidate 0 was preferred, 0 where candidate 1 was, or the probability; None: all 1.
      where: `[B]` bool, the pairs that count.

    Returns:
      The loss a pair, the metrics of `dpo_loss`, in which "chosen" is the policy's sample, and `loss/dpo`.

    >>> import jax.numpy as jnp
    >>> logps = jnp.array([[[-1.0], [-3.0]]])
    >>> loss, _ = xpo_loss(logps, logps, jnp.ones((1, 2, 1), bool), alpha=0.1)
    >>> print(f"{loss.value:.6f}")  # log 2 - 0.3
    0.393147
    """
    rewards, metrics = implicit.rewards(logps, ref_logps, mask, beta, where)
    logps, counted, _ = implicit.responses(logps, mask, where)
    loss, metrics = implicit.logistic(rewards, where, metrics, target=target)
    bonus = alpha * Mean.of(ops.sum_tokens(logps, counted)[:, 1], where).total
    return Mean(loss.total + bonus, loss.weight), metrics | {"loss/dpo": jax.lax.stop_gradient(loss)}
