"""The record of a run: files in its workdir that a report can be made from, without a model.

config.json      every setting           metrics.jsonl   one line a logged step, no clock: equal runs, equal bytes
run.json         what ran, on what       timing.jsonl    the clock, and where a process went on
samples.jsonl    completions             eval/N.json     the evaluations of step N, with intervals
alarms.jsonl     what went wrong         DONE | FAILED.json | INTERRUPTED.json

A process may be killed at any moment: whole files are replaced, and lines after the last checkpoint are forgotten.
"""

import contextlib
import functools
import json
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from prefjax import __version__
from prefjax.config import flatten
from prefjax.errors import ConfigError, DiskError, NonFiniteError
from prefjax.files import redact, write, write_json, writing
from prefjax.metrics import Mean, merge
from prefjax.mirrors import Mirrors
from prefjax.processes import is_first

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "tokenizers")
_LINES = ("metrics.jsonl", "timing.jsonl", "samples.jsonl", "alarms.jsonl")
_END = ("DONE", "FAILED.json", "INTERRUPTED.json")
# Settings a resumed run may change. Schedules run to `steps`: with another value the rest of them bends to it.
RESUMABLE = (
    *("steps", "log_every", "eval_every", "checkpoint_every", "keep", "checkpoint_timeout"),
    *("cache", "wandb", "tensorboard"),
)


