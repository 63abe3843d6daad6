"""What training reaches, with the library's losses on policies that are a table of logits. A run is one `scan`."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.closed_form.rows import Row
from prefjax import ops
from prefjax.advantages import rloo
from prefjax.losses import dpo_loss, kl_loss, policy_gradient_loss, ppo_policy_loss
from prefjax.losses.ppo import shaped_rewards
from prefjax.worlds import azar, bandit, exact

BETAS = np.array([0.5, 1.0, 2.0], np.float32)
TAUS = np.array([0.1, 0.5, 1.0], np.float32)
BATCH, UPDATES, EPOCHS, SAMPLES = 256, 300, 4, 4
_REFERENCE = jnp.log(jnp.asarray(bandit.REFERENCE, jnp.float32))
_OPTIMA = np.stack([exact.optimum(bandit.REFERENCE, bandit.REWARDS, beta).policy for beta in BETAS])


def descend(loss: Callable, logits: jax.Array, tx: optax.GradientTransformation, state: optax.OptState):
    """One step of the optimizer."""
    gradient = jax.grad(loss)(logits)
    with jax.numpy_dtype_promotion("standard"):  # optax mixes floats and integer counts
        updates, state = tx.update(gradient, state)
    return optax.apply_updates(logits, updates), state


# --- DPO on soft Bradley-Terry labels: the maximum of E r - beta KL, from pairs alone


def dpo() -> list[Row]:
    """TV to pi* of DPO on all pairs, each with the probability that a Bradley-Terry rater prefers its first."""
    arms, target = bandit.pairs()
    mask, steps = jnp.ones((len(arms), 2, 1), bool), 2000
    tx = optax.adam(optax.cosine_decay_schedule(0.1, steps))

    @jax.jit
    @jax.vmap
    def train(beta):
        ref_logps = bandit.logps(_REFERENCE, arms)
        loss = lambda x: dpo_loss(bandit.logps(x, arms), ref_logps, mask, beta=beta, target=target)[0].value
        step = lambda _, carry: descend(loss, carry[0], tx, carry[1])
        return jax.nn.softmax(jax.lax.fori_loop(0, steps, step, (_REFERENCE, tx.init(_REFERENCE)))[0])

    distances = exact.total_variation(train(BETAS), _OPTIMA)
    return [
        Row("DPO, soft labels", f"beta {b:g}: TV to pi*", 0.0, d, 1e-4) for b, d in zip(BETAS, distances, strict=True)
    ]


# --- IPO against DPO on hard preferences, the protocol of Azar et al.: Adam 0.01, 18,000 steps, batches of 9


def azar_policies(loss: Callable, strength: str, seeds: int, steps: int = 18_000) -> dict[str, np.ndarray]:
    """Policies `[taus, seeds, 3]` by dataset: means over the last third of the steps, as Adam never rests."""
    tx, start, mask = optax.adam(0.01), jnp.zeros(3), jnp.ones((9, 2, 1), bool)
    datasets = jnp.stack([jnp.asarray(np.resize(d.pairs, (6, 2))) for d in azar.DATASETS.values()])  # whole copies

    def train(pairs, tau, key):
        def step(carry, i):
            logits, state, total = carry
            batch = pairs[jax.random.randint(jax.random.fold_in(key, i), (9,), 0, len(pairs))]
            ref_logps = bandit.logps(start, batch)
            value = lambda x: loss(bandit.logps(x, batch), ref_logps, mask, **{strength: tau})[0].value
            logits, state = descend(value, logits, tx, state)
            total += jnp.where(i >= steps - steps // 3, jax.nn.softmax(logits), 0.0)
            return (logits, state, total), None

        (*_, total), _ = jax.lax.scan(step, (start, tx.init(start), jnp.zeros(3)), jnp.arange(steps))
        return total / (steps // 3)

    grid = train
    for axes in ((None, None, 0), (None, 0, None), (0, None, None)):  # seeds, taus, datasets
        grid = jax.vmap(grid, axes)
    policies = jax.jit(grid)(datasets, TAUS, jax.random.split(jax.random.key(0), seeds))
    return dict(zip(azar.DATASETS, np.asarray(policies), strict=True))


def azar_rows(ipo: dict[str, np.ndarray], dpo: dict[str, np.ndarray]) -> list[Row]:
    """The largest difference of a probability, averaged over the seeds, from its closed form."""
    rows = []
    for name, (pairs, _) in azar.DATASETS.items():
        for i, tau in enumerate(TAUS):
            off = np.abs(ipo[name][i].mean(axis=0) - azar.ipo_optimum(pairs, float(tau))).max()
            rows.append(Row("IPO, trained", f"{name}, tau {tau:g}: largest error", 0.0, float(off), 0.01))
    for name, (_, limit) in azar.DATASETS.items():
        for i, beta in enumerate(TAUS):
            off = np.abs(dpo[name][i].mean(axis=0) - limit).max()
            rows.append(Row("DPO, trained", f"{name}, beta {beta:g}: largest error", 0.0, float(off), 0.01))
    return rows


# --- PPO and RLOO on samples


class Arm(NamedTuple):
    """A way to follow the gradient of E r - beta KL, and how near it should come to pi* at each of `BETAS`."""

    kl: str  # "reward" or "loss"
    method: str  # "ppo", "bare" (a baseline of the score alone), "whitened" (at a constant learning rate) or "rloo"
    expected: tuple[float, float, float]  # largest TV over the seeds
    within: tuple[float, float, float]


ARMS = {
    "PPO": Arm("reward", "ppo", (0, 0, 0), (5e-4, 5e-4, 5e-4)),
    "PPO, KL in the loss": Arm("loss", "ppo", (0, 0, 0), (5e-4, 5e-4, 5e-4)),
    "PPO, KL not in the baseline": Arm("loss", "bare", (0, 0, 0), (0.01, 0.005, 0.005)),
    "PPO, whitened, constant rate": Arm("reward", "whitened", (0.013, 0.013, 0.013), (0.007, 0.007, 0.007)),
    "RLOO": Arm("reward", "rloo", (0.022, 0, 0), (0.002, 3e-4, 3e-4)),
}


def policy_gradient(arm: Arm, seeds: int) -> np.ndarray:
    """Policies `[betas, seeds, updates, 3]` on the way."""
    epochs = 1 if arm.method == "rloo" else EPOCHS
    rate = 0.02 if arm.method == "whitened" else optax.linear_schedule(0.02, 0.0, UPDATES * epochs)
    tx, mask = optax.adam(rate), jnp.ones((BATCH, 1), bool)

    def train(beta, key):
        def update(carry, key):
            old_logits, state = carry
            arms = jax.random.categorical(key, old_logits, shape=(BATCH,))
            old_logps, ref_logps = (bandit.logps(x, arms) for x in (old_logits, _REFERENCE))
            price = beta if arm.kl == "reward" else 0.0
            rewards = shaped_rewards(bandit.score(arms), old_logps, ref_logps, mask, kl_coef=price)
            unpaid = (beta - price) * (old_logps - ref_logps)  # what the loss will take
            advantages = credit(arm.method, rewards, unpaid, mask)

            def loss(logits):
                logps = bandit.logps(logits, arms)
                if arm.method == "rloo":
                    return policy_gradient_loss(logps, advantages, mask)[0].value
                policy = ppo_policy_loss(logps, old_logps, advantages, mask, epsilon=0.2)[0].value
                return policy + (beta - price) * kl_loss(logps, ref_logps, mask)[0].value

            epoch = lambda _, carry: descend(loss, carry[0], tx, carry[1])
            logits, state = jax.lax.fori_loop(0, epochs, epoch, (old_logits, state))
            return (logits, state), jax.nn.softmax(logits)

        return jax.lax.scan(update, (_REFERENCE, tx.init(_REFERENCE)), jax.random.split(key, UPDATES))[1]

    keys = jax.random.split(jax.random.key(0), seeds)
    return np.asarray(jax.jit(jax.vmap(jax.vmap(train, (None, 0)), (0, None)))(BETAS, keys))


def credit(method: str, rewards: jax.Array, unpaid: jax.Array, mask: jax.Array) -> jax.Array:
    """Advantages `[B, 1]`: a response is one token, so that its reward is its return.

    The baseline is the mean of all that a response earns, the KL in the loss included: at pi* that is one number, and
    the two gradients of every sample cancel. Against the mean of the score alone they cancel in expectation only.
    """
    if method == "rloo":
        return rloo(rewards.reshape(-1, SAMPLES)).reshape(rewards.shape)
    if method == "whitened":
        return ops.whiten(rewards, mask)
    return rewards - jnp.mean(rewards if method == "bare" else rewards - unpaid)


def policy_gradient_rows(policies: dict[str, np.ndarray]) -> list[Row]:
    """The largest TV to pi* over the seeds, after the last update."""
    rows = []
    for name, arm in ARMS.items():
        distances = exact.total_variation(policies[name][:, :, -1], _OPTIMA[:, None]).max(axis=1)
        for beta, expected, got, within in zip(BETAS, arm.expected, distances, arm.within, strict=True):
            rows.append(Row(name, f"beta {beta:g}: TV to pi*", expected, float(got), within))
    return rows


def distances(policies: np.ndarray) -> np.ndarray:
    """TV to pi* `[betas, seeds, updates]`."""
    return exact.total_variation(policies, _OPTIMA[:, None, None])
