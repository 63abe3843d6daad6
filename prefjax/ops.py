"""The arithmetic that losses share. Imports jax alone.

Log-probabilities, values, rewards, advantages and masks share one index `t`; the shift by one between logits and
tokens happens in `token_logps` and its chunked twin, and nowhere else. float32 inside.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def check_shape(name: str, x: jax.Array, expected: tuple[int | None, ...]) -> None:
    """Raises ValueError, at trace time, unless `x` has the `expected` shape (None matches any size)."""
    fits = len(x.shape) == len(expected) and all(e is None or e == s for e, s in zip(expected, x.shape, strict=True))
    if not fits:
        wanted = ", ".join("*" if e is None else str(e) for e in expected)
        raise ValueError(f"{name}: expected shape [{wanted}], got {list(x.shape)}")


def check_same_shape(**arrays: jax.Array) -> None:
    """Raises ValueError, at trace time, unless all the named arrays have one shape."""
    if len({x.shape for x in arrays.values()}) > 1:
        got = ", ".join(f"{name} {list(x.shape)}" for name, x in arrays.items())
        raise ValueError(f"expected equal shapes, got {got}")


def token_logps(logits: jax.Array, tokens: jax.Array) -> jax.Array:
    """Log-probability of each token given all before it.

    Args:
      logits: `[..., T, V]`; the logits at t predict the token at t + 1.
      tokens: `[..., T]` int.

    Returns:
      `[..., T]` float32, in nats: entry t is log p(token t | tokens < t). Entry 0 is 0: nothing predicts the first
      token, which always belongs to the prompt.
    """
    if logits.shape[:-1] != tokens.shape:
        raise ValueError(
            f"expected logits [..., T, V] and tokens [..., T], got {list(logits.shape)} and {list(tokens.shape)}"
        )
    scores = select_logp(logits[..., :-1, :], tokens[..., 1:])
    return jnp.pad(scores, [(0, 0)] * (tokens.ndim - 1) + [(1, 0)])


def select_logp(logits: jax.Array, tokens: jax.Array) -> jax.Array:
    """Log-probability `[...]` of tokens `[...]` under logits `[..., V]`: no shift."""
    logits = logits.astype(jnp.float32)
    chosen = jnp.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
    return chosen - jax.nn.logsumexp(logits, axis=-1)


def chunked_token_logps(
    hidden: jax.Array,
    head: jax.Array,
    tokens: jax.Array,
    mask: jax.Array,
    *,
    temperature: float | jax.Array = 1.0,
    chunk: int | None = None,
    groups: int = 1,
) -> jax.Array:
    """`token_logps(hidden @ head.T / temperature, tokens)` where `mask` is True and 0 elsewhere; see `chunked`.

    Args:
      hidden: `[..., T, D]` final hidden states; those at t predict the token at t + 1.
      head: `[V, D]` output embedding, read in the type of `hidden`; its gradient is summed in its own.
      tokens: `[..., T]` int.
      mask: `[..., T]` bool: the tokens to score. Entry 0 of a row is never scored.
      temperature: divides the logits.
      chunk, groups: as in `chunked`.

    Returns:
      `[..., T]` float32, in nats.
    """

    def score(states, targets):
        return select_logp(project(states, head) / temperature, targets)

    return chunked(score, hidden, tokens, mask, len(head), chunk=chunk, groups=groups)


def project(states: jax.Array, head: jax.Array) -> jax.Array:
    """Logits `[..., V]`, float32, of states `[..., D]` under the output embedding `[V, D]`."""
    return jnp.einsum("...d,vd->...v", states, head.astype(states.dtype), preferred_element_type=jnp.float32)


def chunked(
    score: Callable[[Any, jax.Array], Any],
    hidden: Any,
    tokens: jax.Array,
    mask: jax.Array,
    vocab: int,
    *,
    chunk: int | None = None,
    groups: int = 1,
) -> Any:
    """What `score` says of every token where `mask` is True, 0 elsewhere, without a `[..., T, V]` array.

    The masked positions are gathered to the front and scored a chunk at a time; chunks that hold none are skipped,
    forward and backward, and what a chunk computes is recomputed in the backward pass.

    Args:
      score: (states `[G, C, D]`, as `hidden`; tokens `[G, C]`) -> float32 `[G, C]`, or a tree of them: of each token,
        from the states that predict it.
      hidden: `[..., T, D]` final hidden states, or a tree of them; those at t predict the token at t + 1.
      tokens: `[..., T]` int.
      mask: `[..., T]` bool: the tokens to score. Entry 0 of a row is never scored.
      vocab: V, logits of a position.
      chunk: positions in flight at once; by default as many as keep a chunk of logits near 16 MiB, at least 256.
      groups: blocks of rows that keep to themselves, so that devices which hold a block each do not exchange tokens.

    Returns:
      float32 `[..., T]`, or a tree of them.
    """
    check_same_shape(tokens=tokens, mask=mask)
    for states in jax.tree.leaves(hidden):
        if states.shape[:-1] != tokens.shape:
            raise ValueError(
                f"expected hidden [..., T, D] and tokens [..., T], got {list(states.shape)} and {list(tokens.shape)}"
            )
    hidden, tokens, mask = jax.tree.map(jnp.asarray, (hidden, tokens, mask))  # indexed by traced values
    shape = tokens.shape
    states = jax.tree.map(lambda x: x[..., :-1, :].reshape(groups, -1, x.shape[-1]), hidden)  # [G, M, D]
    targets, scored = tokens[..., 1:].reshape(groups, -1), mask[..., 1:].reshape(groups, -1)  # [G, M], rows * (T - 1)
    count = targets.shape[1]
    size = min(-(-(chunk or min(max(2**22 // vocab, 256), 4096)) // groups), count)
    chunks = -(-count // size)

    order = jnp.argsort(~scored, axis=1, stable=True)  # scored first, then the rest
    fill = [(0, 0), (0, chunks * size - count)]
    pick = jnp.pad(order, fill)  # [G, chunks * size]
    live = jnp.arange(chunks * size)[None] < jnp.sum(scored, axis=1, keepdims=True)
    split = lambda x: jnp.moveaxis(x.reshape(groups, chunks, size, *x.shape[2:]), 1, 0)
    states = jax.tree.map(lambda x: jnp.take_along_axis(x, pick[..., None], axis=1), states)
    targets = jnp.take_along_axis(targets, pick, axis=1)

    @jax.checkpoint  # of the whole chunk: from inside `cond` a copy of the head would be kept for each
    def score_live(states, targets, live):
        shapes = jax.eval_shape(score, states, targets)
        nothing = lambda states, targets: jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        scores = jax.lax.cond(jnp.any(live[:, 0]), score, nothing, states, targets)
        return jax.tree.map(lambda x: jnp.where(live, x, 0.0), scores)

    def body(_, xs):
        return None, score_live(*xs)

    def back(x):  # [chunks, G, size] -> [..., T]
        x = jnp.take_along_axis(jnp.moveaxis(x, 0, 1).reshape(groups, -1), jnp.argsort(order, axis=1), axis=1)
        return jnp.pad(x.reshape(*shape[:-1], shape[-1] - 1), [(0, 0)] * (len(shape) - 1) + [(1, 0)])

    _, scores = jax.lax.scan(body, None, (jax.tree.map(split, states), split(targets), split(live)))
    return jax.tree.map(back, scores)


def sum_tokens(x: jax.Array, mask: jax.Array) -> jax.Array:
    """Sum over the last axis of `x` where `mask` is True: `[..., T] -> [...]`, float32."""
    check_same_shape(x=x, mask=mask)
    return jnp.sum(jnp.where(mask, x, 0), axis=-1, dtype=jnp.float32)


def mean_tokens(x: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean over the last axis of `x` where `mask` is True, 0 where nothing is: `[..., T] -> [...]`, float32."""
    count = jnp.sum(mask, axis=-1, dtype=jnp.float32)
    return sum_tokens(x, mask) / jnp.where(count == 0, 1.0, count)


