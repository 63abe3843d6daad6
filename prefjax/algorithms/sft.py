"""Supervised fine-tuning: imitate the demonstrations."""

from typing import Any

from prefjax import models, optim
from prefjax.types import Algorithm, Demos


def make(config: Any, nets: models.Models) -> Algorithm:
    """Trains `nets["policy"]` on `Demos` with the loss named by `config.loss`."""
    loss = optim.loss_of(config)

    def loss_fn(params, frozen, hparams, batch, key):
        logps = models.logps(nets["policy"], params, batch.sequences)
        return loss(hparams, batch, logps=logps, mask=batch.sequences.response)

    return optim.algorithm(loss_fn, config, Demos)
