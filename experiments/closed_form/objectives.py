"""Where each objective on pairs and rankings comes to rest, with all the data there is: derived, and reached.

python -m experiments.closed_form.objectives     # half a minute on two cores

A bandit of three arms, a policy that is a table of logits, and judgements in the proportions in which a Bradley-Terry
rater makes them: each pair in both orders, q and 1 - q, each ranking as often as Plackett and Luce say. Nothing is left
to sampling, so a loss either stops at the optimum pi* = reference exp(r / beta) / Z, or at another place.
"""

from collections.abc import Callable
from functools import partial
from itertools import permutations
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy import optimize

from experiments.closed_form.training import descend
from prefjax import losses
from prefjax.worlds import bandit, exact

BETA, FLIPPED, STEPS = 1.0, 0.1, 1500
REWARDS = np.array([1.0, 0.0, 1.6])  # gaps of different size: with those of the bandit the hinge meets pi* by chance
ORDERS = np.array([*permutations(range(3), 2)])  # [6, 2], every pair in both orders
RANKINGS = np.array([*permutations(range(3))])  # [6, 3]
WINS = 1 / (1 + np.exp(REWARDS[None] - REWARDS[:, None]))  # [i, j]: i is preferred to j
LIKELY = WINS[ORDERS[:, 0], ORDERS[:, 1]]
NOISY = (1 - 2 * FLIPPED) * LIKELY + FLIPPED  # the same labels, one in ten flipped
_WORTH = np.exp(REWARDS)[RANKINGS]
RANKED = np.prod(_WORTH / np.cumsum(_WORTH[:, ::-1], axis=1)[:, ::-1], axis=1)
OPTIMUM = exact.optimum(bandit.REFERENCE, REWARDS, BETA).policy


class Objective(NamedTuple):
    """A loss, the judgements it sees, and the policy `[3]` at which it should come to rest."""

    loss: Callable
    rest: np.ndarray
    arms: np.ndarray = ORDERS  # [M, N]
    weight: np.ndarray = LIKELY  # [M], how often each is seen


def tilted(rewards: np.ndarray, reference: np.ndarray = bandit.REFERENCE) -> np.ndarray:
    """The policy at beta 1."""
    return exact.optimum(reference, rewards, 1.0).policy


