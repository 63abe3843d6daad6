"""Supervised fine-tuning: imitate the demonstrations."""

from typing import Any

from prefjax import models, optim
from prefjax.resolve import keywords, resolve
from prefjax.types import Algorithm


def make(config: Any, nets: models.Models) -> Algorithm:
    """Trains `nets["policy"]` on `Demos` with the loss named by `config.loss`."""
    call = resolve(config.loss, "prefjax.losses")

    def loss_fn(params, frozen, hparams, batch, key):
        logps = models.logps(nets["policy"], params, batch.sequences)
        knobs = call.words | keywords(hparams, "loss")
        return call.function(logps, batch.sequences.response, where=batch.weight > 0, **knobs)

    return optim.algorithm(loss_fn, config)
