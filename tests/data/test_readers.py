"""Readers: on small files of their layouts, and on the real ones."""

import gzip
import json
import logging
import os
from collections import Counter

import pytest

from prefjax.data import load, readers
from prefjax.data.check import check
from prefjax.data.prompts import prompt_key
from prefjax.errors import ConfigError, DataError
from prefjax.resolve import parse

GOOD = {"prompt": "p?", "chosen": "yes", "rejected": "no"}


@pytest.fixture
def write(tmp_path):
    def write(*rows):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


def test_more_bad_rows_than_allowed_are_told_the_first_five_and_the_count(write):
    path = write(GOOD, *[GOOD | {"chosen": ""}] * 7)
    with pytest.raises(DataError) as caught:
        list(readers.pairs(path, bad_rows=6))
    first, *told, last = str(caught.value).splitlines()
    assert first == f"{path}: 7 rows are refused, 6 allowed (bad_rows=6):"
    assert told == [f"  {path}:{line}: chosen: empty or blank answer" for line in range(2, 7)]
    assert last == "  and 2 more"
    assert list(readers.pairs(path, bad_rows=7)) == [GOOD]


@pytest.mark.parametrize("rows", [[], [GOOD | {"chosen": None}]])
def test_no_usable_rows_is_an_error_however_many_are_allowed(write, rows):
    with pytest.raises(DataError, match="no usable rows"):
        list(readers.pairs(write(*rows), bad_rows=10))


def test_a_limit_stops_the_reading_and_the_environment_names_the_folder(write, tmp_path, monkeypatch):
    write(GOOD, GOOD | {"prompt": "q?"}, {"broken": 1})
    monkeypatch.setenv("SOME_FOLDER", str(tmp_path))
    assert list(readers.pairs("${SOME_FOLDER}/rows.jsonl", limit=2)) == [GOOD, GOOD | {"prompt": "q?"}]


def test_warnings_are_logged_in_one_line(write, caplog):
    path = write(GOOD, GOOD)
    with caplog.at_level(logging.WARNING):
        list(readers.pairs(path))
    assert caplog.messages == [f"{path}: 1 x duplicate row"]


def test_single_responses_have_a_label_and_may_be_called_completions(write):
    rows = [{"prompt": "p?", "completion": "yes", "label": True}, {"prompt": "p?", "response": "no", "label": False}]
    chat = {"prompt": "p?", "completion": [{"role": "assistant", "content": "yes"}], "label": False}
    found = list(readers.unpaired(write(*rows, chat)))
    assert [(r["response"], r["label"]) for r in found] == [("yes", True), ("no", False), ("yes", False)]
    assert list(readers.demos(write(rows[0]))) == [{"prompt": "p?", "response": "yes"}]
    bad = [
        rows[0] | {"label": 1},
        {"prompt": "p?", "completion": "", "label": True},
        {"prompt": "p?", "response": "no"},
    ]
    with pytest.raises(DataError) as caught:
        list(readers.unpaired(write(*bad)))
    told = [line.partition("rows.jsonl")[2] for line in str(caught.value).splitlines()[1:]]
    assert told == [
        ":1: label: mistyped field: expected true or false, got an integer",
        ":2: completion: empty or blank answer",
        ":3: label: missing field",
    ]


def test_steps_have_a_label_each(write):
    row = {"prompt": "p?", "completions": ["a", "b"], "labels": [True, False]}
    assert list(readers.steps(write(row), steps="completions")) == [
        {"prompt": "p?", "steps": ["a", "b"], "labels": [True, False]}
    ]
    bad = [
        row | {"labels": [True]},
        row | {"labels": [1, 0]},
        row | {"completions": ["a", ""]},
        row | {"completions": []},
    ]
    with pytest.raises(DataError) as caught:
        list(readers.steps(write(*bad), steps="completions"))
    assert [line.partition("rows.jsonl")[2] for line in str(caught.value).splitlines()[1:]] == [
        ":1: labels: labels do not fit: expected true or false for each of the 2 steps",
        ":2: labels: labels do not fit: expected true or false for each of the 2 steps",
        ":3: completions: empty or blank step",
        ":4: completions: no steps",
    ]


