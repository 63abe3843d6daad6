"""Records, the one form all preference data takes, and the check of that form.

A record is a plain dict. Pairs hold `prompt`, `chosen` and `rejected`, or `prompt` and `ranking` (texts, best first,
equal ranks as nested lists); demonstrations hold `prompt` and `response`, which may be called `completion`; single
judged responses a `label` beside them, true where they are good; judged steps `prompt`, `steps` and `labels`; texts
`response` alone; prompts `prompt` alone. A prompt is a text or a list of `{"role", "content"}` messages; an answer is a
text. What a record may hold
besides is in `OPTIONAL`.
"""

import json
import math
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from prefjax.data.files import files, objects
from prefjax.data.lines import Fixes, Problem, Refused, kind_of, note, quote
from prefjax.data.warn import Warner
from prefjax.errors import ConfigError
from prefjax.resolve import nearest

Record = dict[str, Any]
Names = dict[str, str]  # field of a record -> the file's own name for it
Convert = Callable[[dict[str, Any]], tuple[Record, Names]]

MAX_TEXT = 1_000_000  # bytes
ROLES = ("system", "user", "assistant")
NEEDED = {
    "pairs": ("prompt", "chosen", "rejected"),
    "demos": ("prompt", "response"),
    "unpaired": ("prompt", "response", "label"),
    "steps": ("prompt", "steps", "labels"),
    "texts": ("response",),
    "prompts": ("prompt",),
}
OPTIONAL: dict[str, tuple[type, ...]] = {
    "grade": (int,),  # -3..3, positive where chosen is better, 0 a tie
    "votes": (list,),  # [for chosen, for rejected, ties]
    "attributes": (dict,),  # name -> a number, positive where chosen is better in this, 0 a tie
    "score_chosen": (int, float),
    "score_rejected": (int, float),
    "slice": (str,),
    "tag": (str,),  # the value the label encodes
    "annotator": (str, int),
    "id": (str, int),
    "facts": (str, int, float, list, dict),
    "meta": (dict,),
}
FIELDS = ("prompt", "chosen", "rejected", "ranking", "response", "label", "steps", "labels", *OPTIONAL)


class Row(NamedTuple):
    """What one line of a file became."""

    path: str
    line: int
    record: Record | None  # None where the row is refused
    problems: list[Problem]


def field_map(**names: str | tuple[str, ...]) -> Convert:
    """A converter for rows with other field names: `field_map(prompt="request")`.

    A tuple of names joins their texts with an empty line between, leaving out those that are empty or absent.
    """
    for name in names:
        if name not in FIELDS:
            raise ConfigError(f"no field {name!r} in a record; {nearest(name, FIELDS)}")
    sources = {field: names.get(field, field) for field in FIELDS}
    shown = {field: "+".join(source) for field, source in names.items() if not isinstance(source, str)}
    shown |= {field: source for field, source in names.items() if isinstance(source, str)}

    def convert(row: dict[str, Any]) -> tuple[Record, Names]:
        record = {}
        other = {"response": "completion"} if "completion" in row and "response" not in {*names, *row} else {}
        for field, source in (sources | other).items():
            value = row.get(source) if isinstance(source, str) else joined(row, *source)
            if value is not None or source in row:
                record[field] = value
        return record, shown | other

    return convert


def joined(row: dict[str, Any], *names: str) -> str | None:
    """The texts of several fields with an empty line between; None where there are none."""
    texts = [require(row, name, str) for name in names if row.get(name) is not None]
    return "\n\n".join(filter(None, texts)) or None


def lead(record: Record) -> int:
    """By how much chosen is better than rejected: by `votes`, else by `grade`, else 1; below 0 it is worse, 0 a tie."""
    votes = record.get("votes")
    return votes[0] - votes[1] if votes else record.get("grade", 1)


def ranks(ranking: list[str | list[str]]) -> list[list[str]]:
    """A ranking, best first, with the texts of every rank in a list."""
    return [[rank] if isinstance(rank, str) else rank for rank in ranking]


def require(row: dict[str, Any], field: str, *types: type) -> Any:
    """The value of a field that must be there, with one of `types`; raises Refused."""
    if field not in row:
        raise Refused(field, "missing field")
    if row[field] is None:
        raise Refused(field, "null field")
    return _typed(field, row[field], *types)


