"""Direct preference optimisation and its family: two models, or the policy alone, straight from pairs."""

from typing import Any

import jax

from prefjax import models, optim
from prefjax.errors import ConfigError
from prefjax.types import Algorithm, Pairs, Rankings


def make(config: Any, nets: models.Models) -> Algorithm:
    """Trains `nets["policy"]` on `Pairs` or `Rankings` with the loss named by `config.loss`.

    A loss that takes `ref_logps` is given those of `frozen["reference"]`; another (SimPO, ORPO) needs no reference.
    """
    loss, referred = optim.loss_of(config), optim.takes(config, "ref_logps")
    if referred and "reference" not in nets:
        raise ConfigError("config.frozen.reference is not set; it should be a model: c.frozen.reference = c.model")

    def loss_fn(params, frozen, hparams, batch, key):
        sequences = batch.sequences
        arrays = {"logps": models.logps(nets["policy"], params, sequences), "mask": sequences.response}
        if referred:
            arrays["ref_logps"] = batch.ref_logps
            if batch.ref_logps is None:
                arrays["ref_logps"] = jax.lax.stop_gradient(
                    models.logps(nets["reference"], frozen["reference"], sequences)
                )
        return loss(hparams, batch, **arrays)

    return optim.algorithm(loss_fn, config, Pairs, Rankings)
