"""Reward models and policies on real preferences: rankings, grades, votes and a rule, each against its plain form.

python -m experiments.real [--workdir=runs/real] [--only=TEXT] [--most=N]

The same command goes on where it was cut: an arm that results.jsonl has is not run again.
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

from experiments.real import points, recipes, tables  # noqa: E402  (memory is kept: jax starts threads)
from prefjax import interrupt, sweep  # noqa: E402
from prefjax.errors import Interrupted, NonFiniteError  # noqa: E402


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.real", description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, default=Path("runs/real"))
    parser.add_argument("--only", default="", help="arms whose 'study: name' has this text; 'none' for the table alone")
    parser.add_argument("--most", type=int, default=1000, help="arms in this call; the next one goes on")
    options = parser.parse_args(argv)
    logging.getLogger("prefjax.budget").setLevel(logging.ERROR)  # how far runs drift is what is measured
    results = options.workdir / "results.jsonl"
    try:
        with interrupt.handled():
            for arm in left(options.only, read(results))[: options.most]:
                print(f"--- {title(arm)}", flush=True)
                row = run(arm, options.workdir)
                with results.open("a") as lines:
                    lines.write(json.dumps(row) + "\n")
    except (Interrupted, NonFiniteError) as error:
        print(error, file=sys.stderr)
        return error.exit_code
    tell(options.workdir, read(results))
    return 0


def title(arm: recipes.Arm) -> str:
    return f"{arm.study}: {arm.name}"


def left(only: str, rows: Sequence[dict[str, Any]]) -> list[recipes.Arm]:
    """The arms that have no line yet, of those whose title has the text `only`."""
    there = {(row["study"], row["arm"]) for row in rows}
    return [arm for arm in recipes.ARMS if only in title(arm) and (arm.study, arm.name) not in there]


def run(arm: recipes.Arm, workdir: Path) -> dict[str, Any]:
    """Trains an arm; its line of results.jsonl.

    Raises:
      NonFiniteError: a run of it became NaN or infinite, so that some folds have no result.
    """
    runs, folder = recipes.runs(arm), workdir / "runs" / "".join(c if c.isalnum() else "-" for c in title(arm))
    begun = time.process_time()
    sweep.train(runs, folder, say=lambda words: print(words, flush=True))
    seconds = round(time.process_time() - begun, 1)
    if lost := [run.changes for run in runs if sweep.over(run, folder) == "not finite"]:
        raise NonFiniteError(f"{title(arm)}: {len(lost)} of {len(runs)} runs became NaN or infinite, such as {lost[0]}")
    return {"study": arm.study, "arm": arm.name, "seconds": seconds, "points": points.read(runs, folder)}


def read(results: Path) -> list[dict[str, Any]]:
    """The lines of results.jsonl in the order of `recipes.ARMS`; others are left out."""
    lines = results.read_text().splitlines() if results.exists() else []
    found = {(row["study"], row["arm"]): row for row in map(json.loads, lines)}
    return [found[arm.study, arm.name] for arm in recipes.ARMS if (arm.study, arm.name) in found]


def tell(workdir: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes table.md of what is there, and says what is missing."""
    if not rows:
        print("No arm has been run yet.")
        return
    text = tables.table(rows)
    (workdir / "table.md").write_text(text)
    print(text, end="")
    if missing := left("", rows):
        print(f"missing: {'; '.join(map(title, missing))}")


if __name__ == "__main__":
    sys.exit(main())
