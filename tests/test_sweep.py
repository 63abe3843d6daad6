"""Axes become runs, and runs programs."""

import pytest

from prefjax import sweep
from prefjax.cli import main
from prefjax.config import base
from prefjax.errors import ConfigError


def config():
    c = base()
    c.model, c.tokenizer = "llama(width=16, layers=1, heads=2)", "prefjax.worlds.desk:tokenizer()"
    c.data.train = "prefjax.worlds.desk:pairs(n=8)"
    return c


def spanned(*texts, **knobs):
    return sweep.runs(config(), [sweep.axis(text) for text in texts], **knobs)


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
    found = sweep.runs(c, [sweep.axis(text) for text in ("loss.beta=0.1,0.5", "loss.sft_loss.weight=0.2,1.0")])
    assert found[-1].config.loss == "dpo_loss(beta=0.5) + sft_loss()"
    assert list(map(len, sweep.groups(found))) == [4]
    c.loss = "dpo_loss(beta=0.1) + 0.2 * sft_loss(per='sequence')"
    assert len(sweep.groups([*found, *sweep.runs(c, [])])) == 2


def test_axes_side_by_side():
    found = spanned("loss.beta=0.05,0.1", "optim.lr=1e-5,3e-5", zipped=True)
    assert [tuple(run.changes.values()) for run in found] == [(0.05, 1e-5), (0.1, 3e-5)]


def test_points_are_drawn_within_their_range_and_the_same_again():
    axes = "optim.lr=log(1e-6,1e-2)", "loss.beta=uniform(0.1,0.2)", "seed=0..9"
    found = spanned(*axes, draws=200)
    rates = sorted(run.changes["optim.lr"] for run in found)
    assert 1e-6 <= rates[0] < 1e-5 and 1e-3 < rates[-1] <= 1e-2 and 3e-5 < rates[100] < 3e-4
    assert all(0.1 <= run.changes["loss.beta"] <= 0.2 for run in found)
    assert [run.name for run in spanned(*axes, draws=200)] == [run.name for run in found]


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
    ("texts", "knobs", "message"),
    [
        (["loss.beta"], {}, "expected PATH=VALUES"),
        (["seed=3..1"], {}, "the range is empty"),
        (["optim.lr=log(0,1)"], {"draws": 2}, "LOW > 0 for log"),
        (["optim.lr=log(1e-6,1e-4)"], {}, "say how many points with --draws=N"),
        (["optim.rl=1"], {}, "no setting config.optim.rl; did you mean 'lr'?"),
        (["optm.lr=1"], {}, "no setting config.optm.lr; did you mean 'optim'?"),
        (["loss.beta.x=1"], {}, "no setting config.loss.beta.x"),
        (["optim.lr=fast"], {}, "--axis optim.lr"),
        (["seed=0,0"], {}, "two runs of the sweep are the same: {'seed': 0}"),
        (["seed=0..1", "seed=2..3"], {}, "--axis seed is given twice"),
        (["seed=0..1", "loss.beta=0.1,0.2,0.3"], {"zipped": True}, "axes of one length"),
    ],
)
def test_mistakes_are_one_message(texts, knobs, message):
    with pytest.raises(ConfigError) as error:
        spanned(*texts, **knobs)
    assert message in str(error.value)


def test_the_command_shows_what_it_would_train(tmp_path, capsys):
    axes = tmp_path / "axes"
    axes.write_text("# a comment\nseed=0..1\n")
    words = ["--config=configs/sft.py", "--axis=optim.lr=1e-5,3e-5", f"--axes={axes}", f"--workdir={tmp_path}"]
    assert main(["sweep", *words, "--dry_run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and all(line.startswith("program 1  ") for line in lines)
    assert lines[0].endswith("seed=0, optim.lr=1e-05")
    assert main(["sweep", "--config=configs/sft.py", f"--workdir={tmp_path}"]) == 2
    assert "nothing to sweep over" in capsys.readouterr().err