def scan(path: str | os.PathLike, convert: Convert, want: str = "pairs", tokenizer: Any = None) -> Iterator[Row]:
    """The rows of a file, one at a time, in constant memory but for 16 bytes a row to know duplicates by.

    Args:
      path: what `prefjax.data.files` reads: JSON lines, Parquet, a saved data set, or several files by wildcards.
      convert: from the file's rows to records: `field_map()`, or a converter of `prefjax.data.readers`.
      want: what a record must hold: "pairs", "demos", "unpaired", "steps", "texts" or "prompts".
      tokenizer: if given, warns of texts that spell its special tokens.

    Yields:
      A `Row` for every row or line that is not blank; after each file one without a record, for each thing fixed.

    Raises:
      DataError: a file as a whole cannot be read.
    """
    warner = Warner(tokenizer)
    layout = repeats = None
    for file in files(path):
        fixes: Fixes = {}
        for line, row in objects(file, fixes):
            names: Names = {}
            try:
                if isinstance(row, Refused):
                    raise row
                record, names = convert(row)
                judged = _judged(record)
                if repeats is None and not judged:  # the first row decides: one echo further down is no convention
                    repeats = _repeats_prompt(record)
                record, stripped = canonical(record, want, bool(repeats) and not judged)
                layout = layout or _layout(record)
                if _layout(record) != layout:
                    raise Refused("", "mixed schema", f"this row is {_layout(record)}, the first {layout}")
            except Refused as refusal:
                field = names.get(refusal.field, refusal.field)
                yield Row(file, line, None, [Problem(file, line, field, "refused", refusal.message, refusal.detail)])
                continue
            if stripped:
                note(fixes, "prompt repeated in the answers stripped", line)
            found = warner.warnings(record, line, file)
            yield Row(file, line, record, [Problem(file, line, names.get(f, f), "warned", *what) for f, *what in found])
        for message, (first, count) in fixes.items():
            yield Row(file, first, None, [Problem(file, first, "", "fixed", message, f"{count} in the file")])


def _layout(record: Record) -> str:
    form = "a ranking" if "ranking" in record else "a pair" if "chosen" in record else "a row"
    return form + " with its prompt as " + ("messages" if isinstance(record.get("prompt"), list) else "text")


def canonical(record: Record, want: str = "pairs", repeats: bool = False) -> tuple[Record, bool]:
    """A record with its answers as texts and without its absent fields, and whether a repeated prompt was stripped.

    Args:
      record: the fields of a record; a null optional field counts as absent.
      want: what it must hold.
      repeats: text answers begin with the text of their prompt, which is to be stripped.

    Raises:
      Refused: the record is malformed.
    """
    ranked = want == "pairs" and record.get("ranking") is not None
    needed = ("prompt",) if ranked else NEEDED[want]
    answers = [field for field in needed if field not in ("prompt", "label", "steps", "labels")]
    out: Record = {}
    if "prompt" in needed:
        out["prompt"] = _prompt(record if "prompt" in record else _shared_prompt(record, answers))
    stripped = False
    for field in answers:
        out[field] = _answer(field, require(record, field, str, list), out.get("prompt"), repeats)
        stripped |= out[field] != record[field] and len(record[field]) > 1
    if "label" in needed:
        out["label"] = require(record, "label", bool)
    if "steps" in needed:
        out |= _steps(record)
    if ranked:
        out["ranking"] = _ranking(record["ranking"])
    if want == "pairs" and not ranked and out["chosen"] == out["rejected"]:
        raise Refused("rejected", "chosen equals rejected", "a pair must differ")
    return out | _optional(record), stripped


def _typed(field: str, value: Any, *types: type) -> Any:
    if type(value) not in types:
        wanted = " or ".join(kind_of(t()) for t in types)
        raise Refused(field, "mistyped field", f"expected {wanted}, got {kind_of(value)}")
    if isinstance(value, float) and not math.isfinite(value):  # as Parquet may have it
        raise Refused(field, "NaN or Infinity", "expected a finite number")
    return value


def _text(field: str, value: Any, name: str) -> str:
    _typed(field, value, str)
    if not value.strip():
        raise Refused(field, f"empty or blank {name}")
    if len(value) * 4 > MAX_TEXT and len(value.encode()) > MAX_TEXT:
        raise Refused(field, f"{name} over 1 MB", f"{len(value.encode())} bytes")
    return value


