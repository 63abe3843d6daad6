"""Losses on pairs that need no reference model: the policy's own log-probabilities are the rewards."""

import jax
import jax.numpy as jnp

from prefjax import ops
from prefjax.losses import implicit
from prefjax.losses.bradley_terry import bradley_terry_loss
from prefjax.metrics import Mean


def simpo_loss(
    logps: jax.Array,
    mask: jax.Array,
    *,
    beta: float | jax.Array = 2.0,
    gamma: float | jax.Array = 1.0,
    label_smoothing: float | jax.Array = 0.0,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """Bradley-Terry loss on mean log-probabilities with a target margin: SimPO.

        L = -log sigmoid(r_0 - r_1 - gamma),   r_i = beta / |y_i| log policy(y_i | x)

    Meng et al. 2024, equation 6 (https://arxiv.org/abs/2405.14734), whose published settings are beta 2 to 10 and
    gamma 0.3 to 0.8 of beta.

    Args:
      logps: `[B, 2, T]`, nats, of the policy; candidate 0 chosen.
      mask: `[B, 2, T]` bool: the response tokens.
      beta: scale of the rewards.
      gamma: by how much the chosen response should win, in units of reward.
      label_smoothing, where: as in `bradley_terry_loss`.

    Returns:
      The loss in nats a pair, and the metrics of `dpo_loss`.

    Raises:
      ValueError: a shape other than those above.

    >>> import jax.numpy as jnp
    >>> loss, _ = simpo_loss(jnp.array([[[-1.0], [-1.5]]]), jnp.ones((1, 2, 1), bool))
    >>> print(f"{loss.value:.6f}")
    0.693147
    """
    logps, mask, metrics = implicit.responses(logps, mask, where)
    rewards = beta * ops.mean_tokens(logps, mask)
    margin = jnp.full(rewards.shape[:1], gamma, jnp.float32)
    return implicit.logistic(rewards, where, metrics, margin=margin, label_smoothing=label_smoothing)


def cpo_loss(
    logps: jax.Array,
    mask: jax.Array,
    *,
    beta: float | jax.Array = 0.1,
    nll: float | jax.Array = 1.0,
    label_smoothing: float | jax.Array = 0.0,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """DPO against a uniform reference, with the likelihood of the chosen response: contrastive preference optimisation.

        L = -log sigmoid(beta log policy(y_0 | x) - beta log policy(y_1 | x)) - nll log policy(y_0 | x) / |y_0|

    Xu et al. 2024, equation 5 (https://arxiv.org/abs/2401.08417). The likelihood is that of a token, as in the authors'
    code; TRL averages it over the tokens of the batch rather than first over those of a response.

    Args:
      logps, mask: as in `simpo_loss`.
      beta: scale of the rewards.
      nll: weight of the likelihood.
      label_smoothing, where: as in `bradley_terry_loss`.

    Returns:
      The loss in nats a pair, and the metrics of `dpo_loss`.

    >>> import jax.numpy as jnp
    >>> loss, _ = cpo_loss(jnp.array([[[-1.0], [-1.0]]]), jnp.ones((1, 2, 1), bool))
    >>> print(f"{loss.value:.6f}")  # log 2 + 1
    1.693147
    """
    logps, mask, metrics = implicit.responses(logps, mask, where)
    rewards = beta * ops.sum_tokens(logps, mask)
    preference, of_rewards = bradley_terry_loss(rewards, label_smoothing=label_smoothing, where=where)
    likelihood = Mean.of(-nll * ops.mean_tokens(logps[:, 0], mask[:, 0]), where)
    return Mean(preference.total + likelihood.total, preference.weight), of_rewards | metrics


def orpo_loss(
    logps: jax.Array,
    mask: jax.Array,
    *,
    lam: float | jax.Array = 0.1,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """The likelihood of the chosen response and the odds ratio of both: ORPO.

        L = -log p_0 - lam log sigmoid(log(p_0 / (1 - p_0)) - log(p_1 / (1 - p_1)))

    with p_i = exp(log policy(y_i | x) / |y_i|). Hong et al. 2024, equations 6 and 7 (https://arxiv.org/abs/2403.07691).
    A mean log-probability above -1e-6 counts as that, so that odds stay finite.

    Args:
      logps, mask, where: as in `simpo_loss`.
      lam: weight of the odds ratio.

    Returns:
      The loss in nats a pair, and the metrics of `dpo_loss` with rewards lam log odds.

    >>> import jax.numpy as jnp
    >>> loss, _ = orpo_loss(jnp.log(jnp.array([[[0.5], [0.25]]])), jnp.ones((1, 2, 1), bool), lam=1.0)
    >>> print(f"{loss.value:.6f}")  # log 2 + 0.287682
    0.980829
    """
    logps, mask, metrics = implicit.responses(logps, mask, where)
    means = ops.mean_tokens(logps, mask)
    capped = jnp.minimum(means, -1e-6)
    odds = capped - jnp.log(-jnp.expm1(capped))
    losses = -means[:, 0] - lam * jax.nn.log_sigmoid(odds[:, 0] - odds[:, 1])
    return implicit.pairs(losses, lam * odds, where, metrics)


def unlikelihood_loss(
    logps: jax.Array,
    mask: jax.Array,
    *,
    alpha: float | jax.Array = 0.1,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """The likelihood of the chosen response, and the unlikelihood of each token of the rejected one.

        L = -log policy(y_0 | x) - alpha sum_t log(1 - policy(y_1t | x, y_1,<t))

    Welleck et al. 2019, equation 4 (https://arxiv.org/abs/1908.04319), as a baseline of Rafailov et al. 2023, section 6
    (https://arxiv.org/abs/2305.18290). A log-probability above -1e-6 counts as that.

    Args:
      logps, mask, where: as in `simpo_loss`.
      alpha: weight of the unlikelihood; 0 is supervised fine-tuning on the chosen responses (Preferred-FT).

    Returns:
      The loss in nats a pair, and the metrics of `dpo_loss` with log-probabilities as rewards.

    >>> import jax.numpy as jnp
    >>> loss, _ = unlikelihood_loss(jnp.log(jnp.array([[[0.5], [0.5]]])), jnp.ones((1, 2, 1), bool), alpha=1.0)
    >>> print(f"{loss.value:.6f}")  # 2 log 2
    1.386294
    """
    logps, mask, metrics = implicit.responses(logps, mask, where)
    rewards = ops.sum_tokens(logps, mask)
    absent = jnp.log(-jnp.expm1(jnp.minimum(logps[:, 1], -1e-6)))
    losses = -rewards[:, 0] - alpha * ops.sum_tokens(absent, mask[:, 1])
    return implicit.pairs(losses, rewards, where, metrics)
