"""Axes become points."""

import importlib
from pathlib import Path

import pytest

from prefjax import axes, sweep
from prefjax.errors import ConfigError

ROOT = Path(__file__).parents[1]

FILES = sorted((ROOT / "configs" / "sweeps").iterdir())


def spanned(*texts, **knobs):
    return axes.points([axes.axis(text) for text in texts], **knobs)


def test_every_combination_of_values_the_last_axis_first():
    found = spanned("loss.beta=0.05,0.1", "seed=0..2", "optim.tx=adam(),'sgd(momentum=0.9)'")
    assert len(found) == 12
    assert found[1] == {"loss.beta": 0.05, "seed": 0, "optim.tx": "sgd(momentum=0.9)"}


def test_axes_side_by_side():
    found = spanned("loss.beta=0.05,0.1", "optim.lr=1e-5,3e-5", zipped=True)
    assert [tuple(point.values()) for point in found] == [(0.05, 1e-5), (0.1, 3e-5)]


def test_points_are_drawn_within_their_range_and_the_same_again():
    texts = "optim.lr=log(1e-6,1e-2)", "loss.beta=uniform(0.1,0.2)", "seed=0..9"
    found = spanned(*texts, draws=200)
    rates = sorted(point["optim.lr"] for point in found)
    assert 1e-6 <= rates[0] < 1e-5 and 1e-3 < rates[-1] <= 1e-2 and 3e-5 < rates[100] < 3e-4
    assert all(0.1 <= point["loss.beta"] <= 0.2 for point in found)
    assert spanned(*texts, draws=200) == found


@pytest.mark.parametrize(
    ("texts", "knobs", "message"),
    [
        (["loss.beta"], {}, "expected PATH=VALUES"),
        (["seed=3..1"], {}, "the range is empty"),
        (["loss.beta=0.1,,0.2"], {}, "no value beside a comma"),
        (["loss.beta=,"], {}, "no value beside a comma"),
        (["optim.lr=log(0,1)"], {"draws": 2}, "LOW > 0 for log"),
        (["optim.lr=log(1e-6,1e-4)"], {}, "say how many points with --draws=N"),
        (["seed=0..1", "seed=2..3"], {}, "--axis seed is given twice"),
        (["seed=0..1", "loss.beta=0.1,0.2,0.3"], {"zipped": True}, "axes of one length"),
    ],
)
def test_mistakes_are_one_message(texts, knobs, message):
    with pytest.raises(ConfigError) as error:
        spanned(*texts, **knobs)
    assert message in str(error.value)


def test_a_file_holds_an_axis_a_line(tmp_path):
    file = tmp_path / "axes"
    file.write_text("# what we vary\n\nloss.beta=0.05,0.1  # and why\nloss='my_loss(name=\"a#b\")'\n")
    assert [axis.values for axis in axes.read(file)] == [(0.05, 0.1), ('my_loss(name="a#b")',)]
    file.write_text("seed=0..1\nseed\n")
    with pytest.raises(ConfigError, match=r"axes:2: 'seed': expected PATH=VALUES"):
        axes.read(file)
    with pytest.raises(ConfigError, match=r"nowhere: No such file"):
        axes.read(tmp_path / "nowhere")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_files_that_come_with_recipes_are_one_program(file):
    recipe = next(word for word in file.read_text().split() if word.startswith("--config="))
    found = sweep.runs(importlib.import_module(f"configs.{Path(recipe).stem}").get_config(), axes.read(file))
    assert len(found) > 4 and len(sweep.groups(found)) == 1
