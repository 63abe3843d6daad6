"""Settings: what no run can start from, and the numbers that reach the step."""

import re
from pathlib import Path

import jax.numpy as jnp
import pytest

from prefjax.config import base, flatten, hparams, numbers, validate
from prefjax.errors import ConfigError


def complete():
    c = base()
    c.model, c.tokenizer = "llama(width=16, layers=1, heads=2)", "prefjax.worlds.desk:tokenizer()"
    c.data.train = "prefjax.worlds.desk:pairs(n=8)"
    return c


def test_a_complete_config_is_valid():
    validate(complete())


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("optim.clip", -1.0, "config.optim.clip is -1.0; it should be 0 or more"),
        ("optim.lr", float("nan"), "config.optim.lr is nan; it should be finite in float32"),
        ("optim.lr", 1e39, r"config.optim.lr is 1e\+39; it should be finite in float32"),
        ("loss", "dpo_loss(beta=1e999)", "config.loss.beta is inf; it should be finite in float32"),
        ("optim.tx", "adamw(b2=-1e40)", r"config.optim.tx.b2 is -1e\+40; it should be finite in float32"),
        ("tokenizer", "", "config.tokenizer is ''; it should be set: --config.tokenizer=..."),
    ],
)
def test_settings_no_run_can_start_from(path, value, message):
    c = complete()
    c.update_from_flattened_dict({path: value})
    with pytest.raises(ConfigError, match=message):
        validate(c)


def test_a_model_from_a_folder_brings_its_tokenizer():
    c = complete()
    c.model, c.tokenizer = "runs/sft", ""
    validate(c)


def test_hparams_are_the_numbers_as_float32_scalars():
    scalars = hparams(base())
    assert scalars == {path: jnp.float32(number) for path, number in numbers(base()).items()}
    assert {(str(x.dtype), x.shape) for x in scalars.values()} == {("float32", ())}


def test_flatten():
    assert flatten({"a": {"b": 1, "c": (1, 2)}, "d": "x"}) == {"a.b": 1, "a.c": [1, 2], "d": "x"}


def test_the_docs_name_every_setting_of_learning_on_policy_and_none_that_is_not_there():
    text = (Path(__file__).parents[1] / "docs/on_policy.md").read_text()
    named = set(re.findall(r"\b((?:rl|rollout)\.[a-z_]+)", text))
    c = base()
    assert named == {f"{part}.{name}" for part in ("rl", "rollout") for name in c[part]}
