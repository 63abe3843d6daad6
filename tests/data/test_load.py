"""Sources as records and rows: none lost, and no more memory for more of them."""

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from prefjax.data import load
from prefjax.data.tokenizer import Encoded
from prefjax.errors import DataError


class Letters:
    """A token a letter; looks at the memory Python and numpy hold."""

    def __init__(self):
        self.memory = []

    def encode_response(self, prompt, response):
        self.memory.append(tracemalloc.get_traced_memory()[0])
        return Encoded([*prompt.encode()], [*response.encode(), 0], False)


def test_rows_come_from_a_file_without_staying_in_memory(tmp_path):
    count, early = 4000, 1000
    path = tmp_path / "rows.jsonl"
    with path.open("w") as file:
        for i in range(count):
            row = {"prompt": f"{i} " * 50, "chosen": f"yes {i} " * 50, "rejected": "no " * 100, "grade": i % 3}
            file.write(json.dumps(row) + "\n")
    tokenizer = Letters()
    tracemalloc.start()
    rows, counts = load.load(f"pairs(path={str(path)!r})", "pairs(margin_per_grade=0.5)", tokenizer, 2000)
    end = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert counts == {"rows": count}
    assert rows.records.tolist() == list(range(count))
    for i in (0, early, count - 1):
        assert bytes(rows.part(i, 1).tolist()) == f"yes {i} ".encode() * 50 + b"\0"
        assert (rows.margin[i], rows.target[i]) == (i % 3 / 2, (0.5, 1, 1)[i % 3])
    early_bytes = tokenizer.memory[2 * early]
    held = path.stat().st_size + rows.tokens.nbytes  # what the records and the rows would take
    assert held * (count - early) / count > 8 * 2**20
    assert max(*tokenizer.memory[2 * early :], end) - early_bytes < 2**20


def test_a_source_of_no_records_is_an_error_that_names_it(tmp_path, monkeypatch):
    (tmp_path / "none_of_mine.py").write_text("def none():\n    return iter(())\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match=r"none_of_mine:none\(\): no records"):
        load.records("none_of_mine:none()")
    with pytest.raises(DataError, match=r"no usable rows with max_length=9: no records"):
        load.load("none_of_mine:none()", "pairs()", Letters(), 9)


def test_a_limit_reads_no_further(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "p?"}\n' * 2 + "{}\n")
    source = f"prompts(path={str(path)!r})"
    assert load.records(source, 2) == [{"prompt": "p?"}] * 2
    with pytest.raises(DataError, match="1 row is refused"):
        load.records(source)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["jsonl", "parquet", "tfds"])
def test_200_000_pairs_go_to_batches_in_constant_memory(tmp_path, layout):
    command = [sys.executable, "-m", "benchmarks.streaming", "--rows=200000", f"--layout={layout}"]
    root = Path(__file__).parents[2]
    done = subprocess.run([*command, f"--folder={tmp_path}"], cwd=root, capture_output=True, text=True, check=True)
    measured = json.loads(done.stdout.splitlines()[-1])
    assert measured["lost"] == 0
    assert measured["growth_reading_mib"] < 50
    assert measured["growth_mib"] < 50
