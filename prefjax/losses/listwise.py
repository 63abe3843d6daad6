"""Losses on rankings of any length: a row holds N candidates, some of which it may lack, and some of equal rank."""

import jax
import jax.numpy as jnp

from prefjax import ops
from prefjax.metrics import Mean


def plackett_luce_loss(
    rewards: jax.Array, *, ranks: jax.Array | None = None, where: jax.Array | None = None
) -> tuple[Mean, dict[str, Mean]]:
    """Negative log-likelihood of a ranking under the Plackett-Luce model: each candidate is the first of what is left.

        L = sum_i log sum_{j not above i} exp(r_j) - r_i

    Plackett 1975; Luce 1959; for language models Rafailov et al. 2023, appendix A.3 (https://arxiv.org/abs/2305.18290).
    Of two candidates it is `bradley_terry_loss`. Candidates of equal rank are each compared with all of their rank and
    below it, the approximation of Breslow 1974 to the likelihood over all orders of them.

    Args:
      rewards: `[B, N]`, in nats: best first, without `ranks`.
      ranks: `[B, N]` int, 0 best, equal numbers equal ranks, -1 where a row has no such candidate.
      where: `[B]` bool, the rows that count.

    Returns:
      The loss in nats a ranking, and over all ordered pairs of candidates `rewards/margin` and `rewards/accuracy` (the
      share with r_i > r_j, an exact tie half); `rewards/chosen` of the best candidates, `rewards/rejected` of the rest.

    Raises:
      ValueError: a shape other than those above.

    >>> import jax.numpy as jnp
    >>> loss, _ = plackett_luce_loss(jnp.array([[2.0, 1.0, 0.0]]))
    >>> print(f"{loss.value:.6f}")  # log(1 + exp(-1) + exp(-2)) + log(1 + exp(-1))
    0.720868
    """
    rewards, ranks = _masked(rewards, ranks, where)
    present = ranks >= 0
    left = present[:, None, :] & (ranks[:, None, :] >= ranks[:, :, None])
    left |= jnp.eye(ranks.shape[1], dtype=bool)[None]  # so that no candidate has nothing to be compared with
    totals = jax.nn.logsumexp(jnp.where(left, rewards[:, None, :], -jnp.inf), axis=-1)
    losses = jnp.sum(jnp.where(present, totals - rewards, 0), axis=-1)
    return Mean.of(losses, where), _metrics(rewards, ranks)


def all_pairs_loss(
    rewards: jax.Array, *, ranks: jax.Array | None = None, where: jax.Array | None = None
) -> tuple[Mean, dict[str, Mean]]:
    """Bradley-Terry loss on every pair of a ranking, their mean one element of the batch.

        L = mean over pairs with i above j of -log sigmoid(r_i - r_j)

    Ouyang et al. 2022, equation 1 (https://arxiv.org/abs/2203.02155), where all K choose 2 pairs of a prompt are one
    element: as rows of their own they would let it be learnt by heart. Candidates of equal rank are no pair.

    Args:
      rewards, ranks, where: as in `plackett_luce_loss`.

    Returns:
      The loss in nats a pair, and the metrics of `plackett_luce_loss`.

    >>> import jax.numpy as jnp
    >>> loss, _ = all_pairs_loss(jnp.array([[2.0, 1.0, 0.0]]))
    >>> print(f"{loss.value:.6f}")  # (2 log(1 + exp(-1)) + log(1 + exp(-2))) / 3
    0.251150
    """
    rewards, ranks = _masked(rewards, ranks, where)
    above = _above(ranks)
    losses = jnp.where(above, -jax.nn.log_sigmoid(rewards[:, :, None] - rewards[:, None, :]), 0)
    counts = jnp.sum(above, axis=(1, 2), dtype=jnp.float32)
    return Mean.of(jnp.sum(losses, axis=(1, 2)) / jnp.maximum(counts, 1.0), where), _metrics(rewards, ranks)


def plackett_luce_dpo_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    beta: float | jax.Array = 0.1,
    ranks: jax.Array | None = None,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """DPO on rankings: `plackett_luce_loss` on the implicit rewards beta log(policy(y_i | x) / reference(y_i | x)).

    Rafailov et al. 2023, appendix A.3 (https://arxiv.org/abs/2305.18290). Of two candidates it is `dpo_loss`.

    Args:
      logps: `[B, N, T]`, nats, of the policy.
      ref_logps: `[B, N, T]`, nats, of the reference.
      mask: `[B, N, T]` bool: the response tokens.
      beta: strength of the pull towards the reference.
      ranks, where: as in `plackett_luce_loss`.

    Returns:
      The loss in nats a ranking (log N! where policy and reference agree), the metrics of `plackett_luce_loss` on the
      implicit rewards, and `logps/chosen`, `logps/rejected`: the policy's summed log-probabilities.

    Raises:
      ValueError: a shape other than those above.

    >>> import jax.numpy as jnp
    >>> loss, _ = plackett_luce_dpo_loss(jnp.zeros((1, 3, 2)), jnp.zeros((1, 3, 2)), jnp.ones((1, 3, 2), bool))
    >>> print(f"{loss.value:.6f}")  # log 6
    1.791759
    """
    ops.check_shape("logps", logps, (None, None, None))
    ops.check_same_shape(logps=logps, ref_logps=ref_logps, mask=mask)
    policy, reference = (ops.sum_tokens(x.astype(jnp.float32), mask) for x in (logps, ref_logps))
    loss, metrics = plackett_luce_loss(beta * (policy - reference), ranks=ranks, where=where)
    policy, ranks = _masked(jax.lax.stop_gradient(policy), ranks, where)
    best = _best(ranks)
    return loss, metrics | {"logps/chosen": Mean.of(policy, best), "logps/rejected": Mean.of(policy, _rest(ranks))}


def _masked(rewards, ranks, where):
    """Rewards in float32, 0 where they do not count, and ranks `[B, N]`, -1 there."""
    ops.check_shape("rewards", rewards, (None, None))
    if ranks is None:
        ranks = jnp.broadcast_to(jnp.arange(rewards.shape[1]), rewards.shape)
    ops.check_shape("ranks", ranks, rewards.shape)
    if where is not None:
        ops.check_shape("where", where, rewards.shape[:1])
        ranks = jnp.where(where[:, None], ranks, -1)
    return jnp.where(ranks >= 0, rewards, 0).astype(jnp.float32), ranks


def _above(ranks):
    """`[B, N, N]` bool: candidate i of a row stands above its candidate j."""
    return (ranks[:, :, None] >= 0) & (ranks[:, :, None] < ranks[:, None, :])


def _best(ranks):
    return (ranks >= 0) & ~jnp.any(_above(ranks), axis=1)


def _rest(ranks):
    return (ranks >= 0) & ~_best(ranks)


def _metrics(rewards, ranks):
    rewards = jax.lax.stop_gradient(rewards)
    gaps, above = rewards[:, :, None] - rewards[:, None, :], _above(ranks)
    return {
        "rewards/chosen": Mean.of(rewards, _best(ranks)),
        "rewards/rejected": Mean.of(rewards, _rest(ranks)),
        "rewards/margin": Mean.of(gaps, above),
        "rewards/accuracy": Mean.of((jnp.sign(gaps) + 1) / 2, above),
    }
