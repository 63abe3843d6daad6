"""Records as rows of token ids: flat arrays, a row never cut. What cannot be used is dropped and counted."""

from array import array
from collections.abc import Iterable
from itertools import combinations
from typing import NamedTuple

import numpy as np

from prefjax.data.records import NEEDED, Record
from prefjax.data.tokenizer import Encoded, Prompt, Tokenizer
from prefjax.errors import ConfigError, DataError

PROMPT_FILLS = "dropped: prompt fills max_length"
TOO_LONG = "dropped: longer than max_length"
TWINS = "dropped: equal tokens"
APART = "response tokenised apart from its prompt"

Counts = dict[str, int]  # what happened to the records, for the record of a run


class Rows(NamedTuple):
    """Token rows one after the other. A row is its prompt and then its K responses: 2 of a pair, 1 of a demonstration.

    Part j of row i is `tokens[offsets[i, j] : offsets[i, j + 1]]`: a prompt is stored once, whatever follows it.
    """

    tokens: np.ndarray  # [all tokens] int32
    offsets: np.ndarray  # [rows, K + 2] int64
    records: np.ndarray  # [rows] int32, the index of the record each row came from
    target: np.ndarray | None = None  # [rows] float32, probability that candidate 0 wins; None where it is always 1
    margin: np.ndarray | None = None  # [rows] float32, in units of reward

    @property
    def size(self) -> int:
        return len(self.offsets)

    @property
    def responses(self) -> int:
        """K: 2 of pairs, 1 of demonstrations, 0 of prompts."""
        return self.offsets.shape[1] - 2

    def part(self, row: int, j: int) -> np.ndarray:
        """Tokens of a row's prompt (j = 0) or of its j-th response."""
        return self.tokens[self.offsets[row, j] : self.offsets[row, j + 1]]


def pairs(
    records: Iterable[Record],
    tokenizer: Tokenizer,
    max_length: int,
    *,
    soft: bool = True,
    margin_per_grade: float = 0.0,
    expand_rankings: bool = False,
) -> tuple[Rows, Counts]:
    """Preference pairs as rows.

    Args:
      records: pairs; rankings too with `expand_rankings`.
      tokenizer: of the model to be trained.
      max_length: of prompt and response together. Pairs with a longer side are dropped, as are those whose prompt
        leaves no room and those whose sides are the same tokens.
      soft: targets from `votes`, (for chosen + ties / 2) / all, else from the sign of `grade`: 1, 1/2 for a tie, 0.
        Without it candidate 0 always wins.
      margin_per_grade: if not 0, the margin of a pair is its grade (0 without one) times this, in units of reward.
      expand_rankings: makes of a ranking every pair of answers of different rank.

    Returns:
      The rows, and counts: `rows`, and what was dropped or out of the ordinary.

    Raises:
      ConfigError: a ranking without `expand_rankings`.
      DataError: a record lacks a field, or no usable rows.
    """
    rows = _Builder()
    target, margin = array("f"), array("f")
    for index, record in enumerate(records):
        _require(record, index, "pairs", *(("prompt",) if "ranking" in record else NEEDED["pairs"]))
        if "ranking" in record and not expand_rankings:
            raise ConfigError(f"record {index} is a ranking: expand_rankings=True makes pairs of it")
        for chosen, rejected in _ranked_pairs(record["ranking"]) if "ranking" in record else [_sides(record)]:
            first, second = (_encode(tokenizer, index, record["prompt"], side) for side in (chosen, rejected))
            if first.response == second.response:
                rows.count(TWINS)
            elif rows.add(index, max_length, first.prompt, first.response, second.response):
                target.append(_target(record) if soft else 1.0)
                margin.append(record.get("grade", 0) * margin_per_grade)
                rows.count(APART, first.apart + second.apart)
    built, counts = rows.build(max_length)
    targets, margins = np.array(target, np.float32), np.array(margin, np.float32)
    return built._replace(
        target=None if (targets == 1).all() else targets, margin=margins if margin_per_grade else None
    ), counts


def demos(records: Iterable[Record], tokenizer: Tokenizer, max_length: int) -> tuple[Rows, Counts]:
    """Demonstrations, and texts without a prompt, as rows; the longer ones are dropped, never cut."""
    rows = _Builder()
    for index, record in enumerate(records):
        _require(record, index, "demos", "response")
        if "prompt" in record:
            encoded = _encode(tokenizer, index, record["prompt"], record["response"])
        else:
            encoded = tokenizer.encode_text(record["response"])
        if rows.add(index, max_length, encoded.prompt, encoded.response):
            rows.count(APART, encoded.apart)
    return rows.build(max_length)


def prompts(records: Iterable[Record], tokenizer: Tokenizer, max_length: int) -> tuple[Rows, Counts]:
    """Prompts to sample from, of any records that have them, as rows; those over `max_length` are dropped."""
    rows = _Builder()
    for index, record in enumerate(records):
        _require(record, index, "prompts", "prompt")
        rows.add(index, max_length, tokenizer.encode_prompt(record["prompt"]))
    return rows.build(max_length)


def _require(record: Record, index: int, kind: str, *fields: str) -> None:
    for field in fields:
        if field not in record:
            raise DataError(f"{kind}(): record {index} has no {field!r}; it has {', '.join(record)}")


def _encode(tokenizer: Tokenizer, index: int, prompt: Prompt, response: str) -> Encoded:
    try:
        return tokenizer.encode_response(prompt, response)
    except DataError as error:
        raise DataError(f"record {index}: {error}") from None


def _sides(record: Record) -> tuple[str, str]:
    return record["chosen"], record["rejected"]


def _ranked_pairs(ranking: list[str | list[str]]) -> Iterable[tuple[str, str]]:
    ranks = [[rank] if isinstance(rank, str) else rank for rank in ranking]
    return [(better, worse) for high, low in combinations(ranks, 2) for better in high for worse in low]


def _target(record: Record) -> float:
    if "votes" in record:
        chosen, rejected, ties = record["votes"]
        return (chosen + ties / 2) / (chosen + rejected + ties)
    grade = record.get("grade", 1)
    return 0.5 if grade == 0 else float(grade > 0)


class _Builder:
    """Collects rows in compact arrays, and counts."""

    def __init__(self):
        self.tokens, self.lengths, self.records = array("i"), array("q"), array("i")
        self.counts: Counts = {}
        self.parts = 0

    def count(self, what: str, n: int = 1) -> None:
        if n:
            self.counts[what] = self.counts.get(what, 0) + n

    def add(self, record: int, max_length: int, prompt: list[int], *responses: list[int]) -> bool:
        """Keeps a row if it fits in `max_length`, and counts it if not."""
        if len(prompt) + bool(responses) > max_length:
            self.count(PROMPT_FILLS)
            return False
        if len(prompt) + max(map(len, responses), default=0) > max_length:
            self.count(TOO_LONG)
            return False
        self.parts = 1 + len(responses)
        for part in (prompt, *responses):
            self.tokens.extend(part)
            self.lengths.append(len(part))
        self.records.append(record)
        return True

    def build(self, max_length: int) -> tuple[Rows, Counts]:
        if not self.records:
            raise DataError(f"no usable rows with max_length={max_length}: {self.counts or 'no records'}")
        ends = np.cumsum(np.array(self.lengths, np.int64)).reshape(-1, self.parts)
        starts = np.concatenate([[0], ends[:-1, -1]])[:, None]
        rows = Rows(
            tokens=np.array(self.tokens, np.int32),
            offsets=np.concatenate([starts, ends], axis=1),
            records=np.array(self.records, np.int32),
        )
        return rows, {"rows": rows.size} | self.counts
