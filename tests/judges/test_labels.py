"""Human labels as a judge: every form of them, votes, and rows that are none."""

import csv
import json
import logging

import pytest

from prefjax.errors import ConfigError, DataError
from prefjax.judges import compare, make

RECORDS = [{"id": 7, "prompt": "by id"}, {"id": "x", "prompt": "two\nlines"}]


def judge_of(path, rows, extra=""):
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            table = csv.DictWriter(file, sorted({name for row in rows for name in row}))
            table.writeheader()
            table.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return make(f"labels(path={str(path)!r}{extra})", RECORDS)


@pytest.mark.parametrize("name", ["labels.csv", "labels.jsonl"])
def test_a_and_b_with_a_verdict(tmp_path, name):
    rows = [
        {"prompt": "p", "a": "left,\r\nwith a line", "b": "right", "verdict": "B", "annotator": "ann"},
        {"prompt": "q", "a": "left", "b": "right", "verdict": " a "},
        {"prompt": "r", "a": "left", "b": "right", "verdict": "tie"},
        {"id": "7", "a": "left", "b": "right", "verdict": "A"},
    ]
    judge = judge_of(tmp_path / name, rows)
    assert judge("p", "left,\nwith a line", "right\n") == "B"
    assert judge("p", "right", "left,\nwith a line") == "A"
    assert [compare(judge, prompt, "left", "right").value for prompt in ("q", "r", "by id")] == [1, 0.5, 1]


def test_pairs_grades_votes_and_rankings(tmp_path):
    pair = {"chosen": "c", "rejected": "r"}
    rows = [
        {"prompt": "plain"} | pair,
        {"prompt": "tie", "grade": 0} | pair,
        {"prompt": "worse", "grade": -2} | pair,
        {"prompt": "votes", "votes": [1, 2, 0]} | pair,
        {"prompt": "ranked", "ranking": ["c", ["r", "s"], "t"]},
        {"prompt": "turns", "chosen": [{"role": "assistant", "content": "c"}], "rejected": "r"},
    ]
    judge = judge_of(tmp_path / "labels.jsonl", rows)
    asked = ("plain", "tie", "worse", "votes", "ranked", "turns")
    assert [judge(prompt, "c", "r") for prompt in asked] == ["A", "tie", "B", "B", "A", "A"]
    assert [judge("ranked", *pair) for pair in ("rs", "ts", "tc", "ct")] == ["tie", "B", "B", "A"]


def test_rows_on_the_same_answers_are_votes(tmp_path):
    votes = [("x", "y", "A"), ("y", "x", "B"), ("x", "y", "tie"), ("y", "x", "A")]
    rows = [{"prompt": "p", "a": a, "b": b, "verdict": v} for a, b, v in votes]
    assert judge_of(tmp_path / "three.jsonl", rows[:3])("p", "y", "x") == "B"
    assert judge_of(tmp_path / "two.jsonl", rows[1:3])("p", "x", "y") == "tie"
    assert judge_of(tmp_path / "half.jsonl", [rows[0], rows[3]])("p", "x", "y") == "tie"


def test_the_last_word_of_an_annotator_counts(tmp_path):
    said = [("ann", "x", "y", "A"), ("ann", "y", "x", "A"), ("bob", "x", "y", "A"), (None, "x", "y", "A")]
    rows = [{"prompt": "p", "a": a, "b": b, "verdict": v, "annotator": who} for who, a, b, v in said]
    assert judge_of(tmp_path / "one.jsonl", rows[:2])("p", "x", "y") == "B"
    assert judge_of(tmp_path / "two.jsonl", rows[:3])("p", "x", "y") == "tie"
    assert judge_of(tmp_path / "three.jsonl", rows)("p", "x", "y") == "A"
    named = [{"who" if name == "annotator" else name: value for name, value in row.items()} for row in rows[:2]]
    assert judge_of(tmp_path / "who.jsonl", named, ", annotator='who'")("p", "x", "y") == "B"


def test_an_empty_answer_is_one_in_a_spreadsheet_too(tmp_path):
    rows = [{"prompt": "p", "a": "", "b": "y", "verdict": "B"}]
    assert [judge_of(tmp_path / name, rows)("p", "", "y") for name in ("l.csv", "l.jsonl")] == ["B", "B"]
    assert (
        judge_of(tmp_path / "m.csv", [{"prompt": "p", "chosen": "x", "rejected": "", "grade": ""}])("p", "x", "") == "A"
    )


