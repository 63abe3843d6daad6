"""DPO in a world whose frontier is known: no policy may stand above it, measured as the study measures."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.closed_form import transformers
from prefjax import models
from prefjax.sampling import generate
from prefjax.worlds import enumerable, exact

VOCAB, LENGTH = 8, 3
BETAS = (0.3, 0.6, 1.0, 3.0)  # below, a policy writes one response alone, whose reward has no standard error


class Stand(NamedTuple):
    """A policy, by its own samples, and the most reward that its KL allows."""

    beta: float
    kl: float
    reward: float
    frontier: float
    error: float  # standard error of reward - frontier(kl)


def stands(steps: int = 300, pairs: int = 8000, samples: int = 8192) -> list[Stand]:
    """DPO at each of `BETAS`; KL and reward by sampling, as in `prefjax.evals.samples`, the frontier by enumeration."""
    world = enumerable.make(VOCAB, LENGTH, 1)
    net, start = enumerable.reference(world, jax.random.key(0), spread=transformers.SPREAD)
    probs = np.exp(enumerable.log_probs(net, start, world))
    probs /= probs.sum(axis=-1, keepdims=True)
    data = enumerable.pairs(world, probs, pairs, seed=1)
    c = transformers.recipe("dpo", loss="dpo_loss(beta=1.0)", steps=steps, batch_size=200, optim__lr=1e-3)

    def batch_at(index, at):
        chosen = jax.random.randint(jax.random.fold_in(jax.random.key(0), at), (c.batch_size,), 0, pairs)
        return jax.tree.map(lambda x: jnp.asarray(x)[chosen], data)

    states, _ = transformers.train(c, net, start, batch_at, {"loss.beta": BETAS}, transformers.keys(len(BETAS)))
    many = enumerable.prompts(world, samples)

    @jax.jit
    def measure(params, key):
        rows, _ = generate(net, params, many.tokens, many.valid, key, max_new=LENGTH, stop=enumerable.STOP)
        kl = jnp.sum(models.divergence(net, params, net, start, rows).kl, axis=-1)
        return kl, enumerable.score(world, rows)

    found = []
    for i, beta in enumerate(BETAS):
        policy = jax.tree.map(lambda x, i=i: x[i], states.params)
        kl, reward = (np.asarray(x, np.float64) for x in measure(policy, jax.random.key(1)))
        found.append(stand(beta, kl, reward, probs[0], world.rewards[0]))
    return found


def stand(beta: float, kl: np.ndarray, reward: np.ndarray, probs: np.ndarray, rewards: np.ndarray) -> Stand:
    """Where a policy stands, from KL and reward `[N]` of its samples.

    The frontier is concave, with the price of a nat as its slope, so that the noise of reward - frontier(kl) is that of
    reward - price x KL.
    """
    low, high = 1e-3, 1e3
    for _ in range(60):  # the KL of the optimum falls with the price
        price = np.sqrt(low * high)
        low, high = (price, high) if exact.optimum(probs, rewards, price).kl > kl.mean() else (low, price)
    best = exact.optimum(probs, rewards, price)
    error = np.std(reward - price * kl, ddof=1) / np.sqrt(len(kl))
    return Stand(beta, float(kl.mean()), float(reward.mean()), float(best.reward), float(error))


def excess(found: Sequence[Stand]) -> float:
    """How far the farthest is above the frontier, in standard errors."""
    return max((s.reward - s.frontier) / s.error for s in found)


def table(found: Sequence[Stand]) -> str:
    """The stands as Markdown."""
    rows = ["| beta | KL, nats | reward | frontier at that KL | standard error |", "|---|---|---|---|---|"]
    rows += [f"| {s.beta:g} | {s.kl:.3f} | {s.reward:.4f} | {s.frontier:.4f} | {s.error:.4f} |" for s in found]
    return "\n".join(rows) + "\n"
