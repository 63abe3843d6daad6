"""Changes between samples: against scipy, and what cannot be known."""

import math

import numpy as np
import pytest
from scipy import stats

from prefjax.report.changes import between, from_bound, paired, unpaired
from prefjax.report.runs import Estimate


def rows(values, metric="gold"):
    return [{"record": i // 2, "prompt": f"p{i // 2}", metric: value} for i, value in enumerate(values)]


def test_a_paired_change_is_the_paired_test_over_prompts():
    noise = np.random.default_rng(0)
    before, after = noise.normal(size=80), noise.normal(0.3, 1, size=80)
    change = paired(rows(before), rows(after), "gold")
    means = lambda x: x.reshape(40, 2).mean(axis=1)
    wanted = stats.ttest_rel(means(after), means(before))
    assert change.n == 40 and change.paired
    assert change.p == pytest.approx(wanted.pvalue)
    assert change.interval() == pytest.approx(tuple(wanted.confidence_interval()))
    assert change.interval(0.8) == pytest.approx(tuple(wanted.confidence_interval(0.8)))
    less = stats.ttest_rel(means(after), means(before) - 0.1, alternative="less")
    assert change.p_below(-0.1) == pytest.approx(less.pvalue)
    assert change.turned().interval() == pytest.approx([-end for end in change.interval()[::-1]])


def test_a_share_that_moved_nowhere_may_still_move():
    same = rows([1.0, 1.0] * 50, "skill")
    change = paired(same, same, "skill")
    assert change.mean == 0
    assert change.interval() == pytest.approx((-stats.beta.ppf(0.975, 1, 50), stats.beta.ppf(0.975, 1, 50)))
    assert change.interval(0.999)[1] == pytest.approx(stats.beta.ppf(0.9995, 1, 50))
    assert (change.p_below(-0.08), change.p_below(0.08)) == (1.0, pytest.approx(0.92**50))
    alike = paired(rows([1.0] * 100), rows([1.0] * 100), "gold")  # zeros and ones by chance: gold is no share
    assert alike.interval() == (0, 0) and alike.p_below(0.08) == 0


def test_only_prompts_that_both_have_are_compared_and_what_is_no_number_is_told():
    before, after = rows([1.0, 2.0, 3.0, 4.0]), rows([2.0, None, 9.0, 9.0])
    after[2]["prompt"] = after[3]["prompt"] = "another"
    assert math.isnan(paired(before, [row | {"gold": math.nan} for row in after], "gold").mean)
    assert paired(before, after, "gold").n == 1
    assert paired(before, after, "gold").interval() == (-math.inf, math.inf)
    assert paired(before, after, "skill") is None


def test_an_unpaired_change_adds_the_errors():
    change = unpaired(Estimate(0.5, 0.4, 0.6, 90), Estimate(0.7, 0.6, 0.8, 95), 90)
    assert change.mean == pytest.approx(0.2) and change.n == 90 and not change.paired
    assert change.interval() == pytest.approx((0.2 - 0.1 * 2**0.5, 0.2 + 0.1 * 2**0.5), abs=1e-5)
    assert unpaired(Estimate(0.5), Estimate(0.7, 0.6, 0.8, 95), 90) is None
    assert unpaired(Estimate(0.5, 0.5, 0.5, 4), Estimate(0.7, 0.7, 0.7, 4), 1).interval() == (-math.inf, math.inf)


def test_most_prompts_have_to_be_shared_for_a_change_to_be_paired_and_prompts_are_counted_not_rows():
    before, after = rows([1.0, 2.0] * 20), rows([2.0, 3.5] * 20)
    old, new = Estimate(1.5, 1.3, 1.7, 40), Estimate(2.7, 2.5, 2.9, 40)
    assert between(old, new, before, after, "gold")[3:5] == (20, True)
    for row in after[8:]:
        row["prompt"] += " (asked anew)"
    change = between(old, new, before, after, "gold")
    assert (change.mean, change.n, change.paired) == (pytest.approx(1.2), 20, False)


def test_a_distance_from_a_known_number_has_the_error_of_the_mean():
    assert from_bound(Estimate(0.6, 0.5, 0.7, 90), 0.5, 90).interval() == pytest.approx((0, 0.2), abs=1e-5)
