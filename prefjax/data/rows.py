"""Records as rows of token ids: flat arrays, a row never cut. What cannot be used is dropped and counted."""

import math
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from prefjax.data.builder import PROMPT_FILLS, TOO_LONG, Builder, Counts, Rows
from prefjax.data.records import NEEDED, Record, lead, ranks
from prefjax.data.tokenizer import Encoded, Prompt, Tokenizer
from prefjax.errors import ConfigError, DataError
from prefjax.resolve import nearest

__all__ = [
    "PROMPT_FILLS",
    "TOO_LONG",
    "Counts",
    "Rows",
    "attributes",
    "demos",
    "pairs",
    "prompts",
    "rankings",
    "steps",
    "unpaired",
]

TWINS = "dropped: equal tokens"
FEW = "dropped: fewer than two ranks left"
ABSENT = "left out of a ranking: longer than max_length"
AGAIN = "left out of a ranking: equal tokens"
UNJUDGED = "dropped: judged in no attribute"
SHARED = "dropped: steps end in one token"
BETWEEN = "left out: neither good nor bad"
APART = "response tokenised apart from its prompt"


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
    with Builder(max_length) as rows:
        for index, record in enumerate(records):
            _require(record, index, "pairs", *(("prompt",) if "ranking" in record else NEEDED["pairs"]))
            if "ranking" in record and not expand_rankings:
                raise ConfigError(f"record {index} is a ranking: expand_rankings=True makes pairs of it")
            if grades:
                _require(record, index, "pairs", "grade")
            target = _target(record) if soft and not grades else 1.0
            label = target, record.get("grade", 0) * margin_per_grade, record["grade"] if grades else None
            for chosen, rejected in ranked_pairs(record["ranking"]) if "ranking" in record else [_sides(record)]:
                _add_pair(rows, tokenizer, index, record, (chosen, rejected), label=label)
        return rows.build()


def attributes(
    records: Iterable[Record], tokenizer: Tokenizer, max_length: int, *, names: Sequence[str]
) -> tuple[Rows, Counts]:
    """Pairs judged in several attributes as rows, for a reward model with a score for each.

    The target of an attribute is 1 where chosen is better in it, 1/2 for a tie, else 0, or NaN where it was not judged.
    Pairs are dropped as by `pairs`, and where they are judged in none of `names`. How many are judged is counted. Of
    one name the rows are those of `pairs`, with its target: the model has one score, as any other.

    Raises:
      ConfigError: no list of names, or one that comes twice.
      DataError: a record lacks a field, none is judged in an attribute, or no usable rows.
    """
    if isinstance(names, str) or not names or len(set(names)) < len(names):
        raise ConfigError(f"attributes(names={names!r}): it should list one attribute or more, each once")
    several, known = len(names) > 1, set[str]()
    with Builder(max_length, tuple(names) if several else ()) as rows:
        for index, record in enumerate(records):
            _require(record, index, "attributes", *NEEDED["pairs"])
            judged = record.get("attributes", {})
            known |= judged.keys()
            here = [name for name in names if name in judged]
            if not here:
                rows.count(UNJUDGED)
                continue
            targets = [(1 + np.sign(judged[name])) / 2 if name in here else math.nan for name in names]
            label: dict[str, Any] = {"attributes": targets} if several else {"label": (targets[0], 0.0, None)}
            if _add_pair(rows, tokenizer, index, record, _sides(record), **label):
                for name in here:
                    rows.count(f"judged in {name}")
        for name in names:
            if name not in known:
                raise DataError(f"attributes(names=...): no record is judged in {name!r}; {nearest(name, known)}")
        return rows.build()


def rankings(records: Iterable[Record], tokenizer: Tokenizer, max_length: int) -> tuple[Rows, Counts]:
    """Rankings as rows, best first, equal ranks side by side.

    Candidates that are too long, or whose tokens are those of a better one, are left out and counted, and the ranks
    that are left counted anew from 0; a ranking of which less than two are left is dropped.

    Raises:
      DataError: a record is no ranking, or no usable rows.
    """
    with Builder(max_length) as rows:
        for index, record in enumerate(records):
            _require(record, index, "rankings", "prompt", "ranking")
            prompt: list[int] = []
            kept: dict[tuple[int, ...], int] = {}  # tokens of a candidate -> its rank
            for place, rank in enumerate(ranks(record["ranking"])):
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
            left = sorted(set(kept.values()))
            if len(left) < 2:
                rows.count(FEW)
            else:
                rows.add(index, record, prompt, *map(list, kept), ranks=tuple(map(left.index, kept.values())))
        return rows.build()


