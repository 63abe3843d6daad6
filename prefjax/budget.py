"""What a run does about its drift: alarms at every evaluation, and the end where its budget is spent.

All is read from the workdir again each time, so that a run that resumes judges as if it had never been cut.
"""

import functools
import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

from prefjax import alarms
from prefjax.errors import ConfigError
from prefjax.evals import history
from prefjax.log import Record
from prefjax.processes import is_first, told

_log = logging.getLogger(__name__)


class Verdict(NamedTuple):
    """What follows of an evaluation."""

    inside: tuple[int, ...] = ()  # evaluated steps inside the budget, where the run may roll back to one
    ended: dict[str, Any] | None = None  # why the run ends here: {"alarm", "at", "words"}


def spend(record: Record, at: int) -> Verdict:
    """Records the alarms of the evaluation after step `at`, if there was one; several processes have one verdict.

    Raises:
      ConfigError: the run should act on a breach, and nothing that the budget limits is measured.
    """
    inside, ended = told(_judge(record, at) if is_first() else None)
    return Verdict(tuple(inside), ended)


def _judge(record: Record, at: int) -> tuple[list[int], dict[str, Any] | None]:
    acts, entries = record.config["budget"]["on_breach"], _own(record, at)
    raised = _raise(record, entries) if entries and entries[-1]["step"] == at else []
    inside = [entry["step"] for entry in entries if entry.get("over") == []] if acts == "rollback" else []
    breach = next((alarm for alarm in raised if alarm.severity == "breach"), None)
    ended = {"alarm": breach.name, "at": at, "words": breach.words} if breach and acts != "warn" else None
    return inside, ended


def _own(record: Record, at: int) -> list[dict[str, Any]]:
    """The evaluations up to a step that the config names; others are those of `prefjax eval`."""
    names, found = record.config["evals"], []
    for entry in history.read(record.workdir, at):
        calls = names | entry.get("calls", {})
        own = {name: told for name, told in entry["evals"].items() if names.get(name) and names[name] == calls[name]}
        found += [entry | {"evals": own}] if own else []
    return found


def _raise(record: Record, entries: list[dict[str, Any]]) -> list[alarms.Alarm]:
    """Records the alarms of the last of a run's evaluations, and what is left of the budget."""
    budget, at = record.config["budget"], entries[-1]["step"]
    if len(entries) == 1:
        _check_measured(entries[0], budget)
    rows = functools.cache(functools.partial(_lines, record.workdir, "samples.jsonl"))
    raised, over = alarms.check(entries, budget, rows=rows, steps=record.config["steps"])
    entries[-1]["over"] = over
    history.mark(record.workdir, at, over, alarms.left(entries[-1], budget))
    known = {row["name"] for entry in entries[-2:-1] for row in _lines(record.workdir, "alarms.jsonl", entry["step"])}
    record.alarms(at, [{k: v for k, v in alarm._asdict().items() if k != "step"} for alarm in raised])
    for alarm in raised:
        if alarm.name not in known:  # said once, as long as it goes on
            _log.warning("step %d: %s: %s", at, alarm.name, alarm.words)
    return raised


def _check_measured(entry: dict[str, Any], budget: dict[str, Any]) -> None:
    """Says which limits no evaluation measures."""
    missing = alarms.unmeasured(entry, budget)
    words = "; ".join(f"{limit} (which needs {' or '.join(metrics)})" for limit, metrics in missing.items())
    if budget["on_breach"] != "warn" and len(missing) == len(alarms.limits_of(budget)):
        raise ConfigError(
            f"config.budget.on_breach is {budget['on_breach']!r}, and no evaluation measures what the budget limits: "
            f"{words or 'every limit is 0'}; config.evals should have one such as samples(source=...)"
        )
    if missing:
        level = logging.INFO if budget["on_breach"] == "warn" else logging.WARNING
        _log.log(level, "limits of config.budget that no evaluation measures: %s", words)


def _lines(workdir: Path, name: str, step: int) -> list[dict[str, Any]]:
    """The rows of a step, in a file that the record writes."""
    begins = f'{{"step": {step}, '
    if not (workdir / name).exists():
        return []
    with (workdir / name).open() as file:
        return [json.loads(line) for line in file if line.startswith(begins)]
