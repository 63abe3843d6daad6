"""DPO with another reward: lengths counted out, another divergence, rewards held to a scale, pairs weighed."""

import jax
import jax.numpy as jnp

from prefjax import ops
from prefjax.losses import implicit
from prefjax.metrics import Mean


def rdpo_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    beta: float | jax.Array = 0.1,
    alpha: float | jax.Array = 0.01,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """DPO with a price of length: L = -log sigmoid(r_0 - r_1 + alpha (|y_0| - |y_1|)), r the implicit rewards.

    Park et al. 2024, equation 9 (https://arxiv.org/abs/2403.19159): the policy's own reward is that of the labels less
    alpha a token, so a pair that the longer response wins moves it less.

    Args:
      logps, ref_logps, mask, beta, where: as in `dpo_loss`.
      alpha: price of a token, in units of reward.

    Returns:
      The loss in nats a pair, and the metrics of `dpo_loss`.

    >>> import jax.numpy as jnp
    >>> mask = jnp.array([[[True, True], [True, False]]])
    >>> loss, _ = rdpo_loss(jnp.zeros((1, 2, 2)), jnp.zeros((1, 2, 2)), mask, alpha=1.0)
    >>> print(f"{loss.value:.6f}")  # log(1 + exp(-1))
    0.313262
    """
    rewards, metrics = implicit.rewards(logps, ref_logps, mask, beta, where)
    lengths = jnp.sum(mask, axis=-1, dtype=jnp.float32)
    longer = alpha * (lengths[:, 0] - lengths[:, 1])
    return implicit.logistic(rewards, where, metrics, margin=-longer)


def ld_dpo_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    beta: float | jax.Array = 0.1,
    alpha: float | jax.Array = 0.5,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """DPO in which what a response has beyond the length of the shorter one counts `alpha` times: LD-DPO.

    Liu et al. 2024, equation 10 (https://arxiv.org/abs/2409.06411).

    Args:
      logps, ref_logps, mask, beta, where: as in `dpo_loss`.
      alpha: weight of the tokens beyond the common length, in [0, 1]; 1 is DPO.

    Returns:
      The loss in nats a pair, and the metrics of `dpo_loss`.

    >>> import jax.numpy as jnp
    >>> mask = jnp.array([[[True, True], [True, False]]])
    >>> loss, _ = ld_dpo_loss(jnp.array([[[0.0, 9.0], [0.0, 0.0]]]), jnp.zeros((1, 2, 2)), mask, alpha=0.0)
    >>> print(f"{loss.value:.6f}")  # log 2
    0.693147
    """
    ops.check_same_shape(logps=logps, ref_logps=ref_logps, mask=mask)
    logps, counted, metrics = implicit.responses(logps, mask, where)
    place = jnp.cumsum(mask, axis=-1)  # 1 at the first token of the response
    common = jnp.min(place[..., -1:], axis=1, keepdims=True)
    weights = jnp.where(place <= common, 1.0, alpha)
    ratios = jnp.where(counted, logps - ref_logps.astype(jnp.float32), 0)
    return implicit.logistic(beta * ops.sum_tokens(weights * ratios, counted), where, metrics)