def test_what_nobody_labelled_is_invalid_and_said_once(tmp_path, caplog):
    judge = judge_of(tmp_path / "l.jsonl", [{"prompt": "p", "chosen": "c", "rejected": "r"}])
    with caplog.at_level(logging.WARNING):
        assert [judge("p", "c", "new"), judge("other", "c", "r")] == ["invalid", "invalid"]
    assert [record.message.split(": ", 1)[1] for record in caplog.records] == [
        "nobody labelled these answers to 'p': invalid"
    ]


def test_other_names(tmp_path):
    rows = [{"question": "p", "a": "x", "b": "y", "winner": "B"}]
    assert judge_of(tmp_path / "l.csv", rows, ", prompt='question', verdict='winner'")("p", "x", "y") == "B"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"a": "x", "b": "y", "verdict": "A"}, "l.jsonl:1: prompt: missing field: a label needs the prompt, or the id"),
        ({"id": 9, "a": "x", "b": "y", "verdict": "A"}, "l.jsonl:1: id: no record has it: '9'"),
        ({"prompt": 3, "a": "x", "b": "y", "verdict": "A"}, "l.jsonl:1: prompt: mistyped field"),
        (
            {"prompt": "p", "a": "x", "b": "y", "verdict": "C"},
            "l.jsonl:1: verdict: unknown verdict: .C.; expected A",
        ),
        ({"prompt": "p", "a": "x", "b": "y"}, "l.jsonl:1: verdict: missing field: expected A, B or tie"),
        ({"prompt": "p", "a": "x", "verdict": "A"}, "l.jsonl:1: b: missing field: expected the text of an answer"),
        ({"prompt": "p", "ranking": "xyz"}, "l.jsonl:1: ranking: mistyped field: expected a list"),
        ({"prompt": "p", "chosen": "x"}, "l.jsonl:1: rejected: missing field"),
        ({"prompt": "p", "chosen": "x", "rejected": "y", "grade": "good"}, "l.jsonl:1: grade: mistyped field"),
        ({"prompt": "p", "chosen": "x", "rejected": "y", "grade": 0.5}, "l.jsonl:1: grade: mistyped field"),
        ({"prompt": "p", "ranking": "good, bad"}, "l.jsonl:1: ranking: mistyped field: expected a list of texts"),
        ({"prompt": "p", "ranking": 3}, "l.jsonl:1: ranking: mistyped field: expected a list of texts"),
        ({"prompt": "p", "ranking": ["x", 3]}, "l.jsonl:1: ranking: mistyped field: expected the text"),
        ({"prompt": [1, 2], "a": "x", "b": "y", "verdict": "A"}, "l.jsonl:1: prompt: mistyped field"),
        ({"prompt": "p", "chosen": "x", "rejected": "y", "votes": [1]}, "l.jsonl:1: votes: label out of scale"),
    ],
)
def test_mistakes_name_the_row_and_the_field(tmp_path, row, message):
    with pytest.raises(DataError, match=message):
        judge_of(tmp_path / "l.jsonl", [row])


def test_files_that_hold_no_labels(tmp_path):
    with pytest.raises(DataError, match=r"e\.jsonl: no labels"):
        judge_of(tmp_path / "e.jsonl", [])
    (tmp_path / "broken.jsonl").write_text("{\n")
    with pytest.raises(DataError, match=r"broken\.jsonl:1: not JSON"):
        make(f"labels(path={str(tmp_path / 'broken.jsonl')!r})")
    (tmp_path / "latin.csv").write_bytes("prompt,a,b,verdict\np,é,y,A\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"latin\.csv:1: damaged: 'utf-8' codec"):
        make(f"labels(path={str(tmp_path / 'latin.csv')!r})")
    with pytest.raises(DataError, match=r"long\.csv:3: verdict: unknown verdict"):
        judge_of(tmp_path / "long.csv", [{"prompt": "p\np", "a": "x" * 200_000, "b": "y", "verdict": "C"}])
    with pytest.raises(ConfigError, match="no field 'winner' in a label"):
        make("labels(path='x.csv', winner='w')")


def test_what_prefjax_label_writes_is_read(tmp_path):
    row = {"prompt": "p", "chosen": "c", "rejected": "r", "grade": -1, "annotator": "ann", "meta": {"scale": "graded"}}
    assert judge_of(tmp_path / "l.jsonl", [row])("p", "c", "r") == "B"