def test_demonstrations_texts_and_prompts(write):
    path = write({"question": "q?", "answer": "a"})
    assert list(readers.demos(path, prompt="question", response="answer")) == [{"prompt": "q?", "response": "a"}]
    assert list(readers.demos(path, text="answer")) == [{"response": "a"}]
    assert list(readers.prompts(path, prompt="question", facts="answer")) == [{"prompt": "q?", "facts": "a"}]
    with pytest.raises(ConfigError, match="text="):
        list(readers.demos(path, text="answer", prompt="question"))


def test_hh_takes_the_shared_dialogue_as_prompt(write):
    start = "\n\nHuman: hi\n\nAssistant: hello\n\nHuman: bye\n\nAssistant:"
    (record,) = list(readers.hh(write({"chosen": start + " good bye", "rejected": start + " no"})))
    assert record == {
        "prompt": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "hello"},
            {"role": "user", "content": "bye"},
        ],
        "chosen": "good bye",
        "rejected": "no",
    }


@pytest.mark.parametrize(
    ("chosen", "rejected", "refusal"),
    [
        ("\n\nHuman: a\n\nAssistant: x", "\n\nHuman: b\n\nAssistant: y", "rejected: prompts differ"),
        (
            "\n\nHuman: a\n\nAssistant: x\n\nHuman: b",
            "\n\nHuman: a\n\nAssistant: x\n\nHuman: c",
            "chosen: last turn is",
        ),
        ("\n\nHuman: a\n\nAssistant: ", "\n\nHuman: a\n\nAssistant: y", "chosen: empty or blank answer"),
        ("just text", "\n\nHuman: a\n\nAssistant: y", "chosen: not a transcript"),
    ],
)
def test_hh_refuses_what_is_no_pair_of_answers_to_one_dialogue(write, chosen, rejected, refusal):
    with pytest.raises(DataError, match=refusal):
        list(readers.hh(write({"chosen": chosen, "rejected": rejected})))


def test_pandalm_lets_the_majority_choose(write):
    row = {"idx": 5, "instruction": "i", "input": "", "response1": "one", "response2": "two", "cmp_key": "a_b"}
    votes = {"annotator1": 2, "annotator2": 0, "annotator3": 2}
    (record,) = list(readers.pandalm(write(row | votes)))
    assert record == {
        "prompt": "i",
        "chosen": "two",
        "rejected": "one",
        "votes": [2, 0, 1],
        "id": 5,
        "meta": {"models": "a_b", "order": [1, 0]},  # the second shown is chosen
    }
    (record,) = list(readers.pandalm(write(row | votes | {"annotator1": 1})))
    assert (record["chosen"], record["votes"]) == ("one", [1, 1, 1])
    with pytest.raises(DataError, match="response1: mistyped field"):
        list(readers.pandalm(write(row | votes | {"response1": True})))
    with pytest.raises(DataError, match="annotator1: label out of scale"):
        list(readers.pandalm(write(row | votes | {"annotator3": 3})))
    with pytest.raises(DataError, match="annotator2: missing field"):
        list(readers.pandalm(write(row | {"annotator1": 1})))


def test_oasst_ranks_by_rank_and_nests_equal_ranks(write):
    replies = [{"text": text, "rank": rank} for text, rank in (("c", 1), ("a", 0), ("d", 2), ("b", 1))]
    row = {"context": [{"role": "prompter", "text": "q"}], "ranked_replies": replies}
    (record,) = list(readers.oasst(write(row)))
    assert record == {"prompt": [{"role": "user", "content": "q"}], "ranking": ["a", ["c", "b"], "d"]}
    for broken, refusal in (
        ({"context": ["q"]}, "context: mistyped field"),
        ({"ranked_replies": [{"text": "a"}]}, "ranked_replies: mistyped field"),
        ({"ranked_replies": [{"rank": 0}, {"rank": 1}]}, "ranked_replies: mistyped field"),
        ({"context": [{"role": "bot", "text": "q"}]}, "context: unknown role"),
    ):
        with pytest.raises(DataError, match=refusal):
            list(readers.oasst(write(row | broken)))


