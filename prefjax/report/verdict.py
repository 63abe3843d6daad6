"""What became of a run, in a sentence: a function of its summaries, its budget and its alarms."""

import math
from typing import Any, NamedTuple

from prefjax.alarms.limits import LIMITS, is_set
from prefjax.report.groups import Group, over_runs
from prefjax.report.metrics import known, moved, number, signed, with_interval
from prefjax.report.runs import Estimate, Run
from prefjax.report.sides import Side
from prefjax.resolve import is_call, parse

_POINTS = ("benign_refusal", "factuality")


class Verdict(NamedTuple):
    """A sentence of clauses, and what it comes to."""

    state: str  # "ALARM", "ok" or "unknown"
    clauses: list[str]
    why: str

    @property
    def sentence(self) -> str:
        return (
            f"{'; '.join(self.clauses) or 'Nothing was measured'}: {self.state}{f' ({self.why})' if self.why else ''}."
        )


def verdict(group: Group) -> Verdict:
    """The state of a run, or of runs that differ in their seeds, after the last evaluation.

    It is ALARM if an alarm stands, else ok; unknown if a run was not evaluated before and after, has no drift
    budget, or failed, or if what the sentence tells is not finite.
    """
    clauses = [clause for clause in (_taste(group), _kl(group), _length(group), *_points(group)) if clause]
    clauses = [clauses[0][:1].upper() + clauses[0][1:], *clauses[1:]] if clauses else []
    standing, past = raised(group)
    if standing:
        return Verdict("ALARM", clauses, standing)
    runs = group.runs
    if any(run.status == "failed" for run in runs):
        return Verdict("unknown", clauses, "the run failed" if len(runs) == 1 else "a run failed")
    if any(len(run.evaluations) < 2 for run in runs):
        none = not all(run.evaluations for run in runs)
        return Verdict("unknown", clauses, "no evaluation" if none else "one evaluation: nothing to compare")
    if not all(any(budget(run, name) for name in LIMITS) for run in runs):
        return Verdict("unknown", clauses, "no drift budget was set")
    if wrong := [words for words, track in _told(group).items() if track and not math.isfinite(track[-1][1].mean)]:
        return Verdict("unknown", clauses, f"{', '.join(wrong)} at the last evaluation: not finite")
    late = next((run.status for run in runs if run.status != "done"), None)
    notes = [f"so far: {late}"] if late else []
    return Verdict("ok", clauses, "; ".join(notes + ([f"past alarms: {past}"] if past else [])))


def raised(group: Group) -> tuple[str, str]:
    """The alarms of the last evaluation, and those that have passed, with their first steps and in how many runs.

    An alarm is recorded at every evaluation as long as it lasts. One that ended a run stands, whatever came after.
    """
    steps: dict[str, dict[int, int]] = {}
    lasting = set()
    for at, run in enumerate(group.runs):
        end = run.evaluations[-1]["step"] if run.evaluations else 0
        for alarm in run.alarms:
            name = str(alarm.get("name", "alarm"))
            first = steps.setdefault(name, {})
            first[at] = min(first.get(at, alarm["step"]), alarm["step"])
            if alarm["step"] >= end or run.stopped == name:
                lasting.add(name)
    share = lambda found: f" in {len(found)} of {len(group.runs)} seeds" if len(group.runs) > 1 else ""
    told = {name: f"{name} from step {min(found.values())}{share(found)}" for name, found in steps.items()}
    join = lambda names: ", ".join(told[name] for name in names)
    return join(n for n in told if n in lasting), join(n for n in told if n not in lasting)


def budget(run: Run, name: str) -> Any:
    """A limit of the run's drift budget; None where it has none, or it is off."""
    limit = run.config.get(f"budget.{name}")
    return limit if is_set(limit) else None


def distance(group: Group) -> list[tuple[int, Estimate]]:
    """The KL that is shown: exact, where every run measured it."""
    exact = [run.track("kl_exact") for run in group.runs]
    return over_runs(exact if all(exact) else [run.track("kl") for run in group.runs])


def lengths(group: Group) -> list[tuple[int, Estimate]]:
    """The length over that of the reference's own answers, or, where that was not measured, of the first evaluation."""
    return over_runs([_ratio(run) for run in group.runs])


def _ratio(run: Run) -> list[tuple[int, Estimate]]:
    ratio, length = run.track("length_ratio"), run.track("length")
    if ratio or not length or not length[0][1].mean:
        return ratio
    first = length[0][1].mean
    over = lambda x: None if x is None else x / first
    return [(step, Estimate(e.mean / first, over(e.low), over(e.high), e.n)) for step, e in length]


def _told(group: Group) -> dict[str, list[tuple[int, Estimate]]]:
    """What the sentence tells: words -> the metric over steps."""
    taste = next((name for name in ("win_rate", "gold", "reward") if group.track(name)), "reward")
    points = {known(name).words: group.track(name) for name in _POINTS}
    return {known(taste).words: group.track(taste), "KL": distance(group), "length": lengths(group)} | points


def _taste(group: Group) -> str | None:
    if won := group.track("win_rate"):
        return f"{'gold ' if _judged_by_gold(group.runs[0]) else ''}win rate {with_interval('win_rate', won[-1][1])}"
    for name, beside in (("gold", ""), ("reward", "; no gold or win rate measured")):
        if found := group.track(name):
            moves = moved(name, found[-1][1].mean - found[0][1].mean)
            change = f", {moves} since the start" if len(found) > 1 else ""
            return f"{known(name).words} {with_interval(name, found[-1][1])}{change}{beside}"
    return None


def _judged_by_gold(run: Run) -> bool:
    """Whether the judge of the win rate is a gold reward, not a model or people."""
    text = Side(run, run.track("win_rate")[-1][0]).call("win_rate") if run.track("win_rate") else ""
    return is_call(text) and str(parse(text)[1].get("judge", "")).startswith("gold")


def _kl(group: Group) -> str | None:
    found, limit = distance(group), budget(group.runs[0], "kl")
    return f"KL {nats(found[-1][1].mean)}{f' of {limit:g}' if limit else ''} nats" if found else None


def nats(value: float) -> str:
    """A KL to a tenth."""
    return number(value, 2 if value < 10 else 3)


def _length(group: Group) -> str | None:
    found = lengths(group)
    return f"length {signed(100 * (found[-1][1].mean - 1))} %" if found else None


def _points(group: Group) -> list[str]:
    """What has changed since the start, in points."""
    return [
        f"{known(name).words} {moved(name, track[-1][1].mean - track[0][1].mean)}"
        for name in _POINTS
        if len(track := group.track(name)) > 1
    ]