def _messages(field: str, value: list) -> list[dict[str, str]]:
    if not value:
        raise Refused(field, "empty messages")
    for turn in value:
        if not (isinstance(turn, dict) and all(isinstance(turn.get(key), str) for key in ("role", "content"))):
            raise Refused(field, "mistyped field", "expected messages with a role and a content, both text")
        if turn["role"] not in ROLES:
            raise Refused(field, "unknown role", f"{quote(turn['role'])}; expected {', '.join(ROLES)}")
    return [{"role": turn["role"], "content": turn["content"]} for turn in value]


def _shared_prompt(record: Record, answers: list[str]) -> Record:
    """The prompt of answers that are whole conversations: all of the first but its last turn."""
    first = record.get(answers[0]) if answers else None
    if not isinstance(first, list) or len(first) < 2:
        raise Refused("prompt", "missing field", 'name it, as in prompt="question"')
    return {"prompt": first[:-1]}


def _prompt(record: Record) -> str | list[dict[str, str]]:
    value = require(record, "prompt", str, list)
    if isinstance(value, str):
        return _text("prompt", value, "prompt")
    turns = _messages("prompt", value)
    if turns[-1]["role"] == "assistant":
        raise Refused("prompt", "last turn is the assistant's", "a prompt ends before the answer")
    return turns


def _answer(field: str, value: Any, prompt: Any, repeats: bool) -> str:
    """The text of an answer, given as text or as messages that may repeat the prompt."""
    if isinstance(value, list):
        *before, last = _messages(field, value)
        if last["role"] != "assistant":
            raise Refused(field, "last turn not the assistant's", f"it is the {last['role']}'s")
        if before and before != (prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]):
            raise Refused(field, "prompts differ", "the turns before its last are not those of the prompt")
        value = last["content"]
    elif repeats:
        if not isinstance(prompt, str) or not value.startswith(prompt):
            raise Refused(field, "prompts differ", "the first row repeats its prompt in its answers, this one does not")
        value = value.removeprefix(prompt)
    return _text(field, value, "answer")


def _judged(record: Record) -> bool:
    """Whether `prefjax label` wrote a row: its answers are then as they were shown, even where they echo the prompt."""
    meta = record.get("meta")
    return isinstance(meta, dict) and "scale" in meta


def _repeats_prompt(record: Record) -> bool | None:
    """Whether a row writes its prompt again in front of both answers; None where they are not three texts."""
    prompt, chosen, rejected = (record.get(field) for field in NEEDED["pairs"])
    if not (isinstance(prompt, str) and isinstance(chosen, str) and isinstance(rejected, str)) or not prompt:
        return None
    return chosen.startswith(prompt) and rejected.startswith(prompt)


def _ranking(value: Any) -> list[str | list[str]]:
    _typed("ranking", value, list)
    texts = []
    for rank in value:
        texts += [_text("ranking", text, "answer") for text in (rank if isinstance(rank, list) else [rank])]
    if len(value) < 2 or [] in value:
        raise Refused("ranking", "nothing is ranked", "expected two ranks or more, none of them empty")
    if len(set(texts)) < len(texts):
        raise Refused("ranking", "an answer is ranked twice")
    return value


def _steps(record: Record) -> Record:
    steps, labels = (require(record, field, list) for field in ("steps", "labels"))
    if not steps:
        raise Refused("steps", "no steps")
    for text in steps:
        _text("steps", text, "step")
    if len(labels) != len(steps) or not all(isinstance(label, bool) for label in labels):
        raise Refused("labels", "labels do not fit", f"expected true or false for each of the {len(steps)} steps")
    return {"steps": steps, "labels": labels}


def _optional(record: Record) -> Record:
    present = {field: record[field] for field in OPTIONAL if record.get(field) is not None}
    for field, value in present.items():
        _typed(field, value, *OPTIONAL[field])
    if not -3 <= present.get("grade", 0) <= 3:
        raise Refused("grade", "label out of scale", f"expected -3..3, got {present['grade']}")
    if "attributes" in present:  # Parquet has a null for each that other rows are judged in
        judged = {name: value for name, value in present["attributes"].items() if value is not None}
        for name, value in judged.items():
            _typed(f"attributes.{name}", value, int, float)
        present["attributes"] = judged
    votes = present.get("votes", [1, 0, 0])
    if len(votes) != 3 or any(type(v) is not int or v < 0 for v in votes) or not any(votes):
        wanted = "expected three counts, [for chosen, for rejected, ties]"
        raise Refused("votes", "label out of scale", f"{wanted}, got {quote(json.dumps(votes))}")
    return present
