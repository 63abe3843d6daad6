"""Worlds with closed forms: what the library computes, and what training reaches, against what is known.

python -m experiments.closed_form [--check] [--fast] [--workdir=runs/closed_form]
"""

import argparse
import json
import sys
from pathlib import Path

from experiments.closed_form import exact, figures, online, training, transformers
from experiments.closed_form.rows import table
from prefjax.losses import dpo_loss, ipo_loss

SEEDS = 10


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.closed_form", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a number is off")
    parser.add_argument("--fast", action="store_true", help="without PPO and DPO on the world of 2,801 responses")
    parser.add_argument("--workdir", type=Path, default=Path("runs/closed_form"))
    options = parser.parse_args()

    ipo, dpo = (training.azar_policies(f, word, SEEDS) for f, word in ((ipo_loss, "tau"), (dpo_loss, "beta")))
    policies = {name: training.policy_gradient(arm, SEEDS) for name, arm in training.ARMS.items()}
    points, mismatch = transformers.hacked()
    rows = [
        *exact.rows(),
        *training.dpo(),
        *training.azar_rows(ipo, dpo),
        *training.policy_gradient_rows(policies),
        *transformers.at_rest(),
        *transformers.rloo(),
        *transformers.grpo(),
        *online.rows(),
        *transformers.hacked_rows(points, mismatch),
    ]
    if not options.fast:
        rows += [*transformers.ppo(), *transformers.dpo()]

    options.workdir.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row._asdict() | {"passes": row.passes}) for row in rows]
    (options.workdir / "results.jsonl").write_text("\n".join(lines) + "\n")
    (options.workdir / "table.md").write_text(table(rows))
    print(table(rows), end="")
    try:
        figures.draw(options.workdir / "fig.png", ipo, dpo, policies, points)
    except ModuleNotFoundError:
        print("No figure: matplotlib is missing (pip install 'prefjax[plots]').", file=sys.stderr)

    if options.fast:
        print("--fast leaves out the 4 rows of PPO and DPO on the world of 2,801 responses.")
    misses = [row for row in rows if not row.passes]
    print(f"{len(rows) - len(misses)} of {len(rows)} as expected; the record is in {options.workdir}.")
    if options.check and misses:
        sys.exit(1)


if __name__ == "__main__":
    main()
