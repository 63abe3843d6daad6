"""The analytic table of reward hacking, against enumeration, simulation and its printed values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax.types import Sequences
from prefjax.worlds import goodhart


@pytest.mark.parametrize(
    ("beta", "kl", "proxy", "gold"),
    [
        (np.inf, 0, 0, -1.3828),
        (2, 0.3951, 1.5967, -0.7175),
        (1, 1.4499, 3.0167, -0.3284),
        (0.6262, 3.165, 4.3533, -0.1941),
        (0.5, 4.3847, 5.0345, -0.2398),
        (0.2, 10.8658, 7.1278, -1.2661),
    ],
)
def test_optimum(beta, kl, proxy, gold):
    point = goodhart.optimum(beta)
    assert point.kl == pytest.approx(kl, abs=5.1e-5 if beta != 0.6262 else 5.1e-4)
    assert point.gold == pytest.approx(gold, abs=5.1e-5)
    assert point.proxy == pytest.approx(proxy, abs=5.1e-5)


def test_gold_has_a_peak_and_proxy_none():
    points = [goodhart.optimum(beta) for beta in np.geomspace(8, 0.1, 400)]
    golds, proxies = [p.gold for p in points], [p.proxy for p in points]
    assert np.all(np.diff(proxies) > 0)
    assert max(golds) == pytest.approx(-0.1941, abs=5.1e-5)
    assert points[int(np.argmax(golds))].kl == pytest.approx(3.15, abs=0.05)
    assert np.sum(np.diff(np.sign(np.diff(golds))) != 0) == 1


def test_best_of_n():
    golds = {n: goodhart.best_of(n).gold for n in (1, 16, 32, 64, 128, 256)}
    assert golds[1] == pytest.approx(-1.3828, abs=5.1e-5)
    assert golds[128] == pytest.approx(-0.065, abs=5.1e-4)
    assert min(golds[64], golds[128]) > max(golds[32], golds[256])
    assert goodhart.best_of(64).kl < np.log(64) - 63 / 64


def test_rewards_of_tokens_agree_with_the_exact_expectations():
    rng = np.random.default_rng(0)
    size = (20_000, goodhart.LENGTH)
    weights = np.exp(goodhart.WORTH / 0.5)
    tokens = jnp.asarray(rng.choice(goodhart.VOCAB, size=size, p=weights / weights.sum()))
    rows = Sequences(tokens, jnp.ones(size, bool), jnp.ones(size, bool))
    point = goodhart.optimum(0.5)
    for ours, exact in ((goodhart.proxy, point.proxy), (goodhart.gold, point.gold)):
        drawn = np.asarray(jax.jit(ours)(rows))
        assert drawn.mean() == pytest.approx(exact, abs=4 * drawn.std() / np.sqrt(len(drawn)))


def test_rewards_see_the_response_alone():
    tokens = jnp.array([[9, 9, 0, 0, 5]])
    response = jnp.array([[False, True, True, True, False]])
    rows = Sequences(tokens, tokens >= 0, response)
    assert goodhart.proxy(rows)[0] == pytest.approx(1 - 1 - 1)
    assert goodhart.gold(rows)[0] == pytest.approx(1 - 1 - 0.6)


def test_prompts():
    batch = goodhart.prompts(4)
    assert batch.tokens.shape == batch.valid.shape == (4, 1)
