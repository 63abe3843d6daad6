"""Expected gradients, summed over every response of a small policy, against the gradients they should be."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax import ops
from prefjax.losses import kl_loss, policy_gradient_loss

VOCAB, LENGTH = 3, 2
RESPONSES = np.array(list(product(range(VOCAB), repeat=LENGTH)))  # [S, T]
MASK = np.ones(RESPONSES.shape, bool)


def policy(seed):
    """Logits of the first token `[V]`, and of the second after each first `[V, V]`."""
    first, second = jax.random.split(jax.random.key(seed))
    return jax.random.normal(first, (VOCAB,)), jax.random.normal(second, (VOCAB, VOCAB))


def logps(logits):
    """Log-probabilities `[S, T]` of the tokens of every response."""
    first, second = (jax.nn.log_softmax(x) for x in logits)
    return jnp.stack([first[RESPONSES[:, 0]], second[RESPONSES[:, 0], RESPONSES[:, 1]]], axis=1)


def expected_gradient(loss, logits):
    """E over responses of the gradient of `loss(logps [1, T], index)`: of its value on samples."""
    probs = jnp.exp(logps(logits).sum(axis=1))
    values = lambda logits: jax.vmap(loss)(logps(logits)[:, None], jnp.arange(len(RESPONSES)))
    return jax.jit(jax.grad(lambda logits: jnp.sum(probs * values(logits))))(logits)


def exact_kl(logits, ref):
    p = logps(logits).sum(axis=1)
    return jnp.sum(jnp.exp(p) * (p - logps(ref).sum(axis=1)))


def same(a, b, atol=1e-6):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=atol), a, b)


def test_policy_gradient_is_the_gradient_of_the_expected_score():
    logits, scores = policy(0), jax.random.normal(jax.random.key(1), (len(RESPONSES),))

    def loss(logps, s):
        return policy_gradient_loss(logps, jnp.full((1, LENGTH), scores[s]), MASK[:1], per="sequence")[0].value

    exact = jax.grad(lambda x: -jnp.sum(jnp.exp(logps(x).sum(axis=1)) * scores))(logits)
    same(expected_gradient(loss, logits), exact)


def test_kl_loss_of_responses_has_the_gradient_of_their_kl():
    logits, ref = policy(0), policy(2)
    ref_logps = logps(ref)
    loss = lambda logps, s: kl_loss(logps, ref_logps[s][None], MASK[:1], per="sequence")[0].value
    same(expected_gradient(loss, logits), jax.grad(exact_kl)(logits, ref))


def test_kl_loss_of_tokens_has_the_gradient_of_their_kl_with_the_prefixes_held():
    logits, ref = policy(0), policy(2)
    ref_logps = logps(ref)

    def held(logits):
        (p, q), (p_ref, q_ref) = ([jax.nn.log_softmax(x) for x in y] for y in (logits, ref))
        prefix = jax.lax.stop_gradient(jnp.exp(p))
        return jnp.sum(jnp.exp(p) * (p - p_ref)) + jnp.sum(prefix[:, None] * jnp.exp(q) * (q - q_ref))

    loss = lambda logps, s: LENGTH * kl_loss(logps, ref_logps[s][None], MASK[:1])[0].value
    same(expected_gradient(loss, logits), jax.grad(held)(logits))


@pytest.mark.parametrize("estimator", [ops.kl_k1, ops.kl_k3])
def test_k1_and_k3_differentiated_on_samples_do_not(estimator):
    logits, ref = policy(0), policy(2)
    total = lambda x: x.sum(axis=1)
    loss = lambda logps_s, s: estimator(total(logps_s), total(logps(ref))[s])[0]
    wrong = expected_gradient(loss, logits)
    right, other = jax.grad(exact_kl)(logits, ref), jax.grad(lambda x: exact_kl(ref, x))(logits)
    same(wrong, other if estimator is ops.kl_k3 else jax.tree.map(jnp.zeros_like, right))
    assert max(float(jnp.max(jnp.abs(w - r))) for w, r in zip(wrong, right, strict=True)) > 0.05


def test_kl_in_the_reward_has_the_gradient_too():
    """Reward-to-go of the log-ratios is enough: what came before a token does not depend on it."""
    logits, ref = policy(0), policy(2)
    log_ratios = jax.lax.stop_gradient(logps(logits)) - logps(ref)
    to_go = jnp.cumsum(log_ratios[:, ::-1], axis=1)[:, ::-1]
    loss = lambda logps, s: policy_gradient_loss(logps, -to_go[s][None], MASK[:1], per="sequence")[0].value
    same(expected_gradient(loss, logits), jax.grad(exact_kl)(logits, ref))


def test_closed_values_and_metrics():
    logps, ref_logps = jnp.array([[-1.0, -2.0]]), jnp.array([[-2.0, -1.5]])
    mask = jnp.ones((1, 2), bool)
    loss, metrics = kl_loss(logps, ref_logps, mask)
    assert loss.value == pytest.approx((1.0**2 + 0.5**2) / 2 / 2)
    assert kl_loss(logps, ref_logps, mask, per="sequence")[0].value == pytest.approx((1.0 - 0.5) ** 2 / 2)
    assert metrics["kl/k1"].value == pytest.approx((1.0 - 0.5) / 2)
    assert metrics["kl/k3"].value == pytest.approx((np.exp(-1) - 1 + 1 + np.exp(0.5) - 1 - 0.5) / 2)
    loss, metrics = policy_gradient_loss(logps, jnp.array([[3.0, -1.0]]), mask)
    assert loss.value == pytest.approx((3.0 - 2.0) / 2)
    assert policy_gradient_loss(logps, jnp.array([[3.0, -1.0]]), mask, per="sequence")[0].value == pytest.approx(1.0)
    assert metrics["logps/response"].value == -3
    for loss in (kl_loss, policy_gradient_loss):
        with pytest.raises(ValueError, match="per: expected 'token', 'response' or 'sequence', got 'row'"):
            loss(logps, ref_logps, mask, per="row")
