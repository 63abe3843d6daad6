"""The evaluations of a run, as files `eval/<step>.json` of its workdir.

    {"step": 40, "evals": {name: {metric: {"mean", "low", "high", "n", "slices"}}}, "train": {metric: mean}, "over": []}

`evals` is what `prefjax.evals.summary` makes; `train` are the means of training since the evaluation before; `over`
names the limits of the budget that the step is over; `calls`, if any, are the call strings of evaluations that
`prefjax eval --eval NAME=CALL` added.
"""

import json
import math
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
    entry["train"] = entry.get("train") or _trained(workdir, step)
    with files.writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    known = {name: call for name, call in entry.get("calls", {}).items() if name not in evals} | (calls or {})
    files.write_json(file, entry | {"evals": entry["evals"] | evals} | ({"calls": known} if known else {}))


def mark(workdir: Path, step: int, over: list[str]) -> None:
    """Adds to the file of a step which limits of the budget it is over."""
    file = path(workdir, step)
    files.write_json(file, json.loads(file.read_text()) | {"over": over})


def read(workdir: Path, last: int | None = None) -> list[Entry]:
    """The files in the order of their steps, up to step `last`."""
    found = [(int(file.stem), file) for file in (workdir / FOLDER).glob("*.json") if file.stem.isdigit()]
    return [json.loads(file.read_text()) for step, file in sorted(found) if last is None or step <= last]


def _trained(workdir: Path, step: int) -> dict[str, float]:
    """The means of what metrics.jsonl says of training from the last evaluation before `step` up to it."""
    file = workdir / "metrics.jsonl"
    before = max((entry["step"] for entry in read(workdir, step - 1)), default=-1)
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    values: dict[str, list[float]] = {}
    for line in lines:
        for name, value in line.items() if before < line["step"] <= step else ():
            if name.startswith("train/"):
                values.setdefault(name.removeprefix("train/"), []).append(value)
    return {name: math.fsum(found) / len(found) for name, found in values.items()}


def forget(workdir: Path, step: int, whole: set[str]) -> None:
    """Removes what a run that resumes at `step` will write again: later files, and at `step` all but `whole`."""
    for entry in read(workdir) if is_first() else ():
        kept = {name: summary for name, summary in entry["evals"].items() if name in whole}
        if entry["step"] > step or (entry["step"] == step and not kept):
            path(workdir, entry["step"]).unlink()
        elif entry["step"] == step:
            files.write_json(path(workdir, step), entry | {"evals": kept})
