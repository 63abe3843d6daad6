"""Reward models from rankings, in a step and on real ones."""

import jax
import numpy as np
import pytest

from configs import reward_hh
from prefjax import models
from prefjax.algorithms import dpo, ppo, reward
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


def attribute_batch(names):
    records = desk.pairs(n=8)
    for i, record in enumerate(records):  # in the first the chosen side is better, in the second the rejected one
        record["attributes"] = {"first": 1, "second": -1} if i < 6 else {"first": 1}
    return batches(rows.attributes(records, TOKENIZER, 96, names=names)[0], 8, 96, seed=0)(0)


def test_each_attribute_has_a_score_of_its_own():
    names = ("first", "second")
    batch, net = attribute_batch(names), models.judging(NET, names)
    told = trained(recipe("bradley_terry_loss()"), reward.make, lambda _: batch, 40, net=net)
    assert told[0]["loss"] == pytest.approx(np.log(2), abs=0.05)
    assert told[-1]["rewards/accuracy/first"] == told[-1]["rewards/accuracy/second"] == 1
    assert told[-1]["rewards/margin/first"] > 0 > told[-1]["rewards/margin/second"]
    assert told[-1]["loss"] < 0.3
    eight, six = told[-1]["rewards/margin/first"], told[-1]["rewards/margin/second"]
    assert told[-1]["rewards/margin"] == pytest.approx((8 * eight + 6 * six) / 14, rel=1e-5)


def test_one_attribute_is_a_reward_model_of_one_score():
    batch, c = attribute_batch(("first", "second")), recipe("bradley_terry_loss(centering=0.01)")
    batch = batch._replace(attributes=batch.attributes[:, 1:])
    judged = ~np.isnan(batch.attributes[:, 0])
    plain = batch._replace(attributes=None, target=np.float32(judged * 0.0), weight=np.float32(judged))
    one = trained(c, reward.make, lambda _: batch, 3, net=models.judging(NET, ("second",)))
    other = trained(c, reward.make, lambda _: plain, 3)
    assert [x["loss"] for x in one] == pytest.approx([x["loss"] for x in other], rel=1e-6)
    assert judged.sum() == 6 and np.isfinite([x["grad_norm"] for x in one]).all()


def test_what_does_not_fit_attributes_is_refused():
    names, c = ("first", "second"), recipe("bradley_terry_loss()")
    pairs = batches(rows.pairs(desk.pairs(n=8), TOKENIZER, 96)[0], 8, 96, seed=0)
    with pytest.raises(ConfigError, match=r"judges first, second: rows should be 'attributes\(names=\('first'"):
        trained(c, reward.make, pairs, 1, net=models.judging(NET, names))
    with pytest.raises(ConfigError, match=r"takes no attributes: config.data.rows should be 'pairs\(\)'"):
        trained(c, reward.make, lambda _: attribute_batch(names), 1)
    scored = models.init(NET, jax.random.key(0), heads=("score",))
    with pytest.raises(ConfigError, match="config.model has a score head of 1 and config.data.rows asks for 2"):
        models.add_score_head(scored, models.judging(NET, names), jax.random.key(0))
    with pytest.raises(ConfigError, match="judges first, second, and config.data.rows names second, first"):
        models.judging(models.judging(NET, names), names[::-1])
    with pytest.raises(
        ConfigError, match="config.trained.value judges first, second; a critic is a model of one score"
    ):
        ppo.make(base(), {"policy": NET, "value": models.judging(NET, names)})
