"""REINFORCE leave-one-out: the baseline of a sample is the mean score of the others for its prompt.

Ahmadian et al. 2024 (https://arxiv.org/abs/2402.14740).
"""

from typing import Any

from prefjax import advantages, models
from prefjax.algorithms import on_policy, rollouts
from prefjax.types import Algorithm


def make(config: Any, nets: models.Models) -> Algorithm:
    """Trains `nets["policy"]` on `config.rollout.n` samples for each of `Prompts`, without a critic.

    `config.rl.whiten_advantages` acts here too: the paper has it off.
    """
    rollouts.check_group(config)

    def credit(rollout, kl_coef, hparams, carry):
        scores = rollouts.whole_scores(config, rollout, kl_coef)
        group = lambda x: x.reshape(-1, config.rollout.n)
        better = advantages.rloo(group(scores), where=group(rollout.weight > 0))
        return *on_policy.spread(better.ravel(), scores, rollout), carry

    return on_policy.make(config, nets, credit)
