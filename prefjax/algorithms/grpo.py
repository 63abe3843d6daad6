"""Group relative policy optimisation: PPO whose baseline is the other answers to the prompt.

Shao et al. 2024 (https://arxiv.org/abs/2402.03300), and what has become of it: `configs/grpo.py` has the settings.
"""

from typing import Any

from prefjax import advantages, models
from prefjax.algorithms import on_policy, rollouts
from prefjax.types import Algorithm


def make(config: Any, nets: models.Models) -> Algorithm:
    """Trains `nets["policy"]` on `config.rollout.n` samples for each of `Prompts`, without a critic.

    Without `config.rl.std` the standard deviation is left out, as in Dr. GRPO. `config.rl.whiten_advantages` acts here
    too: none of the papers has it on.
    """
    rollouts.check_group(config)

    def credit(rollout, kl_coef, hparams, carry):
        scores = rollouts.whole_scores(config, rollout, kl_coef)
        group = lambda x: x.reshape(-1, config.rollout.n)
        grouped, where = group(scores), group(rollout.weight > 0)
        if config.rl.std:
            better = advantages.grpo(grouped, ddof=config.rl.ddof, where=where)
        else:
            better = advantages.centred(grouped, where=where)
        return *on_policy.spread(better.ravel(), scores, rollout), carry

    return on_policy.make(config, nets, credit)