def unpaired(records: Iterable[Record], tokenizer: Tokenizer, max_length: int) -> tuple[Rows, Counts]:
    """Single responses as rows, each good (target 1) or bad (target 0), of judgements of any form.

    A `response` is what its `label` says. Of a pair the better side is good and the other bad, by `votes`, else by the
    sign of `grade`, else as the fields are named. Of a ranking the first rank is good and the last one bad. Sides of a
    tie and ranks between are neither: left out and counted, as are sides of the same tokens. The longer rows are
    dropped one by one: the other side of a pair stays.

    Raises:
      DataError: a record lacks a field, or no usable rows.
    """
    with Builder(max_length) as rows:
        for index, record in enumerate(records):
            _require(record, index, "unpaired", "prompt")
            good, bad, left_out = _judged(record, index)
            rows.count(BETWEEN, left_out)
            encoded = [(_encode(tokenizer, index, record["prompt"], text), text in good) for text in good + bad]
            if len({tuple(one.response) for one, _ in encoded}) < len(encoded):
                rows.count(TWINS)
                continue
            for one, is_good in encoded:
                if rows.add(index, record, one.prompt, one.response, label=(float(is_good), 0.0, None)):
                    rows.count(APART, one.apart)
                    rows.count("good responses" if is_good else "bad responses")
        return rows.build(judged=True)


def steps(
    records: Iterable[Record], tokenizer: Tokenizer, max_length: int, *, separator: str = "\n"
) -> tuple[Rows, Counts]:
    """Responses of judged steps as rows: `steps` joined by `separator`, with a label at the last token of each.

    A step ends at the last token that the response up to there shares with the whole, the last step at the stop token,
    where a reward model reads the response. Rows in which two steps end in one token are dropped and counted.

    Raises:
      DataError: a record lacks a field, or no usable rows.
    """
    with Builder(max_length) as rows:
        for index, record in enumerate(records):
            _require(record, index, "steps", *NEEDED["steps"])
            texts = [separator.join(record["steps"][: k + 1]) for k in range(len(record["steps"]))]
            *parts, whole = (_encode(tokenizer, index, record["prompt"], text) for text in texts)
            ends = [max(_shared(part.response[:-1], whole.response), 1) - 1 for part in parts]
            ends.append(len(whole.response) - 1)
            if len(set(ends)) < len(ends):
                rows.count(SHARED)
                continue
            labels = [-1] * len(whole.response)
            for end, label in zip(ends, record["labels"], strict=True):
                labels[end] = int(label)
            if rows.add(index, record, whole.prompt, whole.response, steps=labels):
                rows.count(APART, whole.apart)
                rows.count("steps", len(ends))
        return rows.build()


def _shared(first: list[int], second: list[int]) -> int:
    """How many tokens two rows begin with alike."""
    return next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )


def demos(records: Iterable[Record], tokenizer: Tokenizer, max_length: int) -> tuple[Rows, Counts]:
    """Demonstrations, and texts without a prompt, as rows; the longer ones are dropped, never cut."""
    with Builder(max_length) as rows:
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
    with Builder(max_length) as rows:
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


def _judged(record: Record, index: int) -> tuple[list[str], list[str], int]:
    """The good and the bad responses of a record, and how many are neither."""
    if "ranking" in record:
        ranking = ranks(record["ranking"])
        first, *between, last = ranking if len(ranking) > 1 else ([], *ranking, [])
        return first, last, sum(map(len, between))
    if "response" in record:
        _require(record, index, "unpaired", "label")
        return ([record["response"]], [], 0) if record["label"] else ([], [record["response"]], 0)
    _require(record, index, "unpaired", *NEEDED["pairs"])
    better = lead(record)
    if better == 0:
        return [], [], 2
    first, second = _sides(record) if better > 0 else _sides(record)[::-1]
    return [first], [second], 0


def _add_pair(
    rows: Builder, tokenizer: Tokenizer, index: int, record: Record, sides: tuple[str, str], **label: Any
) -> bool:
    """Keeps a pair, unless its sides are the same tokens or one is too long."""
    first, second = (_encode(tokenizer, index, record["prompt"], side) for side in sides)
    if first.response == second.response:
        rows.count(TWINS)
        return False
    kept = rows.add(index, record, first.prompt, first.response, second.response, **label)
    rows.count(APART, kept * (first.apart + second.apart))
    return kept


def _sides(record: Record) -> tuple[str, str]:
    return record["chosen"], record["rejected"]


def ranked_pairs(ranking: list[str | list[str]]) -> list[tuple[str, str]]:
    """Every two answers of different rank, the better one first."""
    return [(better, worse) for high, low in combinations(ranks(ranking), 2) for better in high for worse in low]


def _target(record: Record) -> float:
    if "votes" in record:
        chosen, rejected, ties = record["votes"]
        return (chosen + ties / 2) / (chosen + rejected + ties)
    better = lead(record)
    return 0.5 if better == 0 else float(better > 0)
