"""The shared arithmetic against closed values and definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefjax import ops


def test_token_logps_scores_the_token_at_t_given_those_before():
    rng = np.random.default_rng(0)
    logits, tokens = rng.normal(size=(2, 5, 7)).astype(np.float32), rng.integers(0, 7, (2, 5))
    logps = ops.token_logps(logits, tokens)
    table = logits.astype(np.float64) - np.log(np.exp(logits.astype(np.float64)).sum(-1, keepdims=True))
    assert np.all(logps[:, 0] == 0)
    for b in range(2):
        for t in range(1, 5):
            assert logps[b, t] == pytest.approx(table[b, t - 1, tokens[b, t]], rel=1e-5)


@pytest.mark.parametrize(("chunk", "groups"), [(None, 1), (1, 1), (4, 1), (7, 1), (1000, 1), (4, 2), (None, 2)])
@pytest.mark.parametrize("shape", [(4, 9), (2, 2, 6)])
def test_chunked_token_logps_is_token_logps_of_the_masked_tokens(chunk, groups, shape):
    key = jax.random.key(1)
    hidden, head = jax.random.normal(key, (*shape, 5)), jax.random.normal(key, (11, 5))
    tokens, mask = jax.random.randint(key, shape, 0, 11), jax.random.bernoulli(key, 0.4, shape)

    def plain(hidden, head):
        logps = ops.token_logps(jnp.einsum("...td,vd->...tv", hidden, head), tokens)
        return jnp.where(mask, logps, 0)

    def chunked(hidden, head):
        return ops.chunked_token_logps(hidden, head, tokens, mask, chunk=chunk, groups=groups)

    np.testing.assert_allclose(jax.jit(chunked)(hidden, head), plain(hidden, head), atol=1e-5)
    ours, theirs = (jax.grad(lambda h, w, f=f: jnp.sum(f(h, w) ** 2), (0, 1))(hidden, head) for f in (chunked, plain))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), ours, theirs)


def test_the_gradient_of_the_head_is_summed_in_its_own_type():
    """In bfloat16 a sum over hundreds of chunks would lose its small terms."""
    key = jax.random.key(0)
    hidden, head = jax.random.normal(key, (4, 65, 8)), jax.random.normal(key, (16, 8))
    tokens, mask = jax.random.randint(key, (4, 65), 0, 16), jnp.ones((4, 65), bool)
    total = lambda head, hidden, chunk: jnp.sum(ops.chunked_token_logps(hidden, head, tokens, mask, chunk=chunk))
    exact = jax.grad(total)(head, hidden, None)
    for chunk in (256, 1):
        half = jax.grad(total)(head, hidden.astype(jnp.bfloat16), chunk)
        assert half.dtype == jnp.float32
        assert jnp.linalg.norm(half - exact) < 5e-3 * jnp.linalg.norm(exact)


def test_chunked_token_logps_of_nothing_is_zero():
    logps = ops.chunked_token_logps(
        jnp.ones((2, 4, 3)), jnp.ones((5, 3)), jnp.ones((2, 4), int), jnp.zeros((2, 4), bool)
    )
    assert np.all(logps == 0)


def test_numpy_arrays_do_as_well():
    rng = np.random.default_rng(0)
    hidden, head = rng.normal(size=(2, 4, 3)).astype(np.float32), rng.normal(size=(5, 3)).astype(np.float32)
    tokens, mask = rng.integers(0, 5, (2, 4)), np.arange(4) > np.array([[0], [1]])
    logps = np.where(mask, ops.token_logps(hidden @ head.T, tokens), 0)
    np.testing.assert_allclose(ops.chunked_token_logps(hidden, head, tokens, mask), logps, rtol=1e-5, atol=1e-6)


def test_the_memory_of_chunked_token_logps_grows_with_the_hidden_states_not_with_the_logits():
    length, width, vocab = 1025, 16, 16384
    total = lambda h, w, t: jnp.sum(ops.chunked_token_logps(h, w, t, jnp.ones(t.shape, bool)))

    def temporaries(rows):
        shapes = ((rows, length, width), jnp.float32), ((vocab, width), jnp.float32), ((rows, length), jnp.int32)
        arguments = [jax.ShapeDtypeStruct(*shape) for shape in shapes]
        return jax.jit(jax.grad(total, (0, 1))).lower(*arguments).compile().memory_analysis().temp_size_in_bytes

    added = 8 * length  # positions, from 8 rows to 16
    assert temporaries(16) - temporaries(8) < added * 10 * width * 4
    assert 10 * width < vocab / 100  # the bound is far from a row of logits a position


def test_token_sums_and_means():
    x, mask = jnp.array([[1.0, 2.0, jnp.nan], [3.0, 4.0, 5.0]]), jnp.array([[True, True, False], [False, False, False]])
    np.testing.assert_array_equal(ops.sum_tokens(x, mask), [3.0, 0.0])
    np.testing.assert_array_equal(ops.mean_tokens(x, mask), [1.5, 0.0])


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("shift_mean", [True, False])
def test_whiten_is_masked_and_global(ddof, shift_mean):
    rng = np.random.default_rng(0)
    x, mask = rng.normal(3, 2, (4, 6)).astype(np.float32), rng.random((4, 6)) < 0.6
    white = ops.whiten(np.where(mask, x, np.nan), mask, shift_mean=shift_mean, ddof=ddof)
    kept = x[mask].astype(np.float64)
    expected = (kept - kept.mean()) / kept.std(ddof=ddof) + (0 if shift_mean else kept.mean())
    np.testing.assert_allclose(white[mask], expected, rtol=1e-5, atol=1e-5)
    assert np.all(white[~mask] == 0)


def test_whiten_does_not_blow_up_a_constant():
    assert np.all(ops.whiten(jnp.full((2, 3), 0.1), jnp.ones((2, 3), bool)) == 0)
    np.testing.assert_allclose(
        ops.whiten(jnp.full((2, 3), 0.1), jnp.ones((2, 3), bool), shift_mean=False), 0.1, rtol=1e-6
    )


def test_kl_estimators_on_a_discrete_pair():
    policy, reference = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.5, 0.3])
    logps, ref_logps = jnp.log(policy), jnp.log(reference)
    kl = np.sum(policy * np.log(policy / reference))
    assert kl == pytest.approx(0.223805, abs=1e-6)
    mean = lambda estimate: float(np.sum(policy * np.asarray(estimate(logps, ref_logps))))
    assert mean(ops.kl_k1) == pytest.approx(kl, abs=1e-6)
    assert mean(ops.kl_k2) == pytest.approx(0.265479, abs=1e-6)
    assert mean(ops.kl_k3) == pytest.approx(kl, abs=1e-6)
    assert np.all(ops.kl_k3(logps, ref_logps) >= 0)


@pytest.mark.parametrize(
    ("mu", "bias", "spread"), [(0.1, (0, 0.0025, 0), (20, 1.418, 1.417)), (1.0, (0, 0.25, 0), (2, 1.732, 1.695))]
)
def test_kl_estimators_between_two_normals(mu, bias, spread):
    """Bias and standard deviation over the true KL of N(0, 1) and N(mu, 1), mu^2 / 2, by quadrature."""
    x = np.linspace(-12, 12, 200_001)
    weight = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi) * (x[1] - x[0])
    kl = mu**2 / 2
    with jax.enable_x64(True):
        logps, ref_logps = jnp.asarray(-(x**2) / 2), jnp.asarray(-((x - mu) ** 2) / 2)
        estimates = [np.asarray(k(logps, ref_logps), np.float64) for k in (ops.kl_k1, ops.kl_k2, ops.kl_k3)]
    for estimate, wanted_bias, wanted_spread in zip(estimates, bias, spread, strict=True):
        mean = np.sum(weight * estimate)
        assert (mean - kl) / kl == pytest.approx(wanted_bias, abs=1e-3)
        assert np.sqrt(np.sum(weight * (estimate - mean) ** 2)) / kl == pytest.approx(wanted_spread, rel=1e-3)


def test_kl_gradients_are_what_the_docstrings_say():
    theta, ref_logps = jnp.array([0.2, -0.1, 0.4]), jnp.log(jnp.array([0.2, 0.5, 0.3]))
    policy = jax.nn.softmax(theta)

    def differentiated(estimate):  # the mean over samples of the gradient, the sampling distribution held fixed
        return jax.grad(lambda t: jnp.sum(policy * estimate(jax.nn.log_softmax(t), ref_logps)))(theta)

    forward = jax.grad(lambda t: jnp.sum(jax.nn.softmax(t) * (jax.nn.log_softmax(t) - ref_logps)))(theta)
    backward = jax.grad(lambda t: jnp.sum(jnp.exp(ref_logps) * (ref_logps - jax.nn.log_softmax(t))))(theta)
    np.testing.assert_allclose(differentiated(ops.kl_k1), 0, atol=1e-6)
    np.testing.assert_allclose(differentiated(ops.kl_k2), forward, atol=1e-6)
    np.testing.assert_allclose(differentiated(ops.kl_k3), backward, atol=1e-6)


def test_kl_k3_does_not_overflow():
    huge = ops.kl_k3(jnp.array([-1e4, 1e4]), jnp.zeros(2))
    assert np.all(np.isfinite(huge))


R, V, ALL = jnp.array([0.0, 0.0, 1.0]), jnp.array([0.5, 0.6, 0.7]), jnp.ones(3, bool)


@pytest.mark.parametrize(
    ("gamma", "lam", "expected"),
    [
        (1.0, 0.95, [0.46575, 0.385, 0.3]),
        (1.0, 1.0, [0.5, 0.4, 0.3]),
        (1.0, 0.0, [0.1, 0.1, 0.3]),
        (0.9, 0.8, [0.21712, 0.246, 0.3]),
    ],
)
def test_gae_closed_values(gamma, lam, expected):
    advantages, returns = ops.gae(R, V, ALL, gamma=gamma, lam=lam)
    np.testing.assert_allclose(advantages, expected, rtol=1e-5)
    np.testing.assert_allclose(returns, advantages + V, rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), gamma=st.floats(0, 1), lam=st.floats(0, 1))
def test_gae_is_its_quadratic_definition_across_holes(seed, gamma, lam):
    rng = np.random.default_rng(seed)
    rewards, values = rng.normal(size=(2, 9))
    mask = rng.random(9) < 0.7
    kept = np.flatnonzero(mask)
    r, v = rewards[kept], np.append(values[kept], 0.0)
    deltas = r + gamma * v[1:] - v[:-1]
    expected = np.zeros(9)
    expected[kept] = [sum((gamma * lam) ** (k - t) * deltas[k] for k in range(t, len(kept))) for t in range(len(kept))]
    spoiled = [np.where(mask, x, np.nan).astype(np.float32) for x in (rewards, values)]
    advantages, returns = ops.gae(*spoiled, mask, gamma=gamma, lam=lam)
    np.testing.assert_allclose(advantages, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(returns, np.where(mask, expected + values, 0), rtol=1e-4, atol=1e-4)


def test_shapes_that_differ_are_named():
    with pytest.raises(ValueError, match=r"expected equal shapes, got rewards \[3\], values \[1, 3\], mask \[3\]"):
        ops.gae(R, V[None], ALL, gamma=1.0, lam=1.0)
    with pytest.raises(
        ValueError, match=r"expected logits \[..., T, V\] and tokens \[..., T\], got \[2, 3, 5\] and \[3\]"
    ):
        ops.token_logps(jnp.zeros((2, 3, 5)), jnp.zeros(3, int))
