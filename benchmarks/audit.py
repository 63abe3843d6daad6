"""How long `prefjax audit` takes, and in how much memory.

python -m benchmarks.audit [--rows 100000] [--words 60] [--folder /tmp]

Makes a file of pairs (of ten prompts one comes twice), audits it in a process of its own, and prints a line of JSON:
rows, MiB of the file, seconds by the clock and of processor time, and the peak of the process, in MiB. The texts are
made up, answers of 30 to 90 words.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--words", type=int, default=60, help="of an answer, on average")
    parser.add_argument("--folder", type=Path, help="where the file is made, and removed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "pairs.jsonl"
        write(path, options.rows, options.words)
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "prefjax", "audit", path], check=True, stdout=subprocess.DEVNULL)
        seconds, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        row = {
            "rows": options.rows,
            "file_mib": round(path.stat().st_size / 2**20, 1),
            "seconds": round(seconds, 1),
            "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
            "peak_mib": round(used.ru_maxrss / 1024, 1),
        }
    print(json.dumps(row))


def write(path: Path, rows: int, words: int) -> None:
    """Pairs with grades, tags, slices and annotators, in which the longer answer wins somewhat often."""
    rng = random.Random(0)
    vocabulary = [f"{'abcdefghijklmnop'[i % 16]}word{i}" for i in range(5000)]
    with path.open("w") as file:
        for i in range(rows):
            prompt = f"question {i - i % 10 // 9}: " + " ".join(
                random.Random(i - i % 10 // 9).choices(vocabulary, k=12)
            )
            texts = [" ".join(rng.choices(vocabulary, k=rng.randint(words // 2, words * 3 // 2))) for _ in range(2)]
            better = int((len(texts[1]) > len(texts[0])) ^ (rng.random() < 0.4))
            marks = {"grade": rng.randint(1, 3), "tag": rng.choice(["clear", "kind"]), "slice": f"topic {i % 20}"}
            marks |= {"annotator": f"person {i % 7}"}
            pair = {"prompt": prompt, "chosen": texts[better] + ".", "rejected": texts[1 - better] + "."}
            file.write(json.dumps(pair | marks) + "\n")


if __name__ == "__main__":
    main()
