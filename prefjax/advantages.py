"""Advantages without a critic: how much better a response was than others, and the controller of the KL penalty.

For advantages with a critic see `prefjax.ops.gae`. Scores are `[B, N]`, N responses to each prompt; a response that
could not be scored is left out by `where`: it gets advantage 0 and is in no baseline, whatever its score says.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from prefjax import ops
from prefjax.metrics import Mean, merge


def rloo(scores: jax.Array, *, where: jax.Array | None = None) -> jax.Array:
    """Score minus the mean score of the other responses to the prompt: REINFORCE leave-one-out.

    Kool et al. 2019 (https://openreview.net/forum?id=r1lgTGL5DE); Ahmadian et al. 2024
    (https://arxiv.org/abs/2402.14740).

    Args:
      scores: `[B, N]`.
      where: `[B, N]` bool, the responses that could be scored.

    Returns:
      `[B, N]` float32. A response without others gets 0: there is nothing to compare it with.

    >>> import jax.numpy as jnp
    >>> print(rloo(jnp.array([[1.0, 2.0, 6.0]])))  # 1 - (2 + 6) / 2, ...
    [[-3.  -1.5  4.5]]
    """
    better, count = _centred(scores, where)
    return better * count / jnp.maximum(count - 1, 1)  # s_i - mean of the others = (s_i - mean) n / (n - 1)


def centred(scores: jax.Array, *, where: jax.Array | None = None) -> jax.Array:
    """Score minus the mean of the prompt's responses: GRPO without its standard deviation, which Dr. GRPO leaves out.

    Liu et al. 2025 (https://arxiv.org/abs/2503.20783): divided by it, prompts that are nearly solved, or nearly
    hopeless, would weigh most. Arguments and result as in `rloo`, of which it is (n - 1) / n times.

    >>> import jax.numpy as jnp
    >>> print(centred(jnp.array([[1.0, 2.0, 6.0]])))
    [[-2. -1.  3.]]
    """
    return _centred(scores, where)[0]


def grpo(scores: jax.Array, *, ddof: int = 0, where: jax.Array | None = None) -> jax.Array:
    """Score minus the mean of the prompt's responses, divided by their standard deviation.

    Shao et al. 2024, section 4.1.2 (https://arxiv.org/abs/2402.03300).

    Args:
      scores: `[B, N]`.
      ddof: the variance is divided by `count - ddof`: 0 (population), or 1 as in TRL.
      where: `[B, N]` bool, the responses that could be scored.

    Returns:
      `[B, N]` float32; 0 for the responses of a prompt whose scores are all equal.

    >>> import jax.numpy as jnp
    >>> print(grpo(jnp.array([[1.0, 1.0, 5.0, 5.0], [5.0, 5.0, 5.0, 5.0]])))
    [[-1. -1.  1.  1.]
     [ 0.  0.  0.  0.]]
    """
    better, count = _centred(scores, where)
    where = _all(scores, where)
    variance = jnp.sum(better**2, axis=-1, keepdims=True) / jnp.maximum(count - ddof, 1)
    flat = equal(scores, where=where)  # or rounding noise is scaled up
    return jnp.where(flat, 0.0, better * jax.lax.rsqrt(jnp.where(flat, 1.0, variance)))


def equal(scores: jax.Array, *, where: jax.Array | None = None) -> jax.Array:
    """Whether all responses of a prompt that could be scored have one score: `[B, N]` -> `[B, 1]` bool."""
    where = _all(scores, where)
    low, high = jnp.where(where, scores, jnp.inf), jnp.where(where, scores, -jnp.inf)
    return jnp.max(high, axis=-1, keepdims=True) <= jnp.min(low, axis=-1, keepdims=True)


def running_mean(
    scores: jax.Array,
    baseline: Mean,
    *,
    decay: float | jax.Array = 1.0,
    where: jax.Array | None = None,
    total: Callable[[Mean], Mean] = lambda mean: mean,
) -> tuple[jax.Array, Mean]:
    """Score minus the mean score of earlier steps: REINFORCE with a moving-average baseline.

    Ahmadian et al. 2024, equation 5 (https://arxiv.org/abs/2402.14740).

    Args:
      scores: `[B]`.
      baseline: what earlier steps returned; `Mean(0.0, 0.0)` at the first, whose baseline is 0.
      decay: weight of the past at each step; 1 is the mean of all there has been.
      where: `[B]` bool, the responses that could be scored.
      total: makes of the mean over these scores that over the scores of all devices.

    Returns:
      (advantages `[B]` float32, the next baseline). These scores enter the next baseline, not this one, which could
      not stay independent of the samples otherwise.
    """
    where = _all(scores, where)
    scores = jnp.where(where, scores, 0).astype(jnp.float32)
    past = Mean(baseline.total * decay, baseline.weight * decay)
    return jnp.where(where, scores - baseline.value, 0.0), merge(past, total(Mean.of(scores, where)))


def adaptive_kl(
    kl_coef: float | jax.Array,
    kl: float | jax.Array,
    *,
    target: float | jax.Array = 6.0,
    horizon: float | jax.Array = 1e4,
    batch: float | jax.Array,
) -> jax.Array:
    """The next price of a nat: raised while the policy is further from the reference than `target`, lowered otherwise.

        kl_coef (1 + clip(kl / target - 1, -0.2, 0.2) batch / horizon)

    Ziegler et al. 2019 (https://arxiv.org/abs/1909.08593).

    Args:
      kl_coef: the price now.
      kl: KL to the reference in nats a RESPONSE (a sum over tokens, as `target`), averaged over the batch.
      target: the KL wanted.
      horizon: responses in which the price can change by a factor of about e^0.2.
      batch: responses since the last call.

    >>> print(f"{adaptive_kl(0.15, 12.0, batch=512):.6f} {adaptive_kl(0.15, 3.0, batch=512):.6f}")
    0.151536 0.148464
    """
    return kl_coef * (1 + jnp.clip(kl / target - 1, -0.2, 0.2) * batch / horizon)


def _all(scores, where):
    return jnp.ones(scores.shape, bool) if where is None else where.astype(bool)


def _centred(scores, where):
    """Scores minus the mean of their row `[B, N]`, 0 outside `where`, and the size of each row `[B, 1]`."""
    ops.check_shape("scores", scores, (None, None))
    where = _all(scores, where)
    ops.check_same_shape(scores=scores, where=where)
    scores = jnp.where(where, scores, 0).astype(jnp.float32)
    count = jnp.sum(where, axis=-1, keepdims=True, dtype=jnp.float32)
    mean = jnp.sum(scores, axis=-1, keepdims=True) / jnp.maximum(count, 1)
    return jnp.where(where, scores - mean, 0.0), count
