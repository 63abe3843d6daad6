"""A workdir as the page and the gate read it: files alone, no model."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from prefjax.config import flatten
from prefjax.errors import ConfigError, DataError
from prefjax.report.thin import Curve, thin

TRAIN = ("loss", "score", "kl", "length", "entropy", "rewards/accuracy", "grad_norm")  # what is drawn of training
MARKS = ("config.json", "run.json", "metrics.jsonl", "FAILED.json", "INTERRUPTED.json")  # a workdir has one of them


class Estimate(NamedTuple):
    """A mean with its 95 % interval, where it has one."""

    mean: float
    low: float | None = None
    high: float | None = None
    n: int | None = None  # rows it is a mean of


class Run(NamedTuple):
    """What the files of a workdir say."""

    path: Path
    config: dict[str, Any]  # flat: {"optim.lr": 1e-4}; empty if there is none
    changes: dict[str, Any]  # of a run of a sweep: {"loss.beta": 0.1}, what its axes say
    facts: dict[str, Any]  # run.json
    status: str  # "done", "failed", "interrupted" or "not finished"
    message: str  # how it ended
    stopped: str | None  # the alarm that ended it
    last: int  # the newest step in the record
    end: int | None  # the step of the state it ended with; a run that was rolled back has evaluations beyond
    curves: dict[str, Curve]  # of training
    evaluations: list[dict[str, Any]]  # {"step", "evals": {eval: {metric: {"mean", ...}}}, "calls": {eval: call}}
    samples: dict[str, dict[int, list[dict[str, Any]]]]  # eval -> its first and last step, up to the end -> rows
    alarms: list[dict[str, Any]]
    audit: dict[str, Any] | None
    checkpoints: list[int]
    resumes: list[int]  # steps after which a process began
    seconds: float  # of the clock, in the processes whose record was kept

    @property
    def kept(self) -> "Run":
        """The run without the evaluations that it abandoned when it was rolled back."""
        if self.end is None:
            return self
        return self._replace(evaluations=[entry for entry in self.evaluations if entry["step"] <= self.end])

    def home(self, metric: str) -> str | None:
        """The evaluation that reports a metric: the first that does at the end."""
        homes = (
            name for entry in reversed(self.evaluations) for name, told in entry["evals"].items() if metric in told
        )
        return next(homes, None)

    def track(self, metric: str) -> list[tuple[int, Estimate]]:
        """A metric at each evaluation that has it, always of the same home."""
        home = self.home(metric)
        found = ((entry["step"], entry["evals"].get(home, {}).get(metric)) for entry in self.evaluations)
        return [(step, estimate(value)) for step, value in found if value and value.get("mean") is not None]

    def at(self, step: int, metric: str) -> tuple[Estimate | None, dict[str, Estimate]]:
        """A metric at the evaluation of a step, in whole and by slice."""
        home = self.home(metric)
        told = next(
            (entry["evals"].get(home, {}).get(metric) for entry in self.evaluations if entry["step"] == step), None
        )
        if not told or told.get("mean") is None:
            return None, {}
        return estimate(told), {name: estimate(value) for name, value in told.get("slices", {}).items()}

    def rows(self, step: int, metric: str) -> list[dict[str, Any]]:
        """The samples of a metric's home at a step, the first or the last."""
        return self.samples.get(str(self.home(metric)), {}).get(step, [])


def read(path: str | Path, bins: int = 400) -> Run:
    """Reads a workdir, whole or not.

    Args:
      path: the folder of a run.
      bins: into which more logged steps are thinned.

    Raises:
      ConfigError: the folder holds no run.
      DataError: a file of it is damaged; the message gives file and line.
    """
    path = Path(path)
    if not is_workdir(path):
        what = "there is no such folder" if not path.exists() else f"it has none of {', '.join(MARKS)}"
        raise ConfigError(f"{path} is no workdir: {what}; give the folder that `prefjax train --workdir` wrote")
    columns, means, last = _metrics(path / "metrics.jsonl")
    status, message, stopped = _end(path)
    resumes, seconds = _clock(path / "timing.jsonl")
    config, end = flatten(_json(path / "config.json") or {}), _step_of_end(path)
    return Run(
        path=path,
        config=config,
        changes=_table(path.parent).get(path.name, {}),
        facts=_json(path / "run.json") or {},
        status=status,
        message=message,
        stopped=stopped,
        last=last,
        end=end,
        curves={name: thin(*columns[name], bins=bins) for name in TRAIN if columns[name][0]},
        evaluations=_evaluations(
            path, means, {name[6:]: call for name, call in config.items() if name[:6] == "evals."}
        ),
        samples=_samples(path / "samples.jsonl", end),
        alarms=list(_lines(path / "alarms.jsonl")),
        audit=_json(path / "audit.json"),
        checkpoints=sorted(int(p.name) for p in (path / "checkpoints").glob("*") if p.name.isdigit()),
        resumes=resumes,
        seconds=seconds,
    )


def of_sweep(path: str | Path) -> tuple[list[Path], int]:
    """The runs of a folder that `prefjax sweep` wrote, of any other folder itself; and how many have not begun.

    Raises:
      ConfigError: none of the runs has begun.
    """
    table = _table(Path(path))
    begun = [folder for name in table if is_workdir(folder := Path(path) / name)]
    if table and not begun:
        raise ConfigError(f"{path}: none of the {len(table)} runs of the sweep has begun")
    return begun or [Path(path)], len(table) - len(begun)


