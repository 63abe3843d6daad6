"""Readers: from files to records, named in a config by a call: `pairs(path='pairs.jsonl', prompt='request')`.

A path names JSON lines, gzipped or not, a Parquet or CSV file, a folder that `datasets.save_to_disk` wrote, or by
wildcards several files; environment variables in it are filled in. Every reader yields its records one at a time, in
their order. Once more than `bad_rows` rows are refused it yields no more: the rest is read for the count alone, and
DataError tells it. `limit` stops it after so many records. What it warns of is logged at the end, in one line. `split`
takes a part of any source: `split(source="pairs(path='pairs.jsonl')", part="held_out")`.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from prefjax.data import tfds as prepared
from prefjax.data.lines import Refused, clean
from prefjax.data.prompts import digest, prompt_text
from prefjax.data.records import Convert, Names, Record, field_map, joined, require, scan
from prefjax.errors import ConfigError, DataError
from prefjax.resolve import resolve

_log = logging.getLogger(__name__)
_SHOWN = 5  # problems told by an error
PARTS = ("train", "held_out")


def pairs(
    path: str, *, bad_rows: int = 0, limit: int | None = None, **fields: str | tuple[str, ...]
) -> Iterator[Record]:
    """Pairs or rankings; `fields` renames: `prompt="request"`, or `prompt=("instruction", "input")` to join two."""
    return _load(path, field_map(**fields), "pairs", bad_rows, limit)


jsonl = pairs  # by its older name


def prompts(
    path: str, *, bad_rows: int = 0, limit: int | None = None, **fields: str | tuple[str, ...]
) -> Iterator[Record]:
    """Prompts to sample from, with whatever a reward needs beside them: `facts="answer"`."""
    return _load(path, field_map(**fields), "prompts", bad_rows, limit)


def demos(
    path: str, *, text: str | None = None, bad_rows: int = 0, limit: int | None = None, **fields: str | tuple[str, ...]
) -> Iterator[Record]:
    """Demonstrations of `prompt` and `response`, or with `text` naming the field, texts to learn whole."""
    if text is None:
        return _load(path, field_map(**fields), "demos", bad_rows, limit)
    if "prompt" in fields or "response" in fields:
        raise ConfigError("demos: text= stands for rows without a prompt; give it, or prompt= and response=")
    return _load(path, field_map(response=text, **fields), "texts", bad_rows, limit)


def unpaired(
    path: str, *, bad_rows: int = 0, limit: int | None = None, **fields: str | tuple[str, ...]
) -> Iterator[Record]:
    """Single responses, each with a `label`: true where it is good, false where it is bad."""
    return _load(path, field_map(**fields), "unpaired", bad_rows, limit)


def steps(
    path: str, *, bad_rows: int = 0, limit: int | None = None, **fields: str | tuple[str, ...]
) -> Iterator[Record]:
    """Responses as lists of `steps`, each with its label in `labels`: `steps="completions"` for TRL's."""
    return _load(path, field_map(**fields), "steps", bad_rows, limit)


def hh(path: str, *, bad_rows: int = 0, limit: int | None = None) -> Iterator[Record]:
    r"""Pairs of transcripts "\n\nHuman: ...\n\nAssistant: ..." that differ in the last answer alone (HH)."""
    return _load(path, hh_row, "pairs", bad_rows, limit)


def pandalm(path: str, *, bad_rows: int = 0, limit: int | None = None) -> Iterator[Record]:
    """Pairs with three human votes (PandaLM): the answer with more of them is chosen, a tie keeps the order."""
    return _load(path, pandalm_row, "pairs", bad_rows, limit)


def oasst(path: str, *, bad_rows: int = 0, limit: int | None = None) -> Iterator[Record]:
    """Rankings of replies to a conversation (OpenAssistant, as `context` and `ranked_replies`)."""
    return _load(path, oasst_row, "pairs", bad_rows, limit)


def ultrafeedback(path: str, *, bad_rows: int = 0, limit: int | None = None) -> Iterator[Record]:
    """Pairs with an overall score of 1 to 10 for each side (UltraFeedback, binarised).

    The gap of the scores becomes the grade, with its sign: 0 -> 0, up to 1 -> 1, up to 3 -> 2, above 3 -> 3.
    """
    return _load(path, ultrafeedback_row, "pairs", bad_rows, limit)


