"""REINFORCE with a moving-average baseline, as in Ahmadian et al. 2024, equation 5 (https://arxiv.org/abs/2402.14740)."""

import functools
from typing import Any

import jax.numpy as jnp

from prefjax import advantages, mesh, models
from prefjax.algorithms import on_policy, rollouts
from prefjax.metrics import Mean
from prefjax.types import Algorithm


def make(config: Any, nets: models.Models) -> Algorithm:
    """Trains `nets["policy"]` on samples for `Prompts`, without a critic; the baseline is in `carry["baseline"]`."""

    def credit(rollout, kl_coef, hparams, carry):
        scores, total = rollouts.whole_scores(config, rollout, kl_coef), functools.partial(mesh.total, config)
        knobs = {"decay": hparams["rl.baseline_decay"], "where": rollout.weight > 0, "total": total}
        better, baseline = advantages.running_mean(scores, Mean(*carry["baseline"]), **knobs)
        carry["baseline"] = tuple(baseline)
        return *on_policy.spread(better, scores, rollout), carry

    algorithm = on_policy.make(config, nets, credit)

    def init(key, params):
        state = algorithm.init(key, params)
        return state._replace(carry=state.carry | {"baseline": (jnp.float32(0), jnp.float32(0))})

    return algorithm._replace(init=init)
