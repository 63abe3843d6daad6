"""What is warned of, with its field and the line it refers to."""

import re
from types import SimpleNamespace

import pytest

from prefjax.data.warn import Seen, Warner, normalised, texts

GOOD = {"prompt": "p?", "chosen": "yes", "rejected": "no"}


@pytest.mark.parametrize(
    ("record", "field", "message"),
    [
        (GOOD, "", "duplicate row"),
        (GOOD | {"chosen": "no", "rejected": "yes"}, "", "contradictory pair"),
        (GOOD | {"chosen": "No"}, "rejected", "equal after normalising"),
        (GOOD | {"chosen": "n o", "rejected": "ｎ  o "}, "rejected", "equal after normalising"),
        (GOOD | {"chosen": "no\u200b"}, "rejected", "equal after normalising"),
        (GOOD | {"chosen": "a\x1b[2J"}, "chosen", "control or bidi character"),
        (GOOD | {"prompt": "\u202eq"}, "prompt", "control or bidi character"),
        (GOOD | {"prompt": [{"role": "user", "content": "a <eos> b"}]}, "prompt", "special-token text"),
        (GOOD | {"chosen": "x", "score_chosen": 1, "score_rejected": 2.5}, "score_chosen", "opposes the label"),
        (
            GOOD | {"chosen": "x", "meta": {"score_chosen": 1, "score_rejected": 2}},
            "score_chosen",
            "opposes the label",
        ),
        (GOOD | {"chosen": "x", "slice": "s"}, "slice", "not in every row"),
    ],
)
def test_each_doubt_is_told_once_with_its_field(record, field, message):
    warner = Warner(SimpleNamespace(special_text=re.compile("<eos>")))
    assert warner.warnings(GOOD, 1) == []
    assert [(f, m) for f, m, _ in warner.warnings(record, 2)] == [(field, message)]


def test_a_response_that_is_good_and_bad_is_told():
    warner, said = Warner(), [{"prompt": "p?", "response": "yes", "label": label} for label in (True, True, False)]
    assert [[(f, m) for f, m, _ in warner.warnings(record, i)] for i, record in enumerate(said, 1)] == [
        [],
        [("", "duplicate row")],
        [("label", "contradictory label")],
    ]


def test_other_steps_or_labels_of_a_prompt_are_another_row():
    row, warner = {"prompt": "p?", "steps": ["a", "b"], "labels": [True, False]}, Warner()
    said = row, row | {"steps": ["a"], "labels": [True]}, row | {"labels": [True, True]}, row
    assert [[m for _, m, _ in warner.warnings(record, i)] for i, record in enumerate(said, 1)] == [
        [],
        [],
        [],
        ["duplicate row"],
    ]
    assert [(f, m) for f, m, _ in Warner().warnings(row | {"steps": ["a\x1b[2J", "b"]}, 1)] == [
        ("steps", "control or bidi character")
    ]


def test_labels_that_prefer_rejected_oppose():
    doubts = Warner().warnings(GOOD | {"grade": -1, "votes": [1, 2, 0]}, 1)
    assert [(f, m) for f, m, _ in doubts] == [("grade", "opposes the label"), ("votes", "opposes the label")]


def test_a_duplicate_names_the_line_of_the_first_and_another_annotator_makes_none():
    warner = Warner()
    warner.warnings(GOOD | {"annotator": 1}, 4)
    assert warner.warnings(GOOD | {"annotator": 2}, 5) == []
    assert [d.detail for d in warner.warnings(GOOD | {"annotator": 1}, 9)] == ["the same as line 4"]


def test_seen_remembers_past_its_small_dict():
    seen = Seen(newest=8)
    for i in range(100):
        assert seen.add(str(i), False, i + 1) == (0, 0)
    assert seen.add("3", False, 200) == (4, 0)
    assert seen.add("5", True, 201) == (0, 6)
    assert len(seen.newest) < 8


def test_normalising_keeps_what_differs():
    assert normalised("ＡＢ\u200b  c\n") == normalised("ab C") != normalised("abc")


def test_texts_are_all_that_a_model_reads():
    record = {"prompt": [{"role": "user", "content": "p"}], "ranking": ["a", ["b", "c"]], "slice": "s"}
    assert texts(record) == [("prompt", "p"), ("ranking", "a"), ("ranking", "b"), ("ranking", "c")]
