"""Direct preference optimisation and its family: two models, straight from pairs."""

from typing import Any

import jax

from prefjax import models, optim
from prefjax.algorithms.reward import pair_keywords
from prefjax.resolve import keywords, resolve
from prefjax.types import Algorithm


def make(config: Any, nets: models.Models) -> Algorithm:
    """Trains `nets["policy"]` against `frozen["reference"]` on `Pairs` with the loss named by `config.loss`."""
    call = resolve(config.loss, "prefjax.losses")

    def loss_fn(params, frozen, hparams, batch, key):
        sequences = batch.sequences
        logps = models.logps(nets["policy"], params, sequences)
        ref_logps = batch.ref_logps
        if ref_logps is None:
            ref_logps = jax.lax.stop_gradient(models.logps(nets["reference"], frozen["reference"], sequences))
        knobs = call.words | keywords(hparams, "loss") | pair_keywords(batch)
        return call.function(logps, ref_logps, sequences.response, where=batch.weight > 0, **knobs)

    return optim.algorithm(loss_fn, config)
