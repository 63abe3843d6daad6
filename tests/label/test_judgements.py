"""Judgements: what is written, that every reader takes it, and what a page may send."""

import pytest

from prefjax.data.records import canonical
from prefjax.evals.agreement import comparisons
from prefjax.label.judgements import Verdict, agreement, record, unlabelled, verdict

ABOUT = {"annotator": "ada", "time": "2026-01-01T00:00:00Z"}


def given(value, **rest):
    return Verdict(value, 1.5, **({"flags": [], "comment": ""} | rest))


@pytest.mark.parametrize("shown", [[0, 1], [1, 0]])
@pytest.mark.parametrize(
    ("scale", "value", "label"),
    [
        ("binary", 1, {"votes": [1, 0, 0]}),
        ("binary", -1, {"votes": [1, 0, 0]}),
        ("binary", 0, {"votes": [0, 0, 1]}),
        ("graded", 3, {"grade": 3}),
        ("graded", -2, {"grade": 2}),
        ("graded", 0, {"grade": 0}),
    ],
)
def test_a_verdict_on_a_pair(make_item, shown, scale, value, label):
    item = make_item(texts=("x", "y"), id=7, grade=1)
    row = record(item, shown, given(value), scale, ABOUT)
    assert canonical(row)[0] == row
    better = item.answers[shown[0] if value > 0 else shown[1]] if value else "x"
    assert row["chosen"] == better
    assert {row["chosen"], row["rejected"]} == {"x", "y"}
    assert {field: row[field] for field in label} == label
    assert (row["id"], row["annotator"], row["meta"]["before"]) == (7, "ada", {"grade": 1})
    assert "votes" not in row or "grade" not in row
    best_first = [row["chosen"], row["rejected"]]
    assert [item.answers[at] for at in row["meta"]["source"]] == best_first
    assert [best_first[at] for at in row["meta"]["order"]] == [item.answers[at] for at in shown]


def test_a_ranking_with_ties(make_item):
    item = make_item(texts=("x", "y", "z"))
    row = record(item, [2, 0, 1], given([[2], [1, 0]], flags=["unsafe"], comment="hm"), "ranked", ABOUT)
    assert row["ranking"] == ["y", ["x", "z"]]  # places 2; then 1 and 0 in the order of the file
    assert canonical(row)[0] == row
    assert row["meta"]["source"] == [1, 0, 2]
    assert row["meta"]["order"] == [2, 1, 0]
    assert (row["meta"]["flags"], row["meta"]["comment"]) == (["unsafe"], "hm")


def test_what_prefers_nothing_is_no_record(make_item):
    item = make_item()
    assert record(item, [0, 1], given(None), "binary", ABOUT) is None
    assert record(item, [0, 1], given([[0, 1]]), "ranked", ABOUT) is None
    aside = unlabelled(item, [1, 0], given(None), "binary", ABOUT)
    assert (aside["event"], aside["key"], aside["answers"]) == ("cannot judge", item.key, ["x", "y"])
    assert unlabelled(item, [1, 0], given([[0, 1]]), "ranked", ABOUT)["event"] == "all equal"


GOOD = {"value": 1, "seconds": 3.14, "flags": ["unclear"], "comment": " c "}


def test_what_a_page_sends():
    assert verdict(GOOD, "binary", 2) == Verdict(1, 3.1, ["unclear"], "c")
    assert verdict(GOOD | {"value": None}, "graded", 2).value is None
    assert verdict(GOOD | {"value": [[1], [0, 2]]}, "ranked", 3).value == [[1], [0, 2]]


@pytest.mark.parametrize(
    ("scale", "wrong"),
    [
        ("binary", {"value": 2}),
        ("binary", {"value": True}),
        ("binary", {"value": "1"}),
        ("graded", {"value": -4}),
        ("graded", {"value": 1.0}),
        ("ranked", {"value": [[0], [1]]}),
        ("ranked", {"value": [[0], [1], [1]]}),
        ("ranked", {"value": [[0, 1, 2], []]}),
        ("ranked", {"value": [0, 1, 2]}),
        ("ranked", {"value": [["0"], [1], [2]]}),
        ("ranked", {"value": 1}),
        ("binary", {"seconds": float("nan")}),
        ("binary", {"seconds": -1}),
        ("binary", {"seconds": 1e6}),
        ("binary", {"seconds": None}),
        ("binary", {"flags": ["rude"]}),
        ("binary", {"flags": [["unsafe"]]}),
        ("binary", {"flags": "unsafe"}),
        ("binary", {"comment": None}),
        ("binary", {"comment": "x" * 10_001}),
        ("binary", {"comment": "\ud800"}),
    ],
)
def test_what_a_page_may_not_send(scale, wrong):
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))}: "):
        verdict(GOOD | wrong, scale, 3 if scale == "ranked" else 2)


def test_agreement_is_of_the_last_word_on_signs_where_scales_differ():
    pair, swapped = {"prompt": "p", "chosen": "x", "rejected": "y"}, {"prompt": "p", "chosen": "y", "rejected": "x"}
    rows = [row | {"prompt": f"p{i}"} for i, row in enumerate([pair, swapped, pair, swapped])]
    ada = [("ada", row | {"grade": 3}) for row in [swapped | {"prompt": "p0"}, *rows]]
    bob = [("bob", row | {"votes": [1, 0, 0]}) for row in rows]
    told = [(who, one) for who, row in ada + bob for one in comparisons(row)]
    assert agreement(told, resamples=20) == ((1, 1, 1), 4, 2)
    assert agreement(told[:-1])[1:] == (3, 2)
    assert agreement([]) == (None, 0, 0)
