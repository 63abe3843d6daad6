"""Replies on disk, by what was asked: an evaluation that is taken up again asks nothing twice."""

import hashlib
import json
import os
import threading
from pathlib import Path
from typing import Any

from prefjax.errors import ConfigError

FILE = "replies.jsonl"


class Cache:
    """Lines {"key": sha256 of the question, "reply": text}; threads and processes may add to one file."""

    def __init__(self, folder: str = ""):
        """Reads what is there; raises ConfigError where nothing can be written."""
        named = folder or os.path.join(os.environ.get("PREFJAX_CACHE") or "~/.cache/prefjax", "judges")
        self.path = Path(os.path.expandvars(named)).expanduser() / FILE
        self._lock = threading.Lock()
        self._replies: dict[str, str] = {}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file:
                file.seek(0)
                for line in file:
                    try:
                        row = json.loads(line)
                        self._replies[row["key"]] = str(row["reply"])
                    except (ValueError, KeyError, TypeError):  # cut by a kill: asked again
                        continue
        except OSError as error:
            raise self._unwritable(error) from None

    def get(self, question: Any) -> str | None:
        return self._replies.get(_digest(question))

    def put(self, question: Any, reply: str) -> None:
        row = {"key": _digest(question), "reply": reply}
        with self._lock:
            self._replies[row["key"]] = reply
            try:
                with self.path.open("ab", buffering=0) as file:  # one write, at the end, whoever else writes
                    file.write(b"\n" * _is_cut(self.path) + json.dumps(row).encode() + b"\n")
            except OSError as error:
                raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> ConfigError:
        return ConfigError(
            f"the judge's replies cannot be kept in {self.path}: {error.strerror}; name another folder with "
            "url(cache=...) or the variable PREFJAX_CACHE"
        )


def _is_cut(path: Path) -> bool:
    """Whether a file ends inside a line."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return file.read(1) not in (b"", b"\n")


def _digest(question: Any) -> str:
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()