def is_workdir(path: Path) -> bool:
    """Whether a run has left files in a folder."""
    return any((path / name).is_file() for name in MARKS)


def _table(folder: Path) -> dict[str, dict[str, Any]]:
    """What the axes of a sweep say of each run, by its folder; empty where there is no sweep."""
    found = _json(folder / "sweep.json") or {}
    try:
        return {row["name"]: dict(row["changes"]) for row in found.get("runs", [])}
    except (TypeError, KeyError, AttributeError, ValueError):
        raise DataError(f"{folder / 'sweep.json'} is no table of a sweep; the same sweep writes it again") from None


def estimate(value: dict[str, Any]) -> Estimate:
    """A metric of a summary."""
    return Estimate(value["mean"], value.get("low"), value.get("high"), value.get("n"))


def _metrics(path: Path) -> tuple[dict[str, tuple[list[int], list[float]]], list[dict[str, Any]], int]:
    """What is drawn of training, as (steps, values); the means of evaluations, a row of metrics each; the last step."""
    columns: dict[str, tuple[list[int], list[float]]] = {name: ([], []) for name in TRAIN}
    keys = [(f"train/{name}", *lists) for name, lists in columns.items()]
    means, last = [], 0
    for row in _lines(path):
        step = row["step"]
        last = max(last, step)
        if next(reversed(row)).startswith("eval/"):  # a line is of training or of an evaluation
            means.append(row)
            continue
        for key, steps, values in keys:
            value = row.get(key)
            if key == "train/entropy" and value is not None:  # it is logged in nats a sequence, and evaluated a token
                value = value / row["train/length"] if row.get("train/length") else None
            if value is not None:
                steps.append(step)
                values.append(value)
    return columns, means, last


def _clock(path: Path) -> tuple[list[int], float]:
    """The steps after which a process went on, and the seconds of all processes."""
    resumes, before, last = [], 0.0, 0.0
    for row in _lines(path):
        if row.get("resumed"):
            resumes.append(row["step"])
            before += last
        last = row.get("elapsed", last)
    return resumes, before + last


def _evaluations(path: Path, means: list[dict[str, Any]], calls: dict[str, str]) -> list[dict[str, Any]]:
    """The files of eval/; without them the means of metrics.jsonl, which have no intervals.

    Args:
      path: the workdir.
      means: rows of metrics.jsonl.
      calls: of the config; the file of an evaluation has those that `prefjax eval` was given.
    """
    steps = sorted(int(file.stem) for file in (path / "eval").glob("*.json") if file.stem.isdigit())
    found = [_json(path / "eval" / f"{step}.json") or {} for step in steps]
    if found:
        told = zip(steps, found, strict=True)
        return [{"step": at, "evals": e.get("evals", {}), "calls": calls | e.get("calls", {})} for at, e in told]
    entries: dict[int, dict[str, Any]] = {}
    for row in means:
        for key, value in row.items():
            if key.startswith("eval/") and key.count("/") > 1:
                _, name, metric = key.split("/", 2)
                entry = entries.setdefault(row["step"], {"step": row["step"], "evals": {}, "calls": calls})
                entry["evals"].setdefault(name, {})[metric] = {"mean": value}
    return [entries[step] for step in sorted(entries)]


def _samples(path: Path, end: int | None) -> dict[str, dict[int, list[dict[str, Any]]]]:
    """The rows of each evaluation at its least and its greatest step up to the end.

    Steps are in whatever order they were written; those between are let go as they are read.
    """
    found: dict[str, dict[int, list[dict[str, Any]]]] = {}
    for row in _lines(path):
        by_step, step = found.setdefault(str(row.get("eval", "samples")), {}), row["step"]
        if (end is not None and step > end) or (len(by_step) == 2 and min(by_step) < step < max(by_step)):
            continue
        if step not in by_step and len(by_step) == 2:
            del by_step[min(by_step) if step < min(by_step) else max(by_step)]
        by_step.setdefault(step, []).append(row)
    return found


def _step_of_end(path: Path) -> int | None:
    """The step of the state that a run ended with, as DONE has it."""
    return (_json(path / "DONE") or {}).get("step")


def _end(path: Path) -> tuple[str, str, str | None]:
    """How a run ended: in a word, in words, and by which alarm."""
    if (path / "DONE").exists():
        done = _json(path / "DONE") or {}
        stopped = done.get("stopped") or {}
        back = stopped.get("rolled_back_to")
        told = f"stopped at step {stopped.get('at')} by the alarm {stopped.get('alarm')}" if stopped else ""
        told += f", and rolled back to step {back}" if back is not None else ""
        return "done", told, stopped.get("alarm")
    for status in ("failed", "interrupted"):
        if (path / f"{status.upper()}.json").exists():
            reason = _json(path / f"{status.upper()}.json") or {}
            return status, f"{reason.get('error', 'Error')}: {reason.get('message', '')}", None
    return "not finished", "the run is still at work, or was killed: the same command goes on", None


def _json(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}; the run that wrote it can write it again") from None


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file of JSON lines, but for a last one that was cut."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                row = json.loads(line.decode())
                row["step"] = int(row["step"])
            except (ValueError, TypeError, KeyError) as error:
                what = f"no {error}" if isinstance(error, KeyError) else str(error)
                raise DataError(f"{path}:{number}: not a row of a record: {what}") from None
            yield row