def f_dpo_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    divergence: str = "js",
    beta: float | jax.Array = 0.1,
    alpha: float | jax.Array = 0.5,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """DPO for another divergence than the reverse KL: L = -log sigmoid(beta f'(u_0) - beta f'(u_1)).

    u_i = policy(y_i | x) / reference(y_i | x), and f' is

        "reverse_kl"  log u              (DPO)
        "forward_kl"  -1 / u
        "js"          log(2 u / (1 + u))
        "alpha"       (1 - u^-alpha) / alpha

    Wang et al. 2024, table 1 (https://arxiv.org/abs/2309.16240); constants, which cancel, left out. In the forward KL
    and in the alpha-divergence a response less likely than e^-20 times the reference's counts as that, and is given up:
    it has no gradient.

    Args:
      logps, ref_logps, mask, beta, where: as in `dpo_loss`.
      divergence: one of the names above.
      alpha: of the alpha-divergence, in (0, 1).

    Returns:
      The loss in nats a pair (log 2 where policy and reference agree), and the metrics of `dpo_loss`.

    Raises:
      ValueError: a shape other than those of `dpo_loss`, or another divergence.

    >>> import jax.numpy as jnp
    >>> loss, _ = f_dpo_loss(jnp.zeros((1, 2, 1)), jnp.zeros((1, 2, 1)), jnp.ones((1, 2, 1), bool))
    >>> print(f"{loss.value:.6f}")
    0.693147
    """
    derivatives = {
        "reverse_kl": lambda log_u: log_u,
        "forward_kl": lambda log_u: -jnp.exp(-jnp.maximum(log_u, -ops.LOG_RATIO_BOUND)),
        "js": jax.nn.log_sigmoid,
        "alpha": lambda log_u: -jnp.expm1(-alpha * jnp.maximum(log_u, -ops.LOG_RATIO_BOUND)) / alpha,
    }
    if divergence not in derivatives:
        raise ValueError(f"divergence: expected one of {', '.join(derivatives)}; got {divergence!r}")
    log_ratios, metrics = implicit.log_ratios(logps, ref_logps, mask, where)
    return implicit.logistic(beta * derivatives[divergence](log_ratios), where, metrics)


def cal_dpo_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    beta: float | jax.Array = 0.1,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """DPO that also holds the rewards to a scale: the chosen response at 1/2, the rejected one at -1/2.

        L = -log sigmoid(h_0 - h_1) + (h_0 - 1 / (2 beta))^2 + (h_1 + 1 / (2 beta))^2,   h = log(policy / reference)

    Xiao et al. 2024, equation 10 (https://arxiv.org/abs/2412.14516): the contrast is of log-ratios, not of beta times
    them. Chosen responses cannot go on falling, as they may with DPO.

    Args:
      logps, ref_logps, mask, beta, where: as in `dpo_loss`.

    Returns:
      The loss a pair, and the metrics of `dpo_loss`.

    >>> import jax.numpy as jnp
    >>> loss, _ = cal_dpo_loss(jnp.zeros((1, 2, 1)), jnp.zeros((1, 2, 1)), jnp.ones((1, 2, 1), bool), beta=0.5)
    >>> print(f"{loss.value:.6f}")  # log 2 + 2
    2.693147
    """
    log_ratios, metrics = implicit.log_ratios(logps, ref_logps, mask, where)
    chosen, rejected = log_ratios[:, 0], log_ratios[:, 1]
    held = (chosen - 0.5 / beta) ** 2 + (rejected + 0.5 / beta) ** 2
    return implicit.pairs(held - jax.nn.log_sigmoid(chosen - rejected), beta * log_ratios, where, metrics)


def wpo_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    beta: float | jax.Array = 0.1,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """DPO that weighs a pair by how likely the policy would have written it: L = w_0 w_1 (-log sigmoid(r_0 - r_1)).

    w_i = exp(log policy(y_i | x) / |y_i|), without a gradient. Zhou et al. 2024, equation 2
    (https://arxiv.org/abs/2406.11827), without their alignment of the weights to those of sampled tokens, which needs
    the whole vocabulary. The mean is over pairs, not over weights: unlikely pairs count less.

    Args:
      logps, ref_logps, mask, beta, where: as in `dpo_loss`.

    Returns:
      The loss a pair, the metrics of `dpo_loss`, and `weights`, the mean weight.

    >>> import jax.numpy as jnp
    >>> logps = jnp.log(jnp.full((1, 2, 1), 0.5))
    >>> loss, _ = wpo_loss(logps, logps, jnp.ones((1, 2, 1), bool))
    >>> print(f"{loss.value:.6f}")  # log 2 / 4
    0.173287
    """
    rewards, metrics = implicit.rewards(logps, ref_logps, mask, beta, where)
    logps, counted, _ = implicit.responses(logps, mask, where)
    means = jnp.minimum(ops.mean_tokens(jax.lax.stop_gradient(logps), counted), 0.0)
    weights = jnp.exp(means[:, 0] + means[:, 1])
    losses = -weights * jax.nn.log_sigmoid(rewards[:, 0] - rewards[:, 1])
    return implicit.pairs(losses, rewards, where, metrics | {"weights": Mean.of(weights, where)})
