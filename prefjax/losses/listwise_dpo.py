"""DPO and its family on rankings of any length, by the implicit rewards of all the candidates of a row."""

import jax
import jax.numpy as jnp

from prefjax.losses import ranked
from prefjax.losses.listwise import all_pairs_loss, plackett_luce_loss
from prefjax.metrics import Mean


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
    rewards, ranks, metrics = ranked.implicit(logps, ref_logps, mask, beta, ranks, where)
    return plackett_luce_loss(rewards, ranks=ranks, where=where)[0], metrics


def lipo_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    beta: float | jax.Array = 0.1,
    ranks: jax.Array | None = None,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """DPO on all pairs of a ranking, each weighed by what its order is worth to the whole: LiPO-lambda.

        L = sum over pairs with i above j of w_ij (-log sigmoid(r_i - r_j)),
        w_ij = |G_i - G_j| |1 / D_i - 1 / D_j|,   G = 2^psi - 1,   D = log(1 + place)

    r are the implicit rewards, `place` is that of a candidate (1 the first) in the order of r, without a gradient, and
    psi the worth of a rank: 1 of the first to 0 of the last, in equal steps. Liu et al. 2024, equation 8
    (https://arxiv.org/abs/2402.01878), whose psi are scores of a reward model. Candidates of equal rank are no pair.

    Args:
      logps, ref_logps, mask, beta, ranks, where: as in `plackett_luce_dpo_loss`.

    Returns:
      The loss a ranking, and the metrics of `plackett_luce_dpo_loss`. Of two candidates it is `dpo_loss` times
      1 / log 2 - 1 / log 3.

    >>> import jax.numpy as jnp
    >>> loss, _ = lipo_loss(jnp.zeros((1, 2, 1)), jnp.zeros((1, 2, 1)), jnp.ones((1, 2, 1), bool))
    >>> print(f"{loss.value:.6f}")  # 1 - log 2 / log 3
    0.369070
    """
    rewards, ranks, metrics = ranked.implicit(logps, ref_logps, mask, beta, ranks, where)
    held = jax.lax.stop_gradient(rewards)
    before = jnp.tri(ranks.shape[1], k=-1, dtype=bool)[None]  # equal rewards lie in the order they are written
    ahead = (held[:, None, :] > held[:, :, None]) | ((held[:, None, :] == held[:, :, None]) & before)  # j of i
    places = 1 + jnp.sum(ahead & (ranks >= 0)[:, None, :], axis=-1, dtype=jnp.float32)
    discounts = 1 / jnp.log1p(places)
    last = jnp.max(ranks, axis=1, keepdims=True).astype(jnp.float32)
    gains = jnp.exp2(1 - ranks.astype(jnp.float32) / jnp.maximum(last, 1.0))
    weights = jnp.abs(gains[:, :, None] - gains[:, None, :]) * jnp.abs(discounts[:, :, None] - discounts[:, None, :])
    losses = jnp.where(ranked.above(ranks), -weights * jax.nn.log_sigmoid(rewards[:, :, None] - rewards[:, None, :]), 0)
    return Mean.of(jnp.sum(losses, axis=(1, 2)), where), metrics


def all_pairs_dpo_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    beta: float | jax.Array = 0.1,
    ranks: jax.Array | None = None,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """DPO on every pair of a ranking, their mean one element of the batch: `all_pairs_loss` on the implicit rewards.

    The pairs are all two candidates of different rank. Rafailov et al. 2023, equation 7
    (https://arxiv.org/abs/2305.18290), reduced as in Ouyang et al. 2022, equation 1 (https://arxiv.org/abs/2203.02155).

    Args:
      logps, ref_logps, mask, beta, ranks, where: as in `plackett_luce_dpo_loss`.

    Returns:
      The loss in nats a pair (log 2 where policy and reference agree), and the metrics of `plackett_luce_dpo_loss`.

    >>> import jax.numpy as jnp
    >>> loss, _ = all_pairs_dpo_loss(jnp.zeros((1, 3, 2)), jnp.zeros((1, 3, 2)), jnp.ones((1, 3, 2), bool))
    >>> print(f"{loss.value:.6f}")  # log 2
    0.693147
    """
    rewards, ranks, metrics = ranked.implicit(logps, ref_logps, mask, beta, ranks, where)
    return all_pairs_loss(rewards, ranks=ranks, where=where)[0], metrics


def all_pairs_ipo_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    tau: float | jax.Array = 0.1,
    ranks: jax.Array | None = None,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """IPO on every pair of a ranking, their mean one element of the batch.

        L = mean over pairs with i above j of (h_i - h_j - 1 / (2 tau))^2,   h = log(policy / reference)

    The pairs are all two candidates of different rank, however far apart: the same gap is asked of each, so a ranking
    of three is no exact fit. Azar et al. 2023, equation 17 (https://arxiv.org/abs/2310.12036), of pairs.

    Args:
      logps, ref_logps, mask, ranks, where: as in `plackett_luce_dpo_loss`.
      tau: strength of the pull towards the reference.

    Returns:
      The loss a pair, and the metrics of `plackett_luce_dpo_loss` with implicit rewards tau log(policy / reference).

    >>> import jax.numpy as jnp
    >>> loss, _ = all_pairs_ipo_loss(jnp.zeros((1, 3, 2)), jnp.zeros((1, 3, 2)), jnp.ones((1, 3, 2), bool))
    >>> print(f"{loss.value:.1f}")  # 1 / (4 tau^2)
    25.0
    """
    rewards, ranks, metrics = ranked.implicit(logps, ref_logps, mask, tau, ranks, where)
    gaps = (rewards[:, :, None] - rewards[:, None, :]) / tau
    return ranked.mean_of_pairs((gaps - 0.5 / tau) ** 2, ranks, where), metrics
