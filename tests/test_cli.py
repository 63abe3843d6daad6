"""The command line: its exit codes, its messages, and what its commands write."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from prefjax import files
from prefjax.cli import main
from prefjax.train import train


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A tiny language model of the desk world."""
    from configs.sft import get_config

    c = get_config()
    c.steps, c.batch_size, c.model, c.evals = 2, 4, "llama(width=16, layers=1, heads=2)", {}
    c.data.train, c.mesh.data = "prefjax.worlds.desk:demos(n=16)", 1
    folder = tmp_path_factory.mktemp("cli") / "sft"
    train(c, folder)
    return folder


def test_help_answers_within_a_second_and_imports_no_jax():
    start = time.perf_counter()
    code = "import sys; from prefjax.cli import main; main(['--help']); sys.exit('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "prefjax COMMAND" in done.stdout
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["trian"], "no command 'trian'; there are train, sweep"),
        (["train"], "--config=FILE is needed"),
        (["train", "--config=configs/dpo.py"], "--workdir=DIR is needed"),
        (["train", "--config=configs/nowhere.py"], "configs/nowhere.py"),
        (
            ["train", "--config=configs/dpo.py", "--config.optm.lr=1"],
            "no setting config.optm.lr; did you mean 'optim'?",
        ),
        (["train", "--config=configs/dpo.py", "--config.optim.rl=1"], "no setting config.optim.rl; did you mean 'lr'?"),
        (["train", "--config=configs/dpo.py", "--config.steps=many"], "steps"),
        (["train", "--config=configs/dpo.py", "--workdri=x"], "workdri"),
        (["train", "--config=configs/dpo.py", "extra"], "'extra' is no flag"),
        (
            ["train", "--config=configs/dpo.py", "--workdir={}/new", "--config.loss=dpo_los()", "--config.model={}"],
            "dpo_loss",
        ),
        (["sample", "--model={}"], "nothing to complete"),
        (["sample", "--model={}", "--prompt=x", "--temperature=-1"], "temperature is -1.0; it should be 0 or more"),
        (["check", "x.jsonl", "--field", "prompt"], "OURS=THEIRS"),
        (["check", "x.jsonl", "--layout=table"], "layout: expected one of pairs, demos"),
        (["label", "--out=x"], "PAIRS is needed: prefjax label PAIRS --guideline=FILE --annotator=NAME --out=FILE"),
        (["label", "x.jsonl", "--out=x"], "--guideline=FILE is needed"),
        (["label", "x.jsonl", "--guideline=x", "--annotator= ", "--out=x"], "--annotator=NAME is needed"),
        (["label", "x.jsonl", "--guideline=x", "--annotator=a", "--out=x", "--overlap=0"], "--overlap is 0"),
        (["audit", "x.jsonl", "--field", "prompt"], "OURS=THEIRS"),
        (["audit", "x.jsonl", "--layout=demos"], "layout: expected one of pairs, hh"),
        (["audit", "x.jsonl", "--reward=length(target=3)"], "--tokenizer=REF"),
    ],
)
def test_mistakes_are_one_message_and_exit_2(argv, message, capsys, workdir):
    assert main([word.replace("{}", str(workdir)) for word in argv]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.startswith(f"prefjax {argv[0]}: ")
    assert "Traceback" not in captured.err


PAIR = {"prompt": "p", "chosen": "x", "rejected": "y"}


@pytest.fixture
def labels(tmp_path, monkeypatch):
    """A folder with pairs, a guideline and the judgements of two annotators."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.jsonl").write_text(json.dumps(PAIR) + "\n")
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "guide.md").write_text("# Rule")
    for name in ("ada", "bob"):
        rows = [PAIR | {"prompt": f"{i}", "chosen": "xy"[i % 2], "rejected": "yx"[i % 2]} for i in range(4)]
        about = {"votes": [1, 0, 0], "annotator": name, "meta": {"scale": "binary"}}
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row | about) + "\n" for row in rows))
    return tmp_path


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["pairs.jsonl", "--guideline=none.md"], 3, "--guideline=none.md: no such file or directory"),
        (["pairs.jsonl", "--guideline=empty.jsonl"], 3, "--guideline=empty.jsonl: empty: annotators have to know"),
        (["empty.jsonl", "--guideline=guide.md"], 3, "empty.jsonl: no usable rows"),
        (["pairs.jsonl", "--guideline=guide.md", "--out=pairs.jsonl"], 2, "--out=pairs.jsonl: would be written over"),
        (["pairs.jsonl", "--guideline=guide.md", "--port=99999"], 2, "--port is 99999"),
        (["pairs.jsonl", "--guideline=guide.md", "--scale=graded", "--out=ada.jsonl"], 2, "holds binary judgements"),
        (["pairs.jsonl", "--guideline=guide.md", "--others=none.jsonl"], 3, "none.jsonl: no such file"),
        (
            ["pairs.jsonl", "--guideline=guide.md", "--out=busy.jsonl"],
            6,
            "busy.jsonl: in use by annotator bob, process",
        ),
        (["--merge", "ada.jsonl", "--out=ada.jsonl"], 2, "--out=ada.jsonl: would be written over"),
        (["--merge", "[ab]*.jsonl", "--out=ada.jsonl"], 2, "--out=ada.jsonl: would be written over"),
        (["--merge", "ada.jsonl", "--out=bob.jsonl"], 2, "--out=bob.jsonl: holds judgements; what is merged needs"),
        (["p*.jsonl", "--guideline=guide.md", "--out=pairs.jsonl"], 2, "--out=pairs.jsonl: would be written over"),
        (["--merge", "pairs.jsonl"], 3, "pairs.jsonl:1: annotator: missing: expected what prefjax label wrote"),
    ],
)
def test_label_says_what_is_wrong(labels, capsys, flags, code, message):
    before = {path: path.read_bytes() for path in labels.glob("*.*")}
    with files.held(labels / "busy.jsonl.lock", "", "annotator bob"):
        assert main(["label", "--out=out.jsonl", "--annotator=ada", *flags]) == code
    assert {path: path.read_bytes() for path in before} == before
    assert message in (error := capsys.readouterr().err)
    assert error.count("\n") == 1


def test_labels_of_two_annotators_are_merged(labels, capsys):
    for _ in range(2):  # what was merged may be merged again
        assert main(["label", "--merge", "ada.jsonl", "bob.jsonl", "--out=votes.jsonl"]) == 0
    assert "4 pairs in votes.jsonl, 4 with the votes of several annotators\n" in (said := capsys.readouterr().out)
    assert "alpha 1.00 [1.00, 1.00], 2 annotators" in said
    assert [json.loads(line)["votes"] for line in (labels / "votes.jsonl").read_text().splitlines()] == [[2, 0, 0]] * 4
    assert main(["check", "votes.jsonl"]) == 0


def test_a_missing_model_exits_5(capsys):
    assert main(["sample", "--model=nowhere", "--prompt=x"]) == 5
    assert "nowhere: no such folder" in capsys.readouterr().err


def test_a_workdir_that_cannot_be_made_is_one_line_and_exit_7(capsys):
    for folder in ("x" * 300, "/proc/none", f"{__file__}/run"):
        assert main(["train", "--config=configs/sft.py", f"--workdir={folder}"]) == 7
        assert capsys.readouterr().err.count("\n") == 1


def test_a_workdir_in_use_exits_6(tmp_path, capsys):
    with files.locked(tmp_path):
        assert main(["train", "--config=configs/sft.py", f"--workdir={tmp_path}"]) == 6
    assert "another run is at work here: process" in capsys.readouterr().err


def test_an_interruption_exits_with_the_number_of_its_signal(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("prefjax.train.train", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    assert main(["train", "--config=configs/sft.py", f"--workdir={tmp_path}"]) == 143
    assert capsys.readouterr().err == (
        "prefjax train: SIGTERM: stopped before the first step; the same command goes on from there\n"
    )


def test_train_takes_a_config_an_argument_and_overrides(workdir, tmp_path, capsys):
    argv = ["train", "--config=configs/dpo.py:7", f"--workdir={tmp_path}", f"--config.model={workdir}"]
    argv += ["--config.steps=1", "--config.batch_size=2", "--config.loss=ipo_loss(tau=0.5)", "--config.optim.lr=1"]
    argv += ["--config.data.train=prefjax.worlds.desk:pairs(n=8)", "--config.evals={}", "--config.mesh.data=1"]
    assert main(argv) == 0
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["seed"], config["loss"], config["optim"]["lr"]) == (7, "ipo_loss(tau=0.5)", 1.0)
    assert config["frozen"]["reference"] == config["model"] == str(workdir)


def test_a_dry_run_prints_the_plan_and_writes_nothing(workdir, tmp_path, capsys):
    argv = [
        "train",
        "--config=configs/dpo.py",
        f"--workdir={tmp_path / 'run'}",
        f"--config.model={workdir}",
        "--dry_run",
    ]
    argv += ["--config.data.train=prefjax.worlds.desk:pairs(n=64)", "--config.mesh.data=1"]
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert '"loss": "dpo_loss(beta=0.5)"' in out
    assert "params/embed/embedding" in out
    assert "a device, in all" in out
    assert "tokens, prompts included" in out
    assert not (tmp_path / "run").exists()


def test_sample_writes_text_or_json_lines(workdir, tmp_path, capsys):
    argv = ["sample", f"--model={workdir}", "--prompt=Can I?", "--prompt=Why?", "--n=2", "--max_new=4"]
    assert main(argv) == 0
    assert capsys.readouterr().out.count("> ") == 4
    out = tmp_path / "samples.jsonl"
    assert main([*argv, f"--out={out}"]) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["prompt"] for row in rows] == ["Can I?", "Can I?", "Why?", "Why?"]
    assert main([*argv, f"--out={out}"]) == 0
    assert rows == [json.loads(line) for line in out.read_text().splitlines()]  # the same seed, the same texts
    assert main([*argv, "--seed=1", f"--out={out}"]) == 0
    assert rows != [json.loads(line) for line in out.read_text().splitlines()]
    assert main([*argv, f"--out={tmp_path}/nowhere/samples.jsonl"]) == 2
    assert "nowhere/samples.jsonl: No such file or directory" in capsys.readouterr().err


def test_what_a_model_writes_cannot_steer_the_terminal(workdir, monkeypatch, capsys):
    from prefjax.sampling.complete import Answer

    monkeypatch.setattr("prefjax.sampling.complete.complete", lambda *_, **__: [Answer(0, "a\n\x1b[2Jb", 3, True)])
    assert main(["sample", f"--model={workdir}", "--prompt=Why?"]) == 0
    assert capsys.readouterr().out == "> Why?\na\n\\x1b[2Jb\n\n"


def test_a_reward_that_is_a_model_takes_no_other_models(capsys):
    with pytest.raises(SystemExit):
        main(["normalize", "--model=a", "--reward=b", "--frozen=c=d"])
    assert "unrecognized arguments: --frozen" in capsys.readouterr().err


def test_export_writes_a_folder_that_loads_as_a_model(workdir, tmp_path, capsys):
    assert main(["export", f"--model={workdir}", f"--out={tmp_path}"]) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert {
        "config.json",
        "model.safetensors",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    } <= names
    assert json.loads((tmp_path / "generation_config.json").read_text())["eos_token_id"] == 1
    argv = ["--prompt=Why?", "--max_new=4"]
    capsys.readouterr()
    assert main(["sample", f"--model={workdir}", *argv]) == 0
    from_workdir = capsys.readouterr().out
    assert main(["sample", f"--model={tmp_path}", *argv]) == 0
    assert capsys.readouterr().out == from_workdir


def test_check_exits_3_when_a_row_is_refused(tmp_path, capsys):
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"request": "a", "chosen": "b", "rejected": "c"}\n')
    assert main(["check", str(file), "--field", "prompt=request"]) == 0
    file.write_text(file.read_text() + '{"request": "a", "chosen": "b", "rejected": "b"}\n')
    capsys.readouterr()
    assert main(["check", str(file), "--field", "prompt=request"]) == 3
    assert f"{file}:2: rejected: chosen equals rejected" in capsys.readouterr().out


def test_check_takes_a_layout_and_joins_fields(tmp_path, capsys):
    file = tmp_path / "demos.jsonl"
    file.write_text('{"instruction": "a", "input": "b", "response": "c"}\n')
    assert main(["check", str(file), "--layout=demos", "--field=prompt=instruction+input"]) == 0
    assert "1 rows: 1 usable, 0 refused" in capsys.readouterr().out


def test_audit_tells_what_the_pairs_encode_and_writes_it(workdir, tmp_path, capsys):
    row = {"prompt": "[red]Why\x1b[31m?", "chosen": "One two three four five.", "rejected": "One [/INST]."}
    rows = [row | {"tag": "x\x1b[2J"}, {"prompt": "Why not?", "chosen": "No.", "rejected": "no. "}]
    path, out = tmp_path / "pairs.jsonl", tmp_path / "audit.json"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    knobs = [f"--tokenizer={workdir}", "--max_length=64", "--reward=length(target=9)", f"--eval={path}", f"--out={out}"]
    assert main(["audit", str(path), *knobs]) == 0
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert "tag: x\\x1b[2J" in told
    assert "ALARM: 2 of 2 prompts of the evaluation are trained on" in told
    found = json.loads(out.read_text())
    assert found["margins"]["reward"]["pairs"] == 2
    assert found["tokens"]["max_length"] == 64
    assert found["eval"]["exact"] == 2


def test_sample_writes_what_fits_by_default(workdir, capsys):
    assert main(["sample", f"--model={workdir}", "--prompt=Why?"]) == 0
    assert "> Why?" in capsys.readouterr().out


def test_doctor_says_so_when_the_step_is_wrong(monkeypatch, capsys):
    monkeypatch.setattr("prefjax.plan.doctor", lambda: ("WRONG", False))
    assert main(["doctor"]) == 1
    assert capsys.readouterr().out == "WRONG\n"


def test_doctor_takes_a_step(capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "DPO loss 0.693147" in out
    assert " ok in " in out
