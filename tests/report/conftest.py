"""A headless browser for pages, where there is one; and a run to make pages of."""

import shutil

import pytest

from prefjax.report.groups import Group
from prefjax.report.runs import read
from tests.workdirs import write

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser():
    """Chromium; tests that need it are skipped without it."""
    api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: no page is tried in a browser"
    )
    path = shutil.which("chromium")
    if not path:
        pytest.skip("there is no chromium: no page is tried in a browser")
    with api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=path, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def run(tmp_path):
    """What a healthy run left."""
    return read(write(tmp_path / "run"))


@pytest.fixture
def one(run):
    """The run as a group of its own."""
    return Group("run", [run])
