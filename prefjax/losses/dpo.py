"""Direct preference optimisation: the reward-model loss on implicit rewards."""

import jax
import jax.numpy as jnp

from prefjax.losses import implicit
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
    reduction: str = "sum",
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
      reduction: "sum" over the tokens of a response, as in the paper, or "mean": length-normalised DPO (Lambert et al.
        2024, https://arxiv.org/abs/2411.15124), with a `beta` of 5 or so.

    Returns:
      The loss in nats a pair (log 2 where policy and reference agree), the metrics of `bradley_terry_loss` on the
      implicit rewards, and `logps/chosen`, `logps/rejected`: the policy's summed log-probabilities.

    Raises:
      ValueError: a shape other than those above, or another reduction.

    >>> import jax.numpy as jnp
    >>> loss, _ = dpo_loss(jnp.zeros((1, 2, 3)), jnp.zeros((1, 2, 3)), jnp.ones((1, 2, 3), bool))
    >>> print(f"{loss.value:.6f}")
    0.693147
    """
    mean = implicit.is_mean(reduction)
    log_ratios, metrics = implicit.log_ratios(logps, ref_logps, mask, where, mean=mean)
    label = {"margin": margin, "target": target, "label_smoothing": label_smoothing}
    return implicit.logistic(beta * log_ratios, where, metrics, **label)


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
    mean = implicit.is_mean(reduction)
    log_ratios, metrics = implicit.log_ratios(logps, ref_logps, mask, where, mean=mean)
    losses = (log_ratios[:, 0] - log_ratios[:, 1] - 1 / (2 * tau)) ** 2
    return implicit.pairs(losses, tau * log_ratios, where, metrics)


def robust_dpo_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    beta: float | jax.Array = 0.1,
    label_smoothing: float | jax.Array = 0.1,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """An unbiased estimate of the DPO loss of clean labels, from labels flipped with probability `label_smoothing`.

        L = (-(1 - e) log sigmoid(h) + e log sigmoid(-h)) / (1 - 2 e),   h the difference of implicit rewards

    Chowdhury et al. 2024, equation 12 (https://arxiv.org/abs/2403.00409). Unlike the mixture of `dpo_loss` it has no
    least value: it goes on growing a margin.

    Args:
      logps, ref_logps, mask, beta, where: as in `dpo_loss`.
      label_smoothing: e, less than 1/2; from there on the loss is NaN.

    Returns:
      The loss a pair, and the metrics of `dpo_loss`.

    >>> import jax.numpy as jnp
    >>> loss, _ = robust_dpo_loss(jnp.array([[[2.0], [0.0]]]), jnp.zeros((1, 2, 1)), jnp.ones((1, 2, 1), bool))
    >>> print(f"{loss.value:.6f}")
    0.573139
    """
    rewards, metrics = implicit.rewards(logps, ref_logps, mask, beta, where)
    logits = rewards[:, 0] - rewards[:, 1]
    kept = (1 - label_smoothing) * jax.nn.log_sigmoid(logits)
    flipped = label_smoothing * jax.nn.log_sigmoid(-logits)
    clean = jnp.where(label_smoothing < 0.5, 1 - 2 * label_smoothing, jnp.nan)  # beyond, it would prefer the rejected
    return implicit.pairs((flipped - kept) / clean, rewards, where, metrics)
