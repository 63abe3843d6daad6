"""The pairwise loss of reward models."""

import jax
import jax.numpy as jnp

from prefjax import ops
from prefjax.metrics import Mean


def bradley_terry_loss(
    rewards: jax.Array,
    *,
    margin: jax.Array | None = None,
    target: jax.Array | None = None,
    label_smoothing: float | jax.Array = 0.0,
    centering: float | jax.Array = 0.0,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """Negative log-likelihood of the preferred candidate under the Bradley-Terry model.

        L = -q log sigmoid(h) - (1 - q) log sigmoid(-h) + c (r_0 + r_1)^2,   h = r_0 - r_1 - margin

    with q the probability that candidate 0 wins: 1 - label_smoothing, or `target` mixed with 1/2 in the same way,
    q = target (1 - 2 label_smoothing) + label_smoothing. Bradley & Terry 1952; as a reward-model loss, Ouyang et al.
    2022, equation 1 (https://arxiv.org/abs/2203.02155); margin, Touvron et al. 2023, equation 2
    (https://arxiv.org/abs/2307.09288); centering, Eisenstein et al. 2023, section 2 (https://arxiv.org/abs/2312.09244).

    Args:
      rewards: `[B, 2]`, candidate 0 chosen.
      margin: `[B]`, in units of reward: by how much candidate 0 should win.
      target: `[B]` in [0, 1]: soft labels, vote shares, ties 1/2.
      label_smoothing: probability that a label is flipped.
      centering: weight of the penalty that keeps the mean reward of a pair near 0.
      where: `[B]` bool, the pairs that count.

    Returns:
      The loss in nats a pair, and `rewards/chosen`, `rewards/rejected`, `rewards/margin`, `rewards/accuracy`
      (share of pairs with r_0 > r_1, an exact tie half; with `target`, agreement with its side, its ties left out).

    Raises:
      ValueError: a shape other than those above.

    >>> import jax.numpy as jnp
    >>> loss, metrics = bradley_terry_loss(jnp.array([[1.0, 0.0]]))
    >>> print(f"{loss.value:.6f}")  # log(1 + exp(-1))
    0.313262
    """
    ops.check_shape("rewards", rewards, (None, 2))
    pairs = rewards.shape[:1]
    for name, x in (("margin", margin), ("target", target), ("where", where)):
        if x is not None:
            ops.check_shape(name, x, pairs)
    if where is not None:  # before the nonlinearity: what is under the mask reaches neither the loss nor the gradient
        rewards = jnp.where(where[:, None], rewards, 0)
        margin = None if margin is None else jnp.where(where, margin, 0)
        target = None if target is None else jnp.where(where, target, 0.5)
    chosen, rejected = rewards[:, 0].astype(jnp.float32), rewards[:, 1].astype(jnp.float32)
    difference = chosen - rejected
    logits = difference if margin is None else difference - margin.astype(jnp.float32)
    q = jnp.ones(pairs, jnp.float32) if target is None else target.astype(jnp.float32)
    q = q * (1 - 2 * label_smoothing) + label_smoothing
    losses = -q * jax.nn.log_sigmoid(logits) - (1 - q) * jax.nn.log_sigmoid(-logits)
    losses += centering * (chosen + rejected) ** 2

    side = jnp.ones(pairs, jnp.float32) if target is None else jnp.sign(target.astype(jnp.float32) - 0.5)
    judged = side != 0 if where is None else (side != 0) & where
    metrics = {
        "rewards/chosen": Mean.of(chosen, where),
        "rewards/rejected": Mean.of(rejected, where),
        "rewards/margin": Mean.of(difference, where),
        "rewards/accuracy": Mean.of((jnp.sign(difference) * side + 1) / 2, judged),
    }
    return Mean.of(losses, where), jax.lax.stop_gradient(metrics)
