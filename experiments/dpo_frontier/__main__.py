"""The reward-KL frontier of controlled sentiment (Rafailov et al. 2023, figure 2 left), from scratch on IMDb.

python -m experiments.dpo_frontier [--profile=cpu|gpu|tiny] [--check] [--minutes=M] [--only=TEXT] [--workdir=DIR]

The same command goes on where it was cut; with --minutes it cuts itself, and exits with 143 while something is left.
"""

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from prefjax import host

host.keep_memory()

import numpy as np  # noqa: E402  (after the memory is kept: jax starts threads)

from experiments.dpo_frontier import claims, enumerable, figures, points, recipes, stages, tables  # noqa: E402
from prefjax import interrupt  # noqa: E402
from prefjax.errors import Interrupted, PrefjaxError  # noqa: E402
from prefjax.evals.best_of_n import sizes  # noqa: E402


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.dpo_frontier", description=__doc__.splitlines()[0])
    parser.add_argument("--profile", choices=recipes.PROFILES, default="cpu")
    parser.add_argument("--workdir", type=Path, help="by default runs/dpo_frontier/PROFILE")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a claim fails or a run is missing")
    parser.add_argument("--minutes", type=float, default=0, help="stop after so long; the same command goes on")
    parser.add_argument("--only", default="", help="stages whose name has this text; 'none' for the tables alone")
    memory_help = "of a device that a program may take; by default what it has, where it tells"
    parser.add_argument("--memory", type=float, metavar="GIB", help=memory_help)
    options = parser.parse_args(argv)
    p, folder = recipes.PROFILES[options.profile], options.workdir or Path("runs/dpo_frontier") / options.profile
    limit = None if options.memory is None else options.memory * 2**30
    folder.mkdir(parents=True, exist_ok=True)
    clock = threading.Timer(60 * options.minutes, os.kill, (os.getpid(), signal.SIGTERM))
    clock.daemon = True
    if options.minutes:
        clock.start()
    try:
        with interrupt.handled():
            for name, stage in stages.stages(p, folder, limit).items():
                if options.only in name:
                    stages.timed(folder, name, stage)
    except (PrefjaxError, Interrupted) as error:
        print(error, file=sys.stderr)
        print(f"The same command goes on; {folder} holds what is done.", file=sys.stderr)
        return error.exit_code
    finally:
        clock.cancel()
    return conclude(p, folder, options.check)


def conclude(p: recipes.Profile, folder: Path, check: bool) -> int:
    """Writes results.jsonl, table.md and the figure of what is there; the exit code."""
    sweeps = recipes.runs(p, folder)
    missing = [
        f"{method} {run.changes}"
        for method, runs in sweeps.items()
        for run in runs
        if not (folder / method / run.name / "DONE").exists()
    ]
    found = {method: x for method, runs in sweeps.items() if (x := points.read(method, runs, folder / method))}
    if not found:
        print("No run has been measured yet.")
        return int(check)
    drawn = [np.load(path) for path in sorted(folder.glob("best_of_*.npz"))]
    if drawn:
        found[points.BEST] = points.best_of(drawn, sizes(p.n))
    known = folder / "enumerable.json"
    stands = [enumerable.Stand(**row) for row in json.loads(known.read_text())] if known.exists() else []
    told = claims.claims(found, enumerable.excess(stands) if stands else None)
    usual = tables.reference(found)
    rows = [row for x in found.values() for row in points.lines(x, usual)]
    (folder / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = tables.table(told, found, stands, stages.facts(folder), stages.seconds(folder))
    (folder / "table.md").write_text(text)
    print(text, end="")
    try:
        figures.draw(folder / "fig.png", found)
    except ModuleNotFoundError:
        print("No figure: matplotlib is missing (pip install 'prefjax[plots]').", file=sys.stderr)
    for name in missing:
        print(f"missing: {name}")
    judged = [claim for claim in told if claim.passes is not None]
    misses = [claim for claim in judged if not claim.passes]
    print(f"{len(judged) - len(misses)} of {len(judged)} claims hold; {len(missing)} runs are missing; see {folder}.")
    return int(check and bool(misses or missing))


if __name__ == "__main__":
    sys.exit(main())
