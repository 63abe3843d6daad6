"""The memory that `--dry_run` foretells against the memory that a run takes, on three shapes.

    python benchmarks/memory.py [sft dpo reward]

Each in two processes of its own, without a compilation cache: one estimates, the other trains for a few steps. Prints a
line of JSON a shape: peak resident MiB, estimated and measured, and their ratio; and seconds a step, likewise.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LARGE = "--config.model=llama(width=256, layers=4, heads=4)"  # 3 M parameters with the desk world's vocabulary
SHAPES = {
    "sft": ["--config=configs/sft.py"],
    "dpo": ["--config=configs/dpo.py", LARGE, "--config.frozen.reference={start}", "--config.model={start}"],
    "reward": ["--config=configs/reward.py", LARGE, "--config.optim.accumulate=4", "--config.dtype=bfloat16"],
}
SETTINGS = ("JAX_COMPILATION_CACHE_DIR", "XLA_FLAGS", "PJRT_NPROC")  # those of tests are left out
COMMON = ["--config.tokenizer=prefjax.worlds.desk:tokenizer()", "--config.log_every=5", "--config.evals={}"]
MEASURED = """
import sys
from prefjax import host
from prefjax.cli import main
code = main(sys.argv[1:])
print("peak", host.resident()[1])
sys.exit(code)
"""


def measure(shape: str, steps: int = 15) -> dict[str, float | str]:
    """Both figures of a shape."""
    with tempfile.TemporaryDirectory() as folder:
        if shape == "dpo":
            _start(f"{folder}/start")
        words = [word.format(start=f"{folder}/start") for word in SHAPES[shape]] + COMMON
        words.append(f"--config.steps={steps}")
        told = _run("-m", "prefjax", "train", *words, "--dry_run")
        peak = _run("-c", MEASURED, "train", *words, f"--workdir={folder}/run")
        clock = [json.loads(line) for line in Path(folder, "run", "timing.jsonl").read_text().splitlines()]
    find = lambda pattern, text: float(re.findall(pattern, text, re.MULTILINE)[-1])
    estimated = find(r"^the process, at its peak +([\d.]+) MiB", told)
    measured = find(r"^peak (\d+)", peak) / 2**20
    return {
        "shape": shape,
        "estimated_mib": round(estimated, 1),
        "measured_mib": round(measured, 1),
        "ratio": round(estimated / measured, 3),
        "estimated_s": find(r"^a step +([\d.]+) s", told),
        "measured_s": [row["seconds"] for row in clock if "seconds" in row][1],  # the second interval: no compiling
    }


def _start(folder: str) -> None:
    """A model to start from, with random weights."""
    code = (
        "import jax\nfrom prefjax import models\nfrom prefjax.worlds import desk\n"
        "tokenizer = desk.tokenizer()\n"
        "net = models.llama(vocab=tokenizer.vocab_size, width=256, layers=4, heads=4)\n"
        f"models.save({folder!r}, net, models.init(net, jax.random.key(0)), extra=tokenizer.ids)\n"
        f"tokenizer.save({folder!r})\n"
    )
    _run("-c", code)


def _run(*argv: str) -> str:
    env = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    done = subprocess.run([sys.executable, *argv], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


if __name__ == "__main__":
    for name in sys.argv[1:] or SHAPES:
        print(json.dumps(measure(name)), flush=True)
