"""Krippendorff's alpha against another implementation, and the coverage of its interval."""

import numpy as np
import pytest

from prefjax.evals.agreement import LEVELS, alpha, comparisons, shared

krippendorff = pytest.importorskip("krippendorff")


def ratings(rng, units, annotators, values, noise):
    """Ratings with gaps: a truth that each annotator replaces by chance in a share of the units."""
    truth = rng.integers(values, size=units)
    given = np.where(rng.random((annotators, units)) < noise, rng.integers(values, size=(annotators, units)), truth)
    return np.where(rng.random((annotators, units)) < 0.3, np.nan, given)


def values_of(table):
    return [[int(v) for v in column if not np.isnan(v)] for column in table.T]


def tally(units):
    """Counts of values: a row for each unit, a column for each value, in its order."""
    columns = {value: i for i, value in enumerate(sorted({value for unit in units for value in unit}))}
    counts = np.zeros((len(units), len(columns)), np.int64)
    np.add.at(counts, ([i for i, u in enumerate(units) for _ in u], [columns[v] for u in units for v in u]), 1)
    return counts


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


def judged(*rows):
    """The counts of judgements, and of how many annotators."""
    made = [(o.pair, row["annotator"], o.value, o.graded) for row in rows for o in comparisons(row)]
    return shared(*zip(*made, strict=True))


PAIR = {"prompt": "p", "chosen": "x", "rejected": "y"}
SWAPPED = {"prompt": "p", "chosen": "y", "rejected": "x"}


def test_comparisons_are_of_the_same_two_answers_whoever_won():
    rows = [
        PAIR | {"grade": 2},
        SWAPPED | {"votes": [1, 0, 0]},
        PAIR | {"votes": [0, 3, 1], "grade": 2},
        PAIR | {"votes": [0, 0, 1]},
        {"prompt": "p", "ranking": ["x", "y"]},
        PAIR,
    ]
    found = [next(comparisons(row)) for row in rows]
    assert len({one[:3] for one in found}) == 1
    sign = 1 if found[0].a == "x" else -1
    assert [one.value * sign for one in found] == [2, -1, -1, 0, 1, 1]
    assert [one.graded for one in found] == [True, False, False, False, False, False]


def test_a_ranking_compares_all_of_its_answers_and_those_of_one_rank_tie():
    found = [*comparisons({"prompt": "p", "ranking": ["a", ["b", "c"]]})]
    assert {frozenset((o.a, o.b)): o.value if o.a < o.b else -o.value for o in found} == {
        frozenset("ab"): 1,
        frozenset("ac"): 1,
        frozenset("bc"): 0,
    }
    counts, people = judged(
        {"annotator": "ann", "prompt": "p", "ranking": ["a", ["b", "c"]]},
        {"annotator": "bob", "prompt": "p", "ranking": ["a", "b", "c"]},
    )
    assert (len(counts), people) == (3, 2)
    assert sorted(counts.max(1)) == [1, 2, 2]  # of b and c one says a tie


def test_the_last_judgement_of_an_annotator_counts():
    ann, bob = {"annotator": "ann"}, {"annotator": "bob"}
    counts, people = judged(PAIR | ann, PAIR | bob, SWAPPED | ann, SWAPPED | bob)
    assert (counts.tolist(), people) in (([[0, 0, 2, 0, 0, 0, 0]], 2), ([[0, 0, 0, 0, 2, 0, 0]], 2))
    assert np.array_equal(counts, judged(SWAPPED | ann, SWAPPED | bob)[0])
    assert not np.array_equal(counts, judged(PAIR | ann, PAIR | bob)[0])


def test_what_one_annotator_alone_judged_is_left_out():
    counts, people = judged(PAIR | {"annotator": 1}, SWAPPED | {"annotator": 1})
    assert (counts.shape, people) == ((0, 7), 0)
    assert shared([], [], [], [])[0].shape == (0, 7)


def test_people_who_agree_on_two_scales_agree():
    texts = [PAIR | {"prompt": f"p{i}"} if i % 2 else SWAPPED | {"prompt": f"p{i}"} for i in range(20)]
    graded = [row | {"grade": 3 - i % 3, "annotator": "ann"} for i, row in enumerate(texts)]
    binary = [row | {"votes": [1, 0, 0], "annotator": "bob"} for row in texts]
    assert alpha(judged(*graded, *binary)[0], "ordinal").mean == 1
    counts, _ = judged(*graded, *(row | {"annotator": "bob"} for row in graded))
    assert (counts.sum(), counts[:, 2:5].sum()) == (40, 12)  # grades stay where all are
