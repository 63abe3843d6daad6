"""The length-controlled win rate: a dense solution, symmetry, and judges whose taste is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit

from prefjax.evals.length_control import PENALTY, win_rate_lc


def lc(wins, longer_by, prompts=None, **knobs):
    return win_rate_lc(wins, longer_by, range(len(wins)) if prompts is None else prompts, **{"resamples": 2} | knobs)


def test_it_is_the_minimum_that_scipy_finds():
    rng = np.random.default_rng(0)
    prompts = np.repeat(np.arange(15), 3)
    d, y = rng.normal(20, 50, 45), rng.choice([0.0, 0.5, 1.0], 45)
    x = np.tanh(d / d.std())
    weights = np.array([PENALTY["model"], PENALTY["length"], *[PENALTY["prompt"]] * 15])

    def cost(b):
        z = b[0] + b[1] * x + b[2:][prompts]
        return np.sum(np.logaddexp(0, z) - y * z) + np.sum(weights * b**2) / 2

    found = minimize(cost, np.zeros(17), method="BFGS", options={"gtol": 1e-8}).x
    assert lc(y, d, prompts).mean == pytest.approx(np.mean(expit(found[0] + found[2:][prompts])), abs=1e-6)


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(-80, 80)), min_size=1, max_size=30))
def test_the_other_side_has_the_rest(rows):
    wins, longer_by = (np.array(column, float) for column in zip(*rows, strict=True))
    assert lc(wins, longer_by).mean + lc(1 - wins, -longer_by).mean == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0])
def test_a_judge_of_length_alone_finds_equal_lengths_equal(shift):
    rng = np.random.default_rng(1)
    found = []
    for _ in range(4):
        d = np.round(rng.normal(100 * shift, 100, 2000))
        wins = (d > 0) + (d == 0) / 2
        found.append(lc(wins, d).mean)
        assert wins.mean() > 0.47 + 0.2 * shift
    assert np.mean(found) == pytest.approx(0.5, abs=0.03)


def test_a_judge_whom_length_moves_at_random_is_seen_through():
    rng = np.random.default_rng(2)
    d = rng.normal(70, 100, 1000)
    found = lc(rng.random(1000) < expit(d / 50), d, resamples=200)
    assert found.low <= 0.5 <= found.high
    assert found.mean == pytest.approx(0.5, abs=0.05)
    better = lc(rng.random(1000) < expit(1 + d / 50), d)
    assert better.mean == pytest.approx(expit(1), abs=0.06)


@pytest.mark.parametrize("constant", [5, 100, 400])
def test_a_constant_answer_wins_nothing_however_long_it_is(constant):
    lengths = np.random.default_rng(3).normal(100, 25, 64).round()
    assert lc(np.zeros(64), constant - lengths, resamples=200).high <= 0.05


def test_a_judge_whom_length_does_not_move_gives_the_raw_rate():
    rng = np.random.default_rng(4)
    wins, d = rng.random(20000) < 0.7, rng.normal(100, 100, 20000)
    assert lc(wins, d).mean == pytest.approx(wins.mean(), abs=0.02)
    for same in (np.zeros(20000), np.full(20000, 7.0)):  # one difference alone explains nothing
        assert lc(wins, same).mean == pytest.approx(wins.mean(), abs=1e-4)


def test_the_interval_covers_and_is_of_prompts():
    rng = np.random.default_rng(5)
    hits, trials = 0, 100
    for _ in range(trials):
        d = rng.normal(50, 100, 200)
        found = lc(rng.random(200) < expit(0.5 + np.tanh(d / 100)), d, resamples=200)
        hits += found.low <= expit(0.5) <= found.high
    assert 0.88 <= hits / trials <= 0.99
    d, wins = rng.normal(0, 100, 60), rng.random(60) < 0.6
    once = lc(wins, d, resamples=300)
    again = lc(np.repeat(wins, 4), np.repeat(d, 4), np.repeat(np.arange(60), 4), resamples=300)
    assert again.high - again.low > 0.8 * (once.high - once.low)
