"""The score-function gradient, and the KL divergence as a term of a loss."""

import jax

from prefjax import ops
from prefjax.losses.rows import average, masked
from prefjax.metrics import Mean


def policy_gradient_loss(
    logps: jax.Array,
    advantages: jax.Array,
    mask: jax.Array,
    *,
    per: str = "token",
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """REINFORCE: L = -mean_t A_t log policy(y_t | x, y_<t), on samples of the policy itself.

    Williams 1992; with the advantages of `prefjax.advantages.rloo` and `per="sequence"` it is RLOO, Ahmadian et al.
    2024 (https://arxiv.org/abs/2402.14740).

    Args:
      logps: `[B, T]`, nats.
      advantages: `[B, T]`; one number a response stands at each of its tokens.
      mask: `[B, T]` bool: the response tokens.
      per: "token" weighs every token alike; "response" every response, by the mean over its tokens (Shao et al. 2024,
        https://arxiv.org/abs/2402.03300); "sequence" every response, by the sum, which is the gradient of the expected
        reward.
      where: `[B]` bool, the rows that count.

    Returns:
      The loss, whose gradient alone has a meaning, and `logps/response`: the summed log-probability of a response.

    Raises:
      ValueError: a shape other than those above, or another `per`.

    >>> import jax.numpy as jnp
    >>> logps, advantages = jnp.array([[-1.0, -3.0]]), jnp.array([[2.0, 2.0]])
    >>> loss, _ = policy_gradient_loss(logps, advantages, jnp.ones((1, 2), bool))
    >>> print(f"{loss.value:.1f}")
    4.0
    """
    mask, logps, advantages = masked(mask, where, logps=logps, advantages=advantages)
    metrics = {"logps/response": Mean.of(ops.sum_tokens(logps, mask), where)}
    return average(-advantages * logps, mask, per, where), jax.lax.stop_gradient(metrics)


def kl_loss(
    logps: jax.Array,
    ref_logps: jax.Array,
    mask: jax.Array,
    *,
    per: str = "token",
    where: jax.Array | None = None,
) -> tuple[Mean, dict[str, Mean]]:
    """Half the squared log-ratio, whose gradient on samples of the policy is that of KL(policy || reference).

        E[l grad log policy] = grad KL,   l = log(policy / reference)

    Estimator k2 of http://joschu.net/blog/kl-approx.html. k1 and k3 are the better estimates of the value, and the
    metrics here, but differentiated on samples they give 0 and grad KL(reference || policy).

    Args:
      logps: `[B, T]`, nats, of the policy, which also drew the samples.
      ref_logps: `[B, T]`, nats.
      mask: `[B, T]` bool: the response tokens.
      per: "token" takes l of a token, and its gradient is that of the KL at each token, with the prefixes the policy
        drew held fixed; "response" is that by the mean of a response; "sequence" takes l of a whole response, and its
        gradient is that of the KL of responses.
      where: `[B]` bool, the rows that count.

    Returns:
      The loss in nats a token (or a sequence), and `kl/k1`, `kl/k3`: estimates of the KL in nats a token.

    Raises:
      ValueError: a shape other than those above, or another `per`.

    >>> import jax.numpy as jnp
    >>> loss, _ = kl_loss(jnp.array([[-1.0, -1.0]]), jnp.array([[-2.0, -3.0]]), jnp.ones((1, 2), bool), per="sequence")
    >>> print(f"{loss.value:.1f}")  # (1 + 2)^2 / 2
    4.5
    """
    mask, logps, ref_logps = masked(mask, where, logps=logps, ref_logps=ref_logps)
    metrics = {"kl/k1": Mean.of(ops.kl_k1(logps, ref_logps), mask), "kl/k3": Mean.of(ops.kl_k3(logps, ref_logps), mask)}
    if per == "sequence":
        loss = Mean.of(ops.kl_k2(ops.sum_tokens(logps, mask), ops.sum_tokens(ref_logps, mask)), where)
    else:
        loss = average(ops.kl_k2(logps, ref_logps), mask, per, where)
    return loss, jax.lax.stop_gradient(metrics)
