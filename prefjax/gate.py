"""Ship or not: what the evaluations of a run say against those of another, with reasons.

A run ships if taste has improved and nothing else is lost, as far as the intervals tell. It is rolled back if something
is certainly lost, in all or in a slice. Else it is held: what was not measured, or cannot be told from chance, is not
known to be well.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from prefjax.errors import ConfigError
from prefjax.evals.stats import holm
from prefjax.report.changes import Change, by_prompt, from_bound, of_slice, paired, unpaired
from prefjax.report.groups import Group
from prefjax.report.metrics import METRICS, known, moved, moved_between
from prefjax.report.runs import Estimate, Run, home_of
from prefjax.report.verdict import raised
from prefjax.resolve import is_call, nearest, parse

SHIP, HOLD, BACK = "ship", "hold", "roll back"
EXIT = {SHIP: 0, HOLD: 10, BACK: 11}
RULES = """\
taste = ["win_rate", "gold"]  # the first that both runs have must have improved
confidence = 0.95             # of every interval
few = 30                      # prompts below which nothing is concluded of a slice

[keep]                        # metric = how much worse it may get, in its own unit: shares are 0 to 1
skill = 0.02
factuality = 0.02
benign_refusal = 0.02
unsafe_refusal = 0.02
"""


class Reason(NamedTuple):
    """What one rule says."""

    verdict: str  # SHIP: nothing against it; HOLD; BACK
    words: str


class Decision(NamedTuple):
    """The worst of all reasons."""

    verdict: str
    reasons: list[Reason]

    def __str__(self) -> str:
        marks = {SHIP: "ok  ", HOLD: "hold", BACK: "back"}
        return "\n".join([self.verdict.upper(), *(f"  {marks[r.verdict]}  {r.words}" for r in self.reasons)])


def rules(path: str | Path | None = None) -> dict[str, Any]:
    """The rules, those of a TOML file in the place of the defaults; its `keep` replaces theirs.

    Raises:
      ConfigError: the file cannot be read, or names a rule that there is not or a metric without a better side.
    """
    found = tomllib.loads(RULES)
    if path is None:
        return found
    try:
        given = tomllib.loads(Path(path).read_text())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    for name, value in given.items():
        if name not in found:
            raise ConfigError(f"{path}: there is no rule {name!r}; {nearest(name, found)}")
        if not isinstance(value, type(found[name])) and not (name == "few" and isinstance(value, int)):
            raise ConfigError(f"{path}: {name} is {value!r}; it should be like {found[name]!r}")
    rule = found | given
    sided = [name for name, metric in METRICS.items() if metric.better]
    for name in [*rule["taste"], *rule["keep"]]:
        if name not in sided:
            raise ConfigError(
                f"{path}: {name!r} is no metric of which more or less is better; {nearest(str(name), sided)}"
            )
    for name, margin in rule["keep"].items():
        if isinstance(margin, bool) or not isinstance(margin, int | float) or margin < 0:
            raise ConfigError(f"{path}: keep.{name} is {margin!r}; it should be a number, 0 or more")
    if not 0 < rule["confidence"] < 1:
        raise ConfigError(f"{path}: confidence is {rule['confidence']}; it should be between 0 and 1")
    return rule


def gate(run: Run, baseline: Run, rule: dict[str, Any]) -> Decision:
    """Judges a run against a baseline, both by their last evaluation."""
    reasons = _standing(run, baseline) + _taste(run, baseline, rule)
    for metric, margin in rule["keep"].items():
        reasons += _kept(run, baseline, metric, margin, rule)
    worst = next(v for v in (BACK, HOLD, SHIP) if v == SHIP or any(reason.verdict == v for reason in reasons))
    return Decision(worst, reasons)


def _standing(run: Run, baseline: Run) -> list[Reason]:
    """Whether both runs ended, and no alarm stands."""
    reasons = [Reason(HOLD, f"{r.path} is {r.status}: {r.message}") for r in (run, baseline) if r.status != "done"]
    standing, _ = raised(Group("", [run]))
    if standing:
        reasons.append(Reason(HOLD, f"{run.path} has alarms: {standing}"))
    return reasons


def _taste(run: Run, baseline: Run, rule: dict[str, Any]) -> list[Reason]:
    """Whether the first metric of taste that both have has improved, and is not lost in a slice."""
    why = []
    for metric in rule["taste"]:
        change = compare(run, baseline, metric)
        if isinstance(change, str):
            why.append(change)
            continue
        words = f"taste: {_told(metric, change, rule)}"
        if change.interval(rule["confidence"])[0] > 0:
            return [Reason(SHIP, f"{words}: better"), *_by_slice(run, baseline, metric, 0.0, rule)]
        lost = change.interval(rule["confidence"])[1] < 0
        verdict = Reason(BACK, f"{words}: worse") if lost else Reason(HOLD, f"{words}: no clear change")
        return [verdict, *_by_slice(run, baseline, metric, 0.0, rule)]
    return [
        Reason(HOLD, f"taste: it cannot be known whether it improved: {'; '.join(why) or 'no rule names a metric'}")
    ]


def _kept(run: Run, baseline: Run, metric: str, margin: float, rule: dict[str, Any]) -> list[Reason]:
    """Whether a metric got worse by no more than a margin."""
    change = compare(run, baseline, metric)
    if isinstance(change, str):
        return [Reason(HOLD, f"{change}; measure it in both, or leave it out of the rules")]
    low, high = change.interval(rule["confidence"])
    words, most = _told(metric, change, rule), moved(metric, margin).removeprefix("+")
    if high < -margin:
        reason = Reason(BACK, f"{words}: lost by more than {most}")
    elif low >= -margin:
        reason = Reason(SHIP, f"{words}: kept within {most}")
    else:
        reason = Reason(HOLD, f"{words}: a loss of more than {most} cannot be ruled out")
    return [reason, *_by_slice(run, baseline, metric, margin, rule)]


def _by_slice(run: Run, baseline: Run, metric: str, margin: float, rule: dict[str, Any]) -> list[Reason]:
    """The slices in which a metric certainly got worse by more than a margin, with Holm's correction over all."""
    found: dict[str, Change] = {}
    for name in sorted(run.slices(metric).keys() & baseline.slices(metric).keys()):
        change = compare(run, baseline, metric, name)
        if not isinstance(change, str) and change.n >= rule["few"]:
            found[name] = change
    adjusted = holm([change.p_below(-margin) for change in found.values()])
    most = f" by more than {moved(metric, margin).removeprefix('+')}" if margin else ""
    return [
        Reason(
            BACK, f"{_told(metric, change, rule)}: lost{most} in the slice {name} (p {p:.2g}, of {len(found)} slices)"
        )
        for (name, change), p in zip(found.items(), adjusted, strict=True)
        if p < (1 - rule["confidence"]) / 2
    ]


