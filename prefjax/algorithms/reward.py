"""Reward model: a scalar head trained on pairs, read pointwise at inference."""

from typing import Any

from prefjax import models, optim
from prefjax.resolve import keywords, resolve
from prefjax.types import Algorithm


def make(config: Any, nets: models.Models) -> Algorithm:
    """Trains the score head and body of `nets["policy"]` on `Pairs` with the loss named by `config.loss`."""
    call = resolve(config.loss, "prefjax.losses")

    def loss_fn(params, frozen, hparams, batch, key):
        tokens, valid, _, packing = batch.sequences
        rewards = nets["policy"].apply(params, tokens, valid, packing, method="score")
        knobs = call.words | keywords(hparams, "loss") | pair_keywords(batch)
        return call.function(rewards, where=batch.weight > 0, **knobs)

    algorithm = optim.algorithm(loss_fn, config)

    def init(key, params):
        return algorithm.init(key, models.add_score_head(params, nets["policy"], key))

    return Algorithm(init, algorithm.step)


def pair_keywords(batch: Any) -> dict[str, Any]:
    """The optional columns that a batch of pairs has, as keywords of its loss."""
    return {name: x for name, x in (("margin", batch.margin), ("target", batch.target)) if x is not None}
