"""A sweep of DPO over beta and seeds as one program, as runs after each other in one process, and as processes.

    python benchmarks/sweep.py [--work desk] [--runs 16] [--steps 40] [--warm] [--out FILE]
        [--peers DIR --trl-python PYTHON]

All three train the same configs, without evaluations, from one model, with a compilation cache of their own: of the
desk world; of stories260K on real pairs (PREFJAX_DATA names the folder that holds both); or adapters of rank 8 on a
base of 25 M parameters, over beta and learning rates. With `--trl-python` also as many processes of TRL, as its users
would, with its defaults: as many steps of as many pairs about as long, on a model of that shape. Prints JSON lines:
seconds in all, start and compilation included, of the clock and of the processor; the peak memory of a process, and
what the sweep said that its process would hold; how often a step was compiled; and seconds a step of a program, at the
end. With `--warm` a way is measured when all is compiled, the second time. `taskset -c 0` before it gives the figures
of one core.
"""

import argparse
import functools
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
BETAS = (0.05, 0.1, 0.5, 1.0)
PAIRS = {"desk": 16, "stories260K": 4, "adapters": 8}  # a step
STEPS = "jit_stepped-", "jit_laid_out-"  # programs of several runs, and of one, by their names in a compilation cache
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
    parser.add_argument("--ways", nargs="+", default=[*WAYS], choices=WAYS)
    parser.add_argument("--warm", action="store_true")
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--trl-python")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.trl_python and not options.peers:
        parser.error("--trl-python needs --peers, the folder of the scripts that run TRL")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        words, axes = task(base, options.work, options.runs, options.steps)
        ways = {way: functools.partial(WAYS[way], base / way.replace(" ", "_"), words, axes) for way in options.ways}
        if options.trl_python:
            ways["processes of TRL"] = lambda: [trl(options) for _ in range(options.runs)]
        for way, train in ways.items():
            row = {"work": options.work, "way": way, "cores": len(os.sched_getaffinity(0)), "runs": options.runs}
            row |= {"steps": options.steps, "warm": options.warm}
            rows.append(row | measured(train, base / way.replace(" ", "_"), options.warm))
            print(json.dumps(rows[-1]), flush=True)
    if options.out:
        options.out.write_text("".join(json.dumps(row) + "\n" for row in rows))


def task(folder: Path, work: str, runs: int, steps: int) -> tuple[list[str], list[str]]:
    """The flags that all runs share, and the axes; the model that they start from is written to `folder`."""
    words = [*WORKS[work](folder), f"--config.steps={steps}", f"--config.log_every={steps // 2}"]
    words += ["--config.evals={}", f"--config.batch_size={PAIRS[work]}"]
    return words, [f"loss.beta={','.join(map(str, BETAS))}", SECOND[work](runs // len(BETAS))]


def measured(train: Callable[[], list[str]], folder: Path, warm: bool = False) -> dict[str, float]:
    """The figures of a way, which leaves its runs in `folder`; if `warm`, those of a second time."""
    if warm:
        train()
        shutil.rmtree(folder)
    began, used = time.perf_counter(), processor()
    told = "\n".join(train())
    row = {"seconds": round(time.perf_counter() - began, 1), "processor_s": round(processor() - used, 1)}
    row |= {"peak_mib": round(max(map(float, re.findall(r"^peak (\d+)", told, re.MULTILINE))) / 2**20)}
    if foretold := re.findall(r"([\d.]+) MiB of the process", told):
        row |= {"foretold_mib": round(max(map(float, foretold)))}
    if cache := [path.name for path in Path(f"{folder}-cache").glob("*-cache")]:
        row |= {"compilations": sum(name.startswith(STEPS) for name in cache)}
    if steps := [last(path) for path in folder.glob("*/timing.jsonl")]:
        row |= {"step_s": round(statistics.median(steps), 4)}
    return row


def processor() -> float:
    """Seconds of the processor that the processes took which have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def last(timing: Path) -> float:
    """Seconds a step, of all runs of its program, in the last interval that a run recorded."""
    return json.loads(timing.read_text().splitlines()[-1])["seconds"]


def one_program(folder: Path, words: list[str], axes: list[str]) -> list[str]:
    flags = [f"--axis={axis}" for axis in axes]
    return [run(folder, "-c", ONE, "sweep", *words, *flags, f"--workdir={folder}")]


def one_process(folder: Path, words: list[str], axes: list[str]) -> list[str]:
    return [run(folder, "-c", LOOP.replace("AXES", repr(axes)), str(folder), *words)]


def processes(folder: Path, words: list[str], texts: list[str]) -> list[str]:
    from prefjax import axes, sweep
    from prefjax.cli.train import parsed

    found = sweep.runs(parsed(words)[0], [axes.axis(text) for text in texts])
    own = [[f"--config.{path}={value}" for path, value in one.changes.items() if path == "seed"] for one in found]
    own = [[*flags, f"--config.loss={one.config.loss}"] for flags, one in zip(own, found, strict=True)]
    return [run(folder, "-c", ONE, "train", *words, *o, f"--workdir={folder / str(i)}") for i, o in enumerate(own)]


def trl(options: argparse.Namespace) -> str:
    """One run of TRL."""
    work = ["--model", options.work, "--pairs", str(PAIRS[options.work]), "--steps", str(options.steps), "--gc"]
    argv = [options.trl_python, "benchmarks/shapes.py", str(options.peers / "trl_dpo.py"), *work]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return f"peak {json.loads(done.stdout.rsplit('JSON ', 1)[1])['peak_rss_mb'] * 2**20}"


WAYS = {"one program": one_program, "one process": one_process, "processes": processes}


def desk(folder: Path, changes: str = "") -> list[str]:
    """DPO of the SFT model's shape, with random weights."""
    code = (
        "from configs.sft import get_config\nfrom prefjax.train import train\n"
        f"c = get_config()\nc.steps, c.evals = 1, {{}}\n{changes}\ntrain(c, {str(folder / 'start')!r})\n"
    )
    run(folder, "-c", code)
    return ["--config=configs/dpo.py", f"--config.model={folder / 'start'}"]


def stories(folder: Path) -> list[str]:
    """DPO of a real checkpoint on real pairs, with room for all of them."""
    model = "$PREFJAX_DATA/models/stories260K"
    return ["--config=configs/dpo_storybyte.py", f"--config.model={model}", "--config.data.max_length=400"]


def adapters(folder: Path) -> list[str]:
    """DPO of adapters on a base that is large beside them, of the desk world."""
    return [*desk(folder, "c.model = 'llama(width=512, layers=8, heads=8)'"), "--config.lora.rank=8"]


WORKS = {"desk": desk, "stories260K": stories, "adapters": adapters}
SECOND = {  # the other axis, of so many values
    "desk": lambda count: f"seed=0..{count - 1}",
    "stories260K": lambda count: f"seed=0..{count - 1}",
    "adapters": lambda count: f"optim.lr={','.join(f'{value + 1}e-3' for value in range(count))}",
}


def run(folder: Path, *argv: str) -> str:
    """What a process prints, with a compilation cache that the runs of a way share."""
    env = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    env |= {"JAX_COMPILATION_CACHE_DIR": f"{folder}-cache", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    done = subprocess.run([sys.executable, *argv], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
