"""The form of a record: every refusal with its line and field."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefjax.data.lines import Refused
from prefjax.data.records import FIELDS, NEEDED, canonical, field_map, lead, ranks, scan
from prefjax.errors import ConfigError, DataError

GOOD = {"prompt": "p?", "chosen": "yes", "rejected": "no"}
USER, GOOD_TURN, BAD_TURN = (
    {"role": r, "content": c} for r, c in (("user", "p?"), ("assistant", "yes"), ("assistant", "no"))
)


@pytest.fixture
def write(tmp_path):
    def write(*rows):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


def read(path, **fields):
    """The usable pairs of a file and everything found wrong with it."""
    rows = list(scan(path, field_map(**fields)))
    return [row.record for row in rows if row.record], [problem for row in rows for problem in row.problems]


def without(*fields):
    return {k: v for k, v in GOOD.items() if k not in fields}


@pytest.mark.parametrize(
    ("row", "field", "message"),
    [
        (without("prompt"), "prompt", "missing field"),
        (without("chosen"), "chosen", "missing field"),
        (GOOD | {"rejected": None}, "rejected", "null field"),
        (GOOD | {"chosen": True}, "chosen", "mistyped field"),
        (GOOD | {"prompt": {"text": "p"}}, "prompt", "mistyped field"),
        (GOOD | {"chosen": ""}, "chosen", "empty or blank answer"),
        (GOOD | {"rejected": " \n\t"}, "rejected", "empty or blank answer"),
        (GOOD | {"prompt": " "}, "prompt", "empty or blank prompt"),
        (GOOD | {"rejected": "yes"}, "rejected", "chosen equals rejected"),
        (GOOD | {"chosen": []}, "chosen", "empty messages"),
        (GOOD | {"prompt": []}, "prompt", "empty messages"),
        (GOOD | {"prompt": [{"role": "bot", "content": "x"}]}, "prompt", "unknown role"),
        (GOOD | {"prompt": [{"role": "user", "content": None}]}, "prompt", "mistyped field"),
        (GOOD | {"prompt": ["p?"]}, "prompt", "mistyped field"),
        (GOOD | {"prompt": [USER, GOOD_TURN]}, "prompt", "last turn is the assistant's"),
        (GOOD | {"chosen": [USER]}, "chosen", "last turn not the assistant's"),
        (GOOD | {"chosen": [USER | {"content": "q?"}, GOOD_TURN]}, "chosen", "prompts differ"),
        (GOOD | {"rejected": [USER, BAD_TURN, USER, BAD_TURN]}, "rejected", "prompts differ"),
        (
            {"chosen": [USER, GOOD_TURN], "rejected": [USER | {"content": "q?"}, BAD_TURN]},
            "rejected",
            "prompts differ",
        ),
        (GOOD | {"grade": 4}, "grade", "label out of scale"),
        (GOOD | {"grade": True}, "grade", "mistyped field"),
        (GOOD | {"attributes": ["fact"]}, "attributes", "mistyped field"),
        (GOOD | {"attributes": {"fact": "better"}}, "attributes.fact", "mistyped field"),
        (GOOD | {"grade": 1.5}, "grade", "mistyped field"),
        (GOOD | {"votes": [1, 2]}, "votes", "label out of scale"),
        (GOOD | {"votes": [0, 0, 0]}, "votes", "label out of scale"),
        (GOOD | {"votes": [1, -1, 0]}, "votes", "label out of scale"),
        (GOOD | {"slice": 3}, "slice", "mistyped field"),
        (GOOD | {"meta": "x"}, "meta", "mistyped field"),
        (GOOD | {"chosen": "é" * 500_001}, "chosen", "answer over 1 MB"),
        ({"prompt": "p?", "ranking": ["a"]}, "ranking", "nothing is ranked"),
        ({"prompt": "p?", "ranking": ["a", []]}, "ranking", "nothing is ranked"),
        ({"prompt": "p?", "ranking": ["a", ["b", "a"]]}, "ranking", "an answer is ranked twice"),
        ({"prompt": "p?", "ranking": ["a", ["b", ["c"]]]}, "ranking", "mistyped field"),
        ({"prompt": "p?", "ranking": ["a", "b"]}, "", "mixed schema"),
        (GOOD | {"prompt": [USER]}, "", "mixed schema"),
    ],
)
def test_a_malformed_row_is_refused_by_line_and_field(write, row, field, message):
    path = write(GOOD, row, GOOD | {"prompt": "another?"})
    records, problems = read(path)
    assert [(p.path, p.line, p.field, p.kind, p.message) for p in problems] == [
        (str(path), 2, field, "refused", message)
    ]
    assert records == [GOOD, GOOD | {"prompt": "another?"}]


def test_an_answer_of_1_mb_is_the_longest(write):
    longest = GOOD | {"chosen": "é" * 500_000, "rejected": "x" * 1_000_000}
    assert read(write(longest)) == ([longest], [])


def test_fields_are_told_by_the_files_own_names(write):
    path = write({"q": "p?", "hint": "", "good": "yes", "bad": None}, {"q": "p?", "hint": "h", "good": "a", "bad": "b"})
    records, problems = read(path, prompt=("q", "hint"), chosen="good", rejected="bad")
    assert [str(p) for p in problems] == [f"{path}:1: bad: null field"]
    assert records == [{"prompt": "p?\n\nh", "chosen": "a", "rejected": "b"}]


def test_a_field_that_records_lack_is_a_config_error_with_a_hint():
    with pytest.raises(ConfigError, match="did you mean 'chosen'"):
        field_map(choosen="a")


def test_a_null_optional_field_is_absent_and_others_are_kept(write):
    kept = {"grade": -2, "votes": [1, 2, 0], "slice": "s", "tag": "t", "annotator": 7, "facts": ["f"], "id": "i"}
    records, _ = read(write(GOOD | kept | {"meta": None, "ranking": None, "unknown": 1}))
    assert records == [GOOD | kept]


def test_a_null_attribute_is_not_judged(write):
    records, problems = read(write(GOOD | {"attributes": {"fact": None, "warmth": -1}}))
    assert records == [GOOD | {"attributes": {"warmth": -1}}] and not problems


@pytest.mark.parametrize("prompt", ["p?", [USER], None])
def test_a_prompt_repeated_in_messages_is_stripped_and_said_once(write, prompt):
    row = {"prompt": prompt, "chosen": [USER, GOOD_TURN], "rejected": [USER, BAD_TURN]}
    row = {k: v for k, v in row.items() if v is not None}
    records, problems = read(write(row, row | {"chosen": [USER, {"role": "assistant", "content": "yes!"}]}))
    assert [(r["prompt"], r["chosen"], r["rejected"]) for r in records] == [
        (prompt or [USER], "yes", "no"),
        (prompt or [USER], "yes!", "no"),
    ]
    assert [(p.line, p.kind, p.message, p.detail) for p in problems] == [
        (1, "fixed", "prompt repeated in the answers stripped", "2 in the file")
    ]


def test_a_prompt_repeated_in_texts_is_a_convention_of_the_whole_file(write):
    repeating = {"prompt": "p?", "chosen": "p? yes", "rejected": "p? no"}
    records, problems = read(write(repeating, GOOD))
    assert records == [{"prompt": "p?", "chosen": " yes", "rejected": " no"}]
    assert [(p.line, p.field, p.message) for p in problems if p.kind == "refused"] == [(2, "chosen", "prompts differ")]
    records, problems = read(write(GOOD, repeating))
    assert (records, problems) == ([GOOD, repeating], [])


def test_what_people_judged_is_as_it_was_shown_wherever_it_stands(write):
    repeating = {"prompt": "p?", "chosen": "p? yes", "rejected": "p? no"}
    judged = repeating | {"annotator": "ada", "meta": {"scale": "binary"}}
    assert read(write(judged, GOOD, repeating))[0] == [judged, GOOD, repeating]
    records, problems = read(write(judged, repeating, judged))
    assert records == [judged, {"prompt": "p?", "chosen": " yes", "rejected": " no"}, judged]
    assert [p.detail for p in problems if p.kind == "fixed"] == ["1 in the file"]


def test_rankings_demonstrations_texts_and_prompts_are_records_too(write):
    ranking = {"prompt": [USER], "ranking": ["a", ["b", "c"]]}
    assert read(write(ranking))[0] == [ranking]
    rows = write({"prompt": "p?", "response": "r", "text": "t"})
    for want, convert, record in (
        ("demos", field_map(), {"prompt": "p?", "response": "r"}),
        ("texts", field_map(response="text"), {"response": "t"}),
        ("prompts", field_map(facts="response"), {"prompt": "p?", "facts": "r"}),
    ):
        assert [row.record for row in scan(rows, convert, want)] == [record]
    chat = write({"messages": [USER, GOOD_TURN]})
    (row, *_) = scan(chat, field_map(response="messages"), "demos")
    assert row.record == {"prompt": [USER], "response": "yes"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda v: st.lists(v, max_size=4) | st.dictionaries(st.sampled_from(["role", "content", "x"]), v),
    max_leaves=8,
)
messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "bot"]), "content": json_values}), max_size=3
)


@given(
    st.dictionaries(st.sampled_from(FIELDS), st.text(max_size=5) | messages | json_values),
    st.sampled_from([*NEEDED]),
    st.booleans(),
)
def test_any_row_is_canonical_or_refused(row, want, repeats):
    try:
        record, _ = canonical(row, want, repeats)
    except Refused as refusal:
        assert refusal.message
    else:
        assert canonical(record, want) == (record, False)


@given(st.lists(st.binary(max_size=40) | st.sampled_from([json.dumps(GOOD).encode(), b"\x1f\x8b"]), max_size=6))
def test_any_file_is_read_or_refused(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("fuzz") / "rows.jsonl"
    path.write_bytes(b"\n".join(lines))
    try:
        records, problems = read(path)
    except DataError as error:
        assert str(path) in str(error)
    else:
        assert all(record == GOOD for record in records)
        assert all(str(problem).startswith(f"{path}:{problem.line}: ") for problem in problems)


def test_votes_lead_before_the_grade_and_that_before_chosen():
    assert lead({"votes": [1, 3, 2], "grade": 3}) == -2
    assert [lead({"grade": grade}) for grade in (-3, 0, 2)] == [-3, 0, 2]
    assert lead(GOOD) == 1


def test_ranks_are_lists():
    assert ranks(["a", ["b", "c"], "d"]) == [["a"], ["b", "c"], ["d"]]
