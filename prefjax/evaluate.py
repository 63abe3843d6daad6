"""What `prefjax eval` does: evaluations of a checkpoint, in the form in which the run itself records them."""

import contextlib
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from prefjax import checkpoint, files
from prefjax.config import base
from prefjax.errors import ConfigError
from prefjax.evals import history
from prefjax.evals.summary import Summary, summarise
from prefjax.setup import evaluations, setup
from prefjax.train import measured, rows_of, start


def evaluate(options: Any) -> None:
    """Runs the evaluations of a run, or those of `options.evals`, on a checkpoint; prints and writes what they say.

    They go into `eval/<step>.json` of the workdir and their completions into samples.jsonl, unless the run evaluated
    that step: then what it wrote has to be what is found. With `options.out` they go there alone.

    Raises:
      ConfigError: no run is there, it has no evaluations, or its record says something else.
    """
    workdir = Path(options.workdir)
    config, facts = config_of(workdir)
    if options.evals:
        config.evals = options.evals
    if not any(config.evals.values()):
        raise ConfigError(f"{workdir}: the run has no evaluations; give --eval NAME=CALL")
    with contextlib.nullcontext() if options.out else files.locked(workdir):
        run = setup(config, facts.get("frozen"), dry=True)
        like = start(run)
        evals, state = evaluations(run), checkpoint.state(workdir, options.step, like)
        at, found = int(state.step), dict(measured(evals, state, run.frozen))
        told = summarise(found)
        Console().print(table(told, at))
        if options.out:
            with files.writing(Path(options.out)):
                files.write_json(Path(options.out), {"step": at, "evals": told})
            print(f"in {options.out}")
        else:
            record(workdir, at, told, found, options.evals)


def config_of(workdir: Path) -> tuple[Any, dict[str, Any]]:
    """The config of a run as its workdir has it, and the facts beside it."""
    try:
        settings = json.loads((workdir / "config.json").read_text())
        facts = json.loads((workdir / "run.json").read_text())
    except FileNotFoundError as error:
        raise ConfigError(f"{workdir} holds no run: there is no {Path(str(error.filename)).name}") from None
    config = base()  # settings that are newer than the run have their defaults
    config.update(settings)
    return config, facts


def record(
    workdir: Path, at: int, told: dict[str, Summary], found: dict[str, dict[str, Any]], calls: dict[str, str]
) -> None:
    """Adds evaluations, with the call strings that are not the config's; those it has already have to be the same.

    Raises:
      ConfigError: one is there, and says something else.
    """
    file = history.path(workdir, at)
    there = json.loads(file.read_text())["evals"] if file.exists() else {}
    other = [name for name in told if name in there and there[name] != json.loads(json.dumps(told[name]))]
    if other:
        raise ConfigError(f"{file} says something else of {', '.join(other)}; give another name, or --out=FILE")
    new = {name: summary for name, summary in told.items() if name not in there}
    if new:
        samples, rows = workdir / "samples.jsonl", [row for name in new for row in rows_of(name, found[name])]
        whole = samples.read_bytes().rpartition(b"\n") if samples.exists() else (b"", b"", b"")  # a last one was cut
        lines = (json.dumps({"step": at, **row}, ensure_ascii=False) + "\n" for row in rows)
        files.write(samples, b"".join(whole[:2]).decode() + "".join(lines))
        history.add(workdir, at, new, {name: call for name, call in calls.items() if name in new})
    print(f"in {file}" + ("" if new else ", as they were"))


def table(told: dict[str, Summary], at: int) -> Table:
    """The metrics as a person reads them."""
    grid = Table(title=f"Step {at}", caption="95 % intervals, by prompt")
    for heading, side in (("evaluation", "left"), ("metric", "left"), ("mean", "right"), ("interval", "right")):
        grid.add_column(heading, justify=side)
    for name, summary in told.items():
        for metric, own in summary.items():
            known = own["low"] is not None
            interval = f"[{own['low']:.4g}, {own['high']:.4g}]" if known else ""
            grid.add_row(name, metric, f"{own['mean']:.4g}", interval.replace("[", r"\["))
    return grid
