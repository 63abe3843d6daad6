"""Pairs made up for the tests of the audit."""

import json
import random

import pytest

from prefjax.audit.table import Table
from prefjax.data.records import field_map, scan

WORDS = [f"word{i}" for i in range(400)]


@pytest.fixture(scope="session")
def pairs():
    """Makes pairs without a fault: all prompts and answers differ, and the sides in nothing but words drawn alike."""

    def make(count, seed=0):
        rng = random.Random(seed)
        text = lambda k: " ".join(rng.choices(WORDS, k=k))
        return [{"prompt": text(12), "chosen": f"{text(9)}.", "rejected": f"{text(9)}."} for _ in range(count)]

    return make


@pytest.fixture(scope="session")
def write():
    """Writes rows as JSON lines."""

    def write(path, rows):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


@pytest.fixture(scope="session")
def table(write):
    """The columns of rows, by way of a file."""
    return lambda path, rows, **knobs: Table(**knobs).read(scan(write(path, rows), field_map()))