def truthfulqa(path: str, *, bad_rows: int = 0, limit: int | None = None) -> Iterator[Record]:
    """Questions with answers that are right, the best one first, and wrong (TruthfulQA.csv), by category."""
    return _load(path, truthfulqa_row, "prompts", bad_rows, limit)


def tfds(path: str, *, limit: int | None = None) -> Iterator[Record]:
    """Records of any kind from a folder that `prefjax prepare` wrote: they were judged then, and are not again."""
    return islice(prepared.read(path), limit)


_TURN = re.compile(r"\n\n(Human|Assistant):")
_ROLE = {"Human": "user", "Assistant": "assistant", "prompter": "user", "assistant": "assistant"}


def hh_row(row: dict[str, Any]) -> tuple[Record, Names]:
    chosen, rejected = (_transcript(row, side) for side in ("chosen", "rejected"))
    if chosen[:-1] != rejected[:-1]:
        raise Refused("rejected", "prompts differ", "the transcripts part before their last answer")
    return {"prompt": chosen[:-1], "chosen": chosen[-1:], "rejected": rejected[-1:]}, {"prompt": "chosen"}


def _transcript(row: dict[str, Any], side: str) -> list[dict[str, str]]:
    start, *parts = _TURN.split(require(row, side, str))
    if start.strip() or len(parts) < 4:
        raise Refused(side, "not a transcript", r'expected "\n\nHuman: ...\n\nAssistant: ..."')
    return [{"role": _ROLE[r], "content": text.strip()} for r, text in zip(parts[::2], parts[1::2], strict=True)]


def pandalm_row(row: dict[str, Any]) -> tuple[Record, Names]:
    judged = [require(row, f"annotator{i}", int) for i in (1, 2, 3)]
    if not set(judged) <= {0, 1, 2}:
        raise Refused("annotator1", "label out of scale", "expected 0 for a tie, 1 or 2")
    first, second = ("response2", "response1") if judged.count(2) > judged.count(1) else ("response1", "response2")
    record = {
        "prompt": joined(row, "instruction", "input"),
        "chosen": require(row, first, str),
        "rejected": require(row, second, str),
        "votes": [judged.count(int(first[-1])), judged.count(int(second[-1])), judged.count(0)],
        "id": row.get("idx"),
        "meta": {"models": row.get("cmp_key"), "order": [int(first[-1]) - 1, int(second[-1]) - 1]},
    }
    return record, {"prompt": "instruction", "chosen": first, "rejected": second, "id": "idx"}


def oasst_row(row: dict[str, Any]) -> tuple[Record, Names]:
    turns = require(row, "context", list)
    if not all(isinstance(turn, dict) and isinstance(turn.get("role"), str) for turn in turns):
        raise Refused("context", "mistyped field", "expected a list of {role, text}")
    replies = require(row, "ranked_replies", list)
    if not all(isinstance(reply, dict) and type(reply.get("rank")) is int for reply in replies):
        raise Refused("ranked_replies", "mistyped field", "expected a list of {text, rank}")
    ranks: dict[int, list[Any]] = {}
    for reply in sorted(replies, key=lambda reply: reply["rank"]):
        ranks.setdefault(reply["rank"], []).append(reply.get("text"))
    prompt = [{"role": _ROLE.get(turn["role"], turn["role"]), "content": turn.get("text")} for turn in turns]
    ranking = [texts[0] if len(texts) == 1 else texts for texts in ranks.values()]
    return {"prompt": prompt, "ranking": ranking}, {"prompt": "context", "ranking": "ranked_replies"}


def ultrafeedback_row(row: dict[str, Any]) -> tuple[Record, Names]:
    scores = require(row, "metadata", dict)
    high, low = (require(scores, side, int, float) for side in ("score_chosen", "score_rejected"))
    size = sum(abs(high - low) > edge for edge in (0, 1, 3))
    record = {field: row[field] for field in ("prompt", "chosen", "rejected") if field in row}
    record |= {"grade": size if high >= low else -size, "id": row.get("source_index"), "meta": scores}
    return record, {"grade": "metadata", "meta": "metadata", "id": "source_index"}


def truthfulqa_row(row: dict[str, Any]) -> tuple[Record, Names]:
    answers = {name: require(row, name, str) for name in ("Best Answer", "Correct Answers", "Incorrect Answers")}
    best, right, wrong = ([part.strip() for part in text.split(";") if part.strip()] for text in answers.values())
    record = {
        "prompt": require(row, "Question", str),
        "slice": row.get("Category"),
        "facts": {"right": list(dict.fromkeys(best + right)), "wrong": list(dict.fromkeys(wrong))},
    }
    return record, {"prompt": "Question", "slice": "Category", "facts": "Correct Answers"}


