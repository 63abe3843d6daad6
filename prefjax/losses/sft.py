"""The loss of supervised fine-tuning."""

import jax

from prefjax import ops
from prefjax.losses.rows import average, masked
from prefjax.metrics import Mean


def sft_loss(
    logps: jax.Array, mask: jax.Array, *, per: str = "token", where: jax.Array | None = None
) -> tuple[Mean, dict[str, Mean]]:
    """Negative log-likelihood of the response: L = -mean_t log policy(y_t | x, y_<t).

    Args:
      logps: `[B, T]`, nats.
      mask: `[B, T]` bool: the response tokens.
      per: "token" weighs every token alike (the cross-entropy of language models); "response" every response, by the
        mean over its tokens, as in the term that Pang et al. 2024 add to DPO
        (https://arxiv.org/abs/2404.19733); "sequence" every response, by the sum.
      where: `[B]` bool, the rows that count.

    Returns:
      The loss in nats a token (or a sequence), and `logps/response`: the summed log-probability of a response.

    Raises:
      ValueError: a shape other than those above, or another `per`.

    >>> import jax.numpy as jnp
    >>> loss, _ = sft_loss(jnp.array([[0.0, -1.0, -3.0]]), jnp.array([[False, True, True]]))
    >>> print(f"{loss.value:.1f}")
    2.0
    """
    mask, logps = masked(mask, where, logps=logps)
    metrics = {"logps/response": Mean.of(ops.sum_tokens(logps, mask), where)}
    return average(-logps, mask, per, where), jax.lax.stop_gradient(metrics)
