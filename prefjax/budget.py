"""What a run does about its drift: alarms at every evaluation, and the end where its budget is spent.

All is read from the workdir again each time, so that a run that resumes judges as if it had never been cut.
"""

import functools
import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

from prefjax import alarms
from prefjax.evals import history
from prefjax.log import Record
from prefjax.processes import is_first, told

_log = logging.getLogger(__name__)


class Verdict(NamedTuple):
    """What follows of an evaluation."""

    inside: tuple[int, ...] = ()  # evaluated steps inside the budget, where the run may roll back to one
    ended: dict[str, Any] | None = None  # why the run ends here: {"alarm", "at", "words"}


def spend(record: Record, at: int) -> Verdict:
    """Records the alarms of the evaluation after step `at`; several processes have the verdict of the first."""
    inside, ended = told(_judge(record, at) if is_first() else None)
    return Verdict(tuple(inside), ended)


def resumed(record: Record, at: int) -> Verdict:
    """What followed of the evaluations up to step `at`, for a run that goes on from there."""
    return Verdict(tuple(told(_inside(record, at) if is_first() else None)))


def _inside(record: Record, at: int) -> list[int]:
    acts = record.config["budget"]["on_breach"]
    known = history.read(record.workdir, at) if acts == "rollback" else []
    return [entry["step"] for entry in known if entry.get("over") == []]


def _judge(record: Record, at: int) -> tuple[list[int], dict[str, Any] | None]:
    budget, names = record.config["budget"], record.config["evals"]
    entries: list[dict[str, Any]] = [
        entry | {"evals": {name: found for name, found in entry["evals"].items() if name in names}}
        for entry in history.read(record.workdir, at)
    ]
    if not entries or entries[-1]["step"] != at:  # nothing was evaluated
        return [], None
    rows = functools.cache(functools.partial(_lines, record.workdir, "samples.jsonl"))
    raised, over = alarms.check(entries, budget, rows=rows, steps=record.config["steps"])
    history.mark(record.workdir, at, over)
    known = {row["name"] for entry in entries[-2:-1] for row in _lines(record.workdir, "alarms.jsonl", entry["step"])}
    record.alarms(at, [{k: v for k, v in alarm._asdict().items() if k != "step"} for alarm in raised])
    for alarm in raised:
        if alarm.name not in known:  # said once, as long as it goes on
            _log.warning("step %d: %s: %s", at, alarm.name, alarm.words)
    acts, breach = budget["on_breach"], next((alarm for alarm in raised if alarm.severity == "breach"), None)
    ended = {"alarm": breach.name, "at": at, "words": breach.words} if breach and acts != "warn" else None
    return _inside(record, at), ended


def _lines(workdir: Path, name: str, step: int) -> list[dict[str, Any]]:
    """The rows of a step, in a file that the record writes."""
    begins = f'{{"step": {step}, '
    if not (workdir / name).exists():
        return []
    with (workdir / name).open() as file:
        return [json.loads(line) for line in file if line.startswith(begins)]