def at_divergence(slope: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The optimum under another divergence, u = slope(r / beta - c), with c such that probabilities add to 1."""
    off = lambda c: bandit.REFERENCE @ slope(REWARDS / BETA - c) - 1
    top = REWARDS.max() / BETA
    c = optimize.brentq(off, top - 0.999, top + 50)
    return bandit.REFERENCE * slope(REWARDS / BETA - c)


def by_arm(good: Callable, bad: Callable) -> np.ndarray:
    """Where sum_i w_i good(x_i) + l_i bad(x_i) is least, w and l how often an arm wins and loses, x its log-ratio."""
    wins = np.array([LIKELY[ORDERS[:, 0] == i].sum() for i in range(3)])

    def total(logits):
        x = logits - np.log(np.exp(logits).sum()) - np.log(bandit.REFERENCE)
        return wins @ good(x) + (2 - wins) @ bad(x)

    found = optimize.minimize(
        total, np.log(bandit.REFERENCE), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 0}
    )
    return np.exp(found.x) / np.exp(found.x).sum()


def reached(objective: Objective) -> np.ndarray:
    """The policy after training on all judgements at once."""
    arms, weight = jnp.asarray(objective.arms), jnp.asarray(objective.weight, jnp.float32)
    start, tx = jnp.log(jnp.asarray(bandit.REFERENCE, jnp.float32)), optax.adam(optax.cosine_decay_schedule(0.1, STEPS))
    mask = jnp.ones((1, arms.shape[1], 1), bool)

    @jax.jit
    def train():
        def value(logits):
            one = lambda logps, ref_logps: objective.loss(logps[None], ref_logps[None], mask)[0].value
            return jnp.sum(weight * jax.vmap(one)(bandit.logps(logits, arms), bandit.logps(start, arms)))

        step = lambda _, carry: descend(value, carry[0], tx, carry[1])
        return jax.nn.softmax(jax.lax.fori_loop(0, STEPS, step, (start, tx.init(start)))[0])

    return np.asarray(train(), np.float64)


def _alone(loss: Callable, **knobs) -> Callable:
    """A loss without a reference, as one that is given it."""
    return lambda logps, ref_logps, mask: loss(logps, mask, **knobs)


_softplus = partial(np.logaddexp, 0)
_UNIFORM = np.full(3, 1 / 3)
AT_REST = {
    "dpo_loss": Objective(partial(losses.dpo_loss, beta=BETA), OPTIMUM),
    "wpo_loss": Objective(partial(losses.wpo_loss, beta=BETA), OPTIMUM),
    "robust_dpo_loss, labels flipped": Objective(
        partial(losses.robust_dpo_loss, beta=BETA, label_smoothing=FLIPPED), OPTIMUM, weight=NOISY
    ),
    "plackett_luce_dpo_loss": Objective(partial(losses.plackett_luce_dpo_loss, beta=BETA), OPTIMUM, RANKINGS, RANKED),
    "all_pairs_dpo_loss": Objective(partial(losses.all_pairs_dpo_loss, beta=BETA), OPTIMUM, RANKINGS, RANKED),
    "f_dpo_loss, forward_kl": Objective(
        partial(losses.f_dpo_loss, divergence="forward_kl", beta=BETA),
        at_divergence(lambda y: 1 / np.maximum(-y, 1e-9)),
    ),
    "f_dpo_loss, alpha 0.5": Objective(
        partial(losses.f_dpo_loss, divergence="alpha", alpha=0.5, beta=BETA),
        at_divergence(lambda y: np.maximum(1 - 0.5 * y, 1e-9) ** -2),
    ),
    "f_dpo_loss, js": Objective(
        partial(losses.f_dpo_loss, divergence="js", beta=BETA),
        at_divergence(lambda y: 1 / np.maximum(2 * np.exp(-y) - 1, 1e-9)),
    ),
    "ipo_loss": Objective(partial(losses.ipo_loss, tau=BETA), tilted(WINS.mean(axis=1) / BETA)),
    "all_pairs_ipo_loss": Objective(
        partial(losses.all_pairs_ipo_loss, tau=BETA), tilted(WINS.mean(axis=1) / BETA), RANKINGS, RANKED
    ),
    "simpo_loss, gamma 0": Objective(_alone(losses.simpo_loss, beta=BETA, gamma=0.0), tilted(REWARDS / BETA, _UNIFORM)),
    "cpo_loss, nll 0": Objective(_alone(losses.cpo_loss, beta=BETA, nll=0.0), tilted(REWARDS / BETA, _UNIFORM)),
    "bco_loss": Objective(
        partial(losses.bco_loss, beta=BETA), by_arm(lambda x: _softplus(-BETA * x), lambda x: _softplus(BETA * x))
    ),
    "nca_loss": Objective(
        partial(losses.nca_loss, beta=BETA),
        by_arm(lambda x: _softplus(-BETA * x) + _softplus(BETA * x) / 2, lambda x: _softplus(BETA * x) / 2),
    ),
    "sppo_loss": Objective(
        partial(losses.sppo_loss, beta=BETA),
        by_arm(lambda x: (x - 0.5 / BETA) ** 2, lambda x: (x + 0.5 / BETA) ** 2),
    ),
}
ELSEWHERE = {  # they come to rest away from pi*, where no formula says, or at no policy
    "apo_zero_loss": Objective(partial(losses.apo_zero_loss, beta=BETA), OPTIMUM),
    "dpo_loss, label_smoothing 0.1": Objective(partial(losses.dpo_loss, beta=BETA, label_smoothing=0.1), OPTIMUM),
    "slic_loss": Objective(partial(losses.slic_loss, beta=BETA), OPTIMUM),
    "exo_loss": Objective(partial(losses.exo_loss, beta=BETA, label_smoothing=0.1), OPTIMUM),
    "discopop_loss": Objective(partial(losses.discopop_loss, beta=BETA, tau=0.5), OPTIMUM),
    "cal_dpo_loss": Objective(partial(losses.cal_dpo_loss, beta=BETA), OPTIMUM),
    "apo_down_loss": Objective(partial(losses.apo_down_loss, beta=BETA), OPTIMUM),
    "orpo_loss": Objective(_alone(losses.orpo_loss, lam=BETA), OPTIMUM),
    "lipo_loss": Objective(partial(losses.lipo_loss, beta=BETA), OPTIMUM, RANKINGS, RANKED),
}


def main() -> None:
    print("| loss | TV of what is reached to where it should rest | TV of that to pi* |\n|---|---|---|")
    for name, objective in AT_REST.items():
        off = exact.total_variation(reached(objective), objective.rest)
        print(f"| {name} | {off:.1e} | {exact.total_variation(objective.rest, OPTIMUM):.3f} |")
    for name, objective in ELSEWHERE.items():
        print(f"| {name} | | {exact.total_variation(reached(objective), OPTIMUM):.3f} |")


if __name__ == "__main__":
    main()