class Record:
    """Appends to the files of a workdir, and mirrors the metrics when asked.

    Of several processes the first one writes; any may say why the run failed.
    """

    def __init__(self, workdir: Path, config: Mapping[str, Any]):
        """Raises ConfigError if the workdir holds a run with other settings; changes nothing."""
        self.workdir, self.config = workdir, redact(config)
        _agree(workdir / "config.json", self.config)
        self.ended = self._ended()
        self.facts = json.loads((workdir / "run.json").read_text()) if (workdir / "run.json").exists() else {}
        self._mirrors: Mirrors | None = None
        self._start = time.monotonic()

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Writes what runs, and starts the mirrors."""
        if not is_first():
            return
        with writing(self.workdir):
            self.workdir.mkdir(parents=True, exist_ok=True)
            for name in _END:
                (self.workdir / name).unlink(missing_ok=True)
        write_json(self.workdir / "config.json", self.config)
        write_json(self.workdir / "run.json", environment() | dict(facts))
        self._mirrors = Mirrors(self.workdir, self.config)

    def resume(self, step: int) -> set[str]:
        """Forgets what will be written again: lines after `step`, a last one that was cut, an evaluation that was cut.

        What `prefjax eval` added of that step is kept.

        Returns:
          The names of the evaluations of that step that the record holds.
        """
        rows = {name: self._rows(name, step) for name in _LINES}
        if not step:  # it starts again
            rows["metrics.jsonl"], rows["timing.jsonl"] = [], []
        last = [key for row in rows["metrics.jsonl"] if row["step"] == step for key in row]
        evaluated = {key.split("/")[1] for key in last if key.startswith("eval/")}
        cut = {name for name, call in self.config["evals"].items() if call} - evaluated
        whole = lambda row: row["step"] < step or row.get("eval") not in cut
        rows["samples.jsonl"] = [row for row in rows["samples.jsonl"] if whole(row)]
        rows["alarms.jsonl"] = [row for row in rows["alarms.jsonl"] if row["step"] < step]  # raised again from eval/
        for name, kept in rows.items() if is_first() else ():
            if (self.workdir / name).exists():
                write(self.workdir / name, "".join(map(_line, kept)))
        if self._mirrors:
            self._mirrors.retell(rows["metrics.jsonl"])
        if 0 < step < self.config["steps"]:
            self._append("timing.jsonl", {"step": step, "elapsed": self._elapsed(), "resumed": True})
        return evaluated

    def metrics(self, step: int, values: Mapping[str, float], *, seconds: float | None = None) -> None:
        """One line of numbers, and one of clock."""
        self._append("metrics.jsonl", {"step": step, **values})
        clock = {} if seconds is None else {"seconds": round(seconds, 6)}
        self._append("timing.jsonl", {"step": step, "elapsed": self._elapsed(), **clock})
        if self._mirrors:
            self._mirrors.log(step, values)

    def _elapsed(self) -> float:
        """Seconds since the process began with the record."""
        return round(time.monotonic() - self._start, 3)

    def samples(self, step: int, rows: list[dict[str, Any]]) -> None:
        """Completions, a line each."""
        for row in rows:
            self._append("samples.jsonl", {"step": step, **row})

    def alarms(self, step: int, rows: list[dict[str, Any]]) -> None:
        """What went wrong, a line each."""
        for row in rows:
            self._append("alarms.jsonl", {"step": step, **row})

    def close(self, failure: BaseException | None = None, **result: Any) -> None:
        """Marks the run as done, with its result, or as interrupted or failed, with the reason."""
        done, failed, interrupted = (self.workdir / name for name in _END)
        if failure is not None:
            reason = {"error": type(failure).__name__, "message": redact(str(failure))}
            with contextlib.suppress(DiskError):  # the failure may be that nothing can be written
                write_json(interrupted if isinstance(failure, KeyboardInterrupt) else failed, reason)
        elif is_first():
            write_json(done, result)
        if self._mirrors:
            self._mirrors.close(failure is None)

    def _ended(self) -> dict[str, Any] | None:
        """How the budget ended a run with the very same settings, which then has nothing left to do."""
        done, config = self.workdir / "DONE", self.workdir / "config.json"
        if not (done.exists() and config.exists()) or flatten(json.loads(config.read_text())) != flatten(self.config):
            return None
        return json.loads(done.read_text()).get("stopped")

    def _append(self, name: str, row: Mapping[str, Any]) -> None:
        if is_first():
            with writing(self.workdir / name), (self.workdir / name).open("a") as file:
                file.write(_line(row))

    def _rows(self, name: str, step: int) -> list[dict[str, Any]]:
        """The whole lines of a file up to a step."""
        path = self.workdir / name
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        return [row for line in lines if (row := json.loads(line))["step"] <= step]


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


class Meter:
    """Means of a step's metrics over an interval, fetched an interval late, so that the loop never waits for a step.

    `watch`, if there is one, sees the numbers of every step, and is waited for at the first. `records_at`, if it is
    given, says of which records the batch of a step was made.
    """

    def __init__(
        self,
        record: Record,
        watch: Callable[[dict[str, float]], None] | None = None,
        records_at: Callable[[int], Iterable[int]] | None = None,
    ):
        self._record, self._watch, self._records_at, self._started = record, watch, records_at, False
        self._late: list[tuple[int, dict[str, Any]]] = []
        self._new: list[tuple[int, dict[str, Any]]] = []
        self._cut: dict[str, Mean] | None = None  # the sums of an interval that an interruption cut in two
        self._clock = time.perf_counter()

    def add(self, step: int, metrics: dict[str, Any]) -> None:
        """Keeps a step's metrics, without waiting for them."""
        self._new.append((step, metrics))
        if self._watch and not self._started:
            self._watch(_values(jax.device_get(metrics)))
        self._started = True

    def turn(self, seconds: float | None = None) -> dict[str, float]:
        """Ends an interval; records the one before it, and returns its means.

        Args:
          seconds: what a step of that interval took; by default the time since the last record, shared by its steps.

        Raises:
          NonFiniteError: a loss or gradient of that interval was NaN or infinite.
        """
        steps, self._late, self._new = self._late, self._new, []
        if not steps:
            return {}
        sums = self._sum(steps)
        values = _values(sums)
        now = time.perf_counter()
        self._record.metrics(steps[-1][0], values, seconds=seconds or (now - self._clock) / len(steps))
        self._clock = now
        return values

    def _sum(self, steps: list[tuple[int, dict[str, Any]]]) -> dict[str, Mean]:
        fetched = jax.device_get([metrics for _, metrics in steps])
        for (step, _), metrics in zip(steps, fetched, strict=True):
            finite = metrics.pop("finite")
            if finite.total < finite.weight:
                wrong = [name for name, mean in metrics.items() if not np.isfinite(mean.total)]
                batch = ""
                if self._records_at:
                    batch = f" on records {', '.join(map(str, self._records_at(step)))} of the source, counted from 0"
                raise NonFiniteError(
                    f"step {step}: {', '.join(wrong)} not finite{batch}; the step was left out, and the run ends here: "
                    "lower optim.lr, or start again from the last checkpoint"
                )
            if self._watch:
                self._watch(_values(metrics))
        before, self._cut = [self._cut] if self._cut else [], None
        return functools.reduce(merge, before + fetched)

    def pause(self) -> dict[str, Any]:
        """Records the intervals that have ended, and returns the sums of the one that has not, for `resume`."""
        self.turn()
        if self._late:
            self._cut, self._late = self._sum(self._late), []
        return {name: [float(mean.total), float(mean.weight)] for name, mean in (self._cut or {}).items()}

    def resume(self, cut: dict[str, Any] | None) -> None:
        """Goes on with an interval as if it had never been cut."""
        number: Any = np.float32
        self._cut = {name: Mean(*map(number, sums)) for name, sums in (cut or {}).items()} or None

    def flush(self) -> None:
        """Waits for all that was added, and records it."""
        jax.block_until_ready((self._late, self._new))
        each = (time.perf_counter() - self._clock) / max(len(self._late) + len(self._new), 1)
        self.turn(each)
        self.turn(each)

    def skip(self) -> None:
        """Leaves the time since the last record out of the clock: it was no training."""
        self._clock = time.perf_counter()


