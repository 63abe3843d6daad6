"""Pairs from candidates: labels, ties, biases of a judge, and what is never written."""

from collections import Counter

import numpy as np
import pytest

from prefjax.data.records import canonical
from prefjax.sampling.candidates import Candidates
from prefjax.sampling.complete import Answer
from prefjax.sampling.pairs import make, win_rates

RECORD = {"prompt": "p", "id": 7, "slice": "s", "meta": {"entity": "e"}, "response": "old"}
ORIGIN = {"model": "m", "seed": 3}


def found(texts, scores, stopped=True):
    return Candidates(0, [Answer(0, text, 3, stopped) for text in texts], {"score": np.array(scores, float)})


def shorter(prompt, a, b):
    assert prompt == "p"
    return "invalid" if "?" in a + b else "tie" if len(a) == len(b) else "A" if len(a) < len(b) else "B"


def test_a_pair_is_the_best_against_the_worst_and_says_where_it_is_from():
    row = make(found("abc", [1, 3, 2]), RECORD, Counter(), origin=ORIGIN)
    assert row == {
        "prompt": "p",
        "id": 7,
        "slice": "s",
        "meta": {"entity": "e", "sampled": ORIGIN | {"scores": [3, 2, 1]}},
        "chosen": "b",
        "rejected": "a",
        "score_chosen": 3,
        "score_rejected": 1,
    }
    assert canonical(row)[0] == row
    assert RECORD["meta"] == {"entity": "e"}


def test_a_ranking_nests_equals():
    row = make(found("abcd", [1, 3, 1, 2]), RECORD, Counter(), origin=ORIGIN, ranking=True)
    assert row["ranking"] == ["b", "d", ["a", "c"]]
    assert canonical(row)[0] == row


@pytest.mark.parametrize(
    ("candidates", "knobs", "counted"),
    [
        (found("ab", [1, 1]), {}, {"prompts with a tie": 1}),
        (
            found("aa", [1, 2]),
            {},
            {"identical to another of their prompt": 1, "prompts with fewer than two completions left": 1},
        ),
        (
            found("ab", [1, 2], stopped=False),
            {},
            {"cut at max_new": 2, "prompts with fewer than two completions left": 1},
        ),
        (found("ab", [0, 0]), {"judge": shorter}, {"prompts with a tie": 1}),
        (found(["a", "b?"], [0, 0]), {"judge": shorter}, {"prompts with an invalid verdict": 1}),
    ],
)
def test_what_is_no_pair_is_counted(candidates, knobs, counted):
    counts = Counter()
    assert make(candidates, RECORD, counts, origin=ORIGIN, **knobs) is None
    assert counts == counted


def test_cut_completions_may_be_kept():
    assert make(found("ab", [1, 2], stopped=False), RECORD, Counter(), origin=ORIGIN, cut=True)["chosen"] == "b"


def test_a_judge_orders_by_the_comparisons_won():
    texts = ["four", "a", "two", "six"]
    assert win_rates(shorter, "p", texts).tolist() == [0, 1, 0.5, 0.5]
    row = make(found(texts, [np.inf] * 4), RECORD, Counter(), origin=ORIGIN, judge=shorter)
    assert (row["chosen"], row["rejected"], row["score_chosen"]) == ("a", "four", 1)