def whiten(
    x: jax.Array, mask: jax.Array, *, shift_mean: bool = True, ddof: int = 0, axis_name: str | None = None
) -> jax.Array:
    """`x` with mean 0 and variance 1 over the True entries of `mask`, all axes together; 0 under the mask.

    Args:
      x: any shape.
      mask: bool, the shape of `x`.
      shift_mean: if False the mean is kept, as for rewards.
      ddof: the variance is divided by `count - ddof`. 0 (population) is the choice of openai/lm-human-preferences;
        1 that of TRL.
      axis_name: of `pmap`, if the entries of all devices are whitened together.

    Returns:
      float32, the shape of `x`. A constant `x` becomes its shift alone: 0, or its mean.
    """
    check_same_shape(x=x, mask=mask)
    x = jnp.where(mask, x, 0).astype(jnp.float32)
    total = lambda x: jnp.sum(x) if axis_name is None else jax.lax.psum(jnp.sum(x), axis_name)
    count = total(mask.astype(jnp.float32))
    mean = total(x) / jnp.maximum(count, 1.0)
    centred = jnp.where(mask, x - mean, 0.0)
    variance = total(centred**2) / jnp.maximum(count - ddof, 1.0)
    flat = variance <= jnp.finfo(jnp.float32).eps * mean**2  # rounding noise of a constant, not spread
    scaled = jnp.where(flat, 0.0, centred * jax.lax.rsqrt(jnp.where(flat, 1.0, variance)))
    return scaled if shift_mean else jnp.where(mask, scaled + mean, 0.0)


