"""Reward-ranked fine-tuning: imitate the best of the policy's own samples.

Dong et al. 2023 (https://arxiv.org/abs/2304.06767).
"""

from typing import Any

import jax
import jax.numpy as jnp

from prefjax import models
from prefjax.algorithms import own_data, rollouts, sft
from prefjax.types import Algorithm, Demos


def make(config: Any, nets: models.Models) -> Algorithm:
    """Trains `nets["policy"]` on the best of `config.rollout.n` samples for each of `Prompts`.

    The best is by the score less the KL penalty, if there is one. Imitation is at temperature 1, whatever that of the
    samples: what is drawn colder makes the policy colder.
    """
    rollouts.check_group(config)

    def best(rollout, hparams):
        group = lambda x: x.reshape(-1, config.rollout.n, *x.shape[1:])
        scores = rollouts.whole_scores(config, rollout, hparams["rl.kl_coef"])
        known = group(rollout.weight) > 0
        at = jnp.argmax(jnp.where(known, group(scores), -jnp.inf), axis=1)
        chosen = jax.tree.map(lambda x: group(x)[jnp.arange(len(at)), at], rollout.sequences)
        return Demos(chosen, jnp.any(known, axis=1).astype(jnp.float32))

    return own_data.make(config, nets, sft.make(config, nets), best, rows=config.batch_size)
