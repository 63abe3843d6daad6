"""Every way the bytes of a file can be wrong, with its line and field."""

import gzip
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefjax.data import lines
from prefjax.data.lines import Problem, Refused, clean, objects, parse
from prefjax.errors import DataError

GOOD = b'{"prompt": "p", "chosen": "a", "rejected": "b"}\n'


def outcome(path):
    """(line, row, or field and message of the refusal) of every line, and what was fixed."""
    fixes = {}
    found = [(n, (r.field, r.message) if isinstance(r, Refused) else r) for n, r in objects(str(path), fixes)]
    return found, fixes


@pytest.mark.parametrize(
    ("line", "field", "message"),
    [
        (b"{chosen}\n", "", "not JSON"),
        (b'{"a": 1}}\n', "", "not JSON"),
        (b'{"a": ' + b"1" * 5000 + b"}\n", "", "not JSON"),
        (b"[1]\n", "", "not an object"),
        (b"null\n", "", "not an object"),
        (b'{"prompt": "\xff"}\n', "", "invalid UTF-8"),
        (b'{"prompt": "\\ud800"}\n', "prompt", "lone surrogate"),
        (b'{"meta": {"x": ["\\udc00"]}}\n', "x", "lone surrogate"),
        (b'{"grade": NaN}\n', "grade", "NaN or Infinity"),
        (b'{"meta": {"score": [[-Infinity]]}}\n', "score", "NaN or Infinity"),
        (b'{"score": 1e999}\n', "score", "NaN or Infinity"),
        (b'{"chosen": "a", "chosen": "b"}\n', "chosen", "duplicate key"),
        (b'{"meta": {"x": 1, "x": 1}}\n', "x", "duplicate key"),
        (b'{"' + b"k" * 257 + b'": 1}\n', "k" * 39 + "…", "giant key"),
        (b'{"meta": ' + b"[" * 64 + b"]" * 64 + b"}\n", "", "nested too deeply"),
        (b"[" * 1_000_000 + b"\n", "", "nested too deeply"),
        (b'{"a":' * 200_000 + b"\n", "", "nested too deeply"),
    ],
)
def test_a_bad_line_is_refused_by_number_and_field(tmp_path, line, field, message):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(GOOD + line + GOOD)
    found, fixes = outcome(path)
    good = json.loads(GOOD)
    assert found == [(1, good), (2, (field, message)), (3, good)]
    assert fixes == {}


def test_invalid_utf8_names_its_byte():
    with pytest.raises(Refused) as caught:
        parse(b'{"a": "\xc3\x28"}\n')
    assert caught.value.detail == "byte 7 of the line is 0xc3"


@pytest.mark.parametrize("end", [b'{"prompt": "p", "cho', b'{"prompt": "\xc3'])
def test_a_cut_last_line_is_told_from_a_bad_one(tmp_path, end):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(GOOD + end)
    assert outcome(path)[0][1] == (2, ("", "last line cut"))


def test_a_whole_last_line_needs_no_line_end(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(GOOD + GOOD.rstrip())
    assert [row for _, row in outcome(path)[0]] == [json.loads(GOOD)] * 2


def test_brackets_inside_text_are_no_depth():
    text = '[{"' * 500
    assert parse(json.dumps({"a": text}).encode() + b"\n") == {"a": text}


def test_mark_blank_lines_and_crlf_are_fixed_and_counted(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD + b"\n  \n" + GOOD.replace(b"\n", b"\r\n") * 2 + b"\r\n")
    found, fixes = outcome(path)
    assert found == [(n, json.loads(GOOD)) for n in (1, 4, 5)]
    assert fixes == {
        "byte-order mark removed": (1, 1),
        "blank lines skipped": (2, 3),
        "CRLF line ends read as LF": (4, 3),
    }


def test_a_line_too_long_is_refused_and_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINE", 100)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(GOOD + b"x" * 1000 + b"\n" + GOOD)
    assert [(n, row) for n, row in outcome(path)[0] if n != 2] == [(1, json.loads(GOOD)), (3, json.loads(GOOD))]
    assert outcome(path)[0][1] == (2, ("", "line too long"))


def test_gzip_is_known_by_its_bytes(tmp_path):
    path = tmp_path / "rows"
    path.write_bytes(gzip.compress(GOOD * 3))
    assert len(outcome(path)[0]) == 3


def test_a_gzip_stream_cut_short_or_damaged_stops(tmp_path):
    path = tmp_path / "rows.jsonl.gz"
    packed = gzip.compress(b"".join(b'{"a": "%d"}\n' % i for i in range(1000)))
    path.write_bytes(packed[:-20])
    with pytest.raises(DataError, match=r"rows\.jsonl\.gz:\d+: gzip stream cut short"):
        outcome(path)
    path.write_bytes(packed[:-8] + b"\0" * 8)
    with pytest.raises(DataError, match=r"rows\.jsonl\.gz:1001: damaged gzip stream"):
        outcome(path)


@pytest.mark.parametrize("unit", [b"\0", b"\n", GOOD])
def test_a_gzip_bomb_stops_before_it_has_unpacked(tmp_path, monkeypatch, unit):
    monkeypatch.setattr(lines, "BOMB_BYTES", 100_000)
    monkeypatch.setattr(lines, "MAX_LINE", 10_000)
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(unit * (5_000_000 // len(unit))))
    with pytest.raises(DataError, match="gzip bomb"):
        outcome(path)


def test_a_real_gzip_bomb_is_refused_in_little_memory(tmp_path):
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(bytes(64 * 2**20)))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"rows\.jsonl\.gz: gzip bomb: unpacks to over 200 times its size"):
        outcome(path)
    assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    tracemalloc.stop()


def test_a_problem_reads_as_file_line_field_and_steers_no_terminal():
    problem = Problem("a.jsonl", 3, "chosen\x1b[31m", "refused", "unknown role", "\u202ebot\n")
    assert str(problem) == r"a.jsonl:3: chosen\x1b[31m: unknown role: \u202ebot\n"
    assert clean("é 日本 \U0001f600") == "é 日本 \U0001f600"


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_are_refused(data):
    try:
        assert isinstance(parse(data), dict)
    except Refused as refusal:
        assert refusal.message


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
    )
)
def test_any_json_parses_or_is_refused(value):
    try:
        assert parse(json.dumps(value).encode() + b"\n") == value
    except Refused as refusal:
        assert not isinstance(value, dict) or refusal.message in ("NaN or Infinity", "lone surrogate", "giant key")