LOG_RATIO_BOUND = 20.0  # nats that exponents are clamped to, so that one stale token cannot overflow a ratio


def kl_k1(logps: jax.Array, ref_logps: jax.Array) -> jax.Array:
    """Per-token estimate log(policy / reference) of KL(policy || reference) on samples of the policy.

    Unbiased, high variance, may be negative. Put in the reward it gives the right gradient of the KL; differentiated
    it does not (its expected gradient is 0). Estimator k1 of http://joschu.net/blog/kl-approx.html. In nats.
    """
    return logps.astype(jnp.float32) - ref_logps.astype(jnp.float32)


def kl_k2(logps: jax.Array, ref_logps: jax.Array) -> jax.Array:
    """Per-token estimate (log-ratio)^2 / 2: biased, low variance, and differentiated it gives the gradient of the KL.

    Estimator k2 of http://joschu.net/blog/kl-approx.html. In nats.
    """
    return kl_k1(logps, ref_logps) ** 2 / 2


def kl_k3(logps: jax.Array, ref_logps: jax.Array) -> jax.Array:
    """Per-token estimate (r - 1) - log r with r = reference / policy: unbiased, low variance, never negative.

    Its gradient is that of KL(reference || policy), so use it to measure, not to train. Estimator k3 of
    http://joschu.net/blog/kl-approx.html. In nats; the log-ratio is clamped to +-20.
    """
    log_ratio = jnp.clip(-kl_k1(logps, ref_logps), -LOG_RATIO_BOUND, LOG_RATIO_BOUND)
    return jnp.expm1(log_ratio) - log_ratio


KL = {"k1": kl_k1, "k2": kl_k2, "k3": kl_k3}


def gae(
    rewards: jax.Array, values: jax.Array, mask: jax.Array, *, gamma: float | jax.Array, lam: float | jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Generalised advantage estimation, Schulman et al. 2016, equations 11-16 (https://arxiv.org/abs/1506.02438).

    delta_t = r_t + gamma V_{t+1} - V_t and A_t = delta_t + gamma lam A_{t+1}, where t + 1 is the next True entry of
    `mask` and the value after the last is 0. Entries under the mask are stepped over: the sums are carried across them.

    Args:
      rewards: `[..., T]`.
      values: `[..., T]`, the value before the token at t.
      mask: `[..., T]` bool.
      gamma: discount.
      lam: decay of the estimator: 0 is one-step, 1 Monte Carlo.

    Returns:
      (advantages, returns), float32 `[..., T]`, returns = advantages + values; both 0 under the mask.
    """
    check_same_shape(rewards=rewards, values=values, mask=mask)
    rewards, values = (jnp.where(mask, x, 0).astype(jnp.float32) for x in (rewards, values))

    def back(carry, xs):
        next_advantage, next_value = carry
        reward, value, keep = xs
        advantage = reward + gamma * next_value - value + gamma * lam * next_advantage
        carry = (jnp.where(keep, advantage, next_advantage), jnp.where(keep, value, next_value))
        return carry, jnp.where(keep, advantage, 0.0)

    zero = jnp.zeros(rewards.shape[:-1], jnp.float32)
    xs = tuple(jnp.moveaxis(x, -1, 0) for x in (rewards, values, mask))
    _, advantages = jax.lax.scan(back, (zero, zero), xs, reverse=True)
    advantages = jnp.moveaxis(advantages, 0, -1)
    return advantages, advantages + values
