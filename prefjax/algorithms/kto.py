"""Learning from single responses that are good or bad: Kahneman-Tversky optimisation, and BCO."""

from typing import Any

import jax

from prefjax import models, optim
from prefjax.algorithms import dpo
from prefjax.errors import ConfigError
from prefjax.types import Algorithm, Unpaired


def make(config: Any, nets: models.Models) -> Algorithm:
    """Trains `nets["policy"]` on `Unpaired` with the loss named by `config.loss`.

    A loss that takes `other_logps` (KTO) is given those of the mismatched responses too, of both models and without a
    gradient: two more passes, which no cache can save, since who follows whom changes with every epoch.
    """
    loss, score, mismatched = optim.loss_of(config), dpo.scorer(config, nets), optim.takes(config, "other_logps")
    if mismatched and config.reference == "cached":
        raise ConfigError(
            f"config.reference is 'cached', and config.loss {config.loss!r} compares with mismatched responses, which "
            "are not cached; config.reference should be 'frozen'"
        )
    if mismatched and config.batch_size < 2:
        raise ConfigError("config.batch_size is 1; KTO compares a response with the rest of its batch: 2 or more")

    def loss_fn(params, frozen, hparams, batch, key):
        arrays = score(params, frozen, batch.sequences, batch.ref_logps)
        if mismatched:
            others = score(jax.lax.stop_gradient(params), frozen, batch.mismatched)
            arrays |= {f"other_{name}": x for name, x in others.items()}
        return loss(hparams, batch, **arrays)

    return optim.algorithm(loss_fn, config, Unpaired)
