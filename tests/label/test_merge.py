"""Several annotators as votes."""

import json

import pytest

from prefjax.data.check import check
from prefjax.data.readers import pairs
from prefjax.errors import DataError
from prefjax.label.merge import merge


@pytest.fixture
def write(tmp_path):
    def write(name, scale, *rows):
        meta = {"scale": scale}
        lines = [json.dumps({"prompt": "p", "annotator": name, "meta": meta} | row) + "\n" for row in rows]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
        return str(tmp_path / f"{name}.jsonl")

    return write


def pair(chosen, rejected, **rest):
    return {"chosen": chosen, "rejected": rejected} | rest


def test_votes_of_three(write, tmp_path):
    write("ada", "binary", pair("x", "y", votes=[1, 0, 0], id=3), pair("u", "v", votes=[1, 0, 0]))
    write("bob", "binary", pair("y", "x", votes=[1, 0, 0]), pair("v", "u", votes=[1, 0, 0]))
    write("eve", "binary", pair("y", "x", votes=[1, 0, 0]), pair("u", "v", votes=[0, 0, 1]))
    found = merge([str(tmp_path / "*.jsonl")])
    assert found.annotators == ["ada", "bob", "eve"]
    assert found.pairs == [
        {
            "prompt": "p",
            "chosen": "y",
            "rejected": "x",
            "id": 3,
            "votes": [2, 1, 0],
            "meta": {"scale": "votes", "annotators": {"ada": -1, "bob": 1, "eve": 1}},
        },
        {
            "prompt": "p",
            "chosen": "u",  # a draw: as the first one chose
            "rejected": "v",
            "votes": [1, 1, 1],
            "meta": {"scale": "votes", "annotators": {"ada": 1, "bob": -1, "eve": 0}},
        },
    ]
    out = tmp_path / "merged.txt"
    out.write_text("".join(json.dumps(row) + "\n" for row in found.pairs))
    assert [*pairs(path=str(out))] == found.pairs
    assert check(out).refused == []


def test_grades_rankings_and_the_last_word(write):
    graded = write("ada", "graded", pair("x", "y", grade=3), pair("x", "y", grade=0), pair("y", "x", grade=2))
    ranked = write("bob", "ranked", {"ranking": ["z", ["x", "y"]]})
    found = merge([graded, ranked])
    assert found.repeated == 2
    by_texts = {(row["chosen"], row["rejected"]): row for row in found.pairs}
    assert by_texts["y", "x"]["votes"] == [1, 0, 1]
    assert by_texts["y", "x"]["meta"]["annotators"] == {"ada": 2, "bob": 0}
    assert by_texts["z", "x"]["votes"] == by_texts["z", "y"]["votes"] == [1, 0, 0]


def test_votes_and_grades_that_agree_have_an_alpha_of_1(write):
    sides = [("x", "y"), ("u", "v"), ("b", "a"), ("d", "c"), ("f", "e")]
    graded = write("ada", "graded", *(pair(*side, grade=3) for side in sides))
    binary = write("bob", "binary", *(pair(*side, votes=[1, 0, 0]) for side in sides))
    assert merge([graded, binary]).agreement == (1, 1, 1)


def test_only_what_was_labelled_is_merged(write, tmp_path):
    with pytest.raises(DataError, match="ada.jsonl:1: annotator: missing"):
        merge([write("ada", "binary", pair("x", "y", annotator=None))])
    with pytest.raises(DataError, match="no such file"):
        merge([str(tmp_path / "none.jsonl")])
