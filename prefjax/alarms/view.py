"""What alarms look at: the evaluations of a run by canonical metric names, and changes since another one of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from prefjax.evals import stats
from prefjax.evals.stats import Interval, interval
from prefjax.evals.summary import HEAD

LEAST = 10  # prompts that a change has to be seen on, to be told from noise
SHOWN = 3  # completions shown with an alarm

Row = Mapping[str, Any]


class Alarm(NamedTuple):
    """Something that went wrong, by its name."""

    name: str
    metric: str
    step: int
    severity: str  # "breach" of a limit of the budget, or "alarm"
    words: str
    evidence: dict[str, Any]  # numbers with intervals
    examples: list[dict[str, Any]]  # completions that show it


class View(NamedTuple):
    """The evaluations of a run up to the one that is looked at."""

    history: Sequence[Mapping[str, Any]]  # in the order of steps: see `prefjax.evals.history`; the first is the start
    rows: Callable[[int], Sequence[Row]]  # of a step: its completions, as in samples.jsonl
    budget: Mapping[str, Any]  # config.budget
    steps: int  # of the whole run

    @property
    def step(self) -> int:
        return self.history[-1]["step"]

    @property
    def progress(self) -> float:
        return self.step / max(self.steps, 1)


class Change(NamedTuple):
    """A metric now and at another evaluation, and the difference, paired by prompt."""

    before: float
    after: float
    change: Interval

    @property
    def rises(self) -> bool:
        return self.change.low > 0

    @property
    def falls(self) -> bool:
        return self.change.high < 0

    def evidence(self) -> dict[str, Any]:
        return {"before": self.before, "after": self.after, **self.change._asdict()}


def evaluation(view: View, *metrics: str) -> tuple[str, str] | None:
    """(evaluation, metric) of the first of `metrics` that the last evaluations measured; None without any."""
    found = ((name, m) for m in metrics for name, told in view.history[-1]["evals"].items() if m in told)
    return next(found, None)


def now(view: View, *metrics: str) -> dict[str, Any] | None:
    """The mean, interval and slices of the first of `metrics` that there is."""
    found = evaluation(view, *metrics)
    return view.history[-1]["evals"][found[0]][found[1]] if found else None


def known(view: View, metric: str) -> dict[str, Any] | None:
    """As `now`, where the metric has an interval, and one of 10 prompts or more if it has completions."""
    own, (name, *_) = now(view, metric), evaluation(view, metric) or ("",)
    if own is None or own["low"] is None:
        return None
    prompts = {row["record"] for row in view.rows(view.step) if row["eval"] == name}
    return None if 0 < len(prompts) < LEAST else own


def of(view: View, name: str) -> View:
    """The same with one evaluation alone."""
    alone = [{**entry, "evals": {n: told for n, told in entry["evals"].items() if n == name}} for entry in view.history]
    return view._replace(history=alone)


def series(view: View, *metrics: str) -> list[float]:
    """The means, from the start to now, of the first of `metrics` that there is now."""
    found = evaluation(view, *metrics)
    told = [entry["evals"].get(found[0], {}).get(found[1]) for entry in view.history] if found else []
    return [own["mean"] for own in told if own is not None]


def change(
    view: View, metric: str, *, since: int = 0, part: Callable[[str], bool] | None = None, confidence: float = 0.95
) -> Change | None:
    """The change of a metric since an evaluation.

    It is paired by prompt where both have completions. A metric that has an interval alone changes by the difference of
    means, give or take both intervals. None where either is not measured, or on fewer than 10 prompts.

    Args:
      view: the evaluations.
      metric: its name.
      since: place of the other evaluation in the history.
      part: of a slice's name, whether it counts; by default all rows do.
      confidence: of the interval.
    """
    found = evaluation(view, metric)
    then = view.history[since]["evals"].get(found[0], {}).get(metric) if found else None
    if found is None or then is None:
        return None
    olds, news = (by_prompt(view, step, found[0], metric, part) for step in (view.history[since]["step"], view.step))
    moved = stats.differences(news, olds)
    if len(moved) >= LEAST:
        mean = lambda values: sum(values[record] for record in moved) / len(moved)
        return Change(mean(olds), mean(news), interval([*moved.values()], [*moved], confidence))
    own = view.history[-1]["evals"][found[0]][metric]
    if olds or news or part or None in (own["low"], then["low"]):
        return None
    between = Interval(own["mean"] - then["mean"], own["low"] - then["high"], own["high"] - then["low"])
    return Change(then["mean"], own["mean"], between)


def by_prompt(
    view: View, step: int, name: str, metric: str, part: Callable[[str], bool] | None = None
) -> dict[Any, float]:
    """The mean of a metric over the completions of each record that it applies to."""
    rows = (row for row in view.rows(step) if row.get("eval") == name)
    found = stats.by_prompt((row for row in rows if part is None or part(str(row.get("slice")))), metric)
    return {record: value for (record, _), value in found.items()}


def examples(view: View, metric: str, most: bool = True, part: Callable[[str], bool] | None = None) -> list[dict]:
    """The completions in which a metric has risen most (or fallen), each with the start's answer to its prompt."""
    found = evaluation(view, metric)
    if found is None:
        return []
    olds = by_prompt(view, view.history[0]["step"], found[0], metric, part)
    before = {r["record"]: r["response"] for r in reversed(view.rows(view.history[0]["step"])) if r["eval"] == found[0]}
    rows = [r for r in view.rows(view.step) if r.get("eval") == found[0] and r.get(metric) is not None]
    rows = [r for r in rows if part is None or part(str(r.get("slice")))]
    rows.sort(key=lambda r: (r[metric] - olds.get(r["record"], 0.0)) * (-1 if most else 1))
    chosen: dict[Any, Row] = {}  # one for a prompt, the worst
    for row in rows:
        chosen.setdefault(row["record"], row)
    shown = list(chosen.values())[:SHOWN]
    return [{k: r.get(k) for k in (*HEAD, metric)} | {"before": before.get(r["record"])} for r in shown]


def points(found: Change) -> str:
    """A change of a share in words."""
    low, mean, high = (100 * x for x in (found.change.low, found.change.mean, found.change.high))
    return f"{mean:+.1f} points [{low:+.1f}, {high:+.1f}] since the start, {100 * found.after:.1f} % now"


def number(found: Change) -> str:
    """A change of any number in words."""
    low, mean, high = found.change.low, found.change.mean, found.change.high
    return f"{mean:+.3g} [{low:+.3g}, {high:+.3g}]"
