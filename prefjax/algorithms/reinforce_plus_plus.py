"""REINFORCE++: PPO without a critic, whose advantages are normalised over the whole batch.

    A_t = score - kl_coef sum_{i >= t} log(policy(y_i) / reference(y_i)), then (A_t - mean) / std over all tokens

Hu 2025 (https://arxiv.org/abs/2501.03262). All tokens are those of a step, of all devices: `ops.whiten`.
"""

from typing import Any

import jax.numpy as jnp

from prefjax import advantages, models, ops
from prefjax.algorithms import on_policy
from prefjax.errors import ConfigError
from prefjax.losses.ppo import shaped_rewards
from prefjax.types import Algorithm


def make(config: Any, nets: models.Models) -> Algorithm:
    """Trains `nets["policy"]` on samples for `Prompts`, without a critic.

    With several samples of a prompt their mean score is taken off first: the REINFORCE++-baseline of the paper.
    """
    n = config.rollout.n
    if not config.rl.whiten_advantages:
        raise ConfigError(
            f"config.rl.whiten_advantages is False, and normalised advantages are all that makes {config.algorithm}; "
            "it should be True"
        )

    def credit(rollout, kl_coef, hparams, carry):
        mask, scores = rollout.sequences.response, rollout.scores
        if n > 1:
            group = lambda x: x.reshape(-1, n)
            scores = advantages.centred(group(scores), where=group(rollout.weight > 0)).ravel()
        price = kl_coef if config.rl.kl_in == "reward" else 0.0
        rewards = shaped_rewards(scores, rollout.logps, rollout.ref_logps, mask, kl_coef=price, estimator=config.rl.kl)
        nothing = jnp.zeros_like(rewards)
        return *ops.gae(rewards, nothing, mask, gamma=hparams["rl.gamma"], lam=1.0), carry

    return on_policy.make(config, nets, credit)
