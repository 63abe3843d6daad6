"""REINFORCE with a moving-average baseline, as in Ahmadian et al. 2024, equation 5 (https://arxiv.org/abs/2402.14740)."""

from typing import Any

import jax.numpy as jnp

from prefjax import mesh, models
from prefjax.algorithms import on_policy
from prefjax.metrics import Mean
from prefjax.types import Algorithm


def make(config: Any, nets: models.Models) -> Algorithm:
    """Trains `nets["policy"]` on samples for `Prompts`, without a critic; the baseline is in `carry["baseline"]`."""

    def credit(rollout, kl_coef, hparams, carry):
        scores, past = on_policy.whole_scores(config, rollout, kl_coef), Mean(*carry["baseline"])
        decay, known = hparams["rl.baseline_decay"], rollout.weight > 0
        better = jnp.where(known, scores - past.value, 0.0)
        now = mesh.total(config, Mean.of(scores, known))
        carry["baseline"] = (decay * past.total + now.total, decay * past.weight + now.weight)
        return *on_policy.spread(better, scores, rollout), carry

    algorithm = on_policy.make(config, nets, credit)

    def init(key, params):
        state = algorithm.init(key, params)
        return state._replace(carry=state.carry | {"baseline": (jnp.float32(0), jnp.float32(0))})

    return algorithm._replace(init=init)
