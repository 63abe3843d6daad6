"""Skill: numbers in solutions, choices, and what is wrong with a task."""

import gzip
import json

import pytest

from prefjax.errors import ConfigError, DataError
from prefjax.evals import skill
from prefjax.evals.skill import final_number
from tests.evals.conftest import bare

SOURCE = "tests.evals.conftest:questions()"


def sums():
    return [{"prompt": "1 + 1?", "facts": "#### 2"}, {"prompt": "600 + 600?", "facts": "so 1,200\n#### 1,200"}]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("She makes 9 * 2 = $18.\n#### 18", "18"),
        ("The answer is $1,250.00 for 3 days.", "1250"),
        ("A: 7", "7"),
        (r"Hence \boxed{-3.50}, as 1 < 2.", "-3.5"),
        ("First 3, then 4.", "4"),
        ("#### 12\n#### 13", "13"),
        ("10 apples. Answer: 8 apples, not 9", "8"),
        ("no idea", None),
        ("", None),
    ],
)
def test_final_number(text, number):
    assert final_number(text) == number


def test_it_reads_as_those_who_judged_real_solutions(real_data):
    judged = []
    with gzip.open(real_data / "gsm8k/example_model_solutions.jsonl.gz", "rt") as file:
        rows = list(map(json.loads, file))
    for row in rows:
        truth = final_number(row["ground_truth"])
        tries = [value for value in row.values() if isinstance(value, dict)]
        judged += [(final_number(one["solution"]) == truth) == one["is_correct"] for one in tries]
    assert len(judged) > 5000 and all(judged)


def test_greedy_answers(writes):
    writes("skill", ["Jane Austen.", "it has 8 legs", "Lima"])
    assert skill.make(bare(), source=SOURCE)(None, {}, None)["skill"] == pytest.approx(2 / 3)
    writes("skill", ["The answer is 2.", "1100"])
    found = skill.make(bare(), source="tests.evals.test_skill:sums()", extract="final_number")(None, {}, None)
    assert [row["skill"] for row in found["samples"]] == [1, 0]


def nothings():
    return [{"prompt": "Which article?", "facts": ["the"]}]


def test_a_blank_answer_is_never_right(writes):
    writes("skill", ["", " !", "the"])
    assert skill.make(bare(), source=SOURCE)(None, {}, None)["skill"] == 0
    with pytest.raises(DataError, match="'answer' finds no answer in the facts of record 0"):
        skill.make(bare(), source="tests.evals.test_skill:nothings()")


def test_choices(tiny):
    run, state = tiny
    found = skill.make(run, source="tests.evals.test_choices:quiz()")(state, {}, None)
    right = [row["response"] in ("Yes.", "Good.") for row in found["samples"]]
    assert [row["skill"] for row in found["samples"]] == right
    assert run.facts["skill"].keys() == {"tests.evals.test_choices:quiz()[:2]"}
    each = skill.make(run, source="tests.evals.test_choices:quiz()", by="token")(state, {}, None)
    assert each["skill"] in (0, 0.5, 1)


def test_what_is_wrong_is_said(tiny):
    run, _ = tiny
    with pytest.raises(DataError, match="'final_number' finds no answer in the facts of record 0"):
        skill.make(bare(), source=SOURCE, extract="final_number")
    with pytest.raises(ConfigError, match="no 'last_number' in prefjax.evals.skill; did you mean 'final_number'"):
        skill.make(bare(), source=SOURCE, extract="last_number")
    with pytest.raises(ConfigError, match="by='letter'.*'sum' or 'token'"):
        skill.make(run, source="tests.evals.test_choices:quiz()", by="letter")
