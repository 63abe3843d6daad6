"""A run to make pages of."""

import pytest

from prefjax.report.groups import Group
from prefjax.report.runs import read
from tests.workdirs import write


@pytest.fixture
def run(tmp_path):
    """What a healthy run left."""
    return read(write(tmp_path / "run"))


@pytest.fixture
def one(run):
    """The run as a group of its own."""
    return Group("run", [run])
