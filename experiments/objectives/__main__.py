"""Every objective side by side on the desk world, each at the point of its runs nearest to one KL.

python -m experiments.objectives [--workdir=runs/objectives] [--only=TEXT] [--most=N] [--kl=2]

The same command goes on where it was cut: an objective that results.jsonl has is not run again.
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefjax import host

host.keep_memory()

from experiments.objectives import figures, points, recipes, tables  # noqa: E402  (memory is kept: jax starts threads)
from prefjax import interrupt, sweep  # noqa: E402
from prefjax.errors import Interrupted  # noqa: E402
from prefjax.train import train  # noqa: E402

KL = 2.0  # nats from the SFT model at which the table compares


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.objectives", description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, default=Path("runs/objectives"))
    parser.add_argument(
        "--only", default="", help="an objective, or those whose name has this text; 'none' for the tables alone"
    )
    parser.add_argument("--most", type=int, default=1000, help="objectives in this call; the next one goes on")
    parser.add_argument("--kl", type=float, default=KL, help="nats from the SFT model at which the table compares")
    options = parser.parse_args(argv)
    logging.getLogger("prefjax.budget").setLevel(logging.ERROR)  # how far runs drift is what is measured
    results = options.workdir / "results.jsonl"
    to_do = left(options.only, read(results))[: options.most]
    try:
        with interrupt.handled():
            for name, config in recipes.base_models(options.workdir).items() if to_do else ():
                if not (options.workdir / name / "DONE").exists():
                    train(config, options.workdir / name)
            for objective in to_do:
                print(f"--- {objective.name}", flush=True)
                row = run(objective, options.workdir)
                with results.open("a") as lines:
                    lines.write(json.dumps(row) + "\n")
    except Interrupted as signal:
        print(signal, file=sys.stderr)
        return signal.exit_code
    tell(options.workdir, read(results), options.kl)
    return 0


def left(only: str, rows: Sequence[dict[str, Any]]) -> list[recipes.Objective]:
    """The objectives that have no line yet: the one of the name `only`, or those whose name has that text."""
    there = {row["objective"] for row in rows}
    named = [o for o in recipes.OBJECTIVES if o.name == only] or [o for o in recipes.OBJECTIVES if only in o.name]
    return [objective for objective in named if objective.name not in there]


def run(objective: recipes.Objective, workdir: Path, study: recipes.Study = recipes.STUDY) -> dict[str, Any]:
    """Trains an objective; its line of results.jsonl."""
    runs, folder = recipes.runs(objective, workdir, study), workdir / "runs" / folder_of(objective.name)
    begun = time.process_time()
    sweep.train(runs, folder, say=lambda words: print(words, flush=True))
    seconds = time.process_time() - begun
    lost = [run.changes for run in runs if sweep.over(run, folder) == "not finite"]
    told = ", ".join(f"{objective.axis} {changes[objective.axis]:g}, seed {changes['seed']}" for changes in lost)
    found = points.read(runs, folder, objective.axis)
    return {"objective": objective.name, "axis": objective.axis} | {
        "seconds": round(seconds, 1),
        "failed": told,
        "points": found,
    }


def folder_of(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)


def read(results: Path) -> list[dict[str, Any]]:
    """The lines of results.jsonl in the order of `recipes.OBJECTIVES`, with their families; others are left out."""
    lines = results.read_text().splitlines() if results.exists() else []
    found = {row["objective"]: row for row in map(json.loads, lines)}
    return [found[o.name] | {"family": o.family} for o in recipes.OBJECTIVES if o.name in found]


def tell(workdir: Path, rows: Sequence[dict[str, Any]], kl: float) -> None:
    """Writes table.md and the figure of what is there, and says what is missing."""
    if not rows:
        print("No objective has been run yet.")
        return
    text = tables.table(rows, kl)
    (workdir / "table.md").write_text(text)
    print(text, end="")
    try:
        figures.draw(workdir / "fig.png", rows)
    except ModuleNotFoundError:
        print("No figure: matplotlib is missing (pip install 'prefjax[plots]').", file=sys.stderr)
    if missing := left("", rows):
        print(f"missing: {'; '.join(objective.name for objective in missing)}")


if __name__ == "__main__":
    sys.exit(main())
