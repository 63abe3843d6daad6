"""The audit of preference pairs: whether a set encodes the trade-off it is meant to teach, and what it teaches besides.

`audit(path)` returns plain JSON; `sections(audit)` tells it in words and tables, `findings(audit)` what to do.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from prefjax.audit import labels, repeats, shortcuts
from prefjax.audit.findings import findings as findings
from prefjax.audit.sections import Section as Section
from prefjax.audit.sections import sections as sections
from prefjax.audit.table import Table
from prefjax.data.files import expand
from prefjax.data.lines import clean
from prefjax.data.readers import converter
from prefjax.data.records import Record, scan
from prefjax.data.tokenizer import Tokenizer
from prefjax.errors import ConfigError, DataError

# (records, answers) -> the reward of each answer, NaN where it has none
Score = Callable[[list[Record], list[str]], Any]


def audit(
    path: str | os.PathLike,
    *,
    eval_path: str | os.PathLike | None = None,
    layout: str = "pairs",
    tokenizer: Tokenizer | None = None,
    max_length: int | None = None,
    score: Score | None = None,
    scored: int = 1000,
    sample: int = 10_000,
    seed: int = 0,
    **fields: str | tuple[str, ...],
) -> dict[str, Any]:
    """Reads a file of pairs or rankings once, in about 200 bytes a pair, and says what its labels encode.

    Args:
      path: what `prefjax.data.files` reads.
      eval_path: pairs of an evaluation, in the same layout, whose prompts should not be trained on.
      layout: "pairs" (or rankings), or a reader with rows of its own: "hh", "pandalm", "oasst", "ultrafeedback".
      tokenizer: if given, lengths are told in tokens too, and pairs found that are the same tokens.
      max_length: with a tokenizer, tokens of prompt and answer that training has room for.
      score: a reward, whose margins between the sides are in nats of log-odds.
      scored: pairs of the sample that are scored, at most; ties are not.
      sample: pairs that classifiers are fitted to, at most.
      seed: of their folds.
      **fields: the file's names for the fields of a record, as `pairs` takes them.

    Returns:
      Numbers, texts, lists and dicts that JSON holds; docs/audit.md names them.

    Raises:
      ConfigError: an unknown layout or field, or a number below 1.
      DataError: a file cannot be read, or holds no pairs.
    """
    convert, _ = converter(layout, fields)
    if max_length is not None and tokenizer is None:
        raise ConfigError("max_length counts tokens: give a tokenizer too")
    for name, value in (("max_length", max_length), ("scored", scored), ("sample", sample)):
        if value is not None and value < 1:
            raise ConfigError(f"{name}: expected at least 1, got {value}")
    leaks = None
    if eval_path is not None:
        leaks = repeats.Leaks(scan(eval_path, convert))
        if not leaks.pairs:
            told = "".join(f"\n  {problem}" for problem in leaks.shown)
            raise DataError(clean(f"{expand(eval_path)}: no usable pairs") + told)
    rows = scan(path, convert, tokenizer=tokenizer)
    table = Table(tokenizer, max_length, sample).read(rows, leaks.see if leaks else None)
    if not table.size:
        told = "".join(f"\n  {told[0]}" for told in table.shown.values())
        raise DataError(clean(f"{expand(path)}: no usable pairs") + told)
    found: dict[str, Any] = {
        "file": clean(expand(path)),
        **_measure(table, seed),
        "eval": leaks.result() if leaks else None,
    }
    if score is not None:
        found["margins"]["reward"] = _reward(table, score, scored)
    return found | {"findings": findings(found)}


def _measure(table: Table, seed: int) -> dict[str, Any]:
    _, clusters = np.unique(table["prompt"], return_inverse=True)
    return {
        "records": table.records,
        "pairs": table.size,
        "ties": int(np.sum(table["decided"] == 0)),
        "form": {kind: dict(counts) for kind, counts in table.problems.items()} | {"shown": table.shown},
        "tags": labels.groups(table, "tag", clusters),
        "slices": labels.groups(table, "slice", clusters),
        "annotators": labels.groups(table, "annotator", clusters),
        "facts": labels.facts(table, clusters),
        "margins": labels.margins(table),
        "length": shortcuts.length(table, clusters),
        "artifacts": shortcuts.artifacts(table, clusters),
        "edges_dropped": sum(texts.dropped for texts in table.edges),
        "classifiers": shortcuts.classifiers(table, seed),
        "repeats": repeats.repeats(table),
        "rankings": {str(length): n for length, n in sorted(table.rankings.items())},
        "cycles": repeats.cycles(table),
        "tokens": _tokens(table),
        "prompts": repeats.prompts(table, clusters),
        "agreement": labels.agreement(table),
        "position": labels.position(table, clusters),
    }


def _tokens(table: Table) -> dict[str, Any] | None:
    if table.tokenizer is None:
        return None
    longest, limit = table["longest"], table.max_length
    return {
        "max_length": limit,
        "longest": int(longest.max()),
        "median": float(np.median(longest)),
        "longer": int(np.sum(longest > limit)) if limit else 0,
        "equal": int(np.sum(table["twins"] == 1)),
        "equal_when_cut": int(np.sum(table["twins"] == 2)),
    }


def _reward(table: Table, score: Score, limit: int) -> dict[str, Any]:
    """Margins by the reward of sampled pairs that are no ties."""
    groups = (group for _, group in sorted(table.sample.pairs.items()))
    pairs = [pair for group in groups for pair in group if table["decided"][pair.row]][:limit]
    records, sides = [pair.record for pair in pairs], ([p.chosen for p in pairs], [p.rejected for p in pairs])
    scores = np.asarray(score(records * 2, sides[0] + sides[1]), float).reshape(2, -1).T if pairs else np.empty((0, 2))
    return labels.reward_margins(scores, table["decided"][[pair.row for pair in pairs]])
