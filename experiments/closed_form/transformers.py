"""What the library's algorithms reach with transformers. A study is one program: runs by `vmap`, steps by `scan`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from experiments.closed_form.rows import Row
from prefjax import models, reference
from prefjax.config import base, hparams
from prefjax.resolve import resolve
from prefjax.sampling import generate
from prefjax.train import one_step
from prefjax.types import TrainState
from prefjax.worlds import enumerable, exact, goodhart

SEEDS = 4
PRICE = 0.5  # beta
SPREAD = 44.0  # of the reference on 2,801 responses: see `peaked`


def recipe(algorithm: str, **settings: Any) -> Any:
    """`base()` with what all studies share; a setting `rl__lam` is `rl.lam`."""
    c = base()
    c.algorithm = algorithm
    c.optim.tx, c.optim.schedule = "adam()", "linear()"  # to rest at the optimum
    c.value_loss = "ppo_value_loss(epsilon=100.0)"  # never clipped: returns are far from 0 from the start
    c.rl.lam, c.rl.value_coef, c.rl.whiten_advantages, c.rl.truncated = 1.0, 0.5, False, "keep"
    for path, value in settings.items():
        part, _, leaf = path.rpartition("__")
        (c[part] if part else c)[leaf] = value
    return c


def train(
    config: Any, net: models.Transformer, start: Any, batch_at: Callable, runs: dict[str, Any], keys: jax.Array
) -> tuple[TrainState, dict[str, np.ndarray]]:
    """Runs `[R]` of a config from one start, which is their reference too.

    Args:
      config, net, start: of all runs.
      batch_at: (index of the run, step) -> batch.
      runs: config path -> numbers `[R]`, where they differ.
      keys: `[R]`.

    Returns:
      States `[R]`, and metrics `[R, steps]`.
    """
    algorithm = resolve(config.algorithm, "prefjax.algorithms").function(config, {"policy": net, "reference": net})
    if config.reference != "frozen":
        algorithm = reference.follow(algorithm, config, start)
    step = one_step(algorithm.step)

    def run(start, index, numbers, key):
        def body(state, at):
            batch = batch_at(index, at)
            state, metrics = step(state, {"reference": start}, hparams(config) | numbers, batch, key)
            return state, {name: mean.value for name, mean in metrics.items()}

        return jax.lax.scan(body, algorithm.init(key, start), jnp.arange(config.steps))

    numbers = {path: jnp.asarray(values, jnp.float32) for path, values in runs.items()}
    states, metrics = jax.jit(jax.vmap(run, (None, 0, 0, 0)))(start, jnp.arange(len(keys)), numbers, keys)
    return states, jax.tree.map(np.asarray, metrics)


def keys(runs: int, seed: int = 0) -> jax.Array:
    """A key for each run."""
    return jax.random.split(jax.random.key(seed), runs)


# --- Goodhart: PPO at several prices of a nat. One layer is enough: the best policy draws its tokens independently.

BETAS = (2.0, 1.4, 1.0, 0.8, 0.626, 0.5, 0.35, 0.2)
HELD = (1.0, 0.5)  # where KL and proxy are held against the table
SAMPLES = 8192


def hacked(steps: int = 100) -> tuple[dict[float, goodhart.Point], float]:
    """Where PPO stands at each of `BETAS`, and the largest gap between sampler and trainer, in nats a token.

    Measured on `SAMPLES` responses of each policy; the KL is that of whole distributions, at the prefixes they drew.
    """
    net = models.llama(vocab=goodhart.VOCAB, width=16, layers=1, heads=2, positions=1 + goodhart.LENGTH, tied=False)
    trees = models.init(net, jax.random.key(0))["params"]
    start = {"params": trees | {"lm_head": jax.tree.map(jnp.zeros_like, trees["lm_head"])}}  # draws tokens evenly
    home = "prefjax.worlds.goodhart"
    words = {"tokenizer": f"{home}:tokenizer()", "reward": f"{home}:reward()", "loss": "ppo_policy_loss(epsilon=0.2)"}
    c = recipe("ppo", **words, steps=steps, batch_size=128, optim__lr=3e-3, rl__epochs=2, rl__minibatches=2)
    c.rollout.max_new = goodhart.LENGTH
    few, many = goodhart.prompts(c.batch_size), goodhart.prompts(SAMPLES)
    states, metrics = train(c, net, start, lambda index, at: few, {"rl.kl_coef": BETAS}, keys(len(BETAS)))

    @jax.jit
    def stand(params, start, key):
        rows, _ = generate(net, params, many.tokens, many.valid, key, max_new=goodhart.LENGTH, stop=goodhart.STOP)
        kl = jnp.sum(models.divergence(net, params, net, start, rows).kl, axis=-1)
        return [jnp.mean(x) for x in (kl, goodhart.proxy(rows), goodhart.gold(rows))]

    points = {}
    for i, beta in enumerate(BETAS):
        point = stand(jax.tree.map(lambda x, i=i: x[i], states.params), start, jax.random.key(1))
        points[beta] = goodhart.Point(*map(float, point))
    return points, float(metrics["mismatch"].max())


def hacked_rows(points: dict[float, goodhart.Point], mismatch: float) -> list[Row]:
    """KL and proxy within 3 %, and gold highest at the best of `BETAS` or beside it."""
    rows = []
    for beta in HELD:
        best = goodhart.optimum(beta)
        for name in ("kl", "proxy"):
            expected, got = getattr(best, name), getattr(points[beta], name)
            rows.append(Row("Goodhart, PPO", f"beta {beta:g}: {name} of a transformer", expected, got, 0.03 * expected))
    peak = max(BETAS, key=lambda beta: points[beta].gold)
    off = BETAS.index(peak) - BETAS.index(0.626)
    rows.append(Row("Goodhart, PPO", "places from beta 0.626 to the highest gold of 8", 0, off, 1))
    rows.append(Row("Goodhart, PPO", "largest gap of sampler and trainer, nats a token", 0, mismatch, 1e-3))
    return rows


# --- Enumerable worlds


def world_settings(vocab: int, length: int, prompts: int) -> dict[str, Any]:
    """What a recipe says of `enumerable.make(vocab, length, prompts)`."""
    home, sizes = "prefjax.worlds.enumerable", f"vocab={vocab}, length={length}, prompts={prompts}"
    words = {"tokenizer": f"{home}:tokenizer(vocab={vocab})", "reward": f"{home}:reward({sizes})"}
    return words | {"loss": "ppo_policy_loss(epsilon=0.2)", "rollout__max_new": length}


def probabilities(net: models.Transformer, states: TrainState, world: enumerable.World) -> np.ndarray:
    """Of every response under the policies of runs `[R, P, S]`."""
    count = len(states.step)
    policies = (jax.tree.map(lambda x, i=i: x[i], states.params) for i in range(count))
    return np.exp([enumerable.log_probs(net, params, world) for params in policies])


def gaps(policies: np.ndarray, reference: np.ndarray, rewards: np.ndarray, beta: float) -> np.ndarray:
    """(J* - J) / (J* - J_ref) of policies `[R, P, S]`, J averaged over the prompts: `[R]`."""
    value = lambda p: np.mean(np.sum(p * rewards, axis=-1) - beta * exact.kl(p, reference), axis=-1)
    best = np.mean(exact.optimum(reference, rewards, beta).value)
    return (best - value(policies)) / (best - value(reference))


def ppo(spread: float = SPREAD, lr: float = 1e-4) -> list[Row]:
    """On a peaked world: 200 steps of 256 samples."""
    world, net, start, reference = peaked(spread)
    c = recipe("ppo", **world_settings(8, 4, 1), steps=200, batch_size=256, rl__kl_coef=PRICE)
    c.optim.lr, c.rl.epochs, c.rl.minibatches, c.rl.value_coef = lr, 4, 2, 0.2
    batch, head = enumerable.prompts(world, c.batch_size), jnp.zeros((net.config.width, 1))
    start = {"params": start["params"] | {"score_head": {"kernel": head}}}  # a critic that starts from 0
    states, _ = train(c, net, start, lambda index, at: batch, {}, keys(SEEDS))
    found = gaps(probabilities(net, states, world), reference, world.rewards, PRICE)
    return gap_rows("PPO, transformer", f"2,801 responses, beta {PRICE}", found, 0.02)


def dpo(spread: float = SPREAD, count: int = 20_000) -> list[Row]:
    """On a peaked world: pairs of responses of the reference, judged once, and others for each seed."""
    world, net, start, reference = peaked(spread)
    drawn = [enumerable.pairs(world, reference, count, seed) for seed in range(1, 1 + SEEDS)]  # 0: the rewards'
    data = jax.tree.map(lambda *x: jnp.stack(x), *drawn)
    c = recipe("dpo", loss=f"dpo_loss(beta={PRICE})", steps=560, batch_size=250, optim__lr=5e-4)
    turns = count // c.batch_size  # steps of an epoch

    def batch_at(index, at):
        key = jax.random.fold_in(jax.random.key(index), at // turns)
        order = jax.random.permutation(key, count).reshape(turns, -1)
        return jax.tree.map(lambda x: x[index, order[at % turns]], data)

    states, _ = train(c, net, start, batch_at, {}, keys(SEEDS))
    found = gaps(probabilities(net, states, world), reference, world.rewards, PRICE)
    return gap_rows("DPO, transformer", f"{count:,} judged pairs, beta {PRICE}", found, 0.02)


def peaked(spread: float) -> tuple[enumerable.World, models.Transformer, Any, np.ndarray]:
    """A world of 2,801 responses, and a reference that is sure of few of them: the larger `spread`, the fewer.

    With a plain reference the responses are too many for 51,200 samples, and for 20,000 judgements whatever is made of
    them: see `plain.py`.
    """
    world = enumerable.make(vocab=8, length=4, prompts=1)
    net, start = enumerable.reference(world, jax.random.key(0), spread=spread)
    probs = np.exp(enumerable.log_probs(net, start, world))
    return world, net, start, probs / probs.sum(axis=-1, keepdims=True)


def gap_rows(study: str, what: str, found: np.ndarray, within: float) -> list[Row]:
    """The gap over the seeds, and the upper end of its one-sided 95 % interval."""
    bound = found.mean() + stats.t.ppf(0.95, len(found) - 1) * stats.sem(found)
    return [
        Row(study, f"{what}: gap, mean of {len(found)} seeds", 0.0, float(found.mean()), within),
        Row(study, f"{what}: gap, upper 95 % bound", 0.0, float(bound), within),
    ]


def rloo(steps: int = 200) -> list[Row]:
    """The KL is in the reward, so that the best policy is the tilted optimum."""
    world, beta = enumerable.make(4, 2, 1), 0.5
    net, start = enumerable.reference(world, jax.random.key(0))
    c = recipe("rloo", **world_settings(4, 2, 1), steps=steps, batch_size=64, rollout__n=4, rl__kl_coef=beta)
    c.optim.lr, c.rl.epochs = 1e-3, 1
    batch, reference = enumerable.prompts(world, c.batch_size), np.exp(enumerable.log_probs(net, start, world))
    states, _ = train(c, net, start, lambda index, at: batch, {}, keys(SEEDS))
    found = gaps(probabilities(net, states, world), reference, world.rewards, beta)
    return gap_rows("RLOO, transformer", f"13 responses, beta {beta}", found, 0.02)


def grpo(steps: int = 150) -> list[Row]:
    """With the KL in the loss, dividing by the standard deviation changes the price of a nat to beta times it.

    On responses of one token the policy comes to rest at reference exp(r / (beta sd)), sd that of r under itself.
    """
    world, beta = enumerable.make(8, 1, 2), 0.5
    net, start = enumerable.reference(world, jax.random.key(0))
    c = recipe("grpo", **world_settings(8, 1, 2), steps=steps, batch_size=2, rollout__n=128, rl__kl_coef=beta)
    c.rl.kl, c.rl.kl_in, c.optim.lr, c.rl.epochs = "k2", "loss", 3e-3, 1
    batch, reference = enumerable.prompts(world, c.batch_size), np.exp(enumerable.log_probs(net, start, world))
    states, _ = train(c, net, start, lambda index, at: batch, {}, keys(SEEDS))
    best = [standardised(p, r, beta) for p, r in zip(reference, world.rewards, strict=True)]
    off = exact.total_variation(probabilities(net, states, world), np.array(best)).max()
    return [Row("GRPO, transformer", f"8 arms, beta {beta}: TV to its fixed point", 0.0, float(off), 0.02)]


def standardised(reference: np.ndarray, rewards: np.ndarray, beta: float) -> np.ndarray:
    """The policy `[S]` at which GRPO rests, of large groups and with the KL in the loss."""
    policy = reference
    for _ in range(200):
        spread = np.sqrt(policy @ (rewards - policy @ rewards) ** 2)
        policy = (policy + exact.optimum(reference, rewards, beta * spread).policy) / 2
    return policy


def at_rest(steps: int = 3) -> list[Row]:
    """With a learning rate of 0 ratios stay 1 and the KL 0, over several updates of several steps of PPO."""
    world = enumerable.make()
    net, start = enumerable.reference(world, jax.random.key(0))
    batch = enumerable.prompts(world, 32)
    c = recipe("ppo", **world_settings(5, 3, 2), steps=steps, batch_size=32, rollout__n=2, optim__lr=0.0)
    c.rl.epochs, c.rl.minibatches = 2, 2
    _, metrics = train(c, net, start, lambda index, at: batch, {}, keys(1))
    found = {"ratio - 1": metrics["policy/ratio"] - 1, "KL": metrics["kl"]}
    return [
        Row("learning rate 0", f"PPO: largest {what}", 0.0, float(np.abs(off).max()), 1e-5)
        for what, off in found.items()
    ]