@pytest.mark.parametrize(("gap", "grade"), [(0, 0), (0.5, 1), (1, 1), (1.5, 2), (3, 2), (3.5, 3), (-2, -2)])
def test_ultrafeedback_grades_by_the_gap(write, gap, grade):
    scores = {"score_chosen": 5 + gap, "score_rejected": 5}
    (record,) = list(readers.ultrafeedback(write(GOOD | {"metadata": scores, "source_index": 3})))
    assert record == GOOD | {"grade": grade, "id": 3, "meta": scores}


def test_the_chosen_side_of_pairs_and_the_first_of_rankings_are_demonstrations(tmp_path):
    rows = [{"prompt": "p", "chosen": "a", "rejected": "b", "slice": "s", "grade": 1}]
    file = tmp_path / "pairs.jsonl"
    file.write_text(json.dumps(rows[0]) + "\n")
    assert list(readers.chosen(f"pairs(path={str(file)!r})")) == [{"prompt": "p", "response": "a", "slice": "s"}]
    for ranking in (["a", "b"], [["a", "c"], "b"]):
        file.write_text(json.dumps({"prompt": "p", "ranking": ranking}) + "\n")
        assert list(readers.chosen(f"pairs(path={str(file)!r})")) == [{"prompt": "p", "response": "a"}]


def test_a_split_by_prompt_shares_none_and_does_not_depend_on_order(write):
    records = [{"prompt": f"q{i // 3}", "chosen": f"a{i}", "rejected": "b"} for i in range(600)]

    def parts(records, **options):
        source = f"pairs(path={write(*records)!r})"
        return [list(readers.split(source, part, **options)) for part in readers.PARTS]

    train, held = parts(records, fraction=0.25, seed=1)
    assert not {prompt_key(record) for record in train} & {prompt_key(record) for record in held}
    assert sorted(r["chosen"] for r in train + held) == sorted(r["chosen"] for r in records)
    assert 0.15 < len(held) / 600 < 0.35
    turned = parts(records[::-1], fraction=0.25, seed=1)
    assert [part[::-1] for part in turned] == [train, held]
    assert parts(records, fraction=0.25, seed=2)[1] != held
    with pytest.raises(ConfigError, match="fraction"):
        parts(records, fraction=1.5)
    with pytest.raises(DataError, match="3 records split at 0.25: one part has no prompts"):
        parts(records[:3], fraction=0.25)


def test_a_part_of_no_source_or_of_no_name_is_a_config_error(write):
    path = write(GOOD)
    with pytest.raises(ConfigError, match="part is 'test'; it should be 'train' or 'held_out'"):
        readers.split(f"pairs(path={path!r})", "test")
    with pytest.raises(ConfigError, match="pairss"):
        readers.split(f"pairss(path={path!r})", "train")


def test_records_come_one_at_a_time_and_none_past_too_many_bad_rows(write):
    records = readers.pairs(write(GOOD, GOOD | {"prompt": "q?"}, {"broken": 1}, GOOD))
    assert (next(records), next(records)["prompt"]) == (GOOD, "q?")
    with pytest.raises(DataError, match="1 row is refused"):
        next(records)


# Every preference set of the folder: how a config names it, how many records it gives, and what is refused of it.
REAL = [
    ("pairs(path='{}/storybyte_pairs/preference_pairs.jsonl.gz', prompt='request')", 113, {}),
    ("pairs(path='{}/gsm8k/correctness_pairs.jsonl.gz')", 2429, {}),
    (
        "pairs(path='{}/rasbt_politeness_pairs/pairs.jsonl.gz', prompt=('instruction', 'input'))",
        1094,
        {"rejected: chosen equals rejected": 6},
    ),
    (
        "hh(path='{}/hh_harmless_test/harmless-base_test.jsonl.gz')",
        2303,
        {"chosen: empty or blank answer": 4, "rejected: prompts differ": 5},
    ),
    (
        "pandalm(path='{}/pandalm_test/pandalm_testset.jsonl.gz')",
        939,
        {
            "response1: mistyped field": 4,  # true or false
            "response2: mistyped field": 2,
            "response1: empty or blank answer": 29,
            "response2: empty or blank answer": 25,
        },
    ),
    ("oasst(path='{}/oasst_rankings/ranked_groups.jsonl.gz')", 212, {}),
    (
        "ultrafeedback(path='{}/ultrafeedback_slice/train.jsonl.gz')",
        994,
        {
            "rejected: chosen equals rejected": 4,
            "chosen: empty or blank answer": 1,
            "rejected: empty or blank answer": 1,
        },
    ),
    ("ultrafeedback(path='{}/ultrafeedback_slice/eval.jsonl.gz')", 199, {"rejected: chosen equals rejected": 1}),
]


