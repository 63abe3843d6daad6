"""Direct preference optimisation and its family: two models, straight from pairs."""

from typing import Any

import jax

from prefjax import models, optim
from prefjax.errors import ConfigError
from prefjax.types import Algorithm, Pairs


def make(config: Any, nets: models.Models) -> Algorithm:
    """Trains `nets["policy"]` against `frozen["reference"]` on `Pairs` with the loss named by `config.loss`."""
    if "reference" not in nets:
        raise ConfigError("config.frozen.reference is not set; it should be a model: c.frozen.reference = c.model")
    loss = optim.loss_of(config)

    def loss_fn(params, frozen, hparams, batch, key):
        sequences = batch.sequences
        logps = models.logps(nets["policy"], params, sequences)
        ref_logps = batch.ref_logps
        if ref_logps is None:
            ref_logps = jax.lax.stop_gradient(models.logps(nets["reference"], frozen["reference"], sequences))
        return loss(hparams, batch, logps, ref_logps, sequences.response)

    return optim.algorithm(loss_fn, config, Pairs)
