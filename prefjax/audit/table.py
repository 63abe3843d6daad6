"""One reading of a file of pairs: what an audit asks of it, in about 200 bytes a pair."""

import hashlib
import heapq
import json
import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from prefjax.audit.surface import EDGES, surface
from prefjax.data.cycles import Cycles
from prefjax.data.lines import Problem
from prefjax.data.prompts import prompt_key
from prefjax.data.records import Record, Row, lead, ranks
from prefjax.data.rows import ranked_pairs
from prefjax.data.tokenizer import Encoded, Tokenizer
from prefjax.data.warn import Places, normalised, texts
from prefjax.errors import DataError
from prefjax.evals.agreement import comparisons, first
from prefjax.evals.matching import right

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
    "first": ("b", 1),  # 1 if chosen counts as the first, as `first` draws it, -1 if rejected does; with votes
    "facts": ("b", 1),  # 1 if the record says what is right; 2 more if chosen states one, 4 more if rejected does
    "tokens": ("i", 2),  # of the answers; with a tokenizer
    "longest": ("i", 1),  # tokens of the prompt and the longer answer
    "twins": ("b", 1),  # 1 if the sides are the same tokens, 2 if they would be when cut at max_length
}
# What is kept of a comparison by somebody who is named, as `prefjax.evals.agreement.shared` takes it.
JUDGED = {"pairs": "Q", "annotators": "i", "values": "b", "graded": "b"}
GRADELESS = -128
_EDGES = 100_000  # texts of one word, and of two, that are told apart
_TEXT, _PER_PROMPT = 20_000, 100  # of a record that is sampled, characters at most; of a prompt, pairs at most
_CHARACTERS = 20_000_000  # of all records that are sampled, in all


