"""Pairs from a file to batches: rows a second, and how memory grows.

python -m benchmarks.streaming [--rows 200000] [--layout jsonl | parquet | tfds] [--folder /tmp]

The texts are made up; a token is a byte. Prints a line of JSON: rows, seconds, and the growth of anonymous memory after
row 10,000, in MiB, until the last row is read and until the last batch is made. Linux only: it reads /proc.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prefjax import host

host.keep_memory()

import tokenizers  # noqa: E402  (after the memory is kept)
from tokenizers import models, pre_tokenizers  # noqa: E402

from prefjax.data import load, tfds  # noqa: E402
from prefjax.data.batches import batches  # noqa: E402
from prefjax.data.tokenizer import Tokenizer  # noqa: E402

EARLY, BATCH, MAX_LENGTH = 10_000, 512, 512
growth = {"early": 0, "peak": 0}  # what `watched` has seen


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streaming", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--layout", choices=("jsonl", "parquet", "tfds"), default="jsonl")
    parser.add_argument("--folder", type=Path, help="where the file is made, and removed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        print(json.dumps(measure(options.rows, options.layout, Path(folder))))


def measure(count: int, layout: str, folder: Path) -> dict[str, Any]:
    """Makes `count` pairs, and reads them to the last batch of an epoch."""
    source = write(count, layout, folder)
    start = time.perf_counter()
    rows, counts = load.load(f"{__name__}:watched(source={source!r})", "pairs()", byte_tokenizer(), MAX_LENGTH)
    read = time.perf_counter() - start
    reading = growth["peak"] - growth["early"]
    start, batch_at = time.perf_counter(), batches(rows, BATCH, MAX_LENGTH, seed=0)
    for step in range(-(-rows.size // BATCH)):
        batch_at(step)
        growth["peak"] = max(growth["peak"], anonymous())
    return {
        "layout": layout,
        "rows": count,
        "lost": count - sum(n for what, n in counts.items() if what == "rows" or what.startswith("dropped")),
        "rows_per_second": round(count / read),
        "batch_rows_per_second": round(rows.size / (time.perf_counter() - start)),
        "early_mib": round(growth["early"] / 2**20, 1),
        "growth_reading_mib": round(reading / 2**20, 1),
        "growth_mib": round((growth["peak"] - growth["early"]) / 2**20, 1),
    }


def watched(source: str) -> Iterator[dict[str, Any]]:
    """The records of a source; looks at the memory every thousand rows."""
    for number, record in enumerate(load.stream(source), 1):
        yield record
        if number % 1000 == 0:
            growth["peak"] = max(growth["peak"], anonymous())
        if number == EARLY:
            growth["early"] = growth["peak"] = anonymous()


def anonymous() -> int:
    """Bytes of memory of this process that are no file's."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon"))


def records(count: int) -> Iterator[dict[str, Any]]:
    rng = random.Random(0)
    words = [f"word{i}" for i in range(100)]
    for i in range(count):
        prompt, chosen, rejected = (" ".join(rng.choices(words, k=k)) for k in (6, 8, 8))
        yield {"prompt": f"{i} {prompt}", "chosen": chosen, "rejected": rejected, "grade": i % 4}


def write(count: int, layout: str, folder: Path) -> str:
    """Makes the file; returns the call string of its source."""
    if layout == "tfds":
        return f"tfds(path={str(tfds.prepare(records(count), folder))!r})"
    path = folder / f"pairs.{layout}"
    if layout == "jsonl":
        with path.open("w") as file:
            file.writelines(json.dumps(record) + "\n" for record in records(count))
    else:
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist([*records(count)]), path)
    return f"pairs(path={str(path)!r})"


def byte_tokenizer() -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tok = tokenizers.Tokenizer(models.BPE({piece: i for i, piece in enumerate(alphabet)}, []))
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.add_special_tokens(["</s>"])
    files = {"tokenizer.json": tok.to_str(), "tokenizer_config.json": json.dumps({"eos_token": "</s>"})}
    return Tokenizer({name: text.encode() for name, text in files.items()})


if __name__ == "__main__":
    main()
