"""The loss of supervised fine-tuning."""

import jax

from prefjax import ops
from prefjax.metrics import Mean


def sft_loss(
    logps: jax.Array, mask: jax.Array, *, per: str = "token", where: jax.Array | None = None
) -> tuple[Mean, dict[str, Mean]]:
    """Negative log-likelihood of the response: L = -mean_t log policy(y_t | x, y_<t).

    Args:
      logps: `[B, T]`, nats.
      mask: `[B, T]` bool: the response tokens.
      per: "token" weighs every token alike (the cross-entropy of language models); "sequence" sums over the tokens of
        a response and weighs every response alike.
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
    ops.check_shape("logps", logps, (None, None))
    ops.check_same_shape(logps=logps, mask=mask)
    if per not in ("token", "sequence"):
        raise ValueError(f"per: expected 'token' or 'sequence', got {per!r}")
    if where is not None:
        ops.check_shape("where", where, logps.shape[:1])
        mask = mask & where[:, None]
    totals = ops.sum_tokens(logps, mask)
    loss = Mean.of(-logps, mask) if per == "token" else Mean.of(-totals, where)
    return loss, {"logps/response": Mean.of(jax.lax.stop_gradient(totals), where)}
