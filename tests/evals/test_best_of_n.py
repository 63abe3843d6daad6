"""The table over n."""

import math

import numpy as np
import pytest

from prefjax.evals.best_of_n import curve, sizes, table
from prefjax.evals.stats import interval

SCORES = np.array([[3.0, 1.0, 2.0, 0.0], [5.0, 5.0, 9.0, 7.0], [0.0, 2.0, 0.0, 2.0]])
LENGTHS = np.array([[4.0, 2.0, 6.0, 8.0], [1.0, 3.0, 5.0, 7.0], [2.0, 2.0, 2.0, 2.0]])


@pytest.mark.parametrize(("most", "expected"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (16, [1, 2, 4, 8, 16])])
def test_sizes(most, expected):
    assert sizes(most) == expected


def test_a_point_is_the_mean_over_subsets_with_an_interval_by_prompt():
    one, two, four = curve({"score": SCORES, "gold": -SCORES}, LENGTHS, ["a", "b", "c"])
    assert [p.n for p in (one, two, four)] == [1, 2, 4]
    assert two.kl_bound == pytest.approx(math.log(2) - 1 / 2)
    assert one.values["score"] == pytest.approx(interval(SCORES.mean(axis=1), ["a", "b", "c"]))
    assert four.values["score"] == pytest.approx(interval(SCORES.max(axis=1), ["a", "b", "c"]))
    assert four.values["gold"].mean == pytest.approx(-SCORES.max(axis=1).mean())
    subsets = [(i, j) for i in range(4) for j in range(i)]
    assert two.values["score"].mean == pytest.approx(np.mean([SCORES[:, s].max(axis=1).mean() for s in subsets]))
    assert two.longest == pytest.approx(np.mean([LENGTHS[:, s].max(axis=1).mean() for s in subsets]))
    assert (two.tokens, four.tokens) == (2 * LENGTHS.mean(), 4 * LENGTHS.mean())


def test_rows_of_one_prompt_are_one_cluster():
    rows = np.concatenate([SCORES, SCORES])
    together, apart = (
        curve({"score": rows}, rows, prompts)[0].values["score"] for prompts in (list("abcabc"), list("abcdef"))
    )
    assert together.high - together.low > apart.high - apart.low


def test_the_table_has_a_line_for_each_n():
    head, *rows = table(curve({"score": SCORES}, LENGTHS, ["a", "b", "c"])).splitlines()
    assert head.split() == ["n", "KL", "at", "most", "score", "[95", "%]", "tokens", "longest"]
    assert [row.split()[0] for row in rows] == ["1", "2", "4"]
    assert len({len(row) for row in (head, *rows)}) == 1
    head, *rows = table(curve({"score": SCORES}, LENGTHS, ["a", "b", "c"]), {1: 0.5, 2: 0.75, 4: 1.0}).splitlines()
    assert head.split()[-1] == "seconds"
    assert [row.split()[-1] for row in rows] == ["0.500", "0.750", "1.000"]
