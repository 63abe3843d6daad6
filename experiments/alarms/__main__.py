"""How often alarms are false, and whether they name what is wrong: healthy runs, and runs that are made to fail.

python -m experiments.alarms [--workdir=runs/alarms] [--seeds=20] [--only=TEXT] [--most=N]

The same command goes on where it was cut. Alarms are raised again from the records of the runs that are done, so that
the tables are those of the alarms as they are now.
"""

import argparse
import functools
import json
from pathlib import Path
from typing import Any

from prefjax import host

host.keep_memory()

from experiments.alarms import recipes  # noqa: E402  (after the memory is kept: jax starts threads)
from experiments.alarms.tables import tables  # noqa: E402
from prefjax import alarms  # noqa: E402
from prefjax.errors import NonFiniteError  # noqa: E402
from prefjax.evals import history  # noqa: E402
from prefjax.train import train  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.alarms", description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, default=Path("runs/alarms"))
    parser.add_argument("--seeds", type=int, default=20, help="healthy runs of each algorithm")
    parser.add_argument("--only", default="", help="runs whose name has this text; 'none' for the tables alone")
    parser.add_argument("--most", type=int, default=1000, help="runs in this call; the next one goes on")
    options = parser.parse_args()
    models = options.workdir / "models"
    for name, make in (("sft", recipes.base_sft), ("reward", functools.partial(recipes.base_reward, models))):
        if not (models / name / "DONE").exists():
            train(make(), models / name)
    runs = planned(models, options.seeds)
    left = [(name, config) for name, config in runs if options.only in name and not ended(place(options.workdir, name))]
    for name, config in left[: options.most]:
        print(f"--- {name}", flush=True)
        try:
            train(config, place(options.workdir, name))
        except NonFiniteError as error:  # a way to fail as well: FAILED.json says so
            print(error)
    done = [(name, workdir) for name, _ in runs if ended(workdir := place(options.workdir, name))]
    rows = [{"run": name} | outcome(workdir) for name, workdir in done]
    (options.workdir / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (options.workdir / "table.md").write_text(tables(rows))
    print(tables(rows))


def planned(models: Path, seeds: int) -> list[tuple[str, Any]]:
    """Every run by its name, those made to fail first."""
    failing = [(f"failing/{name}", failure.make(models)) for name, failure in recipes.FAILURES.items()]
    healthy = [(f"healthy/{a} {seed}", a, seed) for seed in range(seeds) for a in recipes.HEALTHY]
    return failing + [(name, recipes.HEALTHY[a](models, seed)) for name, a, seed in healthy]


def place(folder: Path, name: str) -> Path:
    kind, _, own = name.partition("/")
    return folder / kind / "".join(c if c.isalnum() else "-" for c in own)


def ended(workdir: Path) -> bool:
    return (workdir / "DONE").exists() or (workdir / "FAILED.json").exists()


def outcome(workdir: Path) -> dict[str, Any]:
    """The steps of each alarm with its last words, and what the last evaluation measured."""
    config, entries = json.loads((workdir / "config.json").read_text()), history.read(workdir)
    rows: dict[int, list[dict[str, Any]]] = {}
    for line in (workdir / "samples.jsonl").read_text().splitlines():
        row = json.loads(line)
        rows.setdefault(row["step"], []).append(row)
    raised: dict[str, list[int]] = {}
    words: dict[str, str] = {}
    for at, entry in enumerate(entries, 1):
        found, _ = alarms.check(entries[:at], config["budget"], rows=rows.__getitem__, steps=config["steps"])
        for alarm in found:
            raised.setdefault(alarm.name, []).append(entry["step"])
            words[alarm.name] = alarm.words
    last = {metric: own["mean"] for told in entries[-1]["evals"].values() for metric, own in told.items()}
    failed = json.loads((workdir / "FAILED.json").read_text()) if (workdir / "FAILED.json").exists() else None
    return {"steps": config["steps"], "alarms": raised, "words": words, "last": last, "failed": failed}


if __name__ == "__main__":
    main()
