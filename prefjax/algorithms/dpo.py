"""Direct preference optimisation and its family: two models, or the policy alone, straight from pairs."""

from collections.abc import Callable
from typing import Any

import jax

from prefjax import models, optim
from prefjax.errors import ConfigError
from prefjax.types import Algorithm, Pairs, Rankings


def make(config: Any, nets: models.Models, *, sampled: bool = False) -> Algorithm:
    """Trains `nets["policy"]` on `Pairs` or `Rankings` with the loss named by `config.loss`.

    A loss that takes `ref_logps` is given those of `frozen["reference"]`; another (SimPO, ORPO) needs no reference.
    All log-probabilities are at temperature 1; with `sampled`, at that of `config.rollout`, which drew the responses.
    """
    loss, score = optim.loss_of(config), scorer(config, nets)

    def loss_fn(params, frozen, hparams, batch, key):
        temperature = hparams["rollout.temperature"] if sampled else 1.0
        return loss(hparams, batch, **score(params, frozen, batch.sequences, batch.ref_logps, temperature))

    return optim.algorithm(loss_fn, config, Pairs, Rankings)


def scorer(config: Any, nets: models.Models) -> Callable[..., dict[str, jax.Array]]:
    """What `config.loss` takes, as a function (params, frozen, sequences, ...) -> arrays by name.

    It takes the reference's log-probabilities too, if they are known, and the temperature of all of them.

    Raises:
      ConfigError: the loss takes the log-probabilities of a reference, and there is none.
    """
    referred = optim.takes(config, "ref_logps")
    if referred and "reference" not in nets:
        raise ConfigError("config.frozen.reference is not set; it should be a model: c.frozen.reference = c.model")

    def score(params, frozen, sequences, ref_logps=None, temperature=1.0):
        logps = models.logps(nets["policy"], params, sequences, temperature)
        if referred and ref_logps is None:
            ref_logps = models.logps(nets["reference"], frozen["reference"], sequences, temperature)
            ref_logps = jax.lax.stop_gradient(ref_logps)
        return {"logps": logps, "mask": sequences.response} | ({"ref_logps": ref_logps} if referred else {})

    return score
