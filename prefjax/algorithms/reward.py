"""Reward model: a scalar head trained on pairs, read pointwise at inference."""

from typing import Any

from prefjax import models, optim
from prefjax.types import Algorithm, Pairs, Rankings


def make(config: Any, nets: models.Models) -> Algorithm:
    """Trains score head and body of `nets["policy"]` on `Pairs` or `Rankings` with the loss named by `config.loss`."""
    loss = optim.loss_of(config)

    def loss_fn(params, frozen, hparams, batch, key):
        tokens, valid, _, packing = batch.sequences
        rewards = nets["policy"].apply(params, tokens, valid, packing, method="score")
        return loss(hparams, batch, rewards=rewards)

    algorithm = optim.algorithm(loss_fn, config, Pairs, Rankings)

    def init(key, params):
        return algorithm.init(key, models.add_score_head(params, nets["policy"], key))

    return Algorithm(init, algorithm.step)
