"""Files are written whole, locks die with their process, and a disk that is full says so."""

import errno
import json
import os
import subprocess
import sys
import time

import pytest

from prefjax import files
from prefjax.errors import DiskError, LockedError


def test_a_file_is_replaced_whole(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    files.write_json(path, {"é": 1})
    assert json.loads(path.read_text()) == {"é": 1}

    def full(self, text):
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(DiskError, match=r"a.json.tmp: No space left on device; [\d,]+ bytes are free"):
        files.write_json(path, {})
    assert json.loads(path.read_text()) == {"é": 1}


@pytest.mark.parametrize(
    ("name", "reason"), [("x" * 300, "File name too long"), ("file/run", "Not a directory|File exists")]
)
def test_a_workdir_that_cannot_be_made_is_one_message(tmp_path, name, reason):
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match=reason), files.locked(tmp_path / name):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_workdir_that_cannot_be_written_is_one_message(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DiskError, match="Permission denied"), files.locked(tmp_path / "run"):
        pass


def test_a_lock_names_its_holder_and_dies_with_it(tmp_path):
    hold = f"from pathlib import Path; from prefjax import files\nwith files.locked(Path({str(tmp_path)!r})): input()"
    holder = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE)
    while not (tmp_path / files.LOCK).exists() or not (tmp_path / files.LOCK).read_text():
        time.sleep(0.01)
    with pytest.raises(LockedError, match=f"another run is at work here: process {holder.pid} on "):
        files.locked(tmp_path).__enter__()
    holder.kill()
    holder.communicate()
    with files.locked(tmp_path):
        assert (tmp_path / files.LOCK).read_text().startswith(f"process {os.getpid()} on ")
    with files.locked(tmp_path):
        pass


@pytest.fixture
def step(tmp_path):
    folder = tmp_path / "4"
    for name in ("params/d/a", "params/b", "rest/c", "_CHECKPOINT_METADATA"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.urandom(40))
    files.vouch(folder)
    return folder


def test_a_manifest_vouches_for_every_file_but_what_comes_after_it(step):
    assert json.loads((step / files.MANIFEST).read_text()).keys() == {"params/b", "params/d/a", "rest/c"}
    assert files.damage(step) is None
    (step / "_CHECKPOINT_METADATA").write_text("later")
    assert files.damage(step) is None


def flip(path):
    for bit in range(8 * path.stat().st_size):
        data = bytearray(path.read_bytes())
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        yield
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)


def test_every_flipped_bit_is_seen_even_in_the_manifest(step):
    for name in ("params/b", files.MANIFEST):
        assert all(files.damage(step) is not None for _ in flip(step / name))
    assert files.damage(step) is None


def test_damage_of_an_item_is_its_own(step):
    (step / "rest/c").write_bytes(b"")
    assert files.damage(step) == "rest/c is not as it was saved"
    assert files.damage(step, "params/") is None
    (step / "params/b").unlink()
    assert files.damage(step, "params/") == "params/b is missing"
    assert files.damage(step, "none/") == "none/ is missing"


def test_a_folder_without_a_manifest_is_damaged(tmp_path):
    assert files.damage(tmp_path) == "there is no manifest.json"
    (tmp_path / files.MANIFEST).write_bytes(bytes(9))
    assert files.damage(tmp_path) == "manifest.json cannot be read"


def test_a_folder_set_aside_replaces_the_one_before(step):
    files.set_aside(step)
    step.mkdir()
    files.set_aside(step)
    assert [path.name for path in step.parent.iterdir()] == ["4.damaged"]
    assert not list((step.parent / "4.damaged").iterdir())


def test_what_only_looks_like_a_secret_stays():
    kept = ["--config.tokenizer=folder/of/a/tokenizer", "reader(eos_token='</s>', key=3)", "runs/a@100", "a@b.c"]
    assert files.redact(kept) == kept
    assert files.redact({"tokenizer": kept[0], "n": 3}) == {"tokenizer": kept[0], "n": 3}
    assert files.redact({"judge": {"api_key": "sk-0123456789"}}) == {"judge": {"api_key": "REDACTED"}}
