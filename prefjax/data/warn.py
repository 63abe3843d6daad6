"""What is suspicious in a stream of records, though each can be used."""

import hashlib
import json
import re
import unicodedata
from typing import Any, NamedTuple

import numpy as np

# Controls but tab and line ends; marks, embeddings, overrides and isolates of direction; the byte-order mark.
_CONTROL_OR_BIDI = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_LINES = 2**40  # more than a file has
_GROUPS = ("slice", "tag", "annotator", "grade", "votes")  # in every row or in none


class Doubt(NamedTuple):
    """A field, a fixed phrase to count by, and its particulars."""

    field: str
    message: str
    detail: str = ""


class Places:
    """Lines of several files as numbers, and back."""

    def __init__(self):
        self.files: list[str] = []

    def number(self, file: str, line: int) -> int:
        """A number for a line of the file that is being read."""
        if not self.files or self.files[-1] != file:
            self.files.append(file)
        return len(self.files) * _LINES + line

    def place(self, number: int) -> tuple[str, int]:
        file, line = divmod(number, _LINES)
        return self.files[file - 1], line

    def told(self, number: int, here: str) -> str:
        """A line in words, with its file unless that is `here`."""
        file, line = self.place(number)
        return f"line {line}" + (f" of {file}" if file != here else "")


class Warner:
    """Warns of one record at a time, remembering what the earlier ones held."""

    def __init__(self, tokenizer: Any = None):
        self.special = tokenizer.special_text if tokenizer is not None else None
        self.seen = Seen()
        self.groups: set[str] | None = None  # those of the first record
        self.places = Places()

    def warnings(self, record: dict[str, Any], line: int, file: str = "") -> list[Doubt]:
        groups = {field for field in _GROUPS if field in record}
        self.groups = groups if self.groups is None else self.groups
        uneven = sorted(groups ^ self.groups)
        return [
            *self._repeated(record, file, line),
            *_opposed(record),
            *(
                Doubt(f, "not in every row", f"{'the first row has none' if f in groups else 'the first row has one'}")
                for f in uneven
            ),
            *(w for field, text in texts(record) for w in self._odd_text(field, text)),
        ]

    def _repeated(self, record: dict[str, Any], file: str, line: int) -> list[Doubt]:
        chosen, rejected = record.get("chosen", ""), record.get("rejected", "")  # both empty but in pairs
        key = [record.get(f) for f in ("prompt", "response", "ranking", "steps", "labels", "annotator")]
        number = self.places.number(file, line)
        turned = record.get("label", chosen > rejected)
        same, opposite = self.seen.add(json.dumps([key, *sorted((chosen, rejected))]), turned, number)
        found = []
        if same:
            found.append(Doubt("", "duplicate row", f"the same as {self.places.told(same, file)}"))
        if opposite:
            other = self.places.told(opposite, file)
            found.append(
                Doubt("label", "contradictory label", f"{other} has the other one")
                if "label" in record
                else Doubt("", "contradictory pair", f"{other} prefers the other answer")
            )
        if chosen and normalised(chosen) == normalised(rejected):
            found.append(Doubt("rejected", "equal after normalising", "it differs in case, width or spaces alone"))
        return found

    def _odd_text(self, field: str, text: str) -> list[Doubt]:
        found = []
        if match := _CONTROL_OR_BIDI.search(text):
            found.append(Doubt(field, "control or bidi character", f"U+{ord(match[0]):04X}"))
        if self.special and (match := self.special.search(text)):
            found.append(Doubt(field, "special-token text", f"{match[0]!r} is encoded as plain text"))
        return found


def _opposed(record: dict[str, Any]) -> list[Doubt]:
    high, low = (record.get(s, record.get("meta", {}).get(s)) for s in ("score_chosen", "score_rejected"))
    votes = record.get("votes", [0, 0, 0])
    opposed = {
        "grade": record.get("grade", 0) < 0,
        "votes": votes[0] < votes[1],
        "score_chosen": isinstance(high, int | float) and isinstance(low, int | float) and high < low,
    }
    return [Doubt(field, "opposes the label", "it prefers rejected") for field, holds in opposed.items() if holds]


def texts(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Every text of a record that a model will read, with its field."""
    found = []
    for field in ("prompt", "chosen", "rejected", "response", "ranking", "steps"):
        value = record.get(field, [])
        for part in [value] if isinstance(value, str) else value:
            if isinstance(part, dict):
                part = part["content"]
            found += [(field, text) for text in ([part] if isinstance(part, str) else part)]
    return found


def normalised(text: str) -> str:
    """`text` without its differences of case, width, spacing and invisible characters."""
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
    return " ".join(text.casefold().split())


class Seen:
    """Which keys came before and where, in 16 bytes a key: a sorted array, and a small dict of the newest."""

    def __init__(self, newest: int = 2**16):
        self.limit = newest
        self.newest: dict[int, int] = {}
        self.keys, self.lines = np.empty(0, np.uint64), np.empty(0, np.int64)

    def add(self, text: str, swapped: bool, line: int) -> tuple[int, int]:
        """Lines of an earlier equal entry and of an earlier one that differs in `swapped` alone; 0 for none."""
        digest = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
        key = digest & ~1 | swapped
        earlier = self._line(key), self._line(key ^ 1)
        if not earlier[0]:
            self.newest[key] = line
        if len(self.newest) >= self.limit:
            keys, lines = np.fromiter(self.newest, np.uint64), np.fromiter(self.newest.values(), np.int64)
            order = np.argsort(keys)
            at = np.searchsorted(self.keys, keys[order])  # inserted, not sorted anew: one copy at a time
            self.keys, self.newest = np.insert(self.keys, at, keys[order]), {}
            self.lines = np.insert(self.lines, at, lines[order])
        return earlier

    def _line(self, key: int) -> int:
        if key in self.newest:
            return self.newest[key]
        at = int(np.searchsorted(self.keys, np.uint64(key)))
        return int(self.lines[at]) if at < len(self.keys) and self.keys[at] == key else 0
