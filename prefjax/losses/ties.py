"""Reward-model losses for judgements that may be ties, or graded: what `bradley_terry_loss` has no column for."""

import jax
import jax.numpy as jnp

from prefjax import ops
from prefjax.losses.bradley_terry import bradley_terry_loss
from prefjax.metrics import Mean


def rao_kupper_loss(
    rewards: jax.Array,
    *,
    target: jax.Array | None = None,
    theta: float | jax.Array = 2.0,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """Bradley-Terry with ties as what lies within a threshold: a difference has to exceed log(theta) to be seen.

        P(0 wins) = sigmoid(h - log theta),   P(1 wins) = sigmoid(-h - log theta),   h = r_0 - r_1

    and ties are the rest. Rao & Kupper 1967 (https://doi.org/10.1080/01621459.1967.10482901).

    Args:
      rewards: `[B, 2]`.
      target: `[B]` in [0, 1]: 1 where candidate 0 wins, 0 where candidate 1 does, 1/2 a tie. What lies between
        counts as a tie in part: 3/4 is half a win and half a tie.
      theta: above 1; at 2 equal rewards make the three outcomes equally likely.
      where: `[B]` bool, the pairs that count.

    Returns:
      The loss in nats a pair, and the metrics of `bradley_terry_loss`.

    Raises:
      ValueError: a shape other than those above.

    >>> import jax.numpy as jnp
    >>> loss, _ = rao_kupper_loss(jnp.zeros((1, 2)), target=jnp.full(1, 0.5))
    >>> print(f"{loss.value:.6f}")  # log 3
    1.098612
    """
    difference, outcomes, metrics = _judged(rewards, target, where)
    threshold = jnp.log(jnp.float32(theta))
    wins, loses = jax.nn.log_sigmoid(difference - threshold), jax.nn.log_sigmoid(-difference - threshold)
    ties = wins + loses + jnp.log(jnp.expm1(2 * threshold))
    return Mean.of(-jnp.sum(outcomes * jnp.stack([wins, ties, loses], -1), -1), where), metrics


def davidson_loss(
    rewards: jax.Array,
    *,
    target: jax.Array | None = None,
    nu: float | jax.Array = 1.0,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """Bradley-Terry with ties as a third outcome, as likely as the geometric mean of the other two.

        P(0 wins) : P(tie) : P(1 wins) = exp(h / 2) : nu : exp(-h / 2),   h = r_0 - r_1

    Davidson 1970 (https://doi.org/10.1080/01621459.1970.10481082). The odds of a win to a loss are those
    of Bradley-Terry, whatever nu.

    Args:
      rewards, target, where: as in `rao_kupper_loss`.
      nu: above 0; at 1 equal rewards make the three outcomes equally likely.

    Returns:
      The loss in nats a pair, and the metrics of `bradley_terry_loss`.

    >>> import jax.numpy as jnp
    >>> loss, _ = davidson_loss(jnp.zeros((1, 2)))
    >>> print(f"{loss.value:.6f}")  # log 3
    1.098612
    """
    difference, outcomes, metrics = _judged(rewards, target, where)
    ties = jnp.full_like(difference, jnp.log(jnp.float32(nu)))
    logits = jnp.stack([difference / 2, ties, -difference / 2], axis=-1)
    return Mean.of(-jnp.sum(outcomes * jax.nn.log_softmax(logits), axis=-1), where), metrics


def ordinal_loss(
    rewards: jax.Array,
    *,
    grade: jax.Array | None = None,
    first: float | jax.Array = 0.5,
    second: float | jax.Array = 1.5,
    third: float | jax.Array = 3.0,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """The likelihood of a grade on seven levels, by cut-points between them: a cumulative logit model.

        P(grade > k) = sigmoid(h - c_k),   c = (-third, -second, -first, first, second, third),   h = r_0 - r_1

    McCullagh 1980 (https://doi.org/10.1111/j.2517-6161.1980.tb01109.x), with cut-points that are the same
    for both candidates. The chance of a grade above 0 is that of a win in `rao_kupper_loss` with theta = exp(first).

    Args:
      rewards: `[B, 2]`.
      grade: `[B]` whole numbers from -3 to 3, positive: candidate 0 is better, 0: a tie; by default 3.
        With another number the loss is NaN.
      first, second, third: 0 < first < second < third, in units of reward.
      where: `[B]` bool, the pairs that count.

    Returns:
      The loss in nats a pair, and the metrics of `bradley_terry_loss`.

    Raises:
      ValueError: a shape other than those above.

    >>> import jax.numpy as jnp
    >>> loss, _ = ordinal_loss(jnp.zeros((1, 2)), grade=jnp.array([0.0]), first=1.0)
    >>> print(f"{loss.value:.6f}")  # -log(sigmoid(1) - sigmoid(-1))
    0.771937
    """
    grade = jnp.full(rewards.shape[:1], 3, jnp.float32) if grade is None else jnp.asarray(grade).astype(jnp.float32)
    ops.check_shape("grade", grade, rewards.shape[:1])
    grade = grade if where is None else jnp.where(where, grade, 0)
    difference, _, metrics = _judged(rewards, (jnp.sign(grade) + 1) / 2, where)
    third_up = jnp.stack([jnp.float32(x) for x in (first, second, third)])
    cuts = jnp.concatenate([jnp.array([-jnp.inf]), -third_up[::-1], third_up, jnp.array([jnp.inf])])
    level = jnp.where(jnp.isnan(grade), 0, jnp.clip(grade, -3, 3)).astype(jnp.int32) + 3
    low, high = difference - cuts[level], difference - cuts[level + 1]
    # log(sigmoid(low) - sigmoid(high)), each of its factors at its own scale
    width = cuts[level + 1] - cuts[level]
    losses = -(jax.nn.log_sigmoid(low) + jax.nn.log_sigmoid(-high) + jnp.log(-jnp.expm1(-width)))
    graded = (jnp.abs(grade) <= 3) & (grade == jnp.round(grade))
    return Mean.of(jnp.where(graded, losses, jnp.nan), where), metrics


def _judged(rewards, target, where):
    """Differences of rewards `[B]`, the weights `[B, 3]` of win, tie and loss, and the metrics."""
    ops.check_shape("rewards", rewards, (None, 2))
    if where is not None:
        ops.check_shape("where", where, rewards.shape[:1])
        rewards = jnp.where(where[:, None], rewards, 0)
        target = None if target is None else jnp.where(where, target, 0.5)
    _, metrics = bradley_terry_loss(jax.lax.stop_gradient(rewards), target=target, where=where)
    rewards = rewards.astype(jnp.float32)
    q = 2 * (jnp.ones(rewards.shape[:1]) if target is None else target.astype(jnp.float32)) - 1
    outcomes = jnp.stack([jax.nn.relu(q), 1 - jnp.abs(q), jax.nn.relu(-q)], axis=-1)
    return rewards[:, 0] - rewards[:, 1], outcomes, metrics
