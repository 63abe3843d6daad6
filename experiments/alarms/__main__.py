"""How often alarms are false, and whether they name what is wrong: healthy runs, and runs that are made to fail.

python -m experiments.alarms [--workdir=runs/alarms] [--seeds=20] [--only=TEXT]

The same command goes on where it was cut; runs that are done are not run again.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from prefjax import host

host.keep_memory()

from experiments.alarms import recipes  # noqa: E402  (after the memory is kept: jax starts threads)
from experiments.alarms.tables import tables  # noqa: E402
from prefjax.errors import NonFiniteError, PrefjaxError  # noqa: E402
from prefjax.evals import history  # noqa: E402
from prefjax.train import train  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.alarms", description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, default=Path("runs/alarms"))
    parser.add_argument("--seeds", type=int, default=20, help="healthy runs of each algorithm")
    parser.add_argument("--only", default="", help="runs whose name has this text")
    options = parser.parse_args()
    models, results = options.workdir / "models", options.workdir / "results.jsonl"
    for name, config in (("sft", recipes.base_sft()), ("reward", None)):
        if not (models / name / "DONE").exists():
            train(config or recipes.base_reward(models), models / name)
    done = {row["run"]: row for row in read(results)}
    for name, config in planned(models, options.seeds):
        if name in done or options.only not in name:
            continue
        print(f"--- {name}", flush=True)
        row = {"run": name} | outcome(config, options.workdir / name.replace(" ", "-").replace("/", "-"))
        with results.open("a") as file:
            file.write(json.dumps(row) + "\n")
    text = tables(read(results))
    (options.workdir / "table.md").write_text(text)
    print(text)


def planned(models: Path, seeds: int) -> list[tuple[str, Any]]:
    """Every run by its name, made to fail first."""
    failing = [(name, failure.make(models)) for name, failure in recipes.FAILURES.items()]
    healthy = [(f"healthy {a} {seed}", a, seed) for seed in range(seeds) for a in recipes.HEALTHY]
    return failing + [(name, recipes.HEALTHY[a](models, seed)) for name, a, seed in healthy]


def outcome(config: Any, workdir: Path) -> dict[str, Any]:
    """The first step and the number of evaluations of each alarm, and what the last evaluation measured."""
    failed = ""
    try:
        if not (workdir / "DONE").exists():
            train(config, workdir)
    except (NonFiniteError, PrefjaxError) as error:
        failed = f"{type(error).__name__}: {error}"
    raised: dict[str, list[int]] = {}
    for row in read(workdir / "alarms.jsonl"):
        raised.setdefault(row["name"], []).append(row["step"])
    words = {row["name"]: row["words"] for row in read(workdir / "alarms.jsonl")}
    entries = history.read(workdir)
    last = {m: own["mean"] for found in entries[-1]["evals"].values() for m, own in found.items()}
    return {"alarms": raised, "words": words, "evaluations": len(entries), "steps": config.steps, "last": last} | (
        {"failed": failed} if failed else {}
    )


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


if __name__ == "__main__":
    main()
