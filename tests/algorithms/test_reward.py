"""Reward models from rankings, in a step and on real ones."""

import jax
import numpy as np
import pytest

from configs import reward_hh
from prefjax import models
from prefjax.algorithms import dpo, reward
from prefjax.config import base, hparams
from prefjax.data import readers, rows
from prefjax.data.batches import batches
from prefjax.errors import ConfigError
from prefjax.train import one_step
from prefjax.worlds import desk

TOKENIZER = desk.tokenizer()
NET = models.llama(vocab=TOKENIZER.vocab_size, width=16, layers=1, heads=2, positions=512)


def recipe(loss):
    c = base()
    c.algorithm, c.loss, c.optim.tx, c.optim.lr = "reward", loss, "adam()", 1e-2
    c.optim.schedule, c.mesh.data = "constant()", 1
    return c


def trained(c, make, batch_at, steps, frozen=None, net=NET):
    algorithm = make(c, {"policy": net, "reference": net})
    state, step = algorithm.init(jax.random.key(0), models.init(net, jax.random.key(0))), one_step(algorithm.step)
    step, told = jax.jit(step), []
    for at in range(steps):
        state, metrics = step(state, frozen or {}, hparams(c), batch_at(at), jax.random.key(1))
        told.append({name: float(mean.value) for name, mean in metrics.items()})
    return told


def rankings():
    records = [
        {"prompt": record["prompt"], "ranking": [record["chosen"], record["rejected"]]} for record in desk.pairs(n=6)
    ]
    records[0]["ranking"].insert(1, "It depends.")
    return rows.rankings(records, TOKENIZER, 96)[0]


def test_a_reward_model_and_a_policy_learn_rankings_of_several_lengths():
    table = rankings()
    assert table.ranks.tolist()[:2] == [[0, 1, 2], [0, 1, -1]]
    batch_at = batches(table, 6, 96, seed=0)
    told = trained(recipe("plackett_luce_loss()"), reward.make, batch_at, 20)
    assert told[-1]["loss"] < told[0]["loss"] - 0.3 and told[-1]["rewards/accuracy"] == 1
    frozen = {"reference": models.init(NET, jax.random.key(0))}
    told = trained(recipe("plackett_luce_dpo_loss(beta=0.5) + 0.1 * sft_loss()"), dpo.make, batch_at, 10, frozen)
    assert told[0]["loss/plackett_luce_dpo_loss"] == pytest.approx((np.log(6) + 5 * np.log(2)) / 6, rel=1e-5)
    assert told[-1]["loss"] < told[0]["loss"] - 0.3


def test_a_loss_on_pairs_says_how_rankings_become_pairs():
    with pytest.raises(ConfigError, match=r"takes no ranks: .* 'pairs\(expand_rankings=True\)'"):
        trained(recipe("bradley_terry_loss()"), reward.make, batches(rankings(), 6, 96, seed=0), 1)


@pytest.mark.slow
def test_real_rankings_are_learnt_by_heart(real_data):
    records = list(readers.oasst(str(real_data / "oasst_rankings/ranked_groups.jsonl.gz")))
    tokenizer = reward_hh.tokenizer()
    table, _ = rows.rankings(records[:24], tokenizer, 256)
    net = models.llama(vocab=tokenizer.vocab_size, width=16, layers=1, heads=2)
    told = trained(recipe("plackett_luce_loss()"), reward.make, batches(table, 8, 256, seed=0), 60, net=net)
    assert np.mean([step["rewards/accuracy"] for step in told[-8:]]) > 0.9
