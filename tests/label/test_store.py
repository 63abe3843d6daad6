"""The file: whole lines, one annotator at a time, kills, cuts and full disks."""

import json
import os
import subprocess
import sys

import pytest

from prefjax.data.readers import pairs
from prefjax.errors import ConfigError, DataError, DiskError, LockedError
from prefjax.label import store as stores
from prefjax.label.store import judgements, opened

ROW = {
    "prompt": "p é",
    "chosen": "x\n",
    "rejected": "y",
    "votes": [1, 0, 0],
    "annotator": "ada",
    "meta": {"scale": "binary"},
}
ASIDE = {"event": "cannot judge", "key": "k", "annotator": "ada"}


def test_lines_come_back_and_undo_takes_the_last_one(tmp_path):
    path = tmp_path / "deep" / "labels.jsonl"
    with opened(path, "ada", "binary") as store:
        store.add(ROW)
        store.add(ROW | {"prompt": "q"})
        store.undo("key", ROW | {"prompt": "q"})
        store.set_aside(ASIDE)
        store.set_aside(ASIDE | {"key": "l"})
        store.undo("l", ASIDE | {"key": "l"})
    assert [*pairs(path=str(path))] == [ROW]
    assert path.with_name("labels.jsonl.aside").read_text().count('"undone"') == 2
    with opened(path, "bob", "binary") as store:
        assert store.earlier == [ROW]
        assert store.skipped == {("ada", "k"): ASIDE}


def test_one_at_a_time(tmp_path):
    path = tmp_path / "labels.jsonl"
    with opened(path, "ada", "binary"), pytest.raises(LockedError) as error, opened(path, "bob", "binary"):
        pass
    assert "in use by annotator ada, process " in str(error.value)
    assert f"with another --out and --others={path}" in str(error.value)
    with opened(path, "bob", "binary"):
        pass


@pytest.mark.parametrize("name", ["labels.jsonl", "labels.jsonl.aside"])
def test_a_line_that_was_cut_was_never_confirmed(tmp_path, capsys, name):
    path = tmp_path / "labels.jsonl"
    with opened(path, "ada", "binary") as store:
        store.add(ROW)
        store.set_aside(ASIDE)
    whole = (tmp_path / name).read_bytes()
    for cut in (1, 10, len(whole) - 3):
        (tmp_path / name).write_bytes(whole + whole[:-cut] if cut > 1 else whole[:-1])
        with opened(path, "ada", "binary") as store:
            assert store.earlier == [ROW]
            assert len(store.skipped) == 1
        assert (tmp_path / name).read_bytes() == whole
        assert ("cut and is taken out" in capsys.readouterr().out) == (cut > 1)


def test_a_disk_that_is_full_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "labels.jsonl"
    write = os.write
    with opened(path, "ada", "binary") as store:
        store.add(ROW)
        before = path.read_bytes()
        monkeypatch.setattr(stores.os, "write", lambda file, data: write(file, data[:20]))
        with pytest.raises(DiskError, match="20 of .* bytes written; .* bytes are free"):
            store.add(ROW)
        assert path.read_bytes() == before


def test_what_a_killed_process_confirmed_is_there(tmp_path):
    path = tmp_path / "labels.jsonl"
    code = f"""
from pathlib import Path
from prefjax.label.store import opened
with opened(Path({str(path)!r}), "ada", "binary") as store:
    for i in range(10**6):
        store.add({ROW!r} | {{"id": i}})
        print(i, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        confirmed = [int(process.stdout.readline()) for _ in range(50)]
        process.kill()
        confirmed += [int(line) for line in process.stdout if line.endswith("\n")]
    with opened(path, "ada", "binary") as store:
        found = [record["id"] for record in store.earlier]
    assert found == [*range(len(found))]
    assert len(found) - len(confirmed) in (0, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (json.dumps(ROW | {"annotator": None}) + "\n", "labels.jsonl:1: annotator: missing"),
        (
            json.dumps(ROW | {"meta": {}}) + "\n",
            "labels.jsonl:1: meta.scale: missing: expected what prefjax label wrote",
        ),
        ('{"a": 1}\n', "labels.jsonl:1: prompt: missing field"),
        ('{"a": 1}\n{"b": 2, "c', "labels.jsonl:1: prompt: missing field"),
        ('{"a": 1, "b', "labels.jsonl: not a file of judgements; give another --out"),
        ("notes, without an end", "labels.jsonl: not a file of judgements; give another --out"),
    ],
)
def test_another_file_is_left_alone(tmp_path, text, words):
    path = tmp_path / "labels.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=words), opened(path, "ada", "binary"):
        pass
    assert path.read_text() == text


def test_nothing_is_mended_before_both_files_are_known_to_be_ours(tmp_path):
    path = tmp_path / "labels.jsonl"
    aside = tmp_path / "labels.jsonl.aside"
    texts = json.dumps(ROW) + "\n" + json.dumps(ROW)[:30], '{"a": 1}\n{"b'
    path.write_text(texts[0])
    aside.write_text(texts[1])
    with pytest.raises(DataError, match="aside:1: expected"), opened(path, "ada", "binary"):
        pass
    assert (path.read_text(), aside.read_text()) == texts
    aside.unlink()
    with pytest.raises(ConfigError, match="--scale=graded"), opened(path, "ada", "graded"):
        pass
    assert path.read_text() == texts[0]


def test_undo_takes_out_nothing_but_its_own_line(tmp_path):
    path = tmp_path / "labels.jsonl"
    with opened(path, "ada", "binary") as store:
        store.add(ROW)
        for text in (path.read_text() + json.dumps(ROW | {"annotator": "bob"}) + "\n", "short\n", ""):
            path.write_text(text)
            with pytest.raises(DataError, match=r"labels.jsonl: .*after the last verdict"):
                store.undo("key", ROW)
            assert path.read_text() == text
            assert not store.aside.exists()


def test_another_scale_needs_another_file(tmp_path):
    path = tmp_path / "labels.jsonl"
    with opened(path, "ada", "binary") as store:
        store.add(ROW)
    words = "holds binary judgements; --scale=graded needs another --out"
    with pytest.raises(ConfigError, match=words), opened(path, "ada", "graded"):
        pass
    path.with_name("labels.jsonl.aside").write_text("{}\n")
    with pytest.raises(DataError, match="aside:1: expected what prefjax label sets aside"), opened(path, "a", "binary"):
        pass


def test_a_file_that_grows_is_read_up_to_its_last_whole_line(tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_text(json.dumps(ROW) + "\n" + json.dumps(ROW)[:30])
    assert [*judgements(path, growing=True)] == [ROW]
    with pytest.raises(DataError, match="last line cut"):
        [*judgements(path)]
