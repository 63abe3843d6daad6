"""KTO and BCO on single judged responses, in a step."""

import jax
import numpy as np
import pytest

from prefjax import models
from prefjax.algorithms import kto
from prefjax.config import base, hparams
from prefjax.data import rows
from prefjax.data.batches import batches
from prefjax.errors import ConfigError
from prefjax.train import one_step
from prefjax.worlds import desk

TOKENIZER = desk.tokenizer()
NET = models.llama(vocab=TOKENIZER.vocab_size, width=16, layers=1, heads=2)
NETS = {"policy": NET, "reference": NET}
TABLE, _ = rows.unpaired(desk.pairs(n=16), TOKENIZER, 80)


def recipe(loss, **changes):
    c = base()
    c.algorithm, c.loss, c.optim.tx, c.optim.lr, c.optim.schedule = "kto", loss, "adam()", 1e-2, "constant()"
    c.update(changes | {"mesh": {"data": 1}})
    return c


@pytest.mark.parametrize(
    "loss", ["kto_loss(beta=0.5, undesirable=0.5)", "bco_unpaired_loss(beta=0.5) + 0.1 * sft_loss()"]
)
def test_a_policy_learns_which_single_responses_are_good(loss):
    c = recipe(loss)
    params, batch = models.init(NET, jax.random.key(0)), batches(TABLE, 16, 80, seed=0)(0)
    algorithm = kto.make(c, NETS)
    state, step, told = algorithm.init(jax.random.key(0), params), jax.jit(one_step(algorithm.step)), []
    for _ in range(15):
        state, metrics = step(state, {"reference": params}, hparams(c), batch, jax.random.key(1))
        told.append({name: float(mean.value) for name, mean in metrics.items()})
    good = batch.target.mean()
    start = {"kto": (good + (1 - good) * 0.5) / 2, "bco": np.log(2)}[loss[:3]]
    assert told[0].get("loss/bco_unpaired_loss", told[0]["loss"]) == pytest.approx(start, rel=1e-5)
    assert told[-1]["loss"] < told[0]["loss"] - 0.05
    assert told[-1]["rewards/chosen"] > told[-1]["rewards/rejected"] + 0.3


def test_the_reference_point_is_the_mean_over_mismatched_responses():
    c, batch = recipe("kto_loss(beta=0.5)"), batches(TABLE, 8, 80, seed=0)(0)
    both = [models.init(NET, jax.random.key(i)) for i in range(2)]
    first, second = (np.asarray(models.logps(NET, params, batch.mismatched)).sum(-1) for params in both)
    there = np.asarray(batch.mismatched.response).any(-1)
    expected = (first - second)[there].mean()
    policy, reference = both if expected > 0 else both[::-1]
    algorithm = kto.make(c, NETS)
    state = algorithm.init(jax.random.key(0), policy)
    _, metrics = algorithm.step(state, {"reference": reference}, hparams(c), batch, jax.random.key(1))
    assert metrics["kl"].value == pytest.approx(abs(expected), rel=1e-4) and abs(expected) > 0.1


@pytest.mark.parametrize(
    ("loss", "changes", "said"),
    [
        ("kto_loss()", {"reference": "cached"}, "'kto_loss\\(\\)' compares with mismatched responses, .*'frozen'"),
        ("kto_loss()", {"batch_size": 1}, "batch_size is 1; KTO compares .*: 2 or more"),
        ("kto_loss()", {"optim": {"accumulate": 2}}, "accumulate should be 1"),
        ("bco_unpaired_loss()", {}, "frozen.reference is not set"),
    ],
)
def test_what_cannot_be_compared_is_refused(loss, changes, said):
    with pytest.raises(ConfigError, match=said):
        kto.make(recipe(loss, **changes), {"policy": NET} if "not set" in said else NETS)
