"""Group relative policy optimisation: PPO whose baseline is the other answers to the prompt.

Shao et al. 2024 (https://arxiv.org/abs/2402.03300).
"""

from typing import Any

from prefjax import advantages, models
from prefjax.algorithms import on_policy
from prefjax.types import Algorithm


def make(config: Any, nets: models.Models) -> Algorithm:
    """Trains `nets["policy"]` on `config.rollout.n` samples for each of `Prompts`, without a critic."""
    on_policy.check_group(config)

    def credit(rollout, kl_coef, hparams, carry):
        scores = on_policy.whole_scores(config, rollout, kl_coef)
        known = rollout.weight > 0
        group = lambda x: x.reshape(-1, config.rollout.n)
        better = advantages.grpo(group(scores), ddof=config.rl.ddof, where=group(known))
        return *on_policy.spread(better.ravel(), scores, rollout), carry

    return on_policy.make(config, nets, credit)
