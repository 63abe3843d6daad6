"""One reading of a file of pairs: what an audit asks of it, in about 200 bytes a pair."""

import hashlib
import json
import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from prefjax.audit.surface import EDGES, surface
from prefjax.data.cycles import Cycles
from prefjax.data.prompts import prompt_key
from prefjax.data.records import Record, Row
from prefjax.data.rows import ranked_pairs
from prefjax.data.tokenizer import Tokenizer
from prefjax.data.warn import Places, normalised, texts
from prefjax.errors import DataError

# What is kept of a pair: type code and how many; sides are (chosen, rejected). 0 stands for absent, unless said.
COLUMNS = {
    "place": ("q", 1),  # number of its line
    "prompt": ("Q", 1),  # key of the normalised prompt
    "answer": ("Q", 2),  # hash of the normalised answer
    "exact": ("Q", 1),  # hash of the prompt and both answers as they are
    "characters": ("i", 2),
    "words": ("i", 2),
    "flags": ("I", 2),  # of `surface`
    "edges": ("i", 2 * len(EDGES)),  # of chosen, then of rejected
    "decided": ("b", 1),  # 1 for chosen, -1 for rejected, 0 a tie: votes, else grade, else 1
    "grade": ("b", 1),  # GRADELESS if absent
    "votes": ("H", 3),  # for chosen, for rejected, ties
    "gap": ("d", 1),  # score of chosen less that of rejected, NaN if absent
    "annotator": ("i", 1),
    "tag": ("i", 1),
    "slice": ("i", 1),
    "shown": ("b", 1),  # 1 if chosen was shown first, -1 if rejected was
    "facts": ("b", 1),  # 1 if the record has facts; 2 more if chosen states one, 4 more if rejected does
    "tokens": ("i", 2),  # of the answers; with a tokenizer
    "longest": ("i", 1),  # tokens of the prompt and the longer answer
    "twins": ("b", 1),  # 1 if the sides are the same tokens, 2 if they would be when cut at max_length
}
GRADELESS = -128
_NAMES = {"edges": 100_000, "tag": 10_000, "slice": 10_000, "annotator": 1_000_000}  # that get a number of their own
_TEXT, _PER_PROMPT = 20_000, 100  # of a record that is sampled, characters at most; of a prompt, pairs at most


class Names:
    """Texts as numbers from 1 on, by their order; 0 stands for none, and for those that came when it was full."""

    def __init__(self, limit: int):
        self.numbers: dict[str, int] = {}
        self.limit = limit

    def number(self, text: Any) -> int:
        if text is None:
            return 0
        full = len(self.numbers) >= self.limit
        return self.numbers.get(str(text), 0) if full else self.numbers.setdefault(str(text), len(self.numbers) + 1)


class Sampled(NamedTuple):
    """A pair whose texts are kept."""

    row: int  # of the columns
    record: Record
    chosen: str
    rejected: str


class Sample:
    """Pairs of prompts drawn by hash, whole prompts at a time, so that their pairs can be split by prompt or not."""

    def __init__(self, limit: int):
        self.limit, self.below = limit, 2**64
        self.pairs: dict[int, list[Sampled]] = {}  # key of the prompt -> its pairs
        self.size = 0

    def add(self, prompt: int, pair: Sampled) -> None:
        """Adds a pair of the prompt with this key, which is itself a hash."""
        if prompt >= self.below:
            return
        others = self.pairs.setdefault(prompt, [])
        if len(others) >= _PER_PROMPT or sum(len(text) for _, text in texts(pair.record)) > _TEXT:
            return
        others.append(pair)
        self.size += 1
        while self.size > self.limit:
            self.below //= 2  # half of the prompts stay, on average
            self.pairs = {key: pairs for key, pairs in self.pairs.items() if key < self.below}
            self.size = sum(map(len, self.pairs.values()))


