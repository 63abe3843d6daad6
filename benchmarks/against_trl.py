"""prefjax and TRL side by side: the same pairs, in alternating processes, medians of the rounds.

    python benchmarks/against_trl.py --peers DIR --trl-python PYTHON --out benchmarks/results/trl_fp32.json
    ... --dtype bf16 --out benchmarks/results/trl_bf16.json
    ... --model E --works dpo --out benchmarks/results/trl_equal.json
    ... --model XS --works dpo reward --steps 200 --out benchmarks/results/trl_xs.json
    ... --python PYTHON3.11 --out benchmarks/results/trl_fp32_py311.json

DIR holds the peer scripts, `--trl-python` has torch and trl, `--python` prefjax. Each round runs every system once, in
the order A B C C B A, so that a slow minute of the machine meets all; what counts is the ratio. A run is repeated if
other processes disturbed it: see quiet.py. TRL runs with its defaults (gradient checkpointing on; bf16 autocast is left
to --dtype, so that both compute in the same type) and tuned (no checkpointing; for DPO also the reference computed
beforehand, for SFT packed rows). prefjax runs as `make demo` runs it, for DPO also with the reference cached, with a
compilation cache: empty in the first round, or with --cold in all, warm in the others. TRL compiles nothing. At equal
lengths (E) prefjax shares no prompt and packs nothing.
"""

import argparse
import functools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import quiet

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--peers", required=True, type=Path)
parser.add_argument("--trl-python", required=True)
parser.add_argument("--python", default=sys.executable)
parser.add_argument("--works", nargs="+", default=["dpo", "reward", "sft"])
parser.add_argument("--dtype", default="fp32", choices=["fp32", "bf16"])
parser.add_argument("--model", default="S", help="of the peers, or of shapes.py")
parser.add_argument("--rounds", type=int, default=2)
parser.add_argument("--steps", type=int, default=20)
parser.add_argument("--cold", action="store_true", help="an empty compilation cache in every round")
parser.add_argument("--out", type=Path)
options = parser.parse_args()

HERE = Path(__file__).parent
TUNED = {"dpo": ["--precompute"], "reward": [], "sft": ["--packing", "bfd"]}
KEPT = (
    "step_s_median",
    "tokens_per_s",
    "tok_per_s",
    "first_step_age_s",
    "peak_rss_mb",
    "compilations",
    "others",
    "versions",
)


def systems(work: str) -> list[str]:
    return ["prefjax", *(["prefjax, cached"] if work == "dpo" else []), "TRL default", "TRL tuned"]


def command(system: str, work: str) -> list[str]:
    shared = ["--model", options.model, "--dtype", options.dtype, "--steps", str(options.steps)]
    if options.model == "XS":
        shared += ["--pairs", "4"]
    if system.startswith("prefjax"):
        shared += ["--work", work, "--peers", str(options.peers)]
        shared += ["--reference", "cached"] if system.endswith("cached") else []
        shared += ["--packing", "off"] if options.model == "E" else []
        return [options.python, f"{HERE}/steps.py", *shared]
    flags = ["--gc"] if system == "TRL default" else TUNED[work]
    return [options.trl_python, f"{HERE}/shapes.py", f"{options.peers}/trl_{work}.py", *shared, *flags]


def measure(system: str, work: str, cache: str, cold: bool) -> dict:
    if cold:
        shutil.rmtree(cache, ignore_errors=True)
    settings = {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    paths = os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = os.environ | settings | {"PYTHONPATH": paths}
    done = subprocess.run(command(system, work), capture_output=True, text=True, env=env)
    lines = [line.removeprefix("JSON ") for line in done.stdout.splitlines() if line.startswith(("{", "JSON {"))]
    if done.returncode or not lines:
        raise SystemExit(f"{' '.join(command(system, work))}\n{done.stderr[-2000:]}")
    found = json.loads(lines[-1])
    found["others"] = found["other_cpu_frac"]  # share of the machine that other processes took meanwhile
    return {name: found[name] for name in KEPT if name in found}


def is_cold(number: int) -> bool:
    """Whether prefjax compiles in this round."""
    return options.cold or number == 0


def compare(work: str) -> dict:
    names = systems(work)
    runs: dict[str, list[dict]] = {system: [] for system in names}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds):
            for system in names if number % 2 == 0 else reversed(names):
                run = functools.partial(measure, system, work, f"{folder}/{system}", cold=is_cold(number))
                runs[system].append(quiet.measured(run))
    median = lambda name: {s: round(statistics.median(run[name] for run in found), 4) for s, found in runs.items()}
    step = median("step_s_median")
    starts = {}
    for system, found in runs.items():
        for number, run in enumerate(found):
            name = f"{system} cold" if system.startswith("prefjax") and is_cold(number) else system
            starts.setdefault(name, []).append(run["first_step_age_s"])
    return {
        "work": work,
        "step_s": step,
        "of_prefjax": {s: round(seconds / step["prefjax"], 2) for s, seconds in step.items()},
        "first_step_s": {name: round(statistics.median(ages), 2) for name, ages in starts.items()},
        "peak_rss_mb": median("peak_rss_mb"),
        "compilations_of_the_step": max(run["compilations"] for run in runs["prefjax"]),
        "runs": runs,
    }


def main() -> None:
    told = {name: getattr(options, name) for name in ("model", "dtype", "rounds", "steps")}
    results = []
    for work in options.works:
        results.append(compare(work))
        print(json.dumps({name: value for name, value in results[-1].items() if name != "runs"}), flush=True)
        if options.out:
            lines = ",\n".join(json.dumps(result) for result in results)
            options.out.write_text(f'{json.dumps(told)[:-1]}, "results": [\n{lines}\n]}}\n')


main()
