"""Krippendorff's alpha against another implementation, and the coverage of its interval."""

import numpy as np
import pytest

from prefjax.evals.agreement import LEVELS, alpha, tally

krippendorff = pytest.importorskip("krippendorff")


def ratings(rng, units, annotators, values, noise):
    """Ratings with gaps: a truth that each annotator replaces by chance in a share of the units."""
    truth = rng.integers(values, size=units)
    given = np.where(rng.random((annotators, units)) < noise, rng.integers(values, size=(annotators, units)), truth)
    return np.where(rng.random((annotators, units)) < 0.3, np.nan, given)


def values_of(table):
    return [[int(v) for v in column if not np.isnan(v)] for column in table.T]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("annotators", "values", "noise"), [(2, 2, 0.2), (3, 3, 0.5), (5, 7, 0.3), (4, 7, 1.0)])
def test_it_is_that_of_the_krippendorff_package(level, annotators, values, noise):
    table = ratings(np.random.default_rng(values), 60, annotators, values, noise)
    expected = krippendorff.alpha(reliability_data=table, level_of_measurement=level)
    found = alpha(tally(values_of(table)), level, resamples=50)
    assert found.mean == pytest.approx(expected, abs=1e-12)
    assert found.low < found.mean < found.high


def test_the_example_of_the_paper():
    nan = np.nan
    table = np.array(
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, nan, nan, nan],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, nan, 3],
            [nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, nan],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, nan],
        ]
    )
    counts = tally(values_of(table))
    assert alpha(counts).mean == pytest.approx(0.743, abs=5e-4)
    assert alpha(counts, "ordinal").mean == pytest.approx(0.815, abs=5e-4)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    truth = alpha(tally(values_of(ratings(rng, 200_000, 3, 3, 0.5))), resamples=2).mean
    hits = []
    for i in range(300):
        found = alpha(tally(values_of(ratings(rng, 100, 3, 3, 0.5))), resamples=300, seed=i)
        hits.append(found.low <= truth <= found.high)
    assert 0.91 <= np.mean(hits) <= 0.98


def test_all_agree_all_disagree_and_nothing_to_say():
    assert alpha(tally([[1, 1], [2, 2], [1, 1]])) == (1, 1, 1)
    assert alpha(tally([[1, 2], [2, 1], [1, 2]])).mean < 0
    assert alpha(tally([[1, 1], [1, 1]])) is None
    assert alpha(tally([[1], [2], []])) is None
    assert alpha(tally([])) is None


def test_order_matters_to_ordinal_values_alone():
    near, far = tally([[-3, -2], [2, 3], [-3, -3], [3, 3]]), tally([[-3, 3], [2, -2], [-3, -3], [3, 3]])
    assert alpha(near).mean == pytest.approx(alpha(far).mean)
    assert alpha(near, "ordinal").mean > 0.8 > alpha(far, "ordinal").mean


def test_many_units_take_no_longer_than_few():
    counts = np.random.default_rng(0).multinomial(3, [0.6, 0.1, 0.3], 1_000_000)
    assert alpha(counts).mean == pytest.approx(0, abs=0.005)


def test_no_such_level():
    with pytest.raises(ValueError, match="nominal, ordinal, got 'ratio'"):
        alpha(tally([[1, 2]]), "ratio")
