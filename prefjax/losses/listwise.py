"""Reward-model losses on rankings: a row holds N candidates, some of which it may lack, and some of equal rank."""

import jax
import jax.numpy as jnp

from prefjax.losses import ranked
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
    rewards, ranks = ranked.masked(rewards, ranks, where)
    present = ranks >= 0
    left = present[:, None, :] & (ranks[:, None, :] >= ranks[:, :, None])
    left |= jnp.eye(ranks.shape[1], dtype=bool)[None]  # so that no candidate has nothing to be compared with
    totals = jax.nn.logsumexp(jnp.where(left, rewards[:, None, :], -jnp.inf), axis=-1)
    losses = jnp.sum(jnp.where(present, totals - rewards, 0), axis=-1)
    return Mean.of(losses, where), ranked.metrics(rewards, ranks)


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
    rewards, ranks = ranked.masked(rewards, ranks, where)
    losses = -jax.nn.log_sigmoid(rewards[:, :, None] - rewards[:, None, :])
    return ranked.mean_of_pairs(losses, ranks, where), ranked.metrics(rewards, ranks)
