"""Reward models from scratch on real pairs: they learn by heart, and are judged on prompts that they have not seen."""

import functools
import json

import jax
import numpy as np
import pytest

from configs import reward_gsm8k, reward_hh, reward_ultrafeedback
from prefjax import checkpoint
from prefjax.data import load
from prefjax.data.batches import epoch
from prefjax.data.prompts import prompt_key
from prefjax.evals.stats import interval

RECIPES = {"reward_gsm8k": reward_gsm8k, "reward_hh": reward_hh, "reward_ultrafeedback": reward_ultrafeedback}
LEAST = {"reward_gsm8k": (300, 300), "reward_hh": (901, 191), "reward_ultrafeedback": (901, 191)}  # prompts
FEW = {  # sources of which 64 pairs fit, and in how many tokens
    "reward_hh": (reward_hh.PAIRS.replace("bad_rows", "limit=163, bad_rows"), 128),
    "reward_ultrafeedback": (reward_ultrafeedback.TRAIN.replace("bad_rows", "limit=269, bad_rows"), 256),
}
every = pytest.mark.parametrize("name", RECIPES)


def last(workdir):
    return json.loads((workdir / "metrics.jsonl").read_text().splitlines()[-1])["eval/held_out/rewards/accuracy"]


@every
def test_no_prompt_is_trained_on_and_judged_by(name, real_data):
    sources = RECIPES[name].TRAIN, RECIPES[name].HELD_OUT
    train, held_out = ({prompt_key(record) for record in load.stream(source)} for source in sources)
    assert len(train) >= LEAST[name][0] and len(held_out) >= LEAST[name][1] and not train & held_out


@pytest.mark.parametrize("name", FEW)
def test_64_pairs_are_learnt_by_heart(prefjax, tmp_path, name):
    source, longest = FEW[name]
    rows, _ = load.load(source, "pairs()", reward_hh.tokenizer(), longest)
    assert rows.size == 64
    flags = {"steps": 24, "data.train": source, "data.max_length": longest, "batch_size": 16, "optim.lr": 3e-3}
    flags["evals.held_out"] = f"held_out(source={source!r}, batch_size=16, allow_overlap=True)"
    flags = [f"--config.{path}={value}" for path, value in flags.items()]
    prefjax("train", f"--config=configs/{name}.py", f"--workdir={tmp_path}", *flags)
    assert last(tmp_path) >= 0.95


@pytest.mark.slow
@every
def test_accuracy_on_unseen_prompts_is_that_of_the_recipe(prefjax, tmp_path, name):
    prefjax("train", f"--config=configs/{name}.py", f"--workdir={tmp_path}")
    found = held_out(str(tmp_path), RECIPES[name])
    assert found.mean == pytest.approx(last(tmp_path), abs=0.01)  # there every pair weighs the same, here every prompt
    print(f"{name}: {found.mean:.3f}, 95 % interval {found.low:.3f} to {found.high:.3f}")
    assert found.low > 0.5


def held_out(workdir, recipe):
    """Accuracy with its interval by prompt; a tied label has no right side, and is left out."""
    c, (model, params) = recipe.get_config(), checkpoint.load(workdir)
    rows, _ = load.load(recipe.HELD_OUT, "pairs()", load.tokenizer(workdir), c.data.max_length)
    score = jax.jit(functools.partial(model.apply, method="score"))
    batches = [batch._replace(weight=batch.weight > 0) for batch in epoch(rows, 16, c.data.max_length)]
    margins = [np.asarray(score(params, b.sequences.tokens, b.sequences.valid))[b.weight] for b in batches]
    margins = np.diff(np.concatenate(margins))[:, 0] * -1
    sides = np.ones(rows.size) if rows.target is None else np.sign(rows.target - 0.5)
    right, told = (1 + np.sign(margins * sides)) / 2, sides != 0
    records = load.records(recipe.HELD_OUT)
    prompts = np.array([json.dumps(records[i]["prompt"]) for i in rows.records])
    return interval(right[told], prompts[told])
