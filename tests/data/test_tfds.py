"""Records as a TensorFlow dataset: every field comes back, in the order of the source, without TensorFlow."""

import json
import subprocess
import sys

import pytest

from prefjax.cli import main
from prefjax.data import load, readers, tfds
from prefjax.errors import ConfigError, DataError

pytest.importorskip("tensorflow_datasets")

PAIR = {"prompt": "p?", "chosen": "yes", "rejected": "no"}
MORE = {
    "grade": -3,
    "votes": [2, 1, 0],
    "score_chosen": 0.1,
    "score_rejected": 7,
    "slice": "s ☃",
    "tag": "",
    "annotator": 2**60,
    "id": "\u2028x\x00",
    "facts": [["f", 1.5, None, True]],
    "meta": {"nested": {"x": [1, {"y": "é"}]}, "empty": {}},
}
TURNS = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "😀\n"}]


def test_every_field_of_every_kind_of_record_comes_back_in_order(tmp_path):
    records = [
        PAIR,
        PAIR | MORE,
        PAIR | {"prompt": TURNS, "chosen": " \ud7ff\U0010ffff\x00 "},
        {"prompt": "p?", "ranking": ["a", ["b", "c"]]},
        {"prompt": TURNS, "response": "r"},
        {"response": "only a text" * 1000},
        {"prompt": "only a prompt", "facts": "f"},
    ]
    folder = tfds.prepare(iter(records), tmp_path / "a folder")
    assert list(readers.tfds(str(folder))) == records
    assert list(readers.tfds(str(folder), limit=2)) == records[:2]


@pytest.mark.parametrize("count", [2000, pytest.param(200_000, marks=pytest.mark.slow)])
def test_nothing_is_lost_of_many_records(tmp_path, count):
    def records():
        for i in range(count):
            yield PAIR | {"prompt": f"question {i} " * 5, "id": i}

    folder = tfds.prepare(records(), tmp_path)
    assert [record["id"] for record in tfds.read(folder)] == list(range(count))
    assert all(record == wanted for record, wanted in zip(tfds.read(folder), records(), strict=True))


def test_the_command_prepares_any_source_and_says_how_to_read_it(tmp_path, capsys):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"request": f"q{i}", "chosen": "yes", "rejected": "no"}) + "\n" for i in (1, 2)))
    command = ["prepare", f"--source=pairs(path={str(path)!r}, prompt='request')", f"--out={tmp_path}/out"]
    assert main(command) == 0
    call = capsys.readouterr().out.strip().split("read it with ")[1]
    assert load.records(call) == [PAIR | {"prompt": f"q{i}"} for i in (1, 2)]
    assert main(command) == 2
    assert "is there already" in capsys.readouterr().err


def test_a_bad_row_leaves_no_half_a_data_set(tmp_path, capsys):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(PAIR) + "\n{}\n")
    assert main(["prepare", f"--source=pairs(path={str(path)!r})", f"--out={tmp_path}/out"]) == 3
    assert "rows.jsonl:2: prompt: missing field" in capsys.readouterr().err
    assert not [found for found in (tmp_path / "out").rglob("*") if found.is_file()]


def test_what_json_has_no_form_for_and_what_is_no_data_set_are_data_errors(tmp_path):
    with pytest.raises(DataError, match="meta cannot be written as JSON"):
        tfds.prepare([PAIR | {"meta": {"x": b"bytes"}}], tmp_path / "out")
    with pytest.raises(DataError, match="no features.json in it"):
        list(readers.tfds(str(tmp_path)))


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ConfigError, match=r"pip install 'prefjax\[tfds\]'"):
        tfds.prepare([PAIR], tmp_path)


def test_neither_tensorflow_nor_jax_is_imported(tmp_path):
    code = f"import sys; from prefjax.data import tfds; list(tfds.read(tfds.prepare([{PAIR}], {str(tmp_path)!r})))"
    code += "; sys.exit(bool({'tensorflow', 'jax'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
