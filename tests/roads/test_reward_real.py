"""Reward models from scratch on real pairs: they learn by heart, and are judged on prompts that they have not seen."""

import functools
import json

import jax
import numpy as np
import pytest

from configs import reward_hh, reward_ultrafeedback
from prefjax import checkpoint
from prefjax.data import load, readers
from prefjax.data.batches import epoch
from prefjax.evals.stats import interval

RECIPES = {"reward_hh": reward_hh, "reward_ultrafeedback": reward_ultrafeedback}
FEW = {  # sources of which 64 pairs fit, and in how many tokens
    "reward_hh": (reward_hh.PAIRS.replace("bad_rows", "limit=163, bad_rows"), 128),
    "reward_ultrafeedback": (reward_ultrafeedback.TRAIN.replace("bad_rows", "limit=271, bad_rows"), 256),
}
both = pytest.mark.parametrize("name", RECIPES)


def last(workdir):
    return json.loads((workdir / "metrics.jsonl").read_text().splitlines()[-1])["eval/held_out/rewards/accuracy"]


@both
def test_no_prompt_is_trained_on_and_judged_by(name, real_data):
    readers.refuse_overlap(load.records(RECIPES[name].TRAIN), load.records(RECIPES[name].HELD_OUT))


@both
def test_64_pairs_are_learnt_by_heart(prefjax, tmp_path, name):
    source, longest = FEW[name]
    rows, _ = load.load(source, "pairs()", reward_hh.tokenizer(), longest)
    assert rows.size == 64
    flags = {"steps": 24, "data.train": source, "data.max_length": longest, "batch_size": 16, "optim.lr": 3e-3}
    flags["evals.held_out"] = f"held_out(source={source!r}, batch_size=16)"
    flags = [f"--config.{path}={value}" for path, value in flags.items()]
    prefjax("train", f"--config=configs/{name}.py", f"--workdir={tmp_path}", *flags)
    assert last(tmp_path) >= 0.95


@pytest.mark.slow
@both
def test_accuracy_on_unseen_prompts_is_that_of_the_recipe(prefjax, tmp_path, name):
    prefjax("train", f"--config=configs/{name}.py", f"--workdir={tmp_path}")
    found = held_out(str(tmp_path), RECIPES[name])
    assert found.mean == pytest.approx(last(tmp_path), abs=0.01)  # there every pair weighs the same, here every prompt
    print(f"{name}: {found.mean:.3f}, 95 % interval {found.low:.3f} to {found.high:.3f}")
    assert found.low < 0.58 < found.high  # what both recipes say, within what so few prompts can tell


def held_out(workdir, recipe):
    """Accuracy with its interval by prompt."""
    c, (model, params) = recipe.get_config(), checkpoint.load(workdir)
    rows, _ = load.load(recipe.HELD_OUT, "pairs()", load.tokenizer(workdir), c.data.max_length)
    score = jax.jit(functools.partial(model.apply, method="score"))
    parts = []
    for batch in epoch(rows, 16, c.data.max_length):
        tokens, valid, _, packing = batch.sequences
        chosen, rejected = np.asarray(score(params, tokens, valid, packing)).T[:, batch.weight > 0]
        parts.append((chosen > rejected) + (chosen == rejected) / 2)
    records = load.records(recipe.HELD_OUT)
    return interval(np.concatenate(parts), [json.dumps(records[i]["prompt"]) for i in rows.records])
