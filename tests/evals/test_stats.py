"""Intervals: coverage, clusters and the obvious cases."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from prefjax.evals.stats import (
    bootstrap,
    by_prompt,
    clopper_pearson,
    differences,
    holm,
    interval,
    jackknife,
    paired,
    ratio,
    rogan_gladen,
    share,
    wilson,
)


def test_it_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = [interval(rng.normal(0.3, 1, 20), range(20)) for _ in range(2000)]
    assert np.mean([low <= 0.3 <= high for _, low, high in hits]) == pytest.approx(0.95, abs=0.015)


def test_observations_of_a_cluster_count_once():
    values = np.random.default_rng(1).normal(size=30)
    once = interval(values, range(30))
    repeated = interval(np.repeat(values, 5), np.repeat(np.arange(30), 5))
    assert once == pytest.approx(repeated)


def test_excludes_zero():
    assert interval([1.0, 1.1, 0.9], "abc").excludes_zero
    assert not interval([1.0, -1.1, 0.9], "abc").excludes_zero
    assert interval([2.0, 2.0], "ab") == (2.0, 2.0, 2.0)


def test_a_rate_corrected_for_the_test_that_found_it():
    assert rogan_gladen(0.5, 1000, (100, 100), (100, 100)).mean == 0.5
    assert rogan_gladen(0.9 * 0.3 + 0.05 * 0.7, 10**6, (9000, 10000), (9500, 10000)).mean == pytest.approx(0.3)
    assert rogan_gladen(0.01, 100, (90, 100), (95, 100)).mean == 0  # fewer than the test's own false alarms
    with pytest.raises(ValueError, match="no better than chance"):
        rogan_gladen(0.5, 100, (50, 100), (50, 100))


@pytest.mark.parametrize("truth", [0.02, 0.3, 0.9])
def test_its_interval_counts_the_errors_of_the_test(truth):
    rng, found = np.random.default_rng(0), []
    for _ in range(1000):
        labelled = (rng.binomial(94, 0.9), 94), (rng.binomial(104, 0.98), 104)
        positive = rng.binomial(64, truth * 0.9 + (1 - truth) * 0.02)
        found.append(rogan_gladen(positive / 64, 64, *labelled))
    assert 0.93 <= np.mean([low <= truth <= high for _, low, high in found]) <= 0.995


def test_the_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(2).normal(size=20).tolist()
    assert jackknife(np.mean, values, range(20)) == pytest.approx(interval(values, range(20)))


def test_a_single_cluster_says_nothing_of_the_error():
    values, clusters = [1.0, 0.0, 0.0], "aaa"
    each = interval(values, clusters), ratio(values, [1.0] * 3, clusters), share(values, clusters)
    each += jackknife(np.mean, values, clusters), bootstrap(mean_of(np.array(values)), clusters)
    for found in each:
        assert found.mean == pytest.approx(1 / 3) and math.isnan(found.low) and math.isnan(found.high)
        assert not found.excludes_zero


@given(st.integers(1, 400), st.data(), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_is_its_formula_and_scipys(n, data, confidence):
    k = data.draw(st.integers(0, n))
    found, z = wilson(k, n, confidence), stats.norm.ppf((1 + confidence) / 2)
    middle = (k + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * math.sqrt(k * (n - k) / n + z**2 / 4)
    assert found == pytest.approx((k / n, max(0, middle - half), min(1, middle + half)), abs=1e-12)
    assert found[1:] == pytest.approx(tuple(stats.binomtest(k, n).proportion_ci(confidence, "wilson")), abs=1e-12)
    assert 0 <= found.low <= found.mean <= found.high <= 1


def coverage(method, n, p):
    """The exact probability that the interval holds p."""
    held = np.array([low <= p <= high for _, low, high in (method(k, n) for k in range(n + 1))])
    return stats.binom.pmf(np.arange(n + 1), n, p) @ held


def test_exact_coverage():
    found = {k: wilson(k, 100) for k in range(101)}
    by_share = [coverage(lambda k, n: found[k], 100, p) for p in np.linspace(0.1, 0.9, 401)]
    assert 0.94 <= np.mean(by_share) <= 0.96
    exact = {k: clopper_pearson(k, 40) for k in range(41)}
    assert min(coverage(lambda k, n: exact[k], 40, p) for p in np.linspace(0.02, 0.98, 97)) >= 0.95
    assert clopper_pearson(0, 20).high == pytest.approx(1 - 0.025 ** (1 / 20))


def mean_of(values):
    return lambda weights: weights @ values / weights.sum(axis=1)


def test_the_bootstrap_over_clusters_covers_as_often_as_it_says():
    rng, hits = np.random.default_rng(2), []
    for _ in range(500):
        sizes = rng.integers(1, 4, 200)
        clusters = np.repeat(np.arange(200), sizes)
        values = rng.random(len(clusters)) < np.repeat(rng.beta(1, 1, 200), sizes)
        found = bootstrap(mean_of(values.astype(float)), clusters, resamples=400)
        hits.append(found.low <= 0.5 <= found.high)
    assert 0.93 <= np.mean(hits) <= 0.97


def test_the_bootstrap_is_seeded_and_draws_whole_clusters():
    values, clusters = np.random.default_rng(3).random(40), np.repeat(np.arange(10), 4)
    found = bootstrap(mean_of(values), clusters)
    assert found == bootstrap(mean_of(values), list(clusters)) == bootstrap(mean_of(values), clusters + 7)
    assert found != bootstrap(mean_of(values), clusters, seed=1)
    assert found.mean == pytest.approx(values.mean())
    seen = []
    bootstrap(lambda w: seen.append(w) or w.sum(axis=1), clusters, resamples=50)
    drawn = seen[1].reshape(50, 10, 4)
    assert (drawn == drawn[..., :1]).all()
    assert (drawn[..., 0].sum(axis=1) == 10).all()


def test_a_long_list_is_resampled_in_blocks():
    values = np.random.default_rng(5).random(2**20)
    found = bootstrap(mean_of(values), range(2**20), resamples=12)
    assert found.low <= found.mean <= found.high


def test_a_share_has_wilsons_interval_only_where_it_is_one():
    assert share([1, 0, 1, 1], "abcd") == wilson(3, 4)
    assert share([1, 1, 1, 1], "aabb") == wilson(2, 2)  # four wins on two prompts say what two say
    assert share([0.5] * 4, "abcd") == wilson(2, 4)  # ties alone are no certainty
    assert share([1, 0, 0, 1], "aabb") == wilson(1, 2)
    tied = share([1, 0, 0.5, 1], "abcd")
    assert tied.mean == 0.625 and tied != wilson(3, 4)


def test_differences_are_of_what_both_have():
    found = differences({"a": 1.5, "b": 5.0, "c": 1.0}, {"b": 3.5, "a": 1.0, "d": 0.0})
    assert found == {"a": 0.5, "b": 1.5}


def test_a_prompt_is_the_mean_of_its_rows_that_have_the_metric():
    rows = [{"record": 0, "prompt": "p", "gold": value} for value in (1.0, 2.0, None)]
    rows += [{"record": 0, "prompt": "another", "gold": float("nan")}, {"record": 1, "prompt": "p"}]
    found = by_prompt(rows, "gold")
    assert found.pop((0, "p")) == 1.5
    assert [*found] == [(0, "another")] and math.isnan(found[0, "another"])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_rejects_what_closed_testing_with_bonferroni_does(values):
    adjusted = holm(values)
    others = range(len(values))
    for at, found in enumerate(adjusted):  # the largest p-value of all families that hold the hypothesis
        families = [f for size in range(1, len(values) + 1) for f in itertools.combinations(others, size) if at in f]
        assert found == pytest.approx(max(min(1, len(f) * min(values[i] for i in f)) for f in families))


def test_arms_are_paired_by_prompt_where_both_say_something():
    other = [1.0, 2.0, 3.0, None]
    above = [2.0, 3.0, 4.001, 9.0]
    found = paired({"above": above, "same": other}, other)
    gap, p = found["above"]
    assert gap.mean == pytest.approx(1.0, abs=1e-3) and gap.low > 0.99 and found["same"][1] == 1.0
    assert p == pytest.approx(2 * paired({"above": above}, other)["above"][1])
