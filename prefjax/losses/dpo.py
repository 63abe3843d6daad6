"""Direct preference optimisation: the reward-model loss on implicit rewards."""

import jax
import jax.numpy as jnp

from prefjax import ops
from prefjax.losses.bradley_terry import bradley_terry_loss
from prefjax.metrics import Mean


def dpo_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    beta: float | jax.Array = 0.1,
    margin: jax.Array | None = None,
    target: jax.Array | None = None,
    label_smoothing: float | jax.Array = 0.0,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """Bradley-Terry loss on the implicit rewards r_i = beta log(policy(y_i | x) / reference(y_i | x)).

    Rafailov et al. 2023, equation 7 (https://arxiv.org/abs/2305.18290), where y_0 is y_w and y_1 is y_l. With
    `label_smoothing` it is the conservative DPO of https://ericmitchell.ai/cdpo.pdf, with `margin` the DPO with an
    offset of Amini et al. 2024, equation 9 (https://arxiv.org/abs/2402.10571), in units of implicit reward.

    Args:
      logps: `[B, 2, T]`, nats, of the policy; candidate 0 chosen.
      ref_logps: `[B, 2, T]`, nats, of the reference.
      mask: `[B, 2, T]` bool: the response tokens.
      beta: strength of the pull towards the reference.
      margin, target, label_smoothing, where: as in `bradley_terry_loss`.

    Returns:
      The loss in nats a pair (log 2 where policy and reference agree), the metrics of `bradley_terry_loss` on the
      implicit rewards, and `logps/chosen`, `logps/rejected`: the policy's summed log-probabilities.

    Raises:
      ValueError: a shape other than those above.

    >>> import jax.numpy as jnp
    >>> loss, _ = dpo_loss(jnp.zeros((1, 2, 3)), jnp.zeros((1, 2, 3)), jnp.ones((1, 2, 3), bool))
    >>> print(f"{loss.value:.6f}")
    0.693147
    """
    log_ratios, metrics = _log_ratios(logps, ref_logps, mask, where)
    loss, reward_metrics = bradley_terry_loss(
        beta * log_ratios, margin=margin, target=target, label_smoothing=label_smoothing, where=where
    )
    return loss, reward_metrics | metrics


def ipo_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    tau: float | jax.Array = 0.1,
    reduction: str = "sum",
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """Identity preference optimisation: a squared loss that regresses the log-ratio gap h to 1 / (2 tau).

        L = (h - 1 / (2 tau))^2,   h = log(policy(y_0) / reference(y_0)) - log(policy(y_1) / reference(y_1))

    Azar et al. 2023, equation 17 (https://arxiv.org/abs/2310.12036).

    Args:
      logps, ref_logps, mask, where: as in `dpo_loss`.
      tau: strength of the pull towards the reference.
      reduction: "sum" over the tokens of a response, as in the paper, or "mean", as in TRL.

    Returns:
      The loss a pair, and the metrics of `dpo_loss` with implicit rewards tau log(policy / reference).

    Raises:
      ValueError: a shape other than those of `dpo_loss`, or another reduction.

    >>> import jax.numpy as jnp
    >>> loss, _ = ipo_loss(jnp.zeros((1, 2, 3)), jnp.zeros((1, 2, 3)), jnp.ones((1, 2, 3), bool))
    >>> print(f"{loss.value:.1f}")  # 1 / (4 tau^2)
    25.0
    """
    if reduction not in ("sum", "mean"):
        raise ValueError(f"reduction: expected 'sum' or 'mean', got {reduction!r}")
    log_ratios, metrics = _log_ratios(logps, ref_logps, mask, where, mean=reduction == "mean")
    losses = (log_ratios[:, 0] - log_ratios[:, 1] - 1 / (2 * tau)) ** 2
    _, reward_metrics = bradley_terry_loss(tau * log_ratios, where=where)
    return Mean.of(losses, where), reward_metrics | metrics


def _log_ratios(logps, ref_logps, mask, where, mean=False):
    """log(policy / reference) of each response `[B, 2]`, 0 outside `where`, and both log-probabilities as metrics."""
    ops.check_shape("logps", logps, (None, 2, None))
    ops.check_same_shape(logps=logps, ref_logps=ref_logps, mask=mask)
    if where is not None:
        ops.check_shape("where", where, logps.shape[:1])
        mask = mask & where[:, None, None]
    logps, ref_logps = (jnp.where(mask, x, 0).astype(jnp.float32) for x in (logps, ref_logps))
    totals = jax.lax.stop_gradient(ops.sum_tokens(logps, mask))
    metrics = {"logps/chosen": Mean.of(totals[:, 0], where), "logps/rejected": Mean.of(totals[:, 1], where)}
    reduce = ops.mean_tokens if mean else ops.sum_tokens
    return reduce(logps - ref_logps, mask), metrics
