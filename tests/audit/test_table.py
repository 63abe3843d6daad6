"""The columns of a file of pairs, and the sample whose texts are kept."""

import numpy as np
import pytest

from prefjax.audit.table import GRADELESS, Common, Sample, Sampled, Table
from prefjax.data.tokenizer import Encoded
from prefjax.errors import DataError

PAIR = {"prompt": "p?", "chosen": "Yes it is.", "rejected": "No"}


def test_what_is_kept_of_a_pair(tmp_path, table):
    full = {"grade": -2, "votes": [1, 3, 0], "score_chosen": 1.5, "score_rejected": 4, "tag": "kind", "slice": "s"}
    full |= {"annotator": 7, "facts": ["yes IT", 3], "meta": {"order": [1, 0]}}
    found = table(tmp_path / "x", [PAIR | full, PAIR | {"grade": 0}, PAIR])
    assert found["characters"].tolist() == [[10, 2]] * 3
    assert found["words"].tolist() == [[3, 1]] * 3
    assert found["decided"].tolist() == [-1, 0, 1]  # votes come before the grade
    assert found["grade"].tolist() == [-2, 0, GRADELESS]
    assert found["votes"].tolist() == [[1, 3, 0], [0, 0, 0], [0, 0, 0]]
    assert found["gap"][0] == -2.5
    assert np.isnan(found["gap"][1:]).all()
    assert found["facts"].tolist() == [3, 0, 0]
    assert found["shown"].tolist() == [-1, 0, 0]
    assert [found[name].tolist() for name in ("tag", "slice", "annotator")] == [[1, 0, 0]] * 3
    assert found["prompt"].tolist() == [found["prompt"][0]] * 3
    assert [found.place(place) for place in found["place"]] == [f"{tmp_path}/x:{i}" for i in (1, 2, 3)]


@pytest.mark.parametrize(
    ("facts", "held"),
    [
        ([3], 1),  # not that of 1930
        ("1930", 3),
        ({"right": ["in 1930"], "wrong": ["soon"]}, 3),
        ({"wrong": ["soon"]}, 0),
        ([" ", None], 0),
    ],
)
def test_facts_are_found_as_words(tmp_path, table, facts, held):
    row = {"prompt": "When?", "chosen": "It was in 1930.", "rejected": "Soon", "facts": facts}
    assert table(tmp_path / "x", [row])["facts"].tolist() == [held]


def test_a_ranking_is_every_two_answers_of_different_rank(tmp_path, table):
    found = table(tmp_path / "x", [{"prompt": "p", "ranking": ["a a a", ["b b", "c"], "d d d d"]}])
    assert found["words"].tolist() == [[3, 2], [3, 1], [3, 4], [2, 4], [1, 4]]
    assert (found.size, found.records, found.rankings) == (5, 1, {4: 1})
    assert len(found["votes"]) == 5


def test_who_is_named_is_heard_on_every_two_answers_of_a_ranking(tmp_path, table):
    found = table(tmp_path / "x", [{"prompt": "p", "ranking": ["a", ["b", "c"]], "annotator": "me"}])
    assert len(set(found.judged["pairs"])) == 3
    assert [abs(value) for value in found.judged["values"]] == [1, 1, 0]
    assert (found.judged["graded"].tolist(), found.judged["annotators"].tolist()) == ([0, 0, 0], [1, 1, 1])
    graded = table(tmp_path / "y", [PAIR, PAIR | {"grade": 2, "annotator": "me"}])
    assert [abs(value) for value in graded.judged["values"]] == [2]
    assert graded.judged["graded"].tolist() == [1]


def test_problems_are_counted_and_the_first_shown(tmp_path, table):
    found = table(tmp_path / "x", [PAIR, PAIR, PAIR, PAIR, PAIR, PAIR | {"chosen": ""}])
    assert found.problems["refused"] == {"empty or blank answer": 1}
    assert found.problems["warned"] == {"duplicate row": 4}
    assert [told.split(": ")[0][-1] for told in found.shown["duplicate row"]] == ["2", "3", "4"]


class Letters:
    """A token a letter, in lower case."""

    special_text = None

    def encode_response(self, prompt, text):
        if text == "bad":
            raise DataError("the template refuses it")
        return Encoded(list(prompt), [*text.lower()], False)


def test_twins_in_tokens_whole_or_cut(tmp_path, table):
    rows = [
        {"prompt": "pp", "chosen": "abcd", "rejected": "ABcd"},
        {"prompt": "pp", "chosen": "abcd", "rejected": "abce"},
        {"prompt": "pp", "chosen": "abcd", "rejected": "x"},
        {"prompt": "pppppp", "chosen": "ab", "rejected": "x"},
        {"prompt": "p", "chosen": "bad", "rejected": "x"},
    ]
    found = table(tmp_path / "x", rows, tokenizer=Letters(), max_length=5)
    assert found["twins"].tolist() == [1, 2, 0, 2]
    assert found["longest"].tolist() == [6, 6, 6, 8]
    assert found["tokens"].tolist() == [[4, 4], [4, 4], [4, 1], [2, 1]]
    assert (found.records, found.size, {len(column) for column in found.judged.values()}) == (4, 4, {0})
    assert found.problems["refused"] == {"chat template fails": 1}
    assert found.shown["chat template fails"] == [f"{tmp_path}/x:5: chat template fails: the template refuses it"]


def test_the_sample_keeps_whole_prompts_evenly(tmp_path, pairs, table):
    rows = [row for row in pairs(300) for row in [row, row | {"chosen": row["chosen"] + "!"}]]
    found = table(tmp_path / "x", rows, sample=100)
    sample = found.sample
    assert sample.size == 100
    assert {len(group) for group in sample.pairs.values()} == {2}
    assert sorted(sample.pairs) == sorted(np.unique(found["prompt"]).tolist())[: len(sample.pairs)]


def test_the_sample_leaves_out_giants():
    sample = Sample(1000)
    for i in range(200):
        sample.add(1, Sampled(i, PAIR, "a", "b"))
    sample.add(2, Sampled(200, PAIR | {"chosen": "x" * 30_000}, "x" * 30_000, "b"))
    assert sample.size == 100


def test_the_sample_has_room_for_so_many_characters(monkeypatch):
    monkeypatch.setattr("prefjax.audit.table._CHARACTERS", 100)
    sample = Sample(1000)
    for i in range(20):
        sample.add(i, Sampled(i, {"prompt": "p", "chosen": "a" * 8, "rejected": "b"}, "a" * 8, "b"))
    assert (sample.characters, sample.size, sorted(sample.pairs)) == (100, 10, [*range(10)])


def test_the_sample_is_never_empty(tmp_path, pairs, table):
    rows = [row | {"prompt": f"prompt {i % 8}"} for i, row in enumerate(pairs(800))]
    sample = table(tmp_path / "x", rows, sample=90).sample
    assert (sample.size, len(sample.pairs)) == (90, 1)


def test_rare_texts_make_room_for_others():
    common = Common(4)
    assert [common.number(text) for text in "abaabcd"] == [1, 2, 1, 1, 2, 3, 4]
    assert common.dropped == 0
    assert [common.number(text) for text in "eabc"] == [5, 1, 2, 6]  # c starts anew
    assert (set(common.seen), common.dropped) == (set("abec"), 2)


def test_columns_of_nothing_are_empty():
    assert Table()["edges"].shape == (0, 8)
