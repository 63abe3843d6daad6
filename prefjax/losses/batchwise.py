"""Losses that compare a row with the rest of its batch: their value depends on which rows lie together.

The statistic is over the rows of a batch, so these losses are no sums over rows, and `spans_batch` marks them: a run
refuses microbatches and `pmap` with them, and their value on held-out rows depends on `batch_size`.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

from prefjax import ops
from prefjax.losses import implicit
from prefjax.losses.bradley_terry import bradley_terry_loss
from prefjax.losses.rows import judged, masked
from prefjax.metrics import Mean

Loss = TypeVar("Loss", bound=Callable)


def spans_batch(loss: Loss) -> Loss:
    """Marks a loss whose parts of a batch do not add up to the whole."""
    loss.__dict__["spans_batch"] = True
    return loss


@spans_batch
def kto_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    other_logps: jax.Array,
    other_ref_logps: jax.Array,
    other_mask: jax.Array,
    *,
    beta: float | jax.Array = 0.1,
    desirable: float | jax.Array = 1.0,
    undesirable: float | jax.Array = 1.0,
    target: jax.Array | None = None,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """Kahneman-Tversky optimisation: each response by itself is good or bad, against what the policy gains in general.

        L = desirable sigmoid(beta (z_0 - r))  of good responses,   undesirable sigmoid(beta (r - z_0))  of bad ones

    r = log(policy(y | x) / reference(y | x)), and z_0 = max(0, mean of r over mismatched responses), held fixed: an
    estimate of KL(policy || reference) from the batch's own responses, each under the prompt of another row.
    Ethayarajh et al. 2024 (https://arxiv.org/abs/2402.01306).

    Args:
      logps, ref_logps: `[B, T]`, nats, of the policy and of the reference.
      mask: `[B, T]` bool: the response tokens.
      other_logps, other_ref_logps, other_mask: the same of mismatched rows, the prompt of each with the response of
        another. A row without a token is left out of z_0.
      beta: strength of the pull towards the reference.
      desirable, undesirable: weights of good and bad responses, to make up for how often each occurs.
      target: `[B]`: 1 good, 0 bad; by default all are good.
      where: `[B]` bool, the rows that count, and whose mismatched rows do.

    Returns:
      The loss a response (1/2 where policy and reference agree), `kl`, that is z_0 in nats, and `rewards/chosen`,
      `rewards/rejected`: beta r of good and bad responses.

    Raises:
      ValueError: a shape other than those above.

    >>> import jax.numpy as jnp
    >>> x, mask = jnp.zeros((1, 1)), jnp.ones((1, 1), bool)
    >>> loss, _ = kto_loss(x + 2, x, mask, x + 0.5, x, mask)
    >>> print(f"{loss.value:.6f}")  # sigmoid(0.1 (0.5 - 2))
    0.462570
    """
    other_mask, *others = masked(other_mask, where, logps=other_logps, ref_logps=other_ref_logps)
    others = jax.lax.stop_gradient(ops.sum_tokens(others[0] - others[1], other_mask))
    start = jax.nn.relu(Mean.of(others, jnp.any(other_mask, axis=-1)).value)
    ratios, good, metrics = judged(logps, ref_logps, mask, target, beta, where)
    losses = jnp.where(
        good, desirable * jax.nn.sigmoid(beta * (start - ratios)), undesirable * jax.nn.sigmoid(beta * (ratios - start))
    )
    return Mean.of(losses, where), metrics | {"kl": Mean.of(jnp.broadcast_to(start, good.shape), where)}


@spans_batch
def bco_unpaired_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    beta: float | jax.Array = 0.1,
    target: jax.Array | None = None,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """Binary classifier optimisation on single responses, against the middle of good and bad rewards in the batch.

        L = -log sigmoid(r - d)  of good responses,   -log sigmoid(d - r)  of bad ones

    r = beta log(policy(y | x) / reference(y | x)), and d = (mean of r of good ones + that of bad ones) / 2, held fixed.
    Jung et al. 2024 (https://arxiv.org/abs/2404.04656), whose d is a running mean over batches.

    Args:
      logps, ref_logps, mask, beta, target, where: as in `kto_loss`.

    Returns:
      The loss in nats a response (log 2 where policy and reference agree), `shift`, that is d, and `rewards/chosen`,
      `rewards/rejected`.

    >>> import jax.numpy as jnp
    >>> x, mask = jnp.array([[2.0], [0.0]]), jnp.ones((2, 1), bool)
    >>> loss, _ = bco_unpaired_loss(x, 0 * x, mask, beta=1.0, target=jnp.array([1.0, 0.0]))
    >>> print(f"{loss.value:.6f}")  # log(1 + exp(-1))
    0.313262
    """
    ratios, good, metrics = judged(logps, ref_logps, mask, target, beta, where)
    means = [metrics[name] for name in ("rewards/chosen", "rewards/rejected")]
    there = jnp.stack([mean.weight > 0 for mean in means])  # a batch may lack one kind
    shift = Mean.of(jnp.stack([mean.value for mean in means]), there).value
    losses = -jax.nn.log_sigmoid(jnp.where(good, beta * ratios - shift, shift - beta * ratios))
    return Mean.of(losses, where), metrics | {"shift": Mean.of(jnp.broadcast_to(shift, good.shape), where)}


@spans_batch
def aot_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    beta: float | jax.Array = 0.1,
    paired: bool = True,
    label_smoothing: float | jax.Array = 0.0,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """Alignment by optimal transport: the quantiles of one distribution over the batch should lie above the other's.

        L = mean_k -log sigmoid(beta (a_(k) - b_(k))),   (k) the k-th smallest of the batch

    With `paired`, a is the policy's margin log policy(y_0) - log policy(y_1) and b the reference's; without, a is the
    log-ratio log(policy / reference) of the chosen responses and b that of the rejected ones. Melnyk et al. 2024
    (https://arxiv.org/abs/2406.05882). Of one pair both are `dpo_loss`.

    Args:
      logps, ref_logps, mask, beta, where: as in `dpo_loss`.
      paired: which two distributions are compared.
      label_smoothing: probability that a label is flipped, as in `bradley_terry_loss`.

    Returns:
      The loss in nats a pair (log 2 where policy and reference agree), and the metrics of `dpo_loss`.

    >>> import jax.numpy as jnp
    >>> loss, _ = aot_loss(jnp.zeros((1, 2, 1)), jnp.zeros((1, 2, 1)), jnp.ones((1, 2, 1), bool))
    >>> print(f"{loss.value:.6f}")
    0.693147
    """
    log_ratios, metrics = implicit.log_ratios(logps, ref_logps, mask, where)
    high, low = log_ratios[:, 0], log_ratios[:, 1]
    if paired:
        policy = ops.sum_tokens(*implicit.responses(logps, mask, where)[:2])
        reference = policy - log_ratios
        high, low = policy[:, 0] - policy[:, 1], reference[:, 0] - reference[:, 1]
    counted = jnp.ones(high.shape, bool) if where is None else where
    ranked = jnp.arange(len(high)) < jnp.sum(counted)  # those that do not count are sorted to the end
    high, low = (jnp.sort(jnp.where(counted, x, jnp.nan)) for x in (high, low))  # NaN that counts comes last as well
    loss, _ = bradley_terry_loss(beta * jnp.stack([high, low], axis=1), label_smoothing=label_smoothing, where=ranked)
    return loss, implicit.logistic(beta * log_ratios, where, metrics)[1]


@spans_batch
def beta_dpo_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    beta: float | jax.Array = 0.1,
    alpha: float | jax.Array = 0.6,
    threshold: float | jax.Array = 0.0,
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """DPO whose beta is larger in batches of clear pairs, and smaller in those of close ones: beta-DPO.

        L = -log sigmoid(b h),   b = beta max(0, 1 + alpha (beta mean of h - threshold))

    h = log(policy(y_0) / reference(y_0)) - log(policy(y_1) / reference(y_1)), and b is held fixed. Wu et al. 2024,
    equations 6 and 9 (https://arxiv.org/abs/2407.08639), whose threshold is a running mean over batches; their filter
    of outliers, which draws rows at random, is left out.

    Args:
      logps, ref_logps, mask, where: as in `dpo_loss`.
      beta: of a batch whose mean margin is the threshold.
      alpha: how much a batch's mean margin matters.
      threshold: margin of implicit rewards beta h.

    Returns:
      The loss in nats a pair (log 2 where policy and reference agree), the metrics of `dpo_loss`, and its `beta`.

    >>> import jax.numpy as jnp
    >>> loss, _ = beta_dpo_loss(jnp.array([[[2.0], [0.0]]]), jnp.zeros((1, 2, 1)), jnp.ones((1, 2, 1), bool), beta=0.5)
    >>> print(f"{loss.value:.6f}")  # log(1 + exp(-0.8 * 2))
    0.183901
    """
    log_ratios, metrics = implicit.log_ratios(logps, ref_logps, mask, where)
    gaps = log_ratios[:, 0] - log_ratios[:, 1]
    margin = beta * Mean.of(jax.lax.stop_gradient(gaps), where).value
    batch_beta = beta * jax.nn.relu(1 + alpha * (margin - threshold))
    metrics |= {"beta": Mean.of(jnp.broadcast_to(batch_beta, gaps.shape), where)}
    return implicit.pairs(-jax.nn.log_sigmoid(batch_beta * gaps), beta * log_ratios, where, metrics)
