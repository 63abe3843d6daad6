"""Online DPO: pairs of the present policy's own samples, judged by the reward: online AI feedback.

Guo et al. 2024 (https://arxiv.org/abs/2402.04792), with any loss on pairs. Of more than two samples the
best and the worst are taken, as in Yuan et al. 2024 (https://arxiv.org/abs/2401.10020).
"""

from typing import Any

import jax
import jax.numpy as jnp

from prefjax import models
from prefjax.algorithms import dpo, own_data, rollouts
from prefjax.types import Algorithm


def make(config: Any, nets: models.Models) -> Algorithm:
    """Trains `nets["policy"]` on a pair for each of `Prompts`, of `config.rollout.n` samples, two or more."""
    rollouts.check_group(config)
    own_data.check_labels(config, needed=False)
    n = config.rollout.n

    def pairs(rollout, hparams):
        group = lambda x: x.reshape(-1, n, *x.shape[1:])
        scores, known = group(rollout.scores), group(rollout.weight) > 0
        best = jnp.argmax(jnp.where(known, scores, -jnp.inf), axis=1)
        worst = n - 1 - jnp.argmin(jnp.where(known, scores, jnp.inf)[:, ::-1], axis=1)  # of equals the other one
        both = jnp.stack([best, worst], axis=1)  # [B, 2]
        pick = lambda x: jnp.take_along_axis(group(x), both.reshape(*both.shape, *[1] * (x.ndim - 1)), axis=1)
        weight = (jnp.sum(known, axis=1) > 1).astype(jnp.float32)
        sequences = jax.tree.map(pick, rollout.sequences)
        made = own_data.labelled(config, sequences, pick(rollout.scores), weight, pick(rollout.ref_logps))
        return made._replace(target=None) if config.rl.labels == "hard" else made  # the first is the better one

    inner = dpo.make(config, nets, sampled=True)
    return own_data.make(config, nets, inner, pairs, rows=config.batch_size)
