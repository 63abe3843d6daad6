"""A workdir as the page and the gate read it: files alone, no model."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from prefjax.config import flatten
from prefjax.errors import ConfigError, DataError
from prefjax.report.thin import Curve, thin

TRAIN = ("loss", "score", "kl", "length", "entropy", "rewards/accuracy", "grad_norm")  # what is drawn of training
SKIPPED = "skipped"  # steps of an interval that were left out
MARKS = ("config.json", "run.json", "metrics.jsonl", "FAILED.json", "INTERRUPTED.json")  # a workdir has one of them
_SEED = re.compile(r"(seed\s*[=_/-]?\s*)\d+")  # in call strings and paths: "pairs(seed=3)", "runs/seed3/sft"


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
    facts: dict[str, Any]  # run.json
    status: str  # "done", "failed", "interrupted" or "not finished"
    message: str  # how it ended
    stopped: str | None  # the alarm that ended it
    last: int  # the newest step in the record
    curves: dict[str, Curve]  # of training
    evaluations: list[dict[str, Any]]  # {"step", "evals": {eval: {metric: {"mean", "low", "high", "n", "slices"}}}}
    samples: dict[str, dict[int, list[dict[str, Any]]]]  # eval -> its first and last step -> rows
    alarms: list[dict[str, Any]]
    audit: dict[str, Any] | None
    checkpoints: list[int]
    resumes: list[int]  # steps after which a process began
    skipped: list[int]
    seconds: float  # of the clock, in the processes whose record was kept

    def track(self, metric: str) -> list[tuple[int, Estimate]]:
        """A metric at each evaluation that has it, always of the same one: the first that has it at the end."""
        home = next((name for entry in reversed(self.evaluations) if (name := home_of(entry, metric))), None)
        found = ((entry["step"], entry["evals"].get(home, {}).get(metric)) for entry in self.evaluations)
        return [(step, estimate(value)) for step, value in found if value and value.get("mean") is not None]

    def slices(self, metric: str) -> dict[str, Estimate]:
        """A metric at the last evaluation that has it, by slice."""
        for entry in reversed(self.evaluations):
            if home := home_of(entry, metric):
                return {name: estimate(value) for name, value in entry["evals"][home][metric].get("slices", {}).items()}
        return {}

    def rows(self, metric: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The samples that carry a metric, at the first and at the last step that has them."""
        for by_step in self.samples.values():
            if any(row.get(metric) is not None for rows in by_step.values() for row in rows):
                return by_step[min(by_step)], by_step[max(by_step)]
        return [], []


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
    if not any((path / name).is_file() for name in MARKS):
        what = "there is no such folder" if not path.exists() else f"it has none of {', '.join(MARKS)}"
        raise ConfigError(f"{path} is no workdir: {what}; give the folder that `prefjax train --workdir` wrote")
    columns, means, last = _metrics(path / "metrics.jsonl")
    status, message, stopped = _end(path)
    elapsed = [(row["step"], row["elapsed"]) for row in _lines(path / "timing.jsonl") if "elapsed" in row]
    again = [at for at in range(1, len(elapsed)) if elapsed[at][1] < elapsed[at - 1][1]]
    return Run(
        path=path,
        config=flatten(_json(path / "config.json") or {}),
        facts=_json(path / "run.json") or {},
        status=status,
        message=message,
        stopped=stopped,
        last=last,
        curves={name: thin(*columns[name], bins=bins) for name in TRAIN if columns[name][0]},
        evaluations=_evaluations(path, means),
        samples=_samples(path / "samples.jsonl"),
        alarms=list(_lines(path / "alarms.jsonl")),
        audit=_json(path / "audit.json"),
        checkpoints=sorted(int(p.name) for p in (path / "checkpoints").glob("*") if p.name.isdigit()),
        resumes=[elapsed[at - 1][0] for at in again],
        skipped=[step for step, count in zip(*columns[SKIPPED], strict=True) if count],
        seconds=sum(elapsed[at - 1][1] for at in [*again, len(elapsed)] if elapsed),
    )


def estimate(value: dict[str, Any]) -> Estimate:
    """A metric of a summary."""
    return Estimate(value["mean"], value.get("low"), value.get("high"), value.get("n"))


def home_of(entry: dict[str, Any], metric: str) -> str | None:
    """The evaluation of a step that reports a metric."""
    return next((name for name, summary in entry["evals"].items() if metric in summary), None)


def but_for_the_seed(run: Run) -> dict[str, Any]:
    """The settings of a run, alike for runs that differ in their seeds alone."""
    left_out = ("seed", "cache", "wandb", "tensorboard", "keep")
    return {
        name: _SEED.sub(r"\1*", value) if isinstance(value, str) else value
        for name, value in run.config.items()
        if name not in left_out
    }


def _metrics(path: Path) -> tuple[dict[str, tuple[list[int], list[float]]], list[dict[str, Any]], int]:
    """What is drawn of training, as (steps, values); the means of evaluations, a row of metrics each; the last step."""
    columns: dict[str, tuple[list[int], list[float]]] = {name: ([], []) for name in (*TRAIN, SKIPPED)}
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
            if value is not None:
                steps.append(step)
                values.append(value)
    return columns, means, last


def _evaluations(path: Path, means: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The files of eval/; without them the means of metrics.jsonl, which have no intervals."""
    steps = sorted(int(file.stem) for file in (path / "eval").glob("*.json") if file.stem.isdigit())
    found = [_json(path / "eval" / f"{step}.json") or {} for step in steps]
    if found:
        return [{"step": step, "evals": entry.get("evals", {})} for step, entry in zip(steps, found, strict=True)]
    entries: dict[int, dict[str, Any]] = {}
    for row in means:
        for key, value in row.items():
            if key.startswith("eval/") and key.count("/") > 1:
                _, name, metric = key.split("/", 2)
                entry = entries.setdefault(row["step"], {"step": row["step"], "evals": {}})
                entry["evals"].setdefault(name, {})[metric] = {"mean": value}
    return [entries[step] for step in sorted(entries)]


def _samples(path: Path) -> dict[str, dict[int, list[dict[str, Any]]]]:
    """The rows of each evaluation at its first and its last step; those between are let go as they are read."""
    found: dict[str, dict[int, list[dict[str, Any]]]] = {}
    for row in _lines(path):
        by_step = found.setdefault(str(row.get("eval", "samples")), {})
        if row["step"] not in by_step and len(by_step) == 2:
            del by_step[max(by_step)]
        by_step.setdefault(row["step"], []).append(row)
    return found


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


def best_of_n(path: str | Path) -> tuple[float, float, float | None, int]:
    """(KL in nats at most, mean proxy, mean gold or None, n) of the answers that `prefjax best-of-n --out` kept.

    Raises:
      DataError: the file is missing or damaged, or holds other rows.
    """
    try:
        lines = Path(path).read_text().splitlines()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    bounds, scores, golds, sizes = [], [], [], []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            bounds.append(float(row["kl_bound"]))
            scores.append(float(row["score"]))
            sizes.append(int(row["n"]))
        except (ValueError, TypeError, KeyError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise DataError(f"{path}:{number}: not a row of `prefjax best-of-n --keep=best`: {what}") from None
        golds += [float(row["gold"])] if row.get("gold") is not None else []
    if not bounds:
        raise DataError(f"{path}: no rows")
    mean = lambda values: math.fsum(values) / len(values)
    return mean(bounds), mean(scores), mean(golds) if golds else None, max(sizes)
