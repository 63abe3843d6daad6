"""Sweeps: the runs that axes over the settings of a config span, and which of them are one program.

loss.beta=0.05,0.1,1       three values: of a setting, or of a number in a call string
seed=0..3                  whole numbers, both ends included
optim.lr=log(1e-6,1e-4)    drawn, logarithmically or by uniform(a,b): with `draws`
"""

import ast
import hashlib
import itertools
import json
import logging
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from prefjax import files, together
from prefjax.config import flatten, numbers
from prefjax.errors import ConfigError
from prefjax.log import RESUMABLE
from prefjax.resolve import nearest, parse
from prefjax.sums import changed, paths, terms

_log = logging.getLogger(__name__)
_CALLS = ("loss", "value_loss", "reference", "optim.tx", "optim.schedule")  # settings whose numbers are traced


class Axis(NamedTuple):
    """What a setting takes in a sweep: one value after another, or one drawn from a range."""

    path: str
    values: tuple[Any, ...] = ()
    law: str = ""  # "log" or "uniform"
    range: tuple[float, float] = (0.0, 0.0)


class Run(NamedTuple):
    """One run of a sweep."""

    name: str  # of its workdir: the hash of its config
    changes: dict[str, Any]  # path -> value, of the axes
    config: ConfigDict


def axis(text: str) -> Axis:
    """Reads an axis, `PATH=VALUES` as above; raises ConfigError for what is none."""
    path, _, values = text.partition("=")
    if not path or not values:
        raise ConfigError(f"--axis {text!r}: expected PATH=VALUES, such as loss.beta=0.1,0.5")
    if match := re.fullmatch(r"(-?\d+)\.\.(-?\d+)", values):
        first, last = map(int, match.groups())
        if first > last:
            raise ConfigError(f"--axis {text!r}: the range is empty; it should go up")
        return Axis(path, tuple(range(first, last + 1)))
    if match := re.fullmatch(r"(log|uniform)\(([^,]+),([^,]+)\)", values):
        low, high = (_literal(part) for part in match.groups()[1:])
        ends = all(isinstance(x, int | float) for x in (low, high))
        if not ends or low >= high or (match[1] == "log" and low <= 0):
            raise ConfigError(f"--axis {text!r}: expected {match[1]}(LOW,HIGH) with LOW < HIGH, and LOW > 0 for log")
        return Axis(path, law=match[1], range=(float(low), float(high)))
    return Axis(path, tuple(_literal(part) for part in _split(values)))


def runs(config: ConfigDict, axes: Sequence[Axis], *, zipped: bool = False, draws: int = 0, seed: int = 0) -> list[Run]:
    """The runs that axes span.

    Args:
      config: where they do not say otherwise.
      axes: of the sweep.
      zipped: the first values of all axes together, then the second ones, ...; by default every combination.
      draws: how many points are drawn, with axes of values drawn from as well; 0: none.
      seed: of the draws.

    Raises:
      ConfigError: an axis names no setting, two runs are the same, or the axes do not fit together.
    """
    paths = [axis.path for axis in axes]
    if len(set(paths)) < len(paths):
        raise ConfigError(f"--axis {next(path for path in paths if paths.count(path) > 1)} is given twice")
    drawn = [axis.path for axis in axes if axis.law]
    if drawn and not draws:
        raise ConfigError(f"--axis {drawn[0]} is a range to draw from; say how many points with --draws=N")
    if draws:
        rng = np.random.default_rng(seed)
        points = [[_draw(rng, axis) for axis in axes] for _ in range(draws)]
    elif zipped:
        counts = {axis.path: len(axis.values) for axis in axes}
        if len(set(counts.values())) > 1:
            raise ConfigError(f"--zip takes axes of one length; they have {counts}")
        points = list(map(list, zip(*(axis.values for axis in axes), strict=True)))
    else:
        points = list(map(list, itertools.product(*(axis.values for axis in axes))))
    found = [_run(config, dict(zip(paths, point, strict=True))) for point in points]
    names = [run.name for run in found]
    for run in found:
        if names.count(run.name) > 1:
            raise ConfigError(f"two runs of the sweep are the same: {run.changes}")
    return found


def train(
    found: Sequence[Run], workdir: Path, *, limit: float = math.inf, say: Callable[[str], None] = _log.info
) -> list[list[Run]]:
    """Trains the runs of a sweep, each in the folder of its name, those of one program together.

    Runs that are finished are left alone, and so are those that ended with numbers that are not finite.

    Args:
      found: the runs.
      workdir: folder of the sweep; sweep.json there says which run is which.
      limit: bytes of a device that a program may take, by the compiler's account; of one that takes more the runs are
        trained half after half.
      say: is told how much memory each program takes.

    Returns:
      The runs that became programs, by program.

    Raises:
      PrefjaxError, Interrupted: as `prefjax.together.train`; the same call goes on from there.
    """
    table = workdir / "sweep.json"
    known = json.loads(table.read_text())["runs"] if table.exists() else []
    rows = {row["name"]: row for row in known} | {run.name: {"name": run.name, "changes": run.changes} for run in found}
    with files.writing(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        files.write_json(table, {"runs": list(rows.values())})
    trained = []
    for group in groups(run for run in found if not over(run, workdir)):
        while group:
            configs, folders = [run.config for run in group], [workdir / run.name for run in group]
            count = together.train(configs, folders, limit=limit, say=say)
            trained.append(group[:count])
            group = group[count:]
    return trained


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


def _draw(rng: np.random.Generator, axis: Axis) -> Any:
    low, high = axis.range
    if axis.law == "log":
        return float(f"{math.exp(rng.uniform(math.log(low), math.log(high))):.6g}")
    return float(f"{rng.uniform(low, high):.6g}") if axis.law else axis.values[rng.integers(len(axis.values))]


def _split(text: str) -> list[str]:
    """The parts between commas that stand in no bracket and no quotes."""
    bracketed = r"\([^)]*\)|\[[^\]]*\]|'[^']*'|\"[^\"]*\""
    return re.findall(rf"(?:{bracketed}|[^,])+", text)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return text.strip()
