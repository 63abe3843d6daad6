"""prefjax and TRL side by side: the same pairs, in alternating processes, medians of the rounds.

    python benchmarks/against_trl.py --peers DIR --trl-python PYTHON --out benchmarks/results/trl_fp32.json
    ... --dtypes bf16 --out benchmarks/results/trl_bf16.json
    ... --model XS --works dpo reward --steps 200 --out benchmarks/results/trl_xs.json
    ... --python PYTHON3.11 --out benchmarks/results/trl_fp32_py311.json

DIR holds the peer scripts, `--trl-python` has torch and trl, `--python` prefjax. Each round runs every system once, in
the order A B C C B A, so that a slow minute of the machine meets all; what counts is the ratio. TRL runs with its
defaults (gradient checkpointing on; bf16 autocast is left to --dtypes, so that both compute in the same type) and
tuned (no checkpointing; for DPO also the reference computed beforehand, for SFT packed rows). prefjax runs as `make
demo` runs it, with a compilation cache: empty in the first round, warm in the others. TRL compiles nothing.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--peers", required=True, type=Path)
parser.add_argument("--trl-python", required=True)
parser.add_argument("--python", default=sys.executable)
parser.add_argument("--works", nargs="+", default=["dpo", "reward", "sft"])
parser.add_argument("--dtypes", nargs="+", default=["fp32"])
parser.add_argument("--model", default="S")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--steps", type=int, default=20)
parser.add_argument("--out", type=Path)
options = parser.parse_args()

HERE = Path(__file__).parent
TRL_FLAGS = {"default": ["--gc"], "tuned": []}
TUNED = {"dpo": ["--precompute"], "reward": [], "sft": ["--packing", "bfd"]}
SYSTEMS = ("prefjax", *TRL_FLAGS)


def command(system: str, work: str, dtype: str) -> list[str]:
    shared = ["--model", options.model, "--dtype", dtype, "--steps", str(options.steps)]
    if options.model == "XS":
        shared += ["--pairs", "4"]
    if system == "prefjax":
        return [options.python, str(HERE / "steps.py"), "--peers", str(options.peers), "--work", work, *shared]
    flags = TRL_FLAGS[system] + (TUNED[work] if system == "tuned" else [])
    return [options.trl_python, str(HERE / "tiny.py"), str(options.peers / f"trl_{work}.py"), *shared, *flags]


def measure(system: str, work: str, dtype: str, cache: str) -> dict:
    settings = {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    paths = os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = os.environ | settings | {"PYTHONPATH": paths}
    done = subprocess.run(command(system, work, dtype), capture_output=True, text=True, env=env)
    lines = [line.removeprefix("JSON ") for line in done.stdout.splitlines() if line.startswith(("{", "JSON {"))]
    if done.returncode or not lines:
        raise SystemExit(f"{' '.join(command(system, work, dtype))}\n{done.stderr[-2000:]}")
    return json.loads(lines[-1])


def compare(work: str, dtype: str) -> dict:
    runs: dict[str, list[dict]] = {system: [] for system in SYSTEMS}
    with tempfile.TemporaryDirectory() as cache:
        for number in range(options.rounds):
            for system in SYSTEMS if number % 2 == 0 else reversed(SYSTEMS):
                runs[system].append(measure(system, work, dtype, cache))
    starts = {system: [run["first_step_age_s"] for run in found] for system, found in runs.items()}
    median = {
        name: {system: statistics.median(run[name] for run in found) for system, found in runs.items()}
        for name in ("step_s_median", "peak_rss_mb")
    }
    return {
        "work": work,
        "dtype": dtype,
        "step_s": median["step_s_median"],
        "times_faster": {s: median["step_s_median"][s] / median["step_s_median"]["prefjax"] for s in TRL_FLAGS},
        "first_step_s": {"prefjax cold": starts["prefjax"][0]}
        | ({"prefjax warm": statistics.median(starts["prefjax"][1:])} if options.rounds > 1 else {})
        | {system: statistics.median(starts[system]) for system in TRL_FLAGS},
        "peak_rss_mb": median["peak_rss_mb"],
        "compilations_of_the_step": max(run["compilations"] for run in runs["prefjax"]),
        "runs": runs,
    }


def main() -> None:
    results = []
    for work in options.works:
        for dtype in options.dtypes:
            results.append(compare(work, dtype))
            print(json.dumps({name: value for name, value in results[-1].items() if name != "runs"}), flush=True)
            if options.out:
                options.out.write_text(json.dumps({"model": options.model, "results": results}, indent=1) + "\n")


main()
