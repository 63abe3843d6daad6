"""Eight CPU devices, strict arithmetic, and the folder of real data."""

import os
import shutil

os.environ.setdefault("PJRT_NPROC", "32")  # collectives of many virtual devices on few cores would time out
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")  # tests compile more than they compute

from pathlib import Path

import jax
import pytest
from hypothesis import HealthCheck, settings

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# The same examples every time, on machines that may be busy.
settings.register_profile("tests", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder named by PREFJAX_DATA; tests that need it are skipped without it."""
    folder = os.environ.get("PREFJAX_DATA")
    if not folder:
        pytest.skip("PREFJAX_DATA is not set: no real data to test on")
    return Path(folder)


@pytest.fixture(scope="session")
def browser():
    """Chromium without a window; tests of pages are skipped without it."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is missing: no page is tried in a browser")
    path = shutil.which("chromium")
    if not path:
        pytest.skip("there is no chromium on the PATH: no page is tried in a browser")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    flags += ["--disable-background-networking", "--disable-component-update"]
    with api.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=path, args=flags)
        yield found
        found.close()
