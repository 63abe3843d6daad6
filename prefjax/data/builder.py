"""Rows of token ids in flat arrays, and what collects them: columns on disk, and counts."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from prefjax.data.columns import Column
from prefjax.data.prompts import prompt_key
from prefjax.data.records import Record
from prefjax.errors import DataError

PROMPT_FILLS = "dropped: prompt fills max_length"
TOO_LONG = "dropped: longer than max_length"

Counts = dict[str, int]  # what happened to the records, for the record of a run


class Rows(NamedTuple):
    """Token rows one after the other. A row is its prompt and then its K responses: 2 of a pair, 1 of a demonstration,
    as many as the longest ranking has, of which shorter ones lack the last: those parts are empty.

    Part j of row i is `tokens[offsets[i, j] : offsets[i, j + 1]]`: a prompt is stored once, whatever follows it.
    The arrays map files, so that millions of rows take no memory.
    """

    tokens: np.ndarray  # [all tokens] int32
    offsets: np.ndarray  # [rows, K + 2] int64
    records: np.ndarray  # [rows] int32, the index of the record each row came from
    target: np.ndarray | None = None  # [rows] float32: of pairs, that candidate 0 wins, None where it is sure in all;
    # of single responses 1 good and 0 bad, None where they are demonstrations
    margin: np.ndarray | None = None  # [rows] float32, in units of reward; None where it is always 0
    grade: np.ndarray | None = None  # [rows] float32, -3..3, positive where candidate 0 is better; where asked for
    attributes: np.ndarray | None = None  # [rows, H] float32: that candidate 0 is better in each of `names`, or NaN
    names: tuple[str, ...] = ()  # of the H attributes
    ranks: np.ndarray | None = None  # [rows, K] int32, of rankings: 0 best, -1 where a row has no such response
    steps: np.ndarray | None = None  # [all tokens] int8: 1 or 0 at the last token of a good or bad step, -1 elsewhere
    prompts: Any = None  # [rows] uint64, what `prompt_key` makes of the prompt
    ref_logps: np.ndarray | None = None  # [all tokens] float32, nats, of the reference; 0 at the tokens of prompts

    @property
    def size(self) -> int:
        return len(self.offsets)

    @property
    def responses(self) -> int:
        """K: 2 of pairs, 1 of demonstrations, 0 of prompts, the most that a ranking has."""
        return self.offsets.shape[1] - 2

    def part(self, row: int, j: int) -> np.ndarray:
        """Tokens of a row's prompt (j = 0) or of its j-th response."""
        return self.tokens[self.offsets[row, j] : self.offsets[row, j + 1]]


class Builder(ExitStack):
    """Collects rows in columns on disk, and counts."""

    def __init__(self, max_length: int, names: tuple[str, ...] = ()):
        super().__init__()
        self.max_length, self.names = max_length, names
        self.counts: Counts = {}
        codes = {
            "tokens": "i",
            "offsets": "q",
            "records": "i",
            "target": "f",
            "margin": "f",
            "grade": "f",
            "prompts": "Q",
        }
        codes |= {"attributes": "f", "sizes": "i", "ranks": "i", "steps": "b"}
        self.columns = {name: self.enter_context(closing(Column(code))) for name, code in codes.items()}
        self.written = 0  # tokens

    def count(self, what: str, n: int = 1) -> None:
        if n:
            self.counts[what] = self.counts.get(what, 0) + n

    def add(
        self,
        index: int,
        record: Record,
        prompt: list[int],
        *responses: list[int],
        label: tuple[float, float, int | None] = (1.0, 0.0, None),
        attributes: Sequence[float] = (),
        ranks: tuple[int, ...] = (),
        steps: list[int] | None = None,
    ) -> bool:
        """Keeps a row, with its label (target, margin, grade), targets of `names`, ranks, or labels of its tokens.

        One that does not fit is counted instead.
        """
        if len(prompt) + bool(responses) > self.max_length:
            self.count(PROMPT_FILLS)
            return False
        if len(prompt) + max(map(len, responses), default=0) > self.max_length:
            self.count(TOO_LONG)
            return False
        parts = (prompt, *responses)
        offsets = [*accumulate(map(len, parts), initial=self.written)]
        self.written = offsets[-1]
        for part in parts:
            self.columns["tokens"].extend(part)
        values: dict[str, float | None] = {"records": index, "prompts": prompt_key(record), "sizes": len(responses)}
        values |= dict(zip(("target", "margin", "grade"), label, strict=True))
        for name, value in values.items():
            self.columns[name].extend(() if value is None else (value,))
        self.columns["offsets"].extend(offsets)
        self.columns["attributes"].extend(attributes)
        self.columns["ranks"].extend(ranks)
        self.columns["steps"].extend([] if steps is None else [*[-1] * len(prompt), *steps])
        self.count("rows")
        return True

    def build(self, *, judged: bool = False) -> tuple[Rows, Counts]:
        """The rows, with the target of each where they are single `judged` responses, and counts."""
        if "rows" not in self.counts:
            raise DataError(f"no usable rows with max_length={self.max_length}: {self.counts or 'no records'}")
        arrays = {name: column.array() for name, column in self.columns.items()}
        sizes, ranks = arrays.pop("sizes"), arrays.pop("ranks")
        most = int(sizes.max())
        if (sizes == most).all():
            arrays["offsets"] = arrays["offsets"].reshape(-1, most + 2)
        else:  # what a row lacks are empty parts at its end
            ends = np.cumsum(sizes + 2) - 1
            arrays["offsets"] = arrays["offsets"][np.minimum(_counted(ends - sizes - 1, most + 2), ends[:, None])]
        if len(ranks):
            firsts = np.cumsum(sizes) - sizes
            places = _counted(firsts, most)
            lacked = places >= (firsts + sizes)[:, None]
            arrays["ranks"] = np.where(lacked, -1, ranks[np.minimum(places, len(ranks) - 1)]).astype(np.int32)
        if self.names:
            arrays["attributes"] = arrays["attributes"].reshape(-1, len(self.names))
        else:
            del arrays["attributes"]
        if not len(arrays["steps"]):
            del arrays["steps"]
        for name, absent in (("target", 1), ("margin", 0)):
            if (arrays[name] == absent).all() and not (judged and name == "target"):
                del arrays[name]
        if not len(arrays["grade"]):  # not asked for; ties alone are grades too
            del arrays["grade"]
        return Rows(**arrays, names=self.names), self.counts


def _counted(firsts: np.ndarray, count: int) -> np.ndarray:
    """Rows of `count` whole numbers, from each of `firsts` on."""
    return firsts[:, None] + np.arange(count)
