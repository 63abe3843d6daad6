"""Paths: one file, several by wildcards, Parquet, and folders of `datasets`."""

import json
import logging

import pytest

from prefjax.data import readers
from prefjax.data.check import check
from prefjax.data.files import files, objects
from prefjax.data.records import field_map, scan
from prefjax.errors import DataError

USER = {"role": "user", "content": "p?"}
PAIRS = [
    {"prompt": "p ☃", "chosen": "yes", "rejected": "no", "grade": 2, "votes": [2, 1, 0], "meta": {"a": [1], "b": None}},
    {"prompt": "q?", "chosen": "a", "rejected": "b", "grade": -1, "votes": [0, 1, 1], "meta": {"a": [], "b": "x"}},
]


@pytest.fixture(params=["jsonl", "parquet", "saved"])
def write(request, tmp_path):
    """Writes rows in one of the layouts; gives the path, and that of a row."""

    def write(*rows):
        path = tmp_path / f"rows.{request.param}"
        if request.param == "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        elif request.param == "parquet":
            pyarrow = pytest.importorskip("pyarrow")
            parquet = pytest.importorskip("pyarrow.parquet")
            parquet.write_table(pyarrow.Table.from_pylist([*rows]), path)
        else:
            datasets = pytest.importorskip("datasets")
            datasets.disable_progress_bars()
            datasets.Dataset.from_list([*rows]).save_to_disk(str(path))
            return str(path), f"{path}/data-00000-of-00001.arrow"
        return str(path), str(path)

    return write


def test_every_layout_gives_the_same_records(write):
    assert list(readers.pairs(write(*PAIRS)[0])) == PAIRS


def test_every_layout_tells_a_row_by_file_number_and_the_files_own_field(write):
    row = {"request": "p?", "chosen": "yes", "rejected": "no"}
    path, file = write(row, row | {"chosen": ""}, row | {"rejected": None}, row | {"request": "q?"})
    report = check(path, prompt="request")
    assert [str(problem) for problem in report.refused] == [
        f"{file}:2: chosen: empty or blank answer",
        f"{file}:3: rejected: null field",
    ]
    with pytest.raises(DataError, match="2 rows are refused"):
        list(readers.pairs(path, prompt="request"))
    assert [r["prompt"] for r in readers.pairs(path, prompt="request", bad_rows=2)] == ["p?", "q?"]


def test_named_readers_read_every_layout(write):
    start = "\n\nHuman: hi\n\nAssistant:"
    (record,) = readers.hh(write({"chosen": start + " yes", "rejected": start + " no"})[0])
    assert record == {"prompt": [{"role": "user", "content": "hi"}], "chosen": "yes", "rejected": "no"}


def test_messages_are_read_from_every_layout(write):
    answers = ({"role": "assistant", "content": text} for text in ("yes", "no"))
    chosen, rejected = ([USER, answer] for answer in answers)
    (record,) = readers.pairs(write({"chosen": chosen, "rejected": rejected})[0])
    assert record == {"prompt": [USER], "chosen": "yes", "rejected": "no"}


def test_a_number_that_is_none_is_refused_where_it_is_used(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    row = {"prompt": "p?", "chosen": "yes", "rejected": "no", "score_chosen": 1.0, "unused": float("nan")}
    parquet.write_table(pyarrow.Table.from_pylist([row, row | {"score_chosen": float("nan")}]), tmp_path / "rows")
    with pytest.raises(DataError, match="rows:2: score_chosen: NaN or Infinity"):
        list(readers.pairs(str(tmp_path / "rows")))


def test_a_score_that_is_none_makes_no_grade(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    row = {"prompt": "p?", "chosen": "yes", "rejected": "no"}
    row["metadata"] = {"score_chosen": float("nan"), "score_rejected": 1.0}
    parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "rows")
    with pytest.raises(DataError, match="rows:1: score_chosen: NaN or Infinity"):
        list(readers.ultrafeedback(str(tmp_path / "rows")))


def test_text_that_is_not_utf8_is_refused_by_row_and_byte(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    texts = pyarrow.array([b"good", b"b\xffd"]).cast(pyarrow.string(), safe=False)
    other = pyarrow.array(["yes", "yes"])
    table = pyarrow.table({"prompt": texts, "chosen": other, "rejected": pyarrow.array(["a", "b"])})
    parquet.write_table(table, tmp_path / "rows")
    (problem,) = check(tmp_path / "rows").refused
    assert str(problem) == f"{tmp_path}/rows:2: prompt: invalid UTF-8: byte 1 of the text is 0xff"


def test_a_damaged_parquet_file_is_one_message(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(PAIRS), path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"rows\.parquet:1: damaged: ") as caught:
        list(readers.pairs(str(path)))
    assert "\n" not in str(caught.value)


def test_wildcards_name_files_in_order_and_a_duplicate_tells_its_file(tmp_path, caplog):
    row = {"prompt": "p?", "chosen": "yes", "rejected": "no"}
    for name, rows in (("b", [row]), ("a", [row, row | {"prompt": "q?"}]), ("c", [])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = str(tmp_path / "*.jsonl")
    with caplog.at_level(logging.WARNING):
        assert [r["prompt"] for r in readers.pairs(path)] == ["p?", "q?", "p?"]
    assert caplog.messages == [f"{path}: 1 x duplicate row"]
    (doubt,) = [problem for row in scan(path, field_map()) for problem in row.problems]
    assert str(doubt) == f"{tmp_path}/b.jsonl:1: duplicate row: the same as line 1 of {tmp_path}/a.jsonl"


def test_a_file_whose_name_has_wildcards_is_itself(tmp_path):
    for name in ("a[1].jsonl", "a1.jsonl"):
        (tmp_path / name).write_text("{}")
    assert files(tmp_path / "a[1].jsonl") == [str(tmp_path / "a[1].jsonl")]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({}, "no such file, but a folder: name its files, as in .*/\\*.jsonl"),
        ({"dataset_dict.json": '{"splits": ["train", "test"]}'}, "holds the splits train, test: name one, .*/train"),
        ({"state.json": '{"_data_files": 1}'}, "damaged: state.json should list its files"),
        ({"features.json": "{}"}, "a TensorFlow dataset: read it with tfds"),
    ],
)
def test_a_folder_that_is_no_data_set_says_what_it_is(tmp_path, names, message):
    for name, text in names.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        files(tmp_path)


def test_a_path_that_is_nothing_names_the_unset_variable(tmp_path, monkeypatch):
    monkeypatch.delenv("NOWHERE_SET", raising=False)
    with pytest.raises(DataError, match="no such file"):
        files(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"NOWHERE_SET\} is not set"):
        files("${NOWHERE_SET}/a.jsonl")
    (tmp_path / "short").write_text("{}")
    assert list(objects(str(tmp_path / "short"), {})) == [(1, {})]


def test_a_part_of_a_saved_data_set_cannot_lead_out_of_its_folder(tmp_path):
    (tmp_path / "state.json").write_text(json.dumps({"_data_files": [{"filename": "../../etc/passwd"}]}))
    assert files(tmp_path) == [str(tmp_path / "passwd")]