class Common:
    """Texts as numbers from 1 on. When there are too many, the rarer half makes room, and starts anew if it returns."""

    def __init__(self, limit: int):
        self.seen: dict[str, list[int]] = {}  # text -> its number, and how often it came
        self.limit, self.last = limit, 0

    def number(self, text: str) -> int:
        known = self.seen.get(text)
        if known is None:
            if len(self.seen) >= self.limit:
                kept = sorted(self.seen.items(), key=lambda entry: -entry[1][1])[: self.limit // 2]
                self.seen = dict(kept)
            self.last += 1
            known = self.seen[text] = [self.last, 0]
        known[1] += 1
        return known[0]

    @property
    def dropped(self) -> int:
        """How many made room."""
        return self.last - len(self.seen)


class Sampled(NamedTuple):
    """A pair whose texts are kept."""

    row: int  # of the columns
    record: Record
    chosen: str
    rejected: str

    @property
    def characters(self) -> int:
        return sum(len(text) for _, text in texts(self.record))


class Sample:
    """Pairs of the prompts of the smallest hashes, whole prompts at a time, so that they can be split by prompt too."""

    def __init__(self, limit: int):
        self.limit, self.below = limit, 2**64
        self.pairs: dict[int, list[Sampled]] = {}  # key of the prompt -> its pairs
        self.largest: list[int] = []  # a heap of the keys, negative
        self.size = self.characters = 0

    def add(self, prompt: int, pair: Sampled) -> None:
        """Adds a pair of the prompt with this key, which is itself a hash."""
        others, more = self.pairs.get(prompt, []), pair.characters if prompt < self.below else 0
        if prompt >= self.below or more > _TEXT or len(others) >= min(_PER_PROMPT, self.limit):
            return
        if not others:
            self.pairs[prompt] = others
            heapq.heappush(self.largest, -prompt)
        others.append(pair)
        self.size, self.characters = self.size + 1, self.characters + more
        while (self.size > self.limit or self.characters > _CHARACTERS) and len(self.pairs) > 1:
            self.below = -heapq.heappop(self.largest)
            left = self.pairs.pop(self.below)
            self.size, self.characters = self.size - len(left), self.characters - sum(p.characters for p in left)


class Table:
    """The pairs of a file as columns; `read` fills it."""

    def __init__(self, tokenizer: Tokenizer | None = None, max_length: int | None = None, sample: int = 10_000):
        self.tokenizer, self.max_length = tokenizer, max_length
        self.arrays = {name: array(code) for name, (code, _) in COLUMNS.items()}
        self.judged = {name: array(code) for name, code in JUDGED.items()}
        self.names: dict[str, dict[str, int]] = {"tag": {}, "slice": {}, "annotator": {}}  # their numbers, from 1 on
        self.edges = [Common(_EDGES), Common(_EDGES)]  # of one word, of two
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
            problems = [*row.problems]
            if row.record is not None:
                place = self.places.number(row.path, row.line)
                try:
                    self._add(row.record, place)
                except DataError as error:
                    problems.append(Problem(row.path, row.line, "", "refused", "chat template fails", str(error)))
                else:
                    self.records += 1
                    self.cycles.add(place, row.record)
                    if each is not None:
                        each(row.record)
            for problem in problems:
                self.problems[problem.kind][problem.message] += 1
                told = self.shown.setdefault(problem.message, [])
                told += [str(problem)] if len(told) < 3 else []
        return self

    def _add(self, record: Record, place: int) -> None:
        """Adds the pairs of a record; raises DataError, before any is, where the chat template refuses it."""
        sides = [(record["chosen"], record["rejected"])] if "chosen" in record else ranked_pairs(record["ranking"])
        encoded = {text: self._encode(record["prompt"], text) for pair in sides for text in pair}
        known, prompt = _right(record), prompt_key(record)
        seen = {text: self._describe(text, tokens, known) for text, tokens in encoded.items()}
        if "ranking" in record:
            self.rankings[sum(map(len, ranks(record["ranking"])))] += 1
        names = {name: self._number(name, record.get(name)) for name in self.names}
        common = {"place": place, "prompt": prompt, **names, **_label(record)}
        for chosen, rejected in sides:
            a, b = seen[chosen], seen[rejected]
            for name, value in common.items():
                self.arrays[name].append(value)
            for name in ("answer", "characters", "words", "flags", "tokens"):
                self.arrays[name].extend((a[name], b[name]))
            self.arrays["edges"].extend(a["edges"] + b["edges"])
            self.arrays["votes"].extend(min(n, 65535) for n in record.get("votes", (0, 0, 0)))
            self.arrays["first"].append((1 if first(chosen, rejected) else -1) if "votes" in record else 0)
            self.arrays["exact"].append(_hash(json.dumps([record["prompt"], chosen, rejected])))
            self.arrays["facts"].append(bool(known) + 2 * a["states"] + 4 * b["states"])
            self.arrays["longest"].append(max(len(a["ids"]), len(b["ids"])))
            self.arrays["twins"].append(self._twins(a["ids"], b["ids"]))
            self.sample.add(prompt, Sampled(self.size, record, chosen, rejected))
            self.size += 1
        for one in comparisons(record) if names["annotator"] else ():
            for name, value in zip(JUDGED, (one.pair, names["annotator"], one.value, one.graded), strict=True):
                self.judged[name].append(value)

    def _number(self, name: str, text: Any) -> int:
        known = self.names[name]
        return 0 if text is None else known.setdefault(str(text), len(known) + 1)

    def _encode(self, prompt: Any, text: str) -> Encoded:
        return self.tokenizer.encode_response(prompt, text) if self.tokenizer is not None else Encoded([], [], False)

    def _describe(self, text: str, encoded: Encoded, known: list[str]) -> dict[str, Any]:
        seen = surface(text)
        return {
            "answer": _hash(normalised(text)),
            "characters": seen.characters,
            "words": seen.words,
            "flags": seen.flags,
            "edges": tuple(self.edges[i % 2].number(edge) for i, edge in enumerate(seen.edges)),
            "states": bool(known) and right(text, known, "contains"),
            "tokens": len(encoded.response),
            "ids": encoded.prompt + encoded.response,
        }

    def _twins(self, a: list[int], b: list[int]) -> int:
        if not a or not b:  # not tokenised
            return 0
        return 1 if a == b else 2 * (a[: self.max_length] == b[: self.max_length])

    def place(self, number: int) -> str:
        file, line = self.places.place(int(number))
        return f"{file}:{line}"


def _label(record: Record) -> dict[str, Any]:
    """What a record says of its sides, but for the votes."""
    meta, better = record.get("meta", {}), lead(record)
    high, low = (record.get(name, meta.get(name)) for name in ("score_chosen", "score_rejected"))
    scored = all(type(score) in (int, float) and math.isfinite(score) for score in (high, low))
    order = meta.get("order") if "chosen" in record else None
    return {
        "decided": (better > 0) - (better < 0),
        "grade": record.get("grade", GRADELESS),
        "gap": high - low if scored else np.nan,
        "shown": (order == [0, 1]) - (order == [1, 0]),
    }


def _right(record: Record) -> list[str]:
    """The facts of a record by which an answer is right: a text, a number, a list of them, or what is "right"."""
    facts = record.get("facts", [])
    facts = facts.get("right", []) if isinstance(facts, dict) else facts
    facts = facts if isinstance(facts, list) else [facts]
    return [str(fact) for fact in facts if isinstance(fact, str | int | float) and str(fact).strip()]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
