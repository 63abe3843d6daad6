"""Whose answers are better, the policy's or a baseline's: by a judge that sees both orders."""

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from prefjax import judges
from prefjax.data import load
from prefjax.data.lines import clean, quote
from prefjax.errors import ConfigError, DataError
from prefjax.evals import summary
from prefjax.evals.completions import Completion, completions, of_reference, records_of
from prefjax.evals.length_control import win_rate_lc
from prefjax.evals.stats import share
from prefjax.judges.lookup import key as key_of
from prefjax.processes import is_first, told
from prefjax.resolve import is_call
from prefjax.types import Setup

_WORDS = {1.0: "win", 0.5: "tie", 0.0: "loss", None: "invalid"}
_log = logging.getLogger(__name__)


def make(
    run: Setup,
    *,
    source: str,
    judge: str,
    against: str = "reference",
    limit: int = 64,
    n: int = 1,
    max_new: int = 64,
    temperature: float = 1.0,
    batch_size: int = 64,
    resamples: int = 1000,
) -> Callable[..., dict[str, Any]]:
    """Compares every completion with one of the baseline, in both orders; of several processes the first asks.

    Returns, with intervals, over the comparisons with a verdict `win_rate` (ties half), `win_rate_lc` (at equal length:
    `prefjax.evals.length_control`), `ties`, and `position_flips` (the share in which the verdict turned with the
    order, which makes it a tie); over all `invalid`, the share without a verdict, and `longer_by`, the characters that
    the policy writes more. Intervals are Wilson's where every prompt is compared once and nothing ties, else of a
    bootstrap over prompts. Every comparison is a row of `samples`, with the baseline's text, the verdict, and what the
    judge said of (policy, baseline) and of (baseline, policy).

    Args:
      run: the run.
      source: call string of a data source whose records have prompts.
      judge: call string of a judge, as in `prefjax.judges`.
      against: "reference", what the frozen reference writes with the same noise; "chosen", the chosen side of the
        records; or texts: a file of prompts and responses, or the call string of such a source. Several responses to a
        prompt are taken in turn.
      limit, n, max_new, temperature, batch_size: as in `prefjax.evals.samples`.
      resamples: of the bootstrap.

    Raises:
      ConfigError: no such judge or baseline.
      DataError: a prompt without a text to compare with.
    """
    knobs = {"limit": limit, "n": n, "max_new": max_new, "temperature": temperature, "batch_size": batch_size}
    records = records_of(run, source, limit)
    written, ask = completions(run, source, **knobs), judges.make(judge, records)
    if against == "reference":
        if "reference" not in run.nets:
            raise ConfigError("win_rate: frozen.reference is not set; name it, or say against='chosen' or a file")
        usual = of_reference(run, source, **knobs)
        baseline = lambda found, frozen, key: [completion.text for completion in usual(frozen, key)]
    else:
        texts = list(_texts(records, against, source))
        baseline = lambda found, frozen, key: _in_turn(found, texts)

    def evaluate(state, frozen, key):
        found = written(state, key)
        others = baseline(found, frozen, key)
        pairs = ((c.record["prompt"], c.text, other) for c, other in zip(found, others, strict=True))
        said = told([comparison._asdict() for comparison in judges.compare_all(ask, pairs)] if is_first() else None)
        rows = [_row(c, other, one) for c, other, one in zip(found, others, said, strict=True)]
        if all(row["win_rate"] is None for row in rows):
            _log.warning("the judge gave no verdict on any of %d comparisons: there is no win rate", len(rows))
        return summary.told(rows, lambda part: measures(part, resamples))

    return evaluate


def measures(rows: Sequence[Mapping[str, Any]], resamples: int = 1000) -> dict[str, Any]:
    """What rows of comparisons come to, with intervals; win rates are left out where no row has a verdict."""
    prompts, valid = [row["record"] for row in rows], [row for row in rows if row["win_rate"] is not None]
    found: dict[str, Any] = {"invalid": share([row["invalid"] for row in rows], prompts, resamples=resamples)}
    found["longer_by"] = sum(row["longer_by"] for row in rows) / len(rows)
    if not valid:
        return found
    prompts = [row["record"] for row in valid]
    for name in ("win_rate", "ties", "position_flips"):
        found[name] = share([row[name] for row in valid], prompts, resamples=resamples)
    wins, longer_by = ([row[name] for row in valid] for name in ("win_rate", "longer_by"))
    return found | {"win_rate_lc": win_rate_lc(wins, longer_by, prompts, resamples=resamples)}


def _row(completion: Completion, other: str, comparison: dict[str, Any]) -> dict[str, Any]:
    value = comparison["value"]
    return completion.row | {
        "baseline": other,
        "verdict": _WORDS[value],
        "said": list(comparison["verdicts"]),
        "win_rate": value,
        "ties": None if value is None else float(value == 0.5),
        "position_flips": None if value is None else float(comparison["flipped"]),
        "invalid": float(value is None),
        "longer_by": float(len(completion.text) - len(other)),
    }


def _texts(records: Sequence[dict[str, Any]], against: str, source: str) -> Iterator[list[str]]:
    """The texts to compare with, for each record."""
    if against == "chosen":
        for record in records:
            if "chosen" not in record and "ranking" not in record:
                raise DataError(f"win_rate(against='chosen'): records of {source} have no chosen side")
            best = record["chosen"] if "chosen" in record else record["ranking"][0]
            yield [best] if isinstance(best, str) else best
        return
    written: dict[str, list[str]] = {}
    for record in load.records(against if is_call(against) else f"demos(path={against!r})"):
        written.setdefault(key_of(record["prompt"]), []).append(record["response"])
    missing = [record["prompt"] for record in records if key_of(record["prompt"]) not in written]
    if missing:
        raise DataError(
            clean(
                f"win_rate(against={against!r}): no text for {len(missing)} of {len(records)} prompts, such as "
                f"{quote(key_of(missing[0]))}"
            )
        )
    yield from (written[key_of(record["prompt"])] for record in records)


def _in_turn(found: Sequence[Completion], texts: Sequence[list[str]]) -> list[str]:
    """A text for each completion: the first for the first of its record, and so on around."""
    turns = {index: itertools.cycle(texts[index]) for index in {completion.index for completion in found}}
    return [next(turns[completion.index]) for completion in found]
