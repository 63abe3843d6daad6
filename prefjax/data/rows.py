"""Records as rows of token ids: flat arrays, a row never cut. What cannot be used is dropped and counted."""

from collections.abc import Iterable
from contextlib import ExitStack, closing
from itertools import accumulate, combinations
from typing import Any, NamedTuple

import numpy as np

from prefjax.data.columns import Column
from prefjax.data.prompts import prompt_key
from prefjax.data.records import NEEDED, Record
from prefjax.data.tokenizer import Encoded, Prompt, Tokenizer
from prefjax.errors import ConfigError, DataError

PROMPT_FILLS = "dropped: prompt fills max_length"
TOO_LONG = "dropped: longer than max_length"
TWINS = "dropped: equal tokens"
FEW = "dropped: fewer than two ranks left"
ABSENT = "left out of a ranking: longer than max_length"
AGAIN = "left out of a ranking: equal tokens"
APART = "response tokenised apart from its prompt"

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
    target: np.ndarray | None = None  # [rows] float32, probability that candidate 0 wins; None where it is always 1
    margin: np.ndarray | None = None  # [rows] float32, in units of reward; None where it is always 0
    grade: np.ndarray | None = None  # [rows] float32, -3..3, positive where candidate 0 is better; where asked for
    ranks: np.ndarray | None = None  # [rows, K] int32, of rankings: 0 best, -1 where a row has no such response
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


def pairs(
    records: Iterable[Record],
    tokenizer: Tokenizer,
    max_length: int,
    *,
    soft: bool = True,
    margin_per_grade: float = 0.0,
    grades: bool = False,
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
      grades: keeps the grade of each pair as a column, for `ordinal_loss`, in place of its target; all must have one.
      expand_rankings: makes of a ranking every pair of answers of different rank.

    Returns:
      The rows, and counts: `rows`, and what was dropped or out of the ordinary.

    Raises:
      ConfigError: a ranking without `expand_rankings`.
      DataError: a record lacks a field, or no usable rows.
    """
    with _Builder(max_length) as rows:
        for index, record in enumerate(records):
            _require(record, index, "pairs", *(("prompt",) if "ranking" in record else NEEDED["pairs"]))
            if "ranking" in record and not expand_rankings:
                raise ConfigError(f"record {index} is a ranking: expand_rankings=True makes pairs of it")
            if grades:
                _require(record, index, "pairs", "grade")
            target = _target(record) if soft and not grades else 1.0
            label = target, record.get("grade", 0) * margin_per_grade, record["grade"] if grades else 0
            for chosen, rejected in ranked_pairs(record["ranking"]) if "ranking" in record else [_sides(record)]:
                first, second = (_encode(tokenizer, index, record["prompt"], side) for side in (chosen, rejected))
                if first.response == second.response:
                    rows.count(TWINS)
                elif rows.add(index, record, first.prompt, first.response, second.response, label=label):
                    rows.count(APART, first.apart + second.apart)
        return rows.build()


def rankings(records: Iterable[Record], tokenizer: Tokenizer, max_length: int) -> tuple[Rows, Counts]:
    """Rankings as rows, best first, equal ranks side by side.

    Candidates that are too long, or whose tokens are those of a better one, are left out and counted; a ranking of
    which less than two ranks are left is dropped.

    Raises:
      DataError: a record is no ranking, or no usable rows.
    """
    with _Builder(max_length) as rows:
        for index, record in enumerate(records):
            _require(record, index, "rankings", "prompt", "ranking")
            prompt: list[int] = []
            kept: dict[tuple[int, ...], int] = {}  # tokens of a candidate -> its rank
            for place, rank in enumerate(_ranks(record["ranking"])):
                for text in rank:
                    encoded = _encode(tokenizer, index, record["prompt"], text)
                    prompt, response = encoded.prompt, tuple(encoded.response)
                    if len(prompt) + len(response) > max_length:
                        rows.count(ABSENT)
                    elif response in kept:
                        rows.count(AGAIN)
                    else:
                        kept[response] = place
                        rows.count(APART, encoded.apart)
            if len(set(kept.values())) < 2:
                rows.count(FEW)
            else:
                rows.add(index, record, prompt, *map(list, kept), ranks=tuple(kept.values()))
        return rows.build()


def demos(records: Iterable[Record], tokenizer: Tokenizer, max_length: int) -> tuple[Rows, Counts]:
    """Demonstrations, and texts without a prompt, as rows; the longer ones are dropped, never cut."""
    with _Builder(max_length) as rows:
        for index, record in enumerate(records):
            _require(record, index, "demos", "response")
            if "prompt" in record:
                encoded = _encode(tokenizer, index, record["prompt"], record["response"])
            else:
                encoded = tokenizer.encode_text(record["response"])
            if rows.add(index, record, encoded.prompt, encoded.response):
                rows.count(APART, encoded.apart)
        return rows.build()


def prompts(records: Iterable[Record], tokenizer: Tokenizer, max_length: int) -> tuple[Rows, Counts]:
    """Prompts to sample from, of any records that have them, as rows; those over `max_length` are dropped."""
    with _Builder(max_length) as rows:
        for index, record in enumerate(records):
            _require(record, index, "prompts", "prompt")
            rows.add(index, record, tokenizer.encode_prompt(record["prompt"]))
        return rows.build()


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


def ranked_pairs(ranking: list[str | list[str]]) -> list[tuple[str, str]]:
    """Every two answers of different rank, the better one first."""
    return [(better, worse) for high, low in combinations(_ranks(ranking), 2) for better in high for worse in low]


def _ranks(ranking: list[str | list[str]]) -> list[list[str]]:
    return [[rank] if isinstance(rank, str) else rank for rank in ranking]


def _target(record: Record) -> float:
    if "votes" in record:
        chosen, rejected, ties = record["votes"]
        return (chosen + ties / 2) / (chosen + rejected + ties)
    grade = record.get("grade", 1)
    return 0.5 if grade == 0 else float(grade > 0)


class _Builder(ExitStack):
    """Collects rows in columns on disk, and counts."""

    def __init__(self, max_length: int):
        super().__init__()
        self.max_length = max_length
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
        codes |= {"sizes": "i", "ranks": "i"}
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
        label: tuple[float, float, int] = (1.0, 0.0, 0),
        ranks: tuple[int, ...] = (),
    ) -> bool:
        """Keeps a row, with its label or its ranks, if it fits in `max_length`, and counts it if not."""
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
        values = {"records": index, "target": label[0], "margin": label[1], "grade": label[2]}
        values |= {"prompts": prompt_key(record), "sizes": len(responses)}
        for name, value in values.items():
            self.columns[name].extend((value,))
        self.columns["offsets"].extend(offsets)
        self.columns["ranks"].extend(ranks)
        self.count("rows")
        return True

    def build(self) -> tuple[Rows, Counts]:
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
        for name, absent in (("target", 1), ("margin", 0), ("grade", 0)):
            if (arrays[name] == absent).all():
                del arrays[name]
        return Rows(**arrays), self.counts


def _counted(firsts: np.ndarray, count: int) -> np.ndarray:
    """Rows of `count` whole numbers, from each of `firsts` on."""
    return firsts[:, None] + np.arange(count)
