"""Nash mirror descent: a policy that wins against a mixture of itself and the reference, by a price of KL.

    grad = E[grad log policy(y) (P(y over y') - 1/2 - kl_coef log(policy(y) / reference(y)))]
    y of the policy, y' of the mixture policy^(1 - b) reference^b

Nash-MD-PG: Munos et al. 2023, section 7 (https://arxiv.org/abs/2312.00886). b is `config.rl.mixture`: at 0 the policy
plays against itself, at 1 against the reference.
"""

from typing import Any

import jax

from prefjax import models
from prefjax.algorithms import on_policy, rollouts
from prefjax.sampling.mixture import Mixture, MixtureParams
from prefjax.types import Algorithm


def make(config: Any, nets: models.Models) -> Algorithm:
    """Trains `nets["policy"]` on samples for `Prompts`, each against one of the mixture.

    The preference is that of a Bradley-Terry rater, P(y over y') = sigmoid(score(y) - score(y')).
    `config.rl.whiten_advantages` acts here too: the paper has it off.
    """

    def mixed(state, frozen, hparams, draw):
        params = MixtureParams(state.params, frozen["reference"], hparams["rl.mixture"])
        return draw(Mixture(nets["policy"], nets["reference"]), params)

    def credit(rollout, kl_coef, hparams, carry):
        wins = jax.nn.sigmoid(rollout.scores - rollout.rival_scores)
        better = rollouts.whole_scores(config, rollout._replace(scores=wins - 0.5), kl_coef)
        return *on_policy.spread(better, wins, rollout), carry

    return on_policy.make(config, nets, credit, rival=mixed)
