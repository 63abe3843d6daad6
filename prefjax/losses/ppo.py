"""Proximal policy optimisation: shaped rewards, the clipped policy loss and the clipped value loss.

Between the first and the others stands `prefjax.ops.gae`. Arrays are `[B, T]` and share one index: see `prefjax.types`.
"""

import jax
import jax.numpy as jnp

from prefjax import ops
from prefjax.losses.rows import average, masked
from prefjax.metrics import Mean


def shaped_rewards(
    scores: jax.Array,
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    kl_coef: float | jax.Array,
    estimator: str = "k1",
) -> jax.Array:
    """Reward of each token: a KL penalty at every response token, and the score at the last.

        r_t = -kl_coef log(policy(y_t) / reference(y_t)) + [t is last] score

    Ziegler et al. 2019, equation 2 (https://arxiv.org/abs/1909.08593).

    Args:
      scores: `[B]`, of the whole responses.
      logps: `[B, T]`, nats, of the policy that drew the samples.
      ref_logps: `[B, T]`, nats.
      mask: `[B, T]` bool: the response tokens. A row without any gets no reward.
      kl_coef: price of a nat.
      estimator: "k1", the log-ratio, with which the policy gradient is that of the reward minus the KL; "k2" and "k3"
        of `prefjax.ops` punish both signs of the log-ratio.

    Returns:
      `[B, T]` float32, whatever the types of the arguments; 0 under the mask.

    Raises:
      ValueError: a shape other than those above, or another estimator.

    >>> import jax.numpy as jnp
    >>> logps, ref_logps = jnp.array([[-1.0, -2.0, -0.5]]), jnp.array([[-1.2, -1.5, -0.5]])
    >>> print(shaped_rewards(jnp.array([2.0]), logps, ref_logps, jnp.ones((1, 3), bool), kl_coef=0.1).round(3))
    [[-0.02  0.05  2.  ]]
    """
    if estimator not in ops.KL:
        raise ValueError(f"estimator: expected one of {', '.join(ops.KL)}, got {estimator!r}")
    ops.check_shape("scores", scores, mask.shape[:1])
    mask, logps, ref_logps = masked(mask, None, logps=logps, ref_logps=ref_logps)
    after = jnp.cumsum(mask[:, ::-1], axis=-1)[:, ::-1]  # response tokens from here on
    last = mask & (after == 1)
    penalties = kl_coef * ops.KL[estimator](logps, ref_logps)
    return jnp.where(last, scores.astype(jnp.float32)[:, None], 0.0) - penalties


