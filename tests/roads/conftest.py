"""Roads: whole runs of the command line on real models and real data, as a researcher would start them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def prefjax(real_data):
    """Runs a command from the root of the repository; compiled in full, unlike the tests, since it trains for real."""
    env = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}

    def run(*argv):
        command = [sys.executable, "-m", "prefjax", *map(str, argv)]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    return run
