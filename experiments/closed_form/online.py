"""Where algorithms that learn from their own samples come to rest, with transformers, and where they should."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.closed_form.rows import Row
from experiments.closed_form.transformers import SEEDS, keys, probabilities, recipe, train, world_settings
from prefjax.types import Demos
from prefjax.worlds import enumerable, exact

PRICE = 0.5  # of a nat; beta of the losses on pairs
MIXTURE = 0.25
ARMS, SHORT = (8, 1, 2), (4, 2, 1)  # vocab, length, prompts: 8 responses of one token; 13 of up to two

Best = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (reference [P, S], rewards [P, S]) -> policy [P, S]


class Study(NamedTuple):
    """An algorithm, its settings, and where it should come to rest."""

    algorithm: str
    settings: dict[str, Any]
    best: Best
    world: tuple[int, int, int] = ARMS
    within: float = 0.005  # total variation, after 150 steps


def tilted(reference: np.ndarray, rewards: np.ndarray) -> np.ndarray:
    """The maximum of E r - beta KL."""
    return exact.optimum(reference, rewards, PRICE).policy


def nash(reference: np.ndarray, rewards: np.ndarray) -> np.ndarray:
    """The best answer to its mixture with the reference, at a quarter of the price: preferences are at most 1."""
    wins = 1 / (1 + np.exp(rewards[:, None, :] - rewards[:, :, None]))  # [P, S, S], of the first over the second
    policy = reference
    for _ in range(500):
        mixed = policy ** (1 - MIXTURE) * reference**MIXTURE
        mixed /= mixed.sum(axis=-1, keepdims=True)
        best = exact.optimum(reference, np.einsum("pij,pj->pi", wins, mixed), PRICE / 4).policy
        policy = (policy + best) / 2
    return policy


def highest(reference: np.ndarray, rewards: np.ndarray) -> np.ndarray:
    """The response of the highest reward, and nothing else."""
    return np.eye(rewards.shape[1])[rewards.argmax(axis=1)]


PAIRS = {"rl__labels": "soft", "rl__epochs": 1, "batch_size": 128, "optim__lr": 3e-3}
POLICY = {"rl__epochs": 1, "rl__kl_coef": PRICE, "optim__lr": 3e-3, "batch_size": 256}
SUMS = {"loss": "policy_gradient_loss(per='sequence')"}
GROUPS = {"rollout__n": 16, "batch_size": 16}
SPIN = {"loss": f"dpo_loss(beta={PRICE})", "reference": "sync(steps=10)", "rl__epochs": 1, "optim__lr": 3e-3}
STUDIES = {
    "online DPO": Study("online_dpo", PAIRS | {"loss": f"dpo_loss(beta={PRICE})", "rollout__n": 2}, tilted),
    "XPO, alpha 0": Study("xpo", PAIRS | {"loss": f"xpo_loss(beta={PRICE}, alpha=0.0)"}, tilted),
    "Dr. GRPO": Study(
        "grpo", POLICY | GROUPS | {"loss": "0.5 * ppo_policy_loss(per='sequence')", "rl__std": False}, tilted, SHORT
    ),
    "REINFORCE++": Study("reinforce_plus_plus", POLICY | {"rl__whiten_advantages": True}, tilted, SHORT, 0.02),
    "RAFT": Study("raft", POLICY | GROUPS | {"loss": "sft_loss()", "rl__kl_coef": 0.0}, highest, within=0.01),
    "ReMax": Study("remax", POLICY | SUMS | {"steps": 300}, tilted, SHORT, 0.03),
    "Nash-MD": Study(
        "nash_md", POLICY | SUMS | {"rl__kl_coef": PRICE / 4, "rl__mixture": MIXTURE, "steps": 300}, nash, within=0.03
    ),
    "SPIN": Study("spin", SPIN | {"batch_size": 256, "steps": 300}, tilted, within=0.03),
}


def study(name: str, seeds: int = SEEDS) -> tuple[float, np.ndarray]:
    """Total variation to where an algorithm should rest: of the reference, and in the end of each seed `[seeds]`.

    Of the prompts it is that of the worst.
    """
    found = STUDIES[name]
    world = enumerable.make(*found.world)
    net, start = enumerable.reference(world, jax.random.key(0))
    reference = np.exp(enumerable.log_probs(net, start, world))
    reference /= reference.sum(axis=-1, keepdims=True)
    best = found.best(reference, world.rewards.astype(np.float64))
    c = recipe(found.algorithm, **{"steps": 150} | world_settings(*found.world) | found.settings)
    batch_at: Callable = lambda index, at: enumerable.prompts(world, c.batch_size)
    if found.algorithm == "spin":
        batch_at = demonstrations(world, best, c.batch_size)
    states, _ = train(c, net, start, batch_at, {}, keys(seeds))
    ends = exact.total_variation(probabilities(net, states, world), best).max(axis=-1)
    return float(exact.total_variation(reference, best).max()), ends


def demonstrations(world: enumerable.World, probs: np.ndarray, rows: int) -> Callable:
    """Batches of responses drawn with `probs` `[P, S]`, others at each step of each run."""

    def batch_at(index, at):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(1), index), at)
        prompt = jnp.arange(rows) % len(probs)
        drawn = jax.random.categorical(key, jnp.log(jnp.asarray(probs, jnp.float32))[prompt])
        return Demos(jax.tree.map(lambda x: jnp.asarray(x)[prompt, drawn], world.responses), jnp.ones(rows))

    return batch_at


def rows() -> list[Row]:
    """The largest distance over the seeds, with that of the reference."""
    found = []
    for name, (*_, world, within) in STUDIES.items():
        start, ends = study(name)
        what = f"{'8 arms' if world == ARMS else '13 responses'}: TV to where it should rest, from {start:.2f}"
        found.append(Row(f"{name}, transformer", what, 0.0, float(ends.max()), within))
    return found
