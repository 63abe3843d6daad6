"""A sweep of DPO over beta and seeds as one program, as runs after each other in one process, and as processes.

python benchmarks/sweep.py [--work desk] [--runs 16] [--steps 40] [--out FILE] [--peers DIR --trl-python PYTHON]

All three train the same configs, without evaluations, from one model, with a compilation cache of their own: of the
desk world, or of stories260K on real pairs (PREFJAX_DATA names the folder that holds both). With `--trl-python` also
as many processes of TRL, as its users would, with its defaults: as many steps of as many pairs about as long, on a
model of that shape. Prints JSON lines: seconds in all, start and compilation included, of the clock and of the
processor; the peak memory of a process; and seconds a step of a program, at the end. `taskset -c 0` before it gives the
figures of one core.
"""

import argparse
import functools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
BETAS = (0.05, 0.1, 0.5, 1.0)
PAIRS = {"desk": 16, "stories260K": 4}  # a step
LOOP = """
import sys
from pathlib import Path
from prefjax import host
host.keep_memory()
from prefjax import axes, sweep
from prefjax.cli.train import parsed
from prefjax.train import train
config, _ = parsed(sys.argv[2:])
for run in sweep.runs(config, [axes.axis(text) for text in AXES]):
    train(run.config, Path(sys.argv[1]) / run.name)
print("peak", host.resident()[1])
"""
ONE = """
import sys
from prefjax import host
from prefjax.cli import main
code = main(sys.argv[1:])
print("peak", host.resident()[1])
sys.exit(code)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=16)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--work", default="desk", choices=PAIRS)
    parser.add_argument("--ways", nargs="+", default=["one program", "one process", "processes"])
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--trl-python")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.trl_python and not options.peers:
        parser.error("--trl-python needs --peers, the folder of the scripts that run TRL")
    axes = [f"loss.beta={','.join(map(str, BETAS))}", f"seed=0..{options.runs // len(BETAS) - 1}"]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        words = [
            *WORKS[options.work](base),
            f"--config.steps={options.steps}",
            f"--config.log_every={options.steps // 2}",
        ]
        words += ["--config.evals={}", f"--config.batch_size={PAIRS[options.work]}"]
        ways = {way: functools.partial(WAYS[way], base / way.replace(" ", "_"), words, axes) for way in options.ways}
        if options.trl_python:
            ways["processes of TRL"] = lambda: max(trl(options) for _ in range(options.runs))
        for way, train in ways.items():
            began, used = time.perf_counter(), processor()
            most = train()
            rows.append({"work": options.work, "way": way, "cores": len(os.sched_getaffinity(0)), "runs": options.runs})
            rows[-1] |= {"steps": options.steps, "seconds": round(time.perf_counter() - began, 1)}
            rows[-1] |= {"processor_s": round(processor() - used, 1), "peak_mib": round(most / 2**20)}
            if steps := [last(path) for path in base.glob(f"{way.replace(' ', '_')}/*/timing.jsonl")]:
                rows[-1] |= {"step_s": round(statistics.median(steps), 4)}
            print(json.dumps(rows[-1]), flush=True)
    if options.out:
        options.out.write_text("".join(json.dumps(row) + "\n" for row in rows))


def processor() -> float:
    """Seconds of the processor that the processes took which have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def last(timing: Path) -> float:
    """Seconds a step, of all runs of its program, in the last interval that a run recorded."""
    return json.loads(timing.read_text().splitlines()[-1])["seconds"]


def one_program(folder: Path, words: list[str], axes: list[str]) -> float:
    flags = [f"--axis={axis}" for axis in axes]
    return peak(run(folder, "-c", ONE, "sweep", *words, *flags, f"--workdir={folder}"))


def one_process(folder: Path, words: list[str], axes: list[str]) -> float:
    return peak(run(folder, "-c", LOOP.replace("AXES", repr(axes)), str(folder), *words))


def processes(folder: Path, words: list[str], texts: list[str]) -> float:
    from prefjax import axes, sweep
    from prefjax.cli.train import parsed

    found = sweep.runs(parsed(words)[0], [axes.axis(text) for text in texts])
    own = [[f"--config.{path}={value}" for path, value in one.changes.items() if path == "seed"] for one in found]
    own = [[*flags, f"--config.loss={one.config.loss}"] for flags, one in zip(own, found, strict=True)]
    told = [run(folder, "-c", ONE, "train", *words, *o, f"--workdir={folder / str(i)}") for i, o in enumerate(own)]
    return max(map(peak, told))


def trl(options: argparse.Namespace) -> float:
    """One run of TRL; its peak memory."""
    work = ["--model", options.work, "--pairs", str(PAIRS[options.work]), "--steps", str(options.steps), "--gc"]
    argv = [options.trl_python, "benchmarks/shapes.py", str(options.peers / "trl_dpo.py"), *work]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.rsplit("JSON ", 1)[1])["peak_rss_mb"] * 2**20


WAYS = {"one program": one_program, "one process": one_process, "processes": processes}


def desk(folder: Path) -> list[str]:
    """DPO of the SFT model's shape, with random weights."""
    code = (
        "from configs.sft import get_config\nfrom prefjax.train import train\n"
        f"c = get_config()\nc.steps, c.evals = 1, {{}}\ntrain(c, {str(folder / 'start')!r})\n"
    )
    run(folder, "-c", code)
    return ["--config=configs/dpo.py", f"--config.model={folder / 'start'}"]


def stories(folder: Path) -> list[str]:
    """DPO of a real checkpoint on real pairs, with room for all of them."""
    model = "$PREFJAX_DATA/models/stories260K"
    return ["--config=configs/dpo_storybyte.py", f"--config.model={model}", "--config.data.max_length=400"]


WORKS = {"desk": desk, "stories260K": stories}


def run(folder: Path, *argv: str) -> str:
    """What a process prints, with a compilation cache that the runs of a way share."""
    env = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    env |= {"JAX_COMPILATION_CACHE_DIR": f"{folder}-cache", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    done = subprocess.run([sys.executable, *argv], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def peak(told: str) -> float:
    return float(told.rsplit("peak ", 1)[1])


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
