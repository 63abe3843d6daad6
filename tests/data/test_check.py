"""The report on a file: every problem with its place, counts, lengths."""

import json
from types import SimpleNamespace

import pytest

from prefjax.data.check import check
from prefjax.data.tokenizer import Encoded, Tokenizer
from prefjax.errors import ConfigError, DataError

GOOD = {"prompt": "p?", "chosen": "yes", "rejected": "no"}


class Letters:
    """A token a letter and an eos; refuses a prompt of "x"."""

    special_text = SimpleNamespace(search=lambda text: None)

    def encode_prompt(self, prompt):
        if prompt == "x":
            raise DataError("no x")
        return list(prompt)

    def encode_response(self, prompt, response):
        return Encoded(self.encode_prompt(prompt), [*response.lower(), 0], False)

    def encode_text(self, text):
        return Encoded([text[0]], [*text[1:], 0], False)


@pytest.fixture
def write(tmp_path):
    def write(*rows):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(row + "\n" if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
        return path

    return write


def test_the_text_tells_every_problem_and_the_counts(write):
    path = write(GOOD, "", GOOD | {"rejected": ""}, "{", GOOD, GOOD)
    report = check(path)
    assert (report.usable, len(report.refused), len(report.warned), len(report.fixed)) == (3, 2, 2, 1)
    assert report.text().splitlines() == [
        f"{path}:3: rejected: empty or blank answer",
        f"{path}:4: not JSON: Expecting property name enclosed in double quotes at column 2",
        f"{path}:5: duplicate row: the same as line 1",
        f"{path}:6: duplicate row: the same as line 1",
        f"{path}:2: blank lines skipped: 1 in the file",
        f"{path}: 5 rows: 3 usable, 2 refused",
        "  refused: 1 x empty or blank answer",
        "  refused: 1 x not JSON",
        "  warned: 2 x duplicate row",
    ]
    assert str(report) == report.text()
    assert report.text(per_kind=1).count("duplicate row:") == 1


def test_what_is_quoted_from_the_file_cannot_steer_the_terminal(write):
    path = write(GOOD | {"prompt": [{"role": "\x1b[2J", "content": "x"}]}, {"\x1b[31m": float("nan")})
    assert "\x1b" not in check(path).text()


def test_with_a_tokenizer_lengths_are_told_and_what_training_would_drop(write):
    path = write(
        GOOD,
        GOOD | {"prompt": "p" * 10},
        GOOD | {"chosen": "y" * 9},
        GOOD | {"chosen": "No", "rejected": "nO"},
        GOOD | {"prompt": "x"},
    )
    report = check(path, Letters(), 10)
    assert [(p.line, p.message) for p in report.warned if p.message != "equal after normalising"] == [
        (2, "prompt fills max_length"),
        (3, "longer than max_length"),
        (4, "equal tokens"),
    ]
    assert [(p.line, p.message, p.detail) for p in report.refused] == [(5, "chat template fails", "no x")]
    assert (report.usable, [*report.lengths["prompt"]]) == (4, [2, 10, 2, 2])
    assert "  tokens of prompt: 0% 2, 50% 2, 90% 8, 99% 10, 100% 10" in report.text().splitlines()


@pytest.mark.parametrize(
    ("row", "options", "lengths"),
    [
        ({"prompt": "p", "response": "abc"}, {"layout": "demos"}, {"prompt": [1], "response": [4]}),
        ({"text": "abc"}, {"layout": "texts", "response": "text"}, {"response": [3]}),
        ({"prompt": "pp"}, {"layout": "prompts"}, {"prompt": [2]}),
        (
            {"prompt": "p", "steps": ["a", "bb"], "labels": [True, False]},
            {"layout": "steps"},
            {"prompt": [1], "steps": [5]},  # of the whole response
        ),
        ({"prompt": "p", "ranking": ["a", ["bb", "c"]]}, {}, {"prompt": [1], "ranking": [2, 3, 2]}),
        (
            {"request": "p", "chosen": "a", "rejected": "b"},
            {"prompt": "request"},
            {"prompt": [1], "chosen": [2], "rejected": [2]},
        ),
    ],
)
def test_every_layout_is_measured(write, row, options, lengths):
    report = check(write(row), Letters(), 9, **options)
    assert {part: [*tokens] for part, tokens in report.lengths.items()} == lengths
    assert (report.usable, report.warned) == (1, [])


def test_a_file_without_rows_stops_but_one_of_refused_rows_is_reported(write):
    with pytest.raises(DataError, match="no rows"):
        check(write("", " "))
    assert len(check(write("{}")).refused) == 1


def test_an_unknown_layout_or_field_is_a_config_error(write):
    for options in ({"layout": "hhh"}, {"layout": "hh", "prompt": "p"}, {"promt": "p"}):
        with pytest.raises(ConfigError):
            check(write(GOOD), **options)


def test_a_cycle_of_preferences_is_told_with_all_its_rows(write):
    def better(chosen, rejected, prompt="p?", **more):
        return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **more}

    cycle = better("a", "b"), better("b", "c"), better("c", "a")
    others = better("c", "a", prompt="q?"), better("a", "d"), better("d", "e")
    path = write(others[1], cycle[0], others[0], cycle[1], others[2], cycle[2])
    assert [str(problem) for problem in check(path).warned] == [
        f"{path}:2: ranking cycle: no order agrees with it and line 4, line 6"
    ]
    assert check(write(*cycle[:2], *others)).warned == []
    tied = better("c", "a", votes=[0, 0, 1])
    assert not any(p.message == "ranking cycle" for p in check(write(*cycle[:2], tied)).warned)
    graded = better("a", "c", grade=-1)  # prefers c
    assert [p.message for p in check(write(*(row | {"grade": 1} for row in cycle[:2]), graded)).warned] == [
        "opposes the label",
        "ranking cycle",
    ]
    for votes, rings in (([0, 0, 3], 0), ([1, 1, 0], 0), ([2, 1, 0], 1)):  # a tie is no preference
        voted = check(write(*cycle[:2], cycle[2] | {"votes": votes})).warned
        assert [p.message for p in voted if p.message != "not in every row"] == ["ranking cycle"] * rings
    rankings = {"prompt": "p?", "ranking": ["a", ["b", "x"], "c"]}, {"prompt": "p?", "ranking": ["c", "a"]}
    assert [(p.line, p.message) for p in check(write(*rankings)).warned] == [(1, "ranking cycle")]
    twice = better("a", "b"), better("b", "a")
    assert [p.message for p in check(write(*twice)).warned] == ["contradictory pair"]


def test_real_files_are_reported(real_data):
    tok = Tokenizer.load(real_data / "models/storybyte-nano")
    report = check(real_data / "storybyte_pairs/preference_pairs.jsonl.gz", tok, 256, prompt="request")
    assert (report.usable, report.refused) == (113, [])
    assert {part: len(tokens) for part, tokens in report.lengths.items()} == dict.fromkeys(
        ("prompt", "chosen", "rejected"), 113
    )
    assert len(check(real_data / "hh_harmless_test/harmless-base_test.jsonl.gz", layout="hh").refused) == 9