LAYOUTS: dict[str, Convert] = {
    "hh": hh_row,
    "pandalm": pandalm_row,
    "oasst": oasst_row,
    "ultrafeedback": ultrafeedback_row,
}


def converter(
    layout: str, fields: dict[str, str | tuple[str, ...]], forms: Iterable[str] = ("pairs",)
) -> tuple[Convert, str]:
    """What makes records of a layout's rows, and what these must hold: "pairs", or one of the `forms` by its name.

    Raises:
      ConfigError: no such layout or field, or fields for one that knows its own.
    """
    if layout in LAYOUTS and fields:
        raise ConfigError(f"layout {layout!r} knows its fields, got {', '.join(fields)}")
    if layout not in (*forms, *LAYOUTS):
        raise ConfigError(f"layout: expected one of {', '.join((*forms, *LAYOUTS))}, got {layout!r}")
    return (LAYOUTS[layout], "pairs") if layout in LAYOUTS else (field_map(**fields), layout)


def _load(path: str, convert: Convert, want: str, bad_rows: int, limit: int | None) -> Iterator[Record]:
    usable = refused = 0
    told: list[str] = []
    others: Counter[str] = Counter()
    for row in scan(path, convert, want):
        for problem in row.problems:
            if problem.kind == "refused":
                refused += 1
                told += [f"\n  {problem}"] if refused <= _SHOWN else []
            else:
                others[f"{problem.message} ({problem.detail})" if problem.kind == "fixed" else problem.message] += 1
        if row.record is not None:
            usable += 1
            if refused <= bad_rows:
                yield row.record
        if usable == limit:
            break
    told += [f"\n  and {refused - _SHOWN} more"] if refused > _SHOWN else []
    if refused > bad_rows:
        rows = "1 row is" if refused == 1 else f"{refused} rows are"
        raise DataError(f"{clean(str(path))}: {rows} refused, {bad_rows} allowed (bad_rows={bad_rows}):{''.join(told)}")
    if not usable:
        raise DataError(f"{clean(str(path))}: no usable rows{':' if told else ''}{''.join(told)}")
    if others:
        _log.warning("%s: %s", clean(str(path)), ", ".join(f"{n} x {what}" for what, n in others.items()))


def chosen(source: str) -> Iterator[Record]:
    """Demonstrations from any source of pairs: their chosen side, of rankings the first answer."""
    for record in resolve(source, __name__)():
        kept = {field: record[field] for field in ("prompt", "slice", "facts", "id", "meta") if field in record}
        yield kept | {"response": record["chosen"] if "chosen" in record else _first(record["ranking"])}


def _first(ranking: list[str | list[str]]) -> str:
    return ranking[0] if isinstance(ranking[0], str) else ranking[0][0]


def split(source: str, part: str, *, fraction: float = 0.1, seed: int = 0) -> Iterator[Record]:
    """A part of any source: `part="held_out"` has about `fraction` of its prompts, `part="train"` the others.

    Where a prompt falls depends on its normalised text and `seed` alone, so that a file may grow or be shuffled, and
    the two parts share none.

    Args:
      source: call string of a source, with its own `limit`: `split(source="pairs(path='pairs.jsonl')", part="train")`.
      part: "train" or "held_out".
      fraction, seed: the same ones go into the calls for both parts.

    Raises:
      ConfigError: no such source or part, or a fraction that is none.
      DataError: at the end, if one of the parts has no prompts.
    """
    if part not in PARTS:
        raise ConfigError(f"split: part is {part!r}; it should be 'train' or 'held_out'")
    if not 0 < fraction < 1:
        raise ConfigError(f"fraction: expected a number between 0 and 1, got {fraction}")
    return _part(resolve(source, __name__)(), PARTS.index(part), fraction, seed)


def _part(records: Iterable[Record], part: int, fraction: float, seed: int) -> Iterator[Record]:
    sizes = [0, 0]
    for record in records:
        side = digest(f"{seed}:{prompt_text(record)}") / 2**64 < fraction
        sizes[side] += 1
        if side == part:
            yield record
    if not all(sizes):
        raise DataError(f"{sum(sizes)} records split at {fraction}: one part has no prompts")
