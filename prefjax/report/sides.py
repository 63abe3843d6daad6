"""Two evaluations that are compared, and whether they measured a metric alike."""

from typing import NamedTuple

from prefjax.files import named
from prefjax.report.changes import Rows, of_slice
from prefjax.report.runs import Estimate, Run
from prefjax.resolve import is_call, parse

WINS = ("win_rate", "win_rate_lc")  # metrics over an opponent
DRIFT = ("kl", "kl_exact", "length_ratio")  # and from a reference


class Side(NamedTuple):
    """An evaluation of a run."""

    run: Run
    step: int

    def value(self, metric: str, slice: str | None = None) -> Estimate | None:
        """A metric; None where the evaluation lacks it, whatever another one may say."""
        whole, slices = self.run.at(self.step, metric)
        return slices.get(slice) if slice else whole

    def rows(self, metric: str, slice: str | None = None) -> Rows:
        """The samples behind a metric, where they are kept."""
        rows = self.run.rows(self.step, metric)
        return of_slice(rows, slice) if slice else rows

    def call(self, metric: str) -> str:
        """The call string that measured a metric; empty where it is not recorded."""
        calls = next(entry["calls"] for entry in self.run.evaluations if entry["step"] == self.step)
        return str(calls.get(self.run.home(metric)) or "")

    def opponent(self, metric: str) -> str | None:
        """Whom a win rate is over; None where that is not recorded, or the metric is none."""
        call = self.call(metric)
        return str(parse(call)[1].get("against", "reference")) if metric in WINS and is_call(call) else None

    def made_by(self, metric: str) -> tuple[str, ...] | None:
        """What a metric comes from, the policy apart: the call, and the frozen models behind it.

        None where one of them is not recorded.
        """
        call, frozen = self.call(metric), self.run.facts.get("frozen") or {}
        models = ["reference"] if metric in DRIFT or self.opponent(metric) == "reference" else []
        if metric == "reward":
            models = sorted(frozen.keys() - {"reference"})
            call = f"{call} of {self.run.config.get('reward')}" if call else ""
        made = (call, *(str(frozen.get(name, "")) for name in models))
        return made if all(made) else None


def sides(run: Run, baseline: Run, metric: str) -> tuple[Side | None, Side | None]:
    """The evaluation that stands for the baseline, and the last one of the run.

    A run that started from the baseline measured it itself, before its first step, on the same prompts.
    """
    after = Side(run, run.evaluations[-1]["step"]) if run.evaluations else None
    if after and after.step and _started_from(run, baseline) and run.at(0, metric)[0]:
        return Side(run, 0), after
    return Side(baseline, baseline.evaluations[-1]["step"]) if baseline.evaluations else None, after


def is_over(side: Side, baseline: Run, metric: str) -> bool:
    """Whether a metric is a win rate over the baseline itself."""
    return side.opponent(metric) == "reference" and _is(_reference(side.run), baseline)


def _started_from(run: Run, baseline: Run) -> bool:
    """Whether the policy of a run started as the state that the baseline ended with."""
    model = str(run.config.get("model") or "")
    if not model or is_call(model):
        return False
    folder, step, ema = named(model)
    if step is not None:
        return _is(model, baseline)
    # the step that the folder had then is that of the reference, if that is the same run
    return not ema and folder.resolve() == baseline.path.resolve() and _is(_reference(run), baseline)


def _is(reference: str, baseline: Run) -> bool:
    """Whether a reference names the state that a baseline ended with."""
    folder, step, ema = named(reference)
    same = folder.resolve() == baseline.path.resolve()
    return bool(reference) and same and not ema and step is not None and step == baseline.end


def _reference(run: Run) -> str:
    """The reference of a run, as it was pinned."""
    return str((run.facts.get("frozen") or {}).get("reference", ""))
