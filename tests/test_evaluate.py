"""`prefjax eval`: what a run has recorded is found again, other evaluations are added, and nothing is overwritten."""

import json
import shutil

import pytest

from prefjax.cli import main
from prefjax.config import base
from prefjax.files import locked
from prefjax.train import train

SOURCE = "prefjax.worlds.desk:prompts(split='test')"
SAMPLES = f"samples(source={SOURCE!r}, judge='prefjax.worlds.desk:judge', limit=12, max_new=4)"


def config():
    c = base()
    c.steps, c.batch_size, c.checkpoint_every, c.mesh.data = 2, 4, 1, 1
    c.algorithm, c.loss = "sft", "sft_loss()"
    c.model, c.tokenizer = "llama(width=16, layers=1, heads=2)", "prefjax.worlds.desk:tokenizer()"
    c.data.train, c.data.rows, c.data.max_length = "prefjax.worlds.desk:demos(n=8)", "demos()", 80
    c.evals.held_out = "held_out(source='prefjax.worlds.desk:demos(n=8)', allow_overlap=True)"
    c.evals.answers = SAMPLES
    return c


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    train(config(), workdir)
    return workdir


@pytest.fixture
def workdir(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def contents(workdir):
    return {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file() and path.name != "LOCK"}


def test_the_evaluations_of_the_run_are_found_again(workdir, capsys):
    before = contents(workdir)
    assert main(["eval", f"--workdir={workdir}"]) == 0
    told = capsys.readouterr().out
    assert "Step 2" in told and "benign_refusal" in told and "2.json, as they were" in told
    assert contents(workdir) == before
    assert main(["eval", f"--workdir={workdir}", f"--out={workdir}/other.json"]) == 0
    other = json.loads((workdir / "other.json").read_text())
    assert other["evals"] == json.loads((workdir / "eval/2.json").read_text())["evals"]


def test_a_step_that_was_not_evaluated_gets_its_file_and_its_completions(workdir, capsys):
    assert main(["eval", f"--workdir={workdir}", "--step=1", f"--eval=few={SAMPLES}"]) == 0
    entry = json.loads((workdir / "eval/1.json").read_text())
    assert list(entry["evals"]) == ["few"] and entry["evals"]["few"]["gold"]["n"] == 12
    assert entry["calls"] == {"few": SAMPLES}
    rows = [json.loads(line) for line in (workdir / "samples.jsonl").read_text().splitlines()]
    assert sum(row["step"] == 1 and row["eval"] == "few" for row in rows) == 12
    shorter = SAMPLES.replace("max_new=4", "max_new=2")
    assert main(["eval", f"--workdir={workdir}", "--step=1", f"--eval=few={shorter}"]) == 2
    assert "1.json says something else of few; give another name, or --out=FILE" in capsys.readouterr().err
    assert json.loads((workdir / "eval/1.json").read_text()) == entry


def test_a_line_that_was_cut_is_mended_before_others_follow(workdir):
    path = workdir / "samples.jsonl"
    with path.open("a") as file:
        file.write('{"step": 2, "eval": "answ')
    assert main(["eval", f"--workdir={workdir}", "--step=1", f"--eval=more={SAMPLES}"]) == 0
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["eval"] for row in rows[-12:]] == ["more"] * 12


def test_a_run_that_goes_on_is_left_alone(workdir, capsys):
    before = contents(workdir)
    with locked(workdir):
        assert main(["eval", f"--workdir={workdir}", "--step=1", f"--eval=late={SAMPLES}"]) == 6
        assert contents(workdir) == before
        assert main(["eval", f"--workdir={workdir}", f"--out={workdir}/beside.json"]) == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--workdir=/nowhere"], 2, "/nowhere holds no run: there is no config.json"),
        (["--workdir={}", "--step=7"], 5, "no checkpoint of step 7; it has 1, 2"),
        (["--workdir={}", "--eval=few"], 2, "--eval takes NAME=CALL"),
        (["--workdir={}", "--eval=few=nothing()"], 2, "nothing"),
    ],
    ids=str,
)
def test_mistakes_are_one_message(words, code, message, workdir, capsys):
    assert main(["eval", *(word.format(workdir) for word in words)]) == code
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
