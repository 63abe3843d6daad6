"""Judgements of several annotators as one record a pair, with their votes."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from prefjax.data.files import files
from prefjax.data.records import Record
from prefjax.evals.agreement import Comparison, comparisons
from prefjax.evals.stats import Interval
from prefjax.label.items import CARRIED
from prefjax.label.judgements import agreement
from prefjax.label.store import judgements


class Merged(NamedTuple):
    """What several files of judgements amount to."""

    pairs: list[Record]
    annotators: list[str]
    repeated: int  # comparisons that an annotator made more than once: the last one counts
    agreement: Interval | None


def merge(paths: Iterable[str]) -> Merged:
    """Pairs with `votes` from files of judgements; rankings become all of their pairs.

    The answer with more votes is chosen; at a draw, the one that was first chosen. `meta.annotators` says who voted
    how, as values of -3..3, positive for chosen; `meta.scale` is "votes".

    Raises:
      DataError: a file cannot be read, or holds something else, by file, line and field.
    """
    texts: dict[int, tuple[Any, str, str]] = {}
    carried: dict[int, Record] = {}
    values: dict[int, dict[str, int]] = {}
    told: list[tuple[str, Comparison]] = []
    for path in [path for pattern in paths for path in files(pattern)]:
        for record in judgements(path):
            annotator = str(record["annotator"])
            for one in comparisons(record):
                told.append((annotator, one))
                texts.setdefault(one.pair, (record["prompt"], one.a, one.b))
                carried.setdefault(one.pair, {field: record[field] for field in CARRIED if field in record})
                values.setdefault(one.pair, {})[annotator] = one.value
    pairs = [_pair(*texts[name], carried[name], values[name]) for name in texts]
    annotators = sorted({annotator for given in values.values() for annotator in given})
    repeated = len(told) - sum(map(len, values.values()))
    return Merged(pairs, annotators, repeated, agreement(told)[0])


def _pair(prompt: Any, a: str, b: str, carried: Record, given: dict[str, int]) -> Record:
    signs = Counter((value > 0) - (value < 0) for value in given.values())
    leading = signs[1] - signs[-1] or next((value for value in given.values() if value), 1)
    side = 1 if leading > 0 else -1
    chosen, rejected = (a, b) if side > 0 else (b, a)
    return (
        {"prompt": prompt, "chosen": chosen, "rejected": rejected}
        | carried
        | {"votes": [signs[side], signs[-side], signs[0]]}
        | {"meta": {"scale": "votes", "annotators": {name: side * value for name, value in given.items()}}}
    )
