"""What an annotator is shown: a prompt and its answers, without a word of which was chosen before."""

import json
from typing import Any, NamedTuple

from prefjax.data import readers
from prefjax.data.prompts import digest
from prefjax.data.records import Record, ranks
from prefjax.errors import ConfigError

SCALES = ("binary", "graded", "ranked")
CARRIED = ("id", "slice", "tag", "facts")
_SAID_BEFORE = ("grade", "votes", "attributes", "score_chosen", "score_rejected", "annotator", "meta")


class Item(NamedTuple):
    """A record to be judged."""

    key: str  # of its prompt and its answers in any order
    prompt: Any  # text or messages
    answers: list[str]  # in the order of the file: chosen, rejected; or the ranking's
    carried: Record  # fields that hold whatever the judgement
    before: Record  # what the file says of the answers: kept with the judgement, shown to nobody


def items(
    path: str, scale: str, layout: str = "pairs", *, bad_rows: int = 0, limit: int | None = None, **fields: Any
) -> tuple[list[Item], int]:
    """The items of a file in its order, those that come again once, and how many came again.

    Raises:
      ConfigError: no such layout or scale, or answers that the scale cannot take.
      DataError: rows are refused, more than `bad_rows`, or there are none.
    """
    if scale not in SCALES:
        raise ConfigError(f"--scale is {scale!r}; expected one of {', '.join(SCALES)}")
    readers.converter(layout, fields)  # raises for what is no layout
    if limit is not None and limit < 1:
        raise ConfigError(f"--limit is {limit}; it should be 1 or more")
    read = getattr(readers, layout)
    found: dict[str, Item] = {}
    again = 0
    for record in read(path, bad_rows=bad_rows, limit=limit, **fields):
        item = Item(
            key(record),
            record["prompt"],
            answers(record),
            {field: record[field] for field in CARRIED if field in record},
            {field: record[field] for field in _SAID_BEFORE if field in record},
        )
        if len(item.answers) > 2 and scale != "ranked":
            raise ConfigError(f"--scale={scale} compares two answers, and a record has {len(item.answers)}: use ranked")
        again += item.key in found
        found.setdefault(item.key, item)
    return [*found.values()], again


def answers(record: Record) -> list[str]:
    """The answers of a pair or a ranking, best first."""
    if "ranking" not in record:
        return [record["chosen"], record["rejected"]]
    return [text for rank in ranks(record["ranking"]) for text in rank]


def key(record: Record) -> str:
    """Names what is judged, whatever the judgement: 64 bits of the prompt and the answers in any order."""
    return hashed([record["prompt"], sorted(answers(record))])


def order(seed: int, annotator: str, item: Item) -> list[int]:
    """The order in which an annotator sees the answers, as indices into them: drawn by hash, the same every time."""
    return sorted(range(len(item.answers)), key=lambda at: hashed([seed, annotator, item.key, at]))


def queue(found: list[Item], seed: int, annotator: str = "") -> list[Item]:
    """The items in an order drawn by hash; one of the annotator's own where there is one."""
    return sorted(found, key=lambda item: hashed([seed, annotator, item.key]))


def hashed(value: Any) -> str:
    """64 bits of a value of JSON, in hexadecimal."""
    return f"{digest(json.dumps(value)):016x}"
