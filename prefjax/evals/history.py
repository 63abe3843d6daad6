"""The evaluations of a run, as files `eval/<step>.json` of its workdir.

    {"step": 40, "evals": {name: {metric: {"mean", "low", "high", "n", "slices"}}}, "train": {metric: mean},
     "over": [], "left": {"kl": 8.5}}

`evals` is what `prefjax.evals.summary` makes; `train` are the means of training since the evaluation before; `over`
names the limits of the budget that the step is over, and `left` says how many nats of it are left; `calls`, if any, are
the call strings of evaluations that `prefjax eval --eval NAME=CALL` added.
"""

import json
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

from prefjax import files
from prefjax.evals.summary import Summary
from prefjax.processes import is_first

FOLDER = "eval"
Entry = dict[str, Any]


def path(workdir: Path, step: int) -> Path:
    return workdir / FOLDER / f"{step}.json"


def add(workdir: Path, step: int, evals: dict[str, Summary], calls: dict[str, str] | None = None) -> None:
    """Writes summaries into the file of a step, beside those that are there; of several processes the first does.

    Args:
      workdir: of the run.
      step: of the state that was evaluated.
      evals: name -> summary.
      calls: name -> call string, of those that are not the config's.
    """
    if not is_first():
        return
    file = path(workdir, step)
    entry: Entry = json.loads(file.read_text()) if file.exists() else {"step": step, "evals": {}}
    if "train" not in entry:
        entry["train"] = _trained(workdir, step)
    with files.writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    known = {name: call for name, call in entry.get("calls", {}).items() if name not in evals}
    known |= files.redact(calls or {})  # as the config is written
    files.write_json(file, entry | {"evals": entry["evals"] | evals} | ({"calls": known} if known else {}))


def mark(workdir: Path, step: int, over: list[str], left: dict[str, float]) -> None:
    """Adds to the file of a step which limits of the budget it is over, and what is left."""
    file = path(workdir, step)
    files.write_json(file, json.loads(file.read_text()) | {"over": over, "left": left})


def read(workdir: Path, last: int | None = None) -> list[Entry]:
    """The files in the order of their steps, up to step `last`."""
    return [json.loads(path(workdir, step).read_text()) for step in steps(workdir) if last is None or step <= last]


def steps(workdir: Path) -> list[int]:
    """Those that have a file, in order."""
    return sorted(int(file.stem) for file in (workdir / FOLDER).glob("*.json") if file.stem.isdigit())


def _trained(workdir: Path, step: int) -> dict[str, float]:
    """The means of what metrics.jsonl says of training from the last evaluation before `step` up to it."""
    file = workdir / "metrics.jsonl"
    before = max((at for at in steps(workdir) if at < step), default=-1)
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    values: dict[str, list[float]] = {}
    for line in lines:
        for name, value in line.items() if before < line["step"] <= step else ():
            if name.startswith("train/"):
                values.setdefault(name.removeprefix("train/"), []).append(value)
    return {name: math.fsum(found) / len(found) for name, found in values.items()}


def forget(workdir: Path, step: int, cut: Collection[str]) -> None:
    """Removes what a run that resumes at `step` will write again: later files, and at `step` the evaluations `cut`."""
    for at in steps(workdir) if is_first() else ():
        file = path(workdir, at)
        entry = json.loads(file.read_text()) if at == step else {"evals": {}}
        kept = {name: summary for name, summary in entry["evals"].items() if name not in cut}
        if at == step and kept:
            files.write_json(file, entry | {"evals": kept})
        elif at >= step:
            file.unlink()
