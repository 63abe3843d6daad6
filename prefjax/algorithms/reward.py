"""Reward model: a scalar head trained on pairs, rankings or judged steps, read pointwise at inference."""

from typing import Any

from prefjax import models, optim
from prefjax.types import Algorithm, Pairs, Rankings, Steps


def make(config: Any, nets: models.Models) -> Algorithm:
    """Trains score head and body of `nets["policy"]` on `Pairs`, `Rankings` or `Steps` with the loss `config.loss`.

    A candidate is read at its last token, a step at its own; the last step ends where the response does, so that a
    model of steps scores a response by its last one.
    """
    loss, net = optim.loss_of(config), nets["policy"]

    def loss_fn(params, frozen, hparams, batch, key):
        tokens, valid, _, packing = batch.sequences
        if isinstance(batch, Steps):
            hidden = net.apply(params, tokens, packing=packing, method="hidden")
            return loss(hparams, batch, rewards=net.apply(params, hidden, method="read_score"), mask=batch.ends)
        rewards = net.apply(params, tokens, valid, packing, method="score")
        return loss(hparams, batch, rewards=rewards)

    algorithm = optim.algorithm(loss_fn, config, Pairs, Rankings, Steps)

    def init(key, params):
        return algorithm.init(key, models.add_score_head(params, nets["policy"], key))

    return Algorithm(init, algorithm.step)
