"""Sweeps: the runs that axes over the settings of a config span, and which of them are one program."""

import contextlib
import hashlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from prefjax import axes, engines, files, processes
from prefjax.axes import Axis
from prefjax.config import flatten, numbers
from prefjax.errors import ConfigError, SweepError
from prefjax.log import RESUMABLE
from prefjax.resolve import nearest, parse, resolve
from prefjax.sums import changed, paths, terms

_log = logging.getLogger(__name__)
_CALLS = ("loss", "value_loss", "reference", "optim.tx", "optim.schedule")  # settings whose numbers are traced


class Run(NamedTuple):
    """One run of a sweep."""

    name: str  # of its workdir: the hash of its config
    changes: dict[str, Any]  # path -> value, of the axes
    config: ConfigDict


def runs(config: ConfigDict, over: Sequence[Axis], *, zipped: bool = False, draws: int = 0, seed: int = 0) -> list[Run]:
    """The runs that axes span.

    Args:
      config: where they do not say otherwise.
      over: the axes.
      zipped, draws, seed: as `axes.points` takes them.

    Raises:
      ConfigError: an axis names no setting, two runs are the same, or the axes do not fit together.
    """
    spanned = axes.points(over, zipped=zipped, draws=draws, seed=seed)
    found = [_run(config, point) for point in spanned]
    names = [run.name for run in found]
    for run in found:
        if names.count(run.name) > 1:
            raise ConfigError(f"two runs of the sweep are the same: {run.changes}")
    return found


def train(
    found: Sequence[Run],
    workdir: Path,
    *,
    engine: str = "here",
    limit: float | None = None,
    say: Callable[[str], None] = _log.info,
) -> None:
    """Trains the runs of a sweep, each in the folder of its name, those of one program together.

    Runs that are finished are left alone, and so are those that ended with numbers that are not finite. A program that
    fails ends no other one.

    Args:
      found: the runs.
      workdir: folder of the sweep; sweep.json there says which run is which, and which were one program.
      engine: a call of `prefjax.engines`.
      limit: bytes of a device that a program may take, on a CPU of the process, by default what a device has; of one
        that takes more the runs are trained half after half.
      say: is told how much memory each program takes, and where it runs.

    Raises:
      ConfigError: there is no such engine.
      SweepError: some of the `programs` failed; the message has them all.
      Interrupted: a signal arrived; the same call goes on from there.
    """
    start, parts = resolve(engine, "prefjax.engines")(), programs(found, workdir)
    ended = set(processes.told([run.name for run in found if over(run, workdir)]))
    if processes.is_first():
        with files.writing(workdir):
            workdir.mkdir(parents=True, exist_ok=True)
        known = _table(workdir)
        rows = {row["name"]: row for row in known["runs"]}
        rows |= {run.name: {"name": run.name, "changes": run.changes} for run in found}
        names = [[run.name for run in part] for part in parts]
        names = [part for part in known["programs"] if part not in names] + names
        files.write_json(workdir / "sweep.json", {"runs": list(rows.values()), "programs": names})
    to_do = [index for index, part in enumerate(parts) if not ended.issuperset(run.name for run in part)]
    tasks = [_task(f"program {index + 1}", parts[index], workdir, ended, limit) for index in to_do]
    if not tasks:
        return
    with contextlib.closing(start(tasks, workdir, say)) as ends:
        failed = sorted((index, failure) for index, failure in ends if failure)
    if failed:
        told = (f"{tasks[index].name}: {failure.message}" for index, failure in failed)
        raise SweepError("\n".join(told), failed[0][1].code)


def programs(found: Sequence[Run], workdir: Path) -> list[list[Run]]:
    """The programs of a sweep: those that sweep.json tells of where all their runs are asked for, then new groups.

    A program is kept as it was, with runs that have ended since: one of other runs would give other last digits.
    """
    left, kept = {run.name: run for run in found}, []
    for names in processes.told(_table(workdir)["programs"]):
        if all(name in left for name in names):
            kept.append([left.pop(name) for name in names])
    return [*kept, *groups(left.values())]