def ppo_policy_loss(
    logps: jax.Array,
    old_logps: jax.Array,
    advantages: jax.Array,
    mask: jax.Array,
    *,
    epsilon: float | jax.Array = 0.2,
    epsilon_high: float | jax.Array = 0.0,
    dual_clip: float | jax.Array = 0.0,
    per: str = "token",
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """The clipped surrogate: no gradient from a token that has moved far enough in the direction of its advantage.

        L = -min(r A, clip(r, 1 - epsilon, 1 + epsilon_high) A),   r = policy(y_t) / old policy(y_t)
        with dual_clip c, where A < 0:   L = min(-min(r A, clip(r) A), -c A)

    Schulman et al. 2017, equation 7 (https://arxiv.org/abs/1707.06347), with one epsilon; a higher one above, so that
    unlikely tokens can become likely, is the clip-higher of DAPO, Yu et al. 2025 (https://arxiv.org/abs/2503.14476):
    0.28. The dual clip is of Ye et al. 2019 (https://arxiv.org/abs/1912.09729), who take c = 3: it bounds the loss of
    unwanted tokens that became likely.

    Args:
      logps: `[B, T]`, nats.
      old_logps: `[B, T]`, nats, of the policy that drew the samples.
      advantages: `[B, T]`.
      mask: `[B, T]` bool: the response tokens.
      epsilon: how far a ratio may move.
      epsilon_high: how far it may rise; 0: as far as it may fall.
      dual_clip: c, larger than 1; 0 for none.
      per: as in `prefjax.losses.policy_gradient_loss`.
      where: `[B]` bool, the rows that count.

    Returns:
      The loss, and over the response tokens `policy/ratio`, `policy/clip_fraction` (share without gradient because the
      loss is clipped), `policy/approx_kl_k1`, `policy/approx_kl_k3`: estimates of KL(old policy || policy) in nats.

    Raises:
      ValueError: a shape other than those above, or another `per`.

    >>> import jax.numpy as jnp
    >>> logps, one = jnp.log(jnp.array([[1.5, 0.5]])), jnp.ones((1, 2))
    >>> loss, metrics = ppo_policy_loss(logps, jnp.log(one), one, one > 0)
    >>> print(f"{loss.value:.2f} {metrics['policy/clip_fraction'].value:.1f}")  # -(1.2 + 0.5) / 2
    -0.85 0.5
    """
    mask, logps, old_logps, advantages = masked(mask, where, logps=logps, old_logps=old_logps, advantages=advantages)
    ratio = ratio_of(logps - old_logps)
    plain = -ratio * advantages
    high = jnp.where(epsilon_high > 0, epsilon_high, epsilon)
    losses = jnp.maximum(plain, -jnp.clip(ratio, 1 - epsilon, 1 + high) * advantages)
    bound = jnp.where(dual_clip > 0, -dual_clip * advantages, jnp.inf)
    losses = jnp.where(advantages < 0, jnp.minimum(losses, bound), losses)
    return average(losses, mask, per, where), movement(ratio, losses != plain, logps, old_logps, mask)


def ratio_of(log_ratio: jax.Array) -> jax.Array:
    """exp of a log-ratio, clamped so that one stale token cannot overflow it."""
    return jnp.exp(jnp.clip(log_ratio, -ops.LOG_RATIO_BOUND, ops.LOG_RATIO_BOUND))


def movement(
    ratio: jax.Array, clipped: jax.Array, logps: jax.Array, old_logps: jax.Array, mask: jax.Array
) -> dict[str, Mean]:
    """How far the policy has moved from the one that drew the samples, over the response tokens: the metrics above.

    Args:
      ratio, clipped: `[B, T]`, or `[B, 1]` where all tokens of a response have one; the second is bool.
      logps, old_logps, mask: as in `ppo_policy_loss`.
    """
    ratio, clipped = (jnp.broadcast_to(x, mask.shape) for x in (ratio, clipped.astype(jnp.float32)))
    found = {
        "policy/ratio": Mean.of(ratio, mask),
        "policy/clip_fraction": Mean.of(clipped, mask),
        "policy/approx_kl_k1": Mean.of(ops.kl_k1(old_logps, logps), mask),
        "policy/approx_kl_k3": Mean.of(ops.kl_k3(old_logps, logps), mask),
    }
    return jax.lax.stop_gradient(found)


def ppo_value_loss(
    values: jax.Array,
    old_values: jax.Array,
    returns: jax.Array,
    mask: jax.Array,
    *,
    epsilon: float | jax.Array = 0.2,
    per: str = "token",
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """Half the squared error of the critic, or of the critic held near its old values where that is larger.

        L = max((v - R)^2, (clip(v, v_old - epsilon, v_old + epsilon) - R)^2) / 2

    As in openai/baselines and openai/lm-human-preferences; Huang et al. 2024 (https://arxiv.org/abs/2403.17031).

    Args:
      values: `[B, T]`.
      old_values: `[B, T]`, of the critic when the samples were drawn.
      returns: `[B, T]`.
      mask: `[B, T]` bool: the response tokens.
      epsilon: how far a value may move, in units of reward.
      per, where: as in `ppo_policy_loss`.

    Returns:
      The loss, `value/clip_fraction`, and the moments `value/return`, `value/return_squared`, `value/error`,
      `value/error_squared` over the response tokens, from which comes `explained_variance`.

    Raises:
      ValueError: a shape other than those above, or another `per`.

    >>> import jax.numpy as jnp
    >>> x = lambda value: jnp.full((1, 1), value)
    >>> loss, _ = ppo_value_loss(x(1.0), x(0.5), x(1.2), x(True))
    >>> print(f"{loss.value:.3f}")  # (0.7 - 1.2)^2 / 2
    0.125
    """
    mask, values, old_values, returns = masked(mask, where, values=values, old_values=old_values, returns=returns)
    clipped = jnp.clip(values, old_values - epsilon, old_values + epsilon)
    error = returns - values
    losses = jnp.maximum(error**2, (returns - clipped) ** 2) / 2
    metrics = {
        "value/clip_fraction": Mean.of((losses != error**2 / 2).astype(jnp.float32), mask),
        "value/return": Mean.of(returns, mask),
        "value/return_squared": Mean.of(returns**2, mask),
        "value/error": Mean.of(error, mask),
        "value/error_squared": Mean.of(error**2, mask),
    }
    return average(losses, mask, per, where), jax.lax.stop_gradient(metrics)


def explained_variance(metrics: dict[str, Mean]) -> jax.Array:
    """1 - Var(R - v) / Var(R), from the moments that `ppo_value_loss` reports.

    1 is a perfect critic, 0 one that knows no more than the mean; below 0 it harms. Moments of parts add up, so call it
    after microbatches and devices are merged. Returns that do not vary have no variance to explain: 0.
    """
    error, error_squared, mean, square = (
        metrics[f"value/{name}"].value for name in ("error", "error_squared", "return", "return_squared")
    )
    variance, left = square - mean**2, error_squared - error**2
    flat = variance <= 1e-6 * square  # rounding noise of a constant
    return jnp.where(flat, 0.0, 1 - left / jnp.where(flat, 1.0, variance))
