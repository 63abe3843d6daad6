"""Readers: from a file to a list of records, named in a config by a call: `jsonl("pairs.jsonl", prompt="request")`.

Every reader fills in environment variables in its path, and raises DataError unless all rows are usable, but for
`bad_rows` of them; `limit` stops it after so many records. What it warns of is logged, one line a file. `split` takes
a part of any source: `split(source="jsonl(path='pairs.jsonl')", part="held_out")`.
"""

import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from prefjax.data.lines import Problem, Refused, clean
from prefjax.data.records import Convert, Names, Record, field_map, joined, require, scan
from prefjax.data.warn import normalised
from prefjax.errors import ConfigError, DataError
from prefjax.resolve import resolve

_log = logging.getLogger(__name__)
_SHOWN = 5  # problems told by an error
PARTS = ("train", "held_out")


def jsonl(path: str, *, bad_rows: int = 0, limit: int | None = None, **fields: str | tuple[str, ...]) -> list[Record]:
    """Pairs or rankings; `fields` renames: `prompt="request"`, or `prompt=("instruction", "input")` to join two."""
    return _load(path, field_map(**fields), "pairs", bad_rows, limit)


def prompts(path: str, *, bad_rows: int = 0, limit: int | None = None, **fields: str | tuple[str, ...]) -> list[Record]:
    """Prompts to sample from, with whatever a reward needs beside them: `facts="answer"`."""
    return _load(path, field_map(**fields), "prompts", bad_rows, limit)


def demos(
    path: str, *, text: str | None = None, bad_rows: int = 0, limit: int | None = None, **fields: str | tuple[str, ...]
) -> list[Record]:
    """Demonstrations of `prompt` and `response`, or with `text` naming the field, texts to learn whole."""
    if text is None:
        return _load(path, field_map(**fields), "demos", bad_rows, limit)
    if "prompt" in fields or "response" in fields:
        raise ConfigError("demos: text= stands for rows without a prompt; give it, or prompt= and response=")
    return _load(path, field_map(response=text, **fields), "texts", bad_rows, limit)


def hh(path: str, *, bad_rows: int = 0, limit: int | None = None) -> list[Record]:
    r"""Pairs of transcripts "\n\nHuman: ...\n\nAssistant: ..." that differ in the last answer alone (HH)."""
    return _load(path, hh_row, "pairs", bad_rows, limit)


def pandalm(path: str, *, bad_rows: int = 0, limit: int | None = None) -> list[Record]:
    """Pairs with three human votes (PandaLM): the answer with more of them is chosen, a tie keeps the order."""
    return _load(path, pandalm_row, "pairs", bad_rows, limit)


def oasst(path: str, *, bad_rows: int = 0, limit: int | None = None) -> list[Record]:
    """Rankings of replies to a conversation (OpenAssistant, as `context` and `ranked_replies`)."""
    return _load(path, oasst_row, "pairs", bad_rows, limit)


def ultrafeedback(path: str, *, bad_rows: int = 0, limit: int | None = None) -> list[Record]:
    """Pairs with an overall score of 1 to 10 for each side (UltraFeedback, binarised).

    The gap of the scores becomes the grade, with its sign: 0 -> 0, up to 1 -> 1, up to 3 -> 2, above 3 -> 3.
    """
    return _load(path, ultrafeedback_row, "pairs", bad_rows, limit)


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
        "meta": {"models": row.get("cmp_key")},
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


LAYOUTS: dict[str, Convert] = {
    "hh": hh_row,
    "pandalm": pandalm_row,
    "oasst": oasst_row,
    "ultrafeedback": ultrafeedback_row,
}


def _load(path: str, convert: Convert, want: str, bad_rows: int, limit: int | None) -> list[Record]:
    records: list[Record] = []
    refused: list[Problem] = []
    others: Counter[str] = Counter()
    for row in scan(path, convert, want):
        if row.record is not None:
            records.append(row.record)
        refused += [p for p in row.problems if p.kind == "refused"]
        others.update(f"{p.message} ({p.detail})" if p.kind == "fixed" else p.message for p in row.problems)
        if len(records) == limit:
            break
    told = "".join(f"\n  {problem}" for problem in refused[:_SHOWN])
    told += f"\n  and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
    if len(refused) > bad_rows:
        rows = "1 row is" if len(refused) == 1 else f"{len(refused)} rows are"
        raise DataError(f"{clean(str(path))}: {rows} refused, {bad_rows} allowed (bad_rows={bad_rows}):{told}")
    if not records:
        raise DataError(f"{clean(str(path))}: no usable rows{':' if told else ''}{told}")
    if others:
        _log.warning("%s: %s", clean(str(path)), ", ".join(f"{n} x {what}" for what, n in others.items()))
    return records


def split(source: str, part: str, *, fraction: float = 0.1, seed: int = 0) -> list[Record]:
    """A part of any source: `part="held_out"` has about `fraction` of its prompts, `part="train"` the others.

    Args:
      source: call string of a source, with its own `limit`: `split(source="jsonl(path='pairs.jsonl')", part="train")`.
      part, fraction, seed: as in `split_by_prompt`; the same fraction and seed go into the calls for both parts.

    Raises:
      ConfigError: no such source or part.
    """
    if part not in PARTS:
        raise ConfigError(f"split: part is {part!r}; it should be 'train' or 'held_out'")
    return split_by_prompt(resolve(source, __name__)(), fraction, seed)[PARTS.index(part)]


def split_by_prompt(records: Sequence[Record], fraction: float, seed: int = 0) -> tuple[list[Record], list[Record]]:
    """Records in two parts that share no prompt, the second with about `fraction` of the prompts.

    Where a prompt falls depends on its normalised text and `seed` alone, so that a file may grow or be shuffled.
    """
    if not 0 < fraction < 1:
        raise ConfigError(f"fraction: expected a number between 0 and 1, got {fraction}")
    held = [_unit(f"{seed}:{_prompt_text(record)}") < fraction for record in records]
    parts = [[r for r, out in zip(records, held, strict=True) if out == side] for side in (False, True)]
    if not all(parts):
        raise DataError(f"{len(records)} records split at {fraction}: one part has no prompts")
    return parts[0], parts[1]


def refuse_overlap(train: Sequence[Record], held_out: Sequence[Record]) -> None:
    """Raises DataError if a prompt is in both."""
    shared = {_prompt_text(r) for r in train} & {_prompt_text(r) for r in held_out}
    if shared:
        raise DataError(f"{len(shared)} prompts are in the training and in the held-out records: use split_by_prompt")


def _prompt_text(record: Record) -> str:
    prompt = record.get("prompt", record.get("response", ""))
    return normalised(prompt if isinstance(prompt, str) else json.dumps(prompt, ensure_ascii=False))


def _unit(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