def _table(workdir: Path) -> dict[str, list[Any]]:
    """What sweep.json says."""
    table = workdir / "sweep.json"
    return {"runs": [], "programs": []} | (json.loads(table.read_text()) if table.exists() else {})


def _task(name: str, part: Sequence[Run], workdir: Path, ended: set[str], limit: float | None) -> engines.Task:
    configs, folders = [run.config.to_dict() for run in part], [str(workdir / run.name) for run in part]
    return engines.Task(name, configs, folders, [run.name in ended for run in part], limit, os.getcwd(), sys.argv)


def over(run: Run, workdir: Path) -> str:
    """How a run of the sweep ended for good: "done" or "not finite"; empty where it may go on."""
    done, failed = (workdir / run.name / name for name in ("DONE", "FAILED.json"))
    if done.exists():
        end = json.loads(done.read_text())
        return "done" if end["step"] >= run.config.steps or "stopped" in end else ""
    return "not finite" if failed.exists() and json.loads(failed.read_text())["error"] == "NonFiniteError" else ""


def groups(found: Iterable[Run]) -> list[list[Run]]:
    """The runs by the program they are: those of one differ in seeds and in traced numbers alone.

    A number that is 0 in one run and not in another may switch something off, so these are two programs.
    """
    by_program: dict[str, list[Run]] = {}
    for run in found:
        by_program.setdefault(json.dumps(_static(run.config), sort_keys=True), []).append(run)
    return list(by_program.values())


def name(config: Mapping[str, Any]) -> str:
    """The hash of what a run is: of its settings but for cadence and length."""
    settings = {path: value for path, value in flatten(config).items() if path not in RESUMABLE}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def change(config: ConfigDict, path: str, value: Any) -> None:
    """Sets a setting, or a keyword of the call string in one: `loss.beta`.

    Raises:
      ConfigError: there is no such setting, or the value is of another type.
    """
    place: Any = config
    *parents, leaf = path.split(".")
    for depth, key in enumerate(parents):
        if not isinstance(place, ConfigDict) or key not in place:
            raise ConfigError(f"no setting config.{path}; {nearest(key, place.keys())}")
        if isinstance(place[key], str):  # a call string, or a sum; what is left of the path is a keyword in it
            inside = ".".join(path.split(".")[depth + 1 :])
            try:
                place[key] = changed(place[key], inside, value)
            except ConfigError as error:
                raise ConfigError(f"no setting config.{path}: {error}") from None
            return
        place = place[key]
    if leaf not in place:
        raise ConfigError(f"no setting config.{path}; {nearest(leaf, place.keys())}")
    value = float(value) if isinstance(place[leaf], float) and type(value) is int else value
    try:
        place[leaf] = value
    except (TypeError, ValueError) as error:
        raise ConfigError(f"--axis {path}: {error}") from None


def _run(config: ConfigDict, changes: dict[str, Any]) -> Run:
    own = ConfigDict(config.to_dict())
    for path, value in changes.items():
        change(own, path, value)
    own.lock()
    return Run(name(own.to_dict()), changes, own)


def _static(config: ConfigDict) -> dict[str, Any]:
    """What a program is compiled for: the settings with every traced number as whether it is 0."""
    traced, flat = numbers(config), flatten(config.to_dict())
    flat |= {path: number != 0 for path, number in traced.items()}
    for path in _CALLS:
        if isinstance(flat.get(path), str) and "(" in flat[path]:
            calls = {name: parse(call) for name, (_, call) in terms(flat[path]).items()}
            for inside, (name, keyword) in paths(flat[path]).items():
                if f"{path}.{inside}" in traced:
                    calls[name][1].pop(keyword, None)
            flat[path] = list(calls.values())
    return {path: value for path, value in flat.items() if path != "seed"}
