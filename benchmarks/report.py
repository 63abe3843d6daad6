"""The page of a long run: seconds, bytes and memory.

    python benchmarks/report.py [100000]

Makes up the record of a run with so many logged steps of 30 numbers each, evaluated 20 times, and runs `prefjax report`
on it in a process of its own. Prints a line of JSON.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from prefjax.report.runs import TRAIN

MEASURED = """
import sys
from prefjax import host
from prefjax.cli import main
code = main(sys.argv[1:])
print("peak", host.resident()[1])
sys.exit(code)
"""


def make(folder: Path, steps: int) -> None:
    """The files of a run that are as long as its steps."""
    more = [f"more/{i}" for i in range(30 - len(TRAIN))]
    noise, names = random.Random(0), [f"train/{name}" for name in (*TRAIN, *more)]
    means = {f"eval/answers/{name}": 1.0 for name in ("gold", "reward", "kl", "length")}
    with (folder / "metrics.jsonl").open("w") as metrics, (folder / "timing.jsonl").open("w") as timing:
        for step in range(1, steps + 1):
            metrics.write(json.dumps({"step": step} | {name: noise.gauss(1.0, 0.2) for name in names}) + "\n")
            timing.write(json.dumps({"step": step, "elapsed": step / 10, "seconds": 0.1}) + "\n")
            if step % (steps // 20) == 0:
                metrics.write(json.dumps({"step": step} | means) + "\n")


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, steps)
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, "report", name], capture_output=True, text=True, check=True
        )
        found = {"logged steps": steps, "seconds": round(time.perf_counter() - start, 2)}
        found |= {f"{kind}, kB": round((folder / f"report.{kind}").stat().st_size / 1e3) for kind in ("html", "png")}
        print(json.dumps(found | {"peak MiB": round(int(done.stdout.split()[-1]) / 2**20)}))


if __name__ == "__main__":
    main()
