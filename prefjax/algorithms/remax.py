"""ReMax: REINFORCE whose baseline is the score of the policy's greedy answer to the prompt.

Li et al. 2023 (https://arxiv.org/abs/2310.10505). A step decodes that answer beside its samples and scores it too.
"""

from typing import Any

from prefjax import models
from prefjax.algorithms import on_policy, rollouts
from prefjax.types import Algorithm


def make(config: Any, nets: models.Models) -> Algorithm:
    """Trains `nets["policy"]` on samples for `Prompts`, without a critic.

    The KL penalty, where it is in the reward, is of the sample alone: a baseline need only not depend on it.
    `config.rl.whiten_advantages` acts here too: the paper has it off.
    """

    def greedy(state, frozen, hparams, draw):
        return draw(nets["policy"], state.params, n=1, temperature=0.0)

    def credit(rollout, kl_coef, hparams, carry):
        scores = rollouts.whole_scores(config, rollout, kl_coef)
        return *on_policy.spread(scores - rollout.rival_scores, scores, rollout), carry

    return on_policy.make(config, nets, credit, rival=greedy)
