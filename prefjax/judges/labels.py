"""The judge that repeats what people said: a file of labels, from `prefjax label`, a spreadsheet or anywhere."""

import logging
import re
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

from prefjax.data.files import files, objects
from prefjax.data.lines import Refused, clean, quote
from prefjax.data.records import lead
from prefjax.errors import ConfigError, DataError
from prefjax.judges.comparing import Judge
from prefjax.judges.lookup import key, plain
from prefjax.resolve import nearest

TEXTS = ("a", "b", "chosen", "rejected")
FIELDS = ("prompt", "id", *TEXTS, "verdict", "grade", "votes", "ranking", "annotator")
_SIDES = {"a": 0, "b": 1, "tie": 2}
_log = logging.getLogger(__name__)
Votes = dict[tuple[str, str, str], dict[Any, list[int]]]  # (prompt, a, b) -> by whom -> for a, for b, for a tie


def make(records: Sequence[dict[str, Any]], *, path: str, **fields: str) -> Judge:
    """A judge by human labels: "labels(path='labels.jsonl')" or "labels(path='labels.csv', verdict='winner')".

    A row holds `prompt`, or the `id` of a record, and either `a`, `b` and `verdict` (A, B or tie); or `chosen` and
    `rejected` with an optional `grade` (0: a tie, below 0: the rejected one is better) or `votes`; or a `ranking`.
    Several rows on the same answers are votes: what most of them say is the verdict, and equally many are a tie. Of one
    `annotator` the last row counts. Texts are the same if they are but for line ends and space around them. Answers
    that nobody labelled are invalid; the first of them is warned of.

    Args:
      records: whose prompts are judged; they say which prompt an `id` is.
      path: CSV, named so, with a first line of names; or what `prefjax.data` reads.
      **fields: the file's own names, of our fields.

    Raises:
      ConfigError: no such field.
      DataError: a row is no label, by file, line and field.
    """
    for name in fields:
        if name not in FIELDS:
            raise ConfigError(f"labels: no field {name!r} in a label; {nearest(name, FIELDS)}")
    prompts = {str(record["id"]): record["prompt"] for record in records if "id" in record}
    votes: Votes = {}
    texts = {fields.get(name, name) for name in TEXTS}  # an answer may be empty, in a spreadsheet too
    rows = ((name, numbered) for name in files(path) for numbered in objects(name, {}, empty=texts))
    for file, (line, row) in rows:
        try:
            if isinstance(row, Refused):
                raise row
            label = {name: row.get(fields.get(name, name)) for name in FIELDS}
            prompt = _prompt(label, prompts)
            who = (file, line) if label["annotator"] is None else str(label["annotator"])
            for a, b, (for_a, for_b, tie) in _votes(label):
                votes.setdefault((prompt, a, b), {})[who] = [for_a, for_b, tie]
                votes.setdefault((prompt, b, a), {})[who] = [for_b, for_a, tie]
        except Refused as refusal:
            field, message, detail = refusal.args
            where = f"{file}:{line}: {fields.get(field, field)}".removesuffix(": ")
            raise DataError(clean(f"{where}: {message}" + (f": {detail}" if detail else ""))) from None
    if not votes:
        raise DataError(clean(f"{path}: no labels"))
    missing: list[Any] = []

    def judge(prompt: Any, a: str, b: str) -> str:
        found = votes.get((key(prompt), plain(a), plain(b)))
        if found is None:
            if not missing:
                _log.warning("%s: nobody labelled these answers to %s: invalid", clean(path), quote(key(prompt)))
                missing.append(prompt)
            return "invalid"
        counts = [sum(said) for said in zip(*found.values(), strict=True)]
        most = [side for side, count in zip(("A", "B", "tie"), counts, strict=True) if count == max(counts)]
        return most[0] if len(most) == 1 else "tie"

    return judge


def _prompt(label: dict[str, Any], prompts: dict[str, Any]) -> str:
    if label["prompt"] is not None:
        if not (isinstance(label["prompt"], str) or _are_messages(label["prompt"])):
            raise Refused("prompt", "mistyped field", "expected text or messages")
        return key(label["prompt"])
    if label["id"] is None:
        raise Refused("prompt", "missing field", "a label needs the prompt, or the id of a record")
    if str(label["id"]) not in prompts:
        raise Refused("id", "no record has it", quote(str(label["id"])))
    return key(prompts[str(label["id"])])


def _are_messages(value: Any) -> bool:
    turn = lambda one: isinstance(one, dict) and all(isinstance(one.get(name), str) for name in ("role", "content"))
    return isinstance(value, list) and bool(value) and all(map(turn, value))


def _votes(label: dict[str, Any]) -> Iterator[tuple[str, str, list[int]]]:
    """What a label says of two answers: a, b, and the votes for a, for b and for a tie."""
    if label["ranking"] is not None:
        if not isinstance(label["ranking"], list):
            raise Refused("ranking", "mistyped field", "expected a list of texts, best first, equal ones in a list")
        several = [rank if isinstance(rank, list) else [rank] for rank in label["ranking"]]
        placed = [(place, text) for place, rank in enumerate(several) for text in rank]
        for (first, a), (second, b) in combinations(placed, 2):
            yield _text("ranking", a), _text("ranking", b), [1, 0, 0] if first < second else [0, 0, 1]
        return
    if label["verdict"] is not None:
        side = _SIDES.get(str(label["verdict"]).strip().lower())
        if side is None:
            raise Refused("verdict", "unknown verdict", f"{quote(str(label['verdict']))}; expected A, B or tie")
        yield _text("a", label["a"]), _text("b", label["b"]), [int(side == at) for at in range(3)]
        return
    if not label["chosen"] and label["a"]:
        raise Refused("verdict", "missing field", "expected A, B or tie")
    counts = label["votes"]
    if counts is None:
        if label["grade"] is not None and not re.fullmatch(r"[+-]?\d+(\.0*)?", str(label["grade"]).strip()):
            raise Refused("grade", "mistyped field", "expected an integer")
        better = lead({} if label["grade"] is None else {"grade": int(float(label["grade"]))})
        counts = [int(better > 0), int(better < 0), int(better == 0)]
    if not (isinstance(counts, list) and len(counts) == 3 and all(type(v) is int and v >= 0 for v in counts)):
        raise Refused("votes", "label out of scale", "expected three counts, [for chosen, for rejected, ties]")
    yield _text("chosen", label["chosen"]), _text("rejected", label["rejected"]), counts


def _text(field: str, value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[-1], dict):  # messages, whose last turn is the answer
        value = value[-1].get("content")
    if not isinstance(value, str):
        raise Refused(field, "missing field" if value is None else "mistyped field", "expected the text of an answer")
    return plain(value)
