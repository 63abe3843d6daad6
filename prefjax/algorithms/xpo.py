"""Exploratory preference optimisation: pairs of a sample of the policy and one of the reference, with a bonus.

Xie et al. 2024, algorithm 1 (https://arxiv.org/abs/2405.21046); the bonus is in `prefjax.losses.xpo_loss`. Each
step learns from its own pairs, and not from those of all steps before.
"""

from typing import Any

import jax
import jax.numpy as jnp

from prefjax import models
from prefjax.algorithms import dpo, own_data
from prefjax.types import Algorithm


def make(config: Any, nets: models.Models) -> Algorithm:
    """Trains `nets["policy"]` on `config.rollout.n` pairs for each of `Prompts`: candidate 1 is of the reference."""
    own_data.check_labels(config, needed=True)

    def reference(state, frozen, hparams, draw):
        return draw(nets["reference"], frozen["reference"])

    def pairs(rollout, hparams):
        both = lambda own, other: jnp.stack([own, other], axis=1)
        sequences = jax.tree.map(both, rollout.sequences, rollout.rival)
        return own_data.labelled(config, sequences, both(rollout.scores, rollout.rival_scores), rollout.weight)

    inner = dpo.make(config, nets, sampled=True)
    rows = config.batch_size * config.rollout.n
    return own_data.make(config, nets, inner, pairs, rows=rows, rival=reference)
