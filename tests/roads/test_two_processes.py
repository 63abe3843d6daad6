"""Two processes are one: the same record, parameters, resume and answers as one process with as many devices."""

import json
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from prefjax import checkpoint
from prefjax.cli import main
from prefjax.train import train

ROOT = Path(__file__).parents[2]
RECIPE = """
from prefjax.config import base


def get_config(kind):
    c = base()
    c.batch_size, c.log_every, c.optim.tx, c.optim.lr = 16, 1, "sgd(momentum=0.9)", 0.1
    c.tokenizer, c.model = "prefjax.worlds.desk:tokenizer()", "llama(width=16, layers=2, heads=2)"
    c.data.max_length, c.mesh.data = 80, 4
    if kind == "sft":
        c.algorithm, c.loss = "sft", "sft_loss()"
        c.data.train, c.data.rows = "prefjax.worlds.desk:demos(n=64)", "demos()"
        c.evals.held_out = "held_out(source='prefjax.worlds.desk:demos(n=20)', batch_size=16, allow_overlap=True)"
    else:
        c.frozen.reference = c.get_ref("model")
        c.data.train, c.mesh.data, c.mesh.fsdp = "prefjax.worlds.desk:pairs(n=64)", 2, 2
        c.evals.answers = "samples(source=\\"prefjax.worlds.desk:prompts(split='test')\\", limit=3, max_new=4)"
    return c
"""
SEVERAL = """
import json, sys
import jax
jax.config.update("jax_num_cpu_devices", 2)
from prefjax.cli import main
sys.exit(max(main(argv) for argv in json.loads(sys.argv[1])))
"""


def run_together(folder, commands, others=None):
    """Runs commands in two processes of two devices each, the first command joining them; codes and output."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        joining = [f"--coordinator=localhost:{free.getsockname()[1]}", "--processes=2"]
    processes = []
    for index, (first, *rest) in enumerate((commands, others or commands)):
        argv = json.dumps([[*first, *joining, f"--process_id={index}"], *rest])
        with (folder / f"{index}.log").open("w") as log:
            program = [sys.executable, "-c", SEVERAL, argv]
            processes.append(subprocess.Popen(program, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT))
    try:
        codes = [process.wait(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return codes, [(folder / f"{index}.log").read_text() for index in (0, 1)]


def record(workdir, name="metrics.jsonl"):
    return [json.loads(line) for line in (workdir / name).read_text().splitlines()]


def test_two_processes_are_one(tmp_path):
    (tmp_path / "recipe.py").write_text(RECIPE)
    get_config = runpy.run_path(str(tmp_path / "recipe.py"))["get_config"]
    one, two = tmp_path / "one", tmp_path / "two"

    for name, kind, steps in (("sft", "sft", 1), ("sft", "sft", 3), ("dpo", "dpo", 2)):
        c = get_config(kind)
        c.steps, c.model = steps, c.model if kind == "sft" else str(one / "sft")
        train(c, one / name)

    argv = lambda kind, *flags: ["train", f"--config={tmp_path}/recipe.py:{kind}", f"--workdir={two}/{kind}", *flags]
    tuned = argv("dpo", "--config.steps=2", f"--config.model={two}/sft")
    codes, told = run_together(tmp_path, [argv("sft", "--config.steps=1"), argv("sft", "--config.steps=3"), tuned])
    assert codes == [0, 0], "\n".join(told)
    assert "steps" in told[0] and "steps" not in told[1]  # one progress bar

    for name in ("sft", "dpo"):
        for mine, theirs in zip(record(two / name), record(one / name), strict=True):
            assert mine == pytest.approx(theirs, rel=1e-5, abs=1e-6)
        a, b = (checkpoint.load(str(folder / name))[1] for folder in (two, one))
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7), a, b)
        assert (two / name / "DONE").exists()
    asked = [[(row["prompt"], row["step"]) for row in record(folder / "dpo", "samples.jsonl")] for folder in (one, two)]
    assert asked[0] == asked[1]


@pytest.mark.parametrize("ends", [[2], pytest.param([1, 3], marks=pytest.mark.slow)])
def test_a_sweep_over_two_processes_is_that_of_one(ends, tmp_path):
    """Three runs over four devices of two processes; they stop after one step and go on."""
    (tmp_path / "recipe.py").write_text(RECIPE)
    one, two = tmp_path / "one", tmp_path / "two"
    words = [f"--config={tmp_path}/recipe.py:sft", "--axis=seed=0..2"]
    argv = lambda folder, steps: ["sweep", *words, f"--workdir={folder}", f"--config.steps={steps}"]
    for steps in ends:
        assert main(argv(one, steps)) == 0
        codes, told = run_together(tmp_path, [argv(two, steps)])
        assert codes == [0, 0], "\n".join(told)
        assert "3 of 3 runs are done" in told[0] and "runs are done" not in told[1]
    assert (one / "sweep.json").read_bytes() == (two / "sweep.json").read_bytes()
    for name in (row["name"] for row in json.loads((one / "sweep.json").read_text())["runs"]):
        for mine, theirs in zip(record(two / name), record(one / name), strict=True):
            assert mine == pytest.approx(theirs, rel=1e-5, abs=1e-6)
        a, b = (checkpoint.load(str(folder / name))[1] for folder in (two, one))
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7), a, b)


def test_processes_that_differ_all_stop_and_say_so(tmp_path):
    (tmp_path / "recipe.py").write_text(RECIPE)
    argv = ["train", f"--config={tmp_path}/recipe.py:sft", f"--workdir={tmp_path}/run", "--config.evals={}"]
    codes, told = run_together(tmp_path, [argv], [[*argv, "--config.seed=1"]])
    assert codes == [2, 2], "\n".join(told)
    assert all("process 1 has other settings, or reads other data, than process 0" in text for text in told)
    assert not (tmp_path / "run" / "config.json").exists()


def test_flags_that_lack_an_address(capsys):
    assert main(["train", "--config=configs/sft.py", "--workdir=x", "--processes=2", "--process_id=0"]) == 2
    assert "need --coordinator=HOST:PORT" in capsys.readouterr().err