def _values(means: Mapping[str, Mean]) -> dict[str, float]:
    return {f"train/{name}": float(mean.total) / (float(mean.weight) or 1.0) for name, mean in means.items()}


@contextlib.contextmanager
def progress(first: int, total: int, what: str = "steps") -> Generator[Callable[[int, Mapping[str, float]], None]]:
    """A progress bar with an estimate of the time left, on standard error; yields `advance(step, values)`."""
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), "{task.fields[note]}")
    with Progress(*columns, console=Console(stderr=True, quiet=not is_first())) as bar:
        task = bar.add_task(what, total=total, completed=first, note="")

        def advance(step: int, values: Mapping[str, float]) -> None:
            note = f"loss {values['train/loss']:.4f}" if "train/loss" in values else ""
            bar.update(task, completed=step, note=note)

        yield advance


def environment() -> dict[str, Any]:
    """What ran: command, versions, devices, and the commit of the working folder when it is a git checkout."""
    commit = _git("rev-parse", "HEAD")
    return {
        "argv": redact(sys.argv),
        "versions": {"prefjax": __version__, "python": platform.python_version()} | {n: version(n) for n in PACKAGES},
        "devices": [str(device) for device in jax.devices()],
        "git": commit,
        "git_dirty": None if commit is None else bool(_git("status", "--porcelain")),
    }


def _git(*words: str) -> str | None:
    """What git says of the working folder; None without git, or outside of a checkout."""
    if not shutil.which("git"):
        return None
    done = subprocess.run(["git", *words], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def _resumable(setting: str) -> bool:
    return setting in RESUMABLE or setting.startswith("budget.")


def _agree(path: Path, config: Mapping[str, Any]) -> None:
    """Raises ConfigError unless a run already in the workdir had these settings, cadence and length apart."""
    if not path.exists():
        return
    old, new = flatten(json.loads(path.read_text())), flatten(config)
    changed = [k for k in sorted(old.keys() | new.keys()) if old.get(k) != new.get(k) and not _resumable(k)]
    if changed:
        diff = "\n".join(f"  {k}: {old.get(k)!r} there, {new.get(k)!r} asked for" for k in changed)
        raise ConfigError(f"{path.parent} holds a run with other settings; use another workdir, or mend\n{diff}")