def compare(run: Run, baseline: Run, metric: str, slice: str | None = None) -> Change | str:
    """How much better a run is than a baseline, paired by prompt where it can be; or why that is not known."""
    old, new = _end(baseline, metric, slice), _end(run, metric, slice)
    if metric == "win_rate" and not old and new and _is_reference(baseline, run):
        return from_bound(new, 0.5) or f"{metric} of {run.path} has no interval"
    if not old or not new:
        return f"{metric} was not measured in {run.path if old else baseline.path}"
    if metric == "win_rate" and (differ := _opponents_differ(run, baseline)):
        return differ
    before, after = _rows(baseline, metric, slice), _rows(run, metric, slice)
    change = paired(before, after, metric)
    if change is None or 2 * change.n < max(len(by_prompt(rows, metric)) for rows in (before, after)):
        change = unpaired(old, new) or change  # few prompts are shared: what most of them say counts
    if change is None:
        return f"{metric} has no interval in {baseline.path} or {run.path}"
    return change if known(metric).better > 0 else change.turned()


def _end(run: Run, metric: str, slice: str | None) -> Estimate | None:
    """A metric at the last evaluation; None where that lacks it, whatever an earlier one may say."""
    found = dict(run.track(metric)).get(run.evaluations[-1]["step"]) if run.evaluations else None
    return run.slices(metric).get(slice) if found and slice else found


def _rows(run: Run, metric: str, slice: str | None) -> Sequence[Any]:
    rows = [row for row in run.rows(metric)[1] if row["step"] == run.evaluations[-1]["step"]]
    return of_slice(rows, slice) if slice else rows


def _is_reference(baseline: Run, run: Run) -> bool:
    """Whether the win rate of the run is one over the baseline itself."""
    text = run.config.get(f"evals.{home_of(run.evaluations[-1], 'win_rate')}", "")
    if is_call(text) and parse(text)[1].get("against", "reference") != "reference":
        return False
    reference = str((run.facts.get("frozen") or {}).get("reference", "")).partition("@")[0]
    return bool(reference) and Path(reference).resolve() == baseline.path.resolve()


def _opponents_differ(run: Run, baseline: Run) -> str | None:
    """Win rates compare only where the opponent and the judge are the same."""
    homes = [home_of(r.evaluations[-1], "win_rate") for r in (baseline, run)]
    told = [
        (r.config.get(f"evals.{home}"), (r.facts.get("frozen") or {}).get("reference"))
        for r, home in zip((baseline, run), homes, strict=True)
    ]
    if told[0] == told[1]:
        return None
    return f"the win rates of {baseline.path} and {run.path} are not against one opponent with one judge"


def _told(metric: str, change: Change, rule: dict[str, Any]) -> str:
    """A change as a person reads it, in the metric's own direction."""
    sign = known(metric).better
    low, high = sorted(sign * end for end in change.interval(rule["confidence"]))
    how = f"{change.n} prompts, paired" if change.paired else "not paired"
    return f"{known(metric).words} {moved_between(metric, sign * change.mean, low, high)} ({how})"
