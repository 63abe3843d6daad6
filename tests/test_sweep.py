"""Axes become runs, and runs programs."""

import json

import pytest

from prefjax import axes, sweep
from prefjax.cli import main
from prefjax.config import base
from prefjax.errors import ConfigError


def config():
    c = base()
    c.model, c.tokenizer = "llama(width=16, layers=1, heads=2)", "prefjax.worlds.desk:tokenizer()"
    c.data.train = "prefjax.worlds.desk:pairs(n=8)"
    return c


def spanned(*texts):
    return sweep.runs(config(), [axes.axis(text) for text in texts])


def test_every_combination_of_values():
    found = spanned("loss.beta=0.05,0.1", "seed=0..2", "optim.tx=adam(),'sgd(momentum=0.9)'")
    assert len(found) == 12
    assert found[1].changes == {"loss.beta": 0.05, "seed": 0, "optim.tx": "sgd(momentum=0.9)"}
    assert found[-1].config.loss == "dpo_loss(beta=0.1)" and found[-1].config.seed == 2
    assert config().seed == 0 and len({run.name for run in found}) == 12


def test_a_path_goes_into_a_call_string():
    (run,) = spanned("loss.label_smoothing=0.1", "optim.schedule.warmup=3", "optim.lr=1")
    assert run.config.loss == "dpo_loss(beta=0.1, label_smoothing=0.1)"
    assert run.config.optim.schedule == "constant(warmup=3)"
    assert run.config.optim.lr == 1.0


def test_a_path_goes_into_a_sum():
    c = config()
    c.loss = "dpo_loss(beta=0.1) + 0.2 * sft_loss()"
    found = sweep.runs(c, [axes.axis(text) for text in ("loss.beta=0.1,0.5", "loss.sft_loss.weight=0.2,1.0")])
    assert found[-1].config.loss == "dpo_loss(beta=0.5) + sft_loss()"
    assert list(map(len, sweep.groups(found))) == [4]
    c.loss = "dpo_loss(beta=0.1) + 0.2 * sft_loss(per='sequence')"
    assert len(sweep.groups([*found, *sweep.runs(c, [])])) == 2


def test_runs_that_differ_in_numbers_and_seeds_are_one_program():
    assert list(map(len, sweep.groups(spanned("loss.beta=0.05,0.1", "optim.lr=1e-5,3e-5", "seed=0..1")))) == [8]
    assert list(map(len, sweep.groups(spanned("loss=dpo_loss(beta=0.1),ipo_loss(tau=0.1)", "seed=0..1")))) == [2, 2]
    assert list(map(len, sweep.groups(spanned("batch_size=16,32")))) == [1, 1]
    assert list(map(len, sweep.groups(spanned("optim.ema=0.0,0.9,0.99")))) == [1, 2]  # with an average, and without
    assert list(map(len, sweep.groups(spanned("loss.reduction='sum','mean'")))) == [1, 1]


def test_a_name_is_that_of_what_a_run_is_and_not_of_how_long_it_is_watched():
    c, longer = config(), config()
    longer.steps, longer.log_every = 2 * longer.steps, 3
    assert sweep.name(c.to_dict()) == sweep.name(longer.to_dict())
    longer.optim.lr *= 2
    assert sweep.name(c.to_dict()) != sweep.name(longer.to_dict())


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["optim.rl=1"], "no setting config.optim.rl; did you mean 'lr'?"),
        (["optm.lr=1"], "no setting config.optm.lr; did you mean 'optim'?"),
        (["loss.beta.x=1"], "no setting config.loss.beta.x"),
        (["optim.lr=fast"], "--axis optim.lr"),
        (["seed=0,0"], "two runs of the sweep are the same: {'seed': 0}"),
    ],
)
def test_mistakes_are_one_message(texts, message):
    with pytest.raises(ConfigError) as error:
        spanned(*texts)
    assert message in str(error.value)


def test_programs_stay_what_they_were_where_all_their_runs_are_asked_for(tmp_path):
    names = lambda parts: [[run.name for run in part] for part in parts]
    first, longer = spanned("seed=0..1"), spanned("seed=0..3")
    table = {"runs": [], "programs": names(sweep.groups(first))}
    (tmp_path / "sweep.json").write_text(json.dumps(table))
    assert names(sweep.programs(longer, tmp_path)) == [names([longer[:2]])[0], names([longer[2:]])[0]]
    assert names(sweep.programs(longer[1:], tmp_path)) == names([longer[1:]])


def test_the_command_shows_what_it_would_train(tmp_path, capsys):
    over = tmp_path / "axes"
    over.write_text("# a comment\nseed=0..1\n")
    words = ["--config=configs/sft.py", "--axis=optim.lr=1e-5,3e-5", f"--axes={over}", f"--workdir={tmp_path}/sweep"]
    assert main(["sweep", *words, "--dry_run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and all(line.startswith("program 1  ") for line in lines)
    assert lines[0].endswith("seed=0, optim.lr=1e-05")
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to sweep over"),
        (["--axis=seed=0,1", "--engine=slrum()"], "did you mean 'slurm'?"),
        (["--axis=seed=0,1", "--engine=slurm(timeout='soon')"], "timeout is 'soon'; it should be such as"),
        (["--axis=seed=0,1", "--engine=ray", "--coordinator=localhost:1"], "give one of them"),
    ],
)
def test_mistakes_of_the_command(words, message, tmp_path, capsys):
    assert main(["sweep", "--config=configs/sft.py", *words, f"--workdir={tmp_path}/sweep"]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "sweep").exists()
