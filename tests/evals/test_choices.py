"""MC1 and MC2."""

import numpy as np
import pytest

from prefjax.data import readers
from prefjax.evals import choices
from prefjax.evals.choices import mc1, mc2

RIGHT = np.array([True, True, False, False])


def quiz():
    facts = {"right": ["Yes.", "Good."], "wrong": ["No.", "Sorry."]}
    return [
        {"prompt": "Why?", "slice": "a", "facts": facts},
        {"prompt": "How do I start?", "slice": "b", "facts": facts},
    ]


def test_by_hand():
    logps = np.log([0.1, 0.4, 0.2, 0.3])
    assert mc1(logps, RIGHT) == 0  # the best right answer is the first one, not the likeliest right one
    assert mc1(np.log([0.4, 0.1, 0.2, 0.3]), RIGHT) == 1
    assert mc2(logps, RIGHT) == pytest.approx(0.5)
    assert mc1(np.log([0.3, 0.1, 0.3, 0.3]), RIGHT) == 0  # a tie is not right


@pytest.mark.parametrize("shift", [0.0, -800.0, -1e5])
def test_long_answers_give_no_nan(shift):
    logps = np.array([-1.0, -3.0, -2.0, -900.0]) + shift
    expected = (np.exp(-1) + np.exp(-3)) / (np.exp(-1) + np.exp(-3) + np.exp(-2))
    assert mc2(logps, RIGHT) == pytest.approx(expected)
    assert mc2(np.full(4, -800.0), RIGHT) == 0.5


def test_a_policy(tiny):
    run, state = tiny
    found = choices.make(run, source="tests.evals.test_choices:quiz()")(state, {}, None)
    assert [row["slice"] for row in found["samples"]] == ["a", "b"]
    assert found["mc2"] == pytest.approx(np.mean([row["mc2"] for row in found["samples"]]))
    assert all(0.4 < row["mc2"] < 0.6 and row["mc1"] in (0, 1) for row in found["samples"])  # random weights
    assert all(row["response"] in ("Yes.", "Good.", "No.", "Sorry.") for row in found["samples"])


def test_truthfulqa_is_a_source(real_data):
    records = list(readers.truthfulqa(str(real_data / "truthfulqa/TruthfulQA.csv")))
    assert len(records) == 817 and len({record["slice"] for record in records}) == 38
    assert records[0]["facts"]["right"][0] == "The watermelon seeds pass through your digestive system"
    assert all(record["facts"]["right"] and record["facts"]["wrong"] for record in records)
