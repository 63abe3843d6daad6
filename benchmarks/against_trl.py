"""prefjax and TRL side by side: the same pairs, in alternating processes, medians of the rounds.

    python benchmarks/against_trl.py --peers DIR --trl-python PYTHON [--rounds 3] [--out benchmarks/results/FILE.json]

DIR holds the peer scripts, PYTHON has torch and trl. Each round runs every system once, in the order A B B A, so that a
slow minute of the machine meets both; what counts is the ratio. TRL runs with its defaults (bf16 autocast is left to
--dtype, so that both compute in the same type; gradient checkpointing on) and tuned (no checkpointing; for DPO also the
reference computed beforehand, for SFT packed rows).
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--peers", required=True, type=Path)
parser.add_argument("--trl-python", required=True)
parser.add_argument("--works", nargs="+", default=["dpo", "reward", "sft"])
parser.add_argument("--dtypes", nargs="+", default=["fp32"])
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--steps", type=int, default=20)
parser.add_argument("--out", type=Path)
options = parser.parse_args()

HERE = Path(__file__).parent
TRL_FLAGS = {"default": ["--gc"], "tuned": []}
TUNED = {"dpo": ["--precompute"], "reward": [], "sft": ["--packing", "bfd"]}


def command(system: str, work: str, dtype: str) -> list[str]:
    shared = ["--dtype", dtype, "--steps", str(options.steps)]
    if system == "prefjax":
        return [sys.executable, str(HERE / "steps.py"), "--peers", str(options.peers), "--work", work, *shared]
    flags = TRL_FLAGS[system] + (TUNED[work] if system == "tuned" else [])
    return [options.trl_python, str(options.peers / f"trl_{work}.py"), *shared, *flags]


def measure(system: str, work: str, dtype: str) -> dict:
    done = subprocess.run(command(system, work, dtype), capture_output=True, text=True)
    lines = [line.removeprefix("JSON ") for line in done.stdout.splitlines() if line.startswith(("{", "JSON {"))]
    if done.returncode or not lines:
        raise SystemExit(f"{' '.join(command(system, work, dtype))}\n{done.stderr[-2000:]}")
    return json.loads(lines[-1])


def main() -> None:
    results = []
    for work in options.works:
        for dtype in options.dtypes:
            found: dict[str, list[dict]] = {"prefjax": [], "default": [], "tuned": []}
            for number in range(options.rounds):
                order = list(found) if number % 2 == 0 else list(reversed(found))
                for system in order:
                    found[system].append(measure(system, work, dtype))
            median = {s: statistics.median(run["step_s_median"] for run in runs) for s, runs in found.items()}
            results.append({"work": work, "dtype": dtype, "step_s": median, "runs": found})
            ratios = {s: round(median[s] / median["prefjax"], 2) for s in ("default", "tuned")}
            print(work, dtype, median, "times faster than TRL:", ratios, flush=True)
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n")


main()
