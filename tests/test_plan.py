"""What a dry run says before a run."""

import re
import subprocess
import sys
import textwrap

import jax
import pytest

from benchmarks.memory import SHAPES, measure
from prefjax import host, plan
from prefjax.config import base


def tiny():
    c = base()
    c.steps, c.batch_size, c.algorithm, c.loss = 7200, 8, "sft", "sft_loss()"
    c.model, c.tokenizer = "llama(width=256, layers=1, heads=2, tied=False)", "prefjax.worlds.desk:tokenizer()"
    c.data.train, c.data.rows, c.data.max_length = "prefjax.worlds.desk:demos(n=16)", "demos()", 80
    return c


def figures(text, unit):
    lines = (line.rsplit(maxsplit=2) for line in text.splitlines() if line.endswith(unit))
    return {name.strip(): float(number) for name, number, _ in lines}


def test_a_dry_run_takes_a_step_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    c = tiny()
    c.mesh.data, c.mesh.fsdp, c.mesh.tensor = 1, 2, 2
    told = plan.describe(c)
    memory = figures(told, "MiB")
    whole = 4 * int(re.findall(r"^parameters +([\d,]+)$", told, re.MULTILINE)[0].replace(",", "")) / 2**20
    assert whole / 4 < memory["parameters"] < 0.6 * whole  # an odd vocabulary is not dealt along `tensor`
    assert memory["optimizer and averages"] == pytest.approx(2 * memory["parameters"], abs=0.2)
    assert memory["frozen models"] == 0
    parts = sum(list(memory.values())[:5])
    assert memory["a device, in all"] == pytest.approx(parts, abs=0.3)
    assert memory["the process, at its peak"] > memory["runtime and programs"] > 0
    seconds = figures(told, " s")["a step"]
    assert seconds > 0
    assert "7200 steps" in told and "tokens, prompts included" in told
    assert not list(tmp_path.iterdir())


def test_memory_is_given_back():
    if not host.resident()[0]:
        pytest.skip("the system does not tell what is resident")
    code = """
        from prefjax import host
        before, _ = host.resident()
        held = [bytes([i]) * 2**20 for i in range(1, 65)]  # written, so resident
        there, most = host.resident()
        assert there >= before + 2**26 - 2**22 and most >= there
        del held
        host.give_back()
        assert host.resident()[0] < before + 2**25
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_the_memory_foretold_is_that_of_the_run(shape):
    if jax.default_backend() != "cpu" or not host.resident()[1]:
        pytest.skip("host memory of a run on a CPU, as Linux tells it")
    assert measure(shape)["ratio"] == pytest.approx(1, abs=0.15)
