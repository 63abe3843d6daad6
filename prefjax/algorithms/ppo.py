"""Proximal policy optimisation on language: policy, frozen reference, reward and value.

Ouyang et al. 2022 (https://arxiv.org/abs/2203.02155); the details are those of Huang et al. 2024
(https://arxiv.org/abs/2403.17031).
"""

from typing import Any

import jax.numpy as jnp

from prefjax import mesh, models, ops
from prefjax.algorithms import on_policy
from prefjax.errors import ConfigError
from prefjax.losses.ppo import shaped_rewards
from prefjax.types import Algorithm


def make(config: Any, nets: models.Models) -> Algorithm:
    """Trains `nets["policy"]` on samples for `Prompts`.

    The critic is the model `config.trained.value`, which is usually started from the reward model; without one it is a
    scalar head on the policy's own trunk, which the value loss moves too, from the first step of `rl.critic_warmup` on.
    """
    rl, separate = config.rl, "value" in nets
    net = nets["value"] if separate else nets["policy"]
    if net.config.attributes:
        raise ConfigError(
            f"config.trained.value judges {', '.join(net.config.attributes)}; a critic is a model of one score"
        )

    def critic(params, tokens, hidden):
        params = {"params": params["value"]} if separate else params
        if separate or hidden is None:
            hidden = net.apply(params, tokens, method="hidden")
        return net.apply(params, hidden, method="read_score")

    def credit(rollout, kl_coef, hparams, carry):
        mask = rollout.sequences.response
        in_reward = kl_coef if rl.kl_in == "reward" else 0.0
        scores, gamma = rollout.scores, hparams["rl.gamma"]
        if rl.truncated == "bootstrap":  # what was cut is worth what the critic expects of it
            scores = jnp.where(rollout.stopped, scores, gamma * rollout.after)
        rewards = shaped_rewards(scores, rollout.logps, rollout.ref_logps, mask, kl_coef=in_reward, estimator=rl.kl)
        counted = mask & (rollout.weight > 0)[:, None]
        if rl.whiten_rewards:
            rewards = ops.whiten(rewards, counted, shift_mean=False, ddof=rl.ddof, axis_name=mesh.axis_name(config))
        values = jnp.where(mask, rollout.values, 0.0)
        return *ops.gae(rewards, values, mask, gamma=gamma, lam=hparams["rl.lam"]), carry

    algorithm = on_policy.make(config, nets, credit, critic)

    def init(key, params):
        trees = dict(params)
        start = {"params": params["value"]} if separate else params
        head = models.add_score_head(start, net, key)["params"]
        trees["value" if separate else "params"] = (
            head if separate else params["params"] | {"score_head": head["score_head"]}
        )
        return algorithm.init(key, trees)

    return algorithm._replace(init=init)