@pytest.mark.parametrize(("source", "usable", "refusals"), REAL, ids=[source.split("/")[1] for source, *_ in REAL])
def test_every_real_preference_set_is_a_config_line_and_every_refusal_has_its_reason(
    real_data, source, usable, refusals
):
    name, options = parse(source.format("$PREFJAX_DATA"))
    refused = sum(refusals.values())
    allowed = ", ".join(f"{key}={value!r}" for key, value in {**options, "bad_rows": refused}.items())
    assert len(load.records(f"{name}({allowed})")) == usable
    if refused:
        with pytest.raises(DataError, match=f"{refused} rows? (is|are) refused, 0 allowed"):
            load.records(source.format("$PREFJAX_DATA"))
    path = options.pop("path")
    report = check(path, layout=name, **options)
    assert Counter(f"{p.field}: {p.message}" for p in report.refused) == refusals
    with gzip.open(os.path.expandvars(path)) as file:
        assert usable + refused == sum(1 for _ in file)


def test_real_demonstrations_are_read_whole(real_data):
    stories = "demos(path='$PREFJAX_DATA/storybyte_pairs/requests_train.jsonl.gz', prompt='request', response='story')"
    assert len(load.records(stories)) == 571
    assert (
        len(load.records("demos(path='$PREFJAX_DATA/tinystories_1000/tinystories_1000.jsonl.gz', text='text')")) == 1000
    )
    problems = "demos(path='$PREFJAX_DATA/gsm8k/train.jsonl.gz', prompt='question', response='answer')"
    assert len(load.records(problems)) == 7473


def test_csv_has_a_line_of_names_and_empty_fields_are_absent(tmp_path):
    path = tmp_path / "prompts.csv"
    path.write_text('\ufeffid,prompt,label\n1,"How, and\nwhy?",safe\n2,Who?,\n')
    assert list(readers.prompts(str(path), slice="label")) == [
        {"prompt": "How, and\nwhy?", "slice": "safe", "id": "1"},
        {"prompt": "Who?", "id": "2"},
    ]


def test_csv_holds_texts_as_long_as_other_files_do(tmp_path):
    path = tmp_path / "prompts.csv"
    path.write_text(f"prompt\n{'a' * 200_000}\n")
    assert [len(record["prompt"]) for record in readers.prompts(str(path))] == [200_000]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompt,id\na,1\nb\n", "prompts.csv:3: not a row: it has more or fewer fields"),
        ("prompt,id\na,1,2\n", "prompts.csv:2: not a row: it has more or fewer fields"),
        ('prompt,id\n"a\nb",1\nb\n', "prompts.csv:4: not a row"),
        ("prompt\n" + "é" * 600_000, "prompts.csv:2: prompt: prompt over 1 MB"),
        ('prompt\n"a', "prompts.csv:2: damaged: unexpected end of data"),
    ],
)
def test_csv_that_is_broken(tmp_path, text, message):
    path = tmp_path / "prompts.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        list(readers.prompts(str(path)))


def test_truthfulqa_has_answers_that_are_right_the_best_one_first_and_wrong(tmp_path):
    path = tmp_path / "questions.csv"
    path.write_text(
        "Category,Question,Best Answer,Correct Answers,Incorrect Answers\nBirds,Fly?,No,Never; No,Yes; Yes;Often\n"
    )
    assert list(readers.truthfulqa(str(path))) == [
        {"prompt": "Fly?", "slice": "Birds", "facts": {"right": ["No", "Never"], "wrong": ["Yes", "Often"]}}
    ]
