"""The check of a file before it is trained on: its form and, given a tokenizer, its lengths."""

import os
from array import array
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from prefjax.data.cycles import Cycles
from prefjax.data.files import expand
from prefjax.data.lines import Problem, clean
from prefjax.data.readers import converter
from prefjax.data.records import NEEDED, Record, scan
from prefjax.data.warn import Places, texts
from prefjax.errors import DataError

_SHOWN = 5  # rows of a cycle told beside its first
_QUANTILES = (0.0, 0.5, 0.9, 0.99, 1.0)


class Report(NamedTuple):
    """What a file holds."""

    path: str
    usable: int
    refused: list[Problem]
    warned: list[Problem]
    fixed: list[Problem]
    lengths: dict[str, array]  # part of a record -> its tokens in each; empty without a tokenizer

    def text(self, per_kind: int | None = None) -> str:
        """The report in words: every problem, or of the warnings of one kind only the first `per_kind`."""
        lines = [str(problem) for problem in self.refused]
        shown: Counter[str] = Counter()
        for problem in self.warned:
            shown[problem.message] += 1
            if per_kind is None or shown[problem.message] <= per_kind:
                lines.append(str(problem))
        lines += [str(problem) for problem in self.fixed]
        rows = self.usable + len(self.refused)
        lines += [f"{clean(self.path)}: {rows} rows: {self.usable} usable, {len(self.refused)} refused"]
        for kind, problems in (("refused", self.refused), ("warned", self.warned)):
            lines += [f"  {kind}: {n} x {what}" for what, n in Counter(p.message for p in problems).most_common()]
        for part, lengths in self.lengths.items():
            quantiles = np.quantile(np.array(lengths), _QUANTILES)
            spread = ", ".join(f"{q:.0%} {n:.0f}" for q, n in zip(_QUANTILES, quantiles, strict=True))
            lines.append(f"  tokens of {part}: {spread}")
        return "\n".join(lines)

    __str__ = text


def check(
    path: str | os.PathLike,
    tokenizer: Any = None,
    max_length: int | None = None,
    *,
    layout: str = "pairs",
    **fields: str | tuple[str, ...],
) -> Report:
    """Judges every row of a file.

    Args:
      path: what `prefjax.data.files` reads: JSON lines, gzipped or not, Parquet, a saved data set, or wildcards.
      tokenizer: if given, lengths are measured and texts searched for its special tokens.
      max_length: with a tokenizer, warns of rows that training at this length would drop.
      layout: "pairs" (or rankings), "demos", "unpaired", "steps", "texts", "prompts", or a reader with rows of its own:
        "hh", "pandalm", "oasst", "ultrafeedback".
      **fields: the file's names for the fields of a record, as `pairs` takes them.

    Raises:
      ConfigError: an unknown layout or field.
      DataError: the file cannot be read, or holds no rows at all.
    """
    convert, want = converter(layout, fields, NEEDED)
    report = Report(expand(path), 0, [], [], [], {})
    kinds = {"refused": report.refused, "warned": report.warned, "fixed": report.fixed}
    usable = 0
    cycles, places = Cycles(), Places()
    for row in scan(path, convert, want, tokenizer):
        problems = [*row.problems]
        if row.record is not None and tokenizer is not None:
            doubts = _measure(row.record, tokenizer, max_length, report.lengths)
            problems += [Problem(row.path, row.line, "", *doubt) for doubt in doubts]
        for problem in problems:
            kinds[problem.kind].append(problem)
        if row.record is not None and not any(problem.kind == "refused" for problem in problems):
            usable += 1
            cycles.add(places.number(row.path, row.line), row.record)
    for first, *others in cycles.found():
        file, line = places.place(first)
        others = ", ".join(places.told(number, file) for number in others[:_SHOWN]) + ", ..." * (len(others) > _SHOWN)
        report.warned.append(
            Problem(file, line, "", "warned", "ranking cycle", f"no order agrees with it and {others}")
        )
    if not usable and not report.refused:
        raise DataError(clean(f"{report.path}: no rows"))
    return report._replace(usable=usable)


def _measure(
    record: Record, tokenizer: Any, max_length: int | None, lengths: dict[str, array]
) -> Iterator[tuple[str, str, str]]:
    """Adds the lengths of a record's parts; what stands against training on it, as (kind, message, detail)."""
    answers = [(field, text) for field, text in texts(record) if field not in ("prompt", "steps")]
    if "steps" in record:
        answers.append(("steps", "\n".join(record["steps"])))  # one response, as `prefjax.data.rows.steps` has it
    try:
        if "prompt" in record:
            prompt = tokenizer.encode_prompt(record["prompt"])
            encoded = [tokenizer.encode_response(record["prompt"], text) for _, text in answers]
            lengths.setdefault("prompt", array("i")).append(len(prompt))
        else:
            encoded = [tokenizer.encode_text(text) for _, text in answers]
            prompt = encoded[0].prompt
    except DataError as error:
        yield "refused", "chat template fails", str(error)
        return
    for (field, _), one in zip(answers, encoded, strict=True):
        lengths.setdefault(field, array("i")).append(len(one.response))
    longest = len(prompt) + max((len(one.response) for one in encoded), default=0)
    if max_length is not None and len(prompt) + bool(encoded) > max_length:
        yield "warned", "prompt fills max_length", f"{len(prompt)} tokens of {max_length}"
    elif max_length is not None and longest > max_length:
        yield "warned", "longer than max_length", f"{longest} tokens of {max_length}"
    if "chosen" in record and encoded[0].response == encoded[1].response:
        yield "warned", "equal tokens", "chosen and rejected differ in nothing the model can see"