class Table:
    """The pairs of a file as columns; `read` fills it."""

    def __init__(self, tokenizer: Tokenizer | None = None, max_length: int | None = None, sample: int = 10_000):
        self.tokenizer, self.max_length = tokenizer, max_length
        self.arrays = {name: array(code) for name, (code, _) in COLUMNS.items()}
        self.names = {name: Names(limit) for name, limit in _NAMES.items()}
        self.places, self.cycles, self.sample = Places(), Cycles(), Sample(sample)
        self.rankings: Counter[int] = Counter()  # answers -> how many rankings have as many
        self.problems: dict[str, Counter[str]] = {kind: Counter() for kind in ("refused", "warned", "fixed")}
        self.shown: dict[str, list[str]] = {}  # message -> the first problems that say so
        self.records = self.size = 0

    def __getitem__(self, name: str) -> np.ndarray:
        """A column, [pairs] or [pairs, how many]."""
        code, many = COLUMNS[name]
        column = np.frombuffer(self.arrays[name], np.dtype(code))
        return column if many == 1 else column.reshape(-1, many)

    def read(self, rows: Iterable[Row], each: Callable[[Record], None] | None = None) -> "Table":
        """Adds the rows that `prefjax.data.records.scan` yields; `each` sees every record, too."""
        for row in rows:
            for problem in row.problems:
                self.problems[problem.kind][problem.message] += 1
                told = self.shown.setdefault(problem.message, [])
                told += [str(problem)] if len(told) < 3 else []
            if row.record is not None:
                self.records += 1
                place = self.places.number(row.path, row.line)
                self.cycles.add(place, row.record)
                self._add(row.record, place)
                if each is not None:
                    each(row.record)
        return self

    def _add(self, record: Record, place: int) -> None:
        sides = [(record["chosen"], record["rejected"])] if "chosen" in record else ranked_pairs(record["ranking"])
        if "ranking" in record:
            self.rankings[sum(1 if isinstance(rank, str) else len(rank) for rank in record["ranking"])] += 1
        prompt, facts = prompt_key(record), _facts(record)
        common = {"place": place, "prompt": prompt, **self._label(record)}
        seen = {text: self._describe(record, text, facts) for text in {text for pair in sides for text in pair}}
        for chosen, rejected in sides:
            a, b = seen[chosen], seen[rejected]
            for name, value in common.items():
                self.arrays[name].append(value)
            for name in ("answer", "characters", "words", "flags", "tokens"):
                self.arrays[name].extend((a[name], b[name]))
            self.arrays["edges"].extend(a["edges"] + b["edges"])
            self.arrays["exact"].append(_hash(json.dumps([record["prompt"], chosen, rejected])))
            self.arrays["facts"].append(("facts" in record) + 2 * a["states"] + 4 * b["states"])
            self.arrays["longest"].append(max(len(a["ids"]), len(b["ids"])))
            self.arrays["twins"].append(self._twins(a["ids"], b["ids"]))
            self.sample.add(prompt, Sampled(self.size, record, chosen, rejected))
            self.size += 1

    def _label(self, record: Record) -> dict[str, Any]:
        votes, grade = record.get("votes", [0, 0, 0]), record.get("grade", GRADELESS)
        meta = record.get("meta", {})
        high, low = (record.get(name, meta.get(name)) for name in ("score_chosen", "score_rejected"))
        scored = all(type(score) in (int, float) and math.isfinite(score) for score in (high, low))
        wins = votes[0] - votes[1] if any(votes) else 1 if grade == GRADELESS else grade
        order = meta.get("order") if "chosen" in record else None
        self.arrays["votes"].extend([min(n, 65535) for n in votes] * _count(record))
        names = {name: self.names[name].number(record.get(name)) for name in ("annotator", "tag", "slice")}
        return names | {
            "decided": (wins > 0) - (wins < 0),
            "grade": grade,
            "gap": high - low if scored else np.nan,
            "shown": (order == [0, 1]) - (order == [1, 0]),
        }

    def _describe(self, record: Record, text: str, facts: list[str]) -> dict[str, Any]:
        seen, normal, ids, tokens = surface(text), normalised(text), [], 0
        if self.tokenizer is not None:
            try:
                encoded = self.tokenizer.encode_response(record["prompt"], text)
                ids, tokens = encoded.prompt + encoded.response, len(encoded.response)
            except DataError as error:
                self.problems["warned"]["chat template fails"] += 1
                self.shown.setdefault("chat template fails", [str(error)])
        return {
            "answer": _hash(normal),
            "characters": seen.characters,
            "words": seen.words,
            "flags": seen.flags,
            "edges": tuple(map(self.names["edges"].number, seen.edges)),
            "states": any(fact in normal for fact in facts),
            "tokens": tokens,
            "ids": ids,
        }

    def _twins(self, a: list[int], b: list[int]) -> int:
        if not a or not b:  # not tokenised
            return 0
        return 1 if a == b else 2 * (a[: self.max_length] == b[: self.max_length])

    def place(self, number: int) -> str:
        file, line = self.places.place(int(number))
        return f"{file}:{line}"


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _count(record: Record) -> int:
    return 1 if "chosen" in record else len(ranked_pairs(record["ranking"]))


def _facts(record: Record) -> list[str]:
    """The facts of a record that can be looked for in a text, normalised."""
    facts = record.get("facts", [])
    facts = facts if isinstance(facts, list) else [facts]
    return [normalised(str(fact)) for fact in facts if isinstance(fact, str | int | float) and str(fact).strip()]
