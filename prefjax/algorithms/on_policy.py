"""What on-policy algorithms share: the policy's own samples with their scores, and several updates on them.

A step eats `Prompts`. It samples, scores, assigns credit and updates in one compiled program.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from prefjax import mesh, models, ops, optim, rewards
from prefjax.advantages import adaptive_kl
from prefjax.data import load
from prefjax.errors import ConfigError, PrefjaxError
from prefjax.losses.ppo import explained_variance, ppo_value_loss
from prefjax.losses.rows import average
from prefjax.losses.sft import sft_loss
from prefjax.metrics import Mean
from prefjax.sampling import generate
from prefjax.types import Algorithm, Experience, Mixed, Prompts, Rollout, TrainState

TRUNCATED = ("keep", "penalise", "mask", "bootstrap")

# (params, tokens [B, T], hidden [B, T, D] of the policy or None) -> the value after each token [B, T]
Critic = Callable[[Any, jax.Array, jax.Array | None], jax.Array]


def make(config: Any, nets: models.Models, credit: Callable, critic: Critic | None = None) -> Algorithm:
    """An algorithm that learns from its own samples.

    Args:
      config: `config.rollout` and `config.rl`; the loss `config.loss` takes of logps, old_logps,
        ref_logps, advantages and mask what it names.
      nets: the models of the run: "policy", "reference" and those that the reward names.
      credit: (rollout, kl_coef, hparams, carry) -> (advantages `[B, T]`, returns `[B, T]`, carry).
      critic: reads values; then `config.value_loss` is added to the loss.
    """
    check(config, nets, critic is not None)
    rl, inner = config.rl, optim.algorithm(_loss_fn(config, nets, critic), config, Experience)
    roll = _roller(config, nets, critic)

    def init(key, params):
        state = inner.init(key, params)
        return state._replace(carry=state.carry | {"kl_scale": jnp.float32(1)})

    def step(state: TrainState, frozen, hparams, batch: Prompts | Mixed, key):
        batch, demos = batch if isinstance(batch, Mixed) else (batch, None)
        if not isinstance(batch, Prompts):
            raise ConfigError(
                f"config.algorithm {config.algorithm!r} eats Prompts, got {type(batch).__name__}: "
                "config.data.rows should be 'prompts()'"
            )
        if demos is not None:  # the packing of a batch does not hold for its minibatches
            demos = demos._replace(sequences=demos.sequences._replace(packing=None))
        sample_key, order_key = jax.random.split(key)
        rollout, told = roll(state, frozen, hparams, batch, sample_key)
        carry = dict(state.carry)
        kl_coef = hparams["rl.kl_coef"] * carry["kl_scale"]
        advantages, returns, carry = credit(rollout, kl_coef, hparams, carry)
        told = mesh.total(config, told | {"kl_coef": Mean.of(kl_coef[None])})
        if critic is not None:
            moments = mesh.total(config, _moments(rollout, returns))
            told |= {"value/explained_variance": Mean.of(explained_variance(moments)[None])}
        if rl.kl_target:
            samples = told["score"].weight
            target, horizon = hparams["rl.kl_target"], hparams["rl.kl_horizon"]
            carry["kl_scale"] = adaptive_kl(
                carry["kl_scale"], told["kl"].value, target=target, horizon=horizon, batch=samples
            )
        if rl.whiten_advantages:
            mask = rollout.sequences.response & (rollout.weight > 0)[:, None]
            advantages = ops.whiten(advantages, mask, ddof=rl.ddof, axis_name=mesh.axis_name(config))
        experience = Experience(
            rollout.sequences,
            rollout.logps,
            rollout.ref_logps,
            rollout.values,
            advantages,
            returns,
            rollout.weight,
            demos,
        )
        learning = hparams | {"policy": jnp.where(state.step < rl.critic_warmup, 0.0, 1.0), "kl_coef": kl_coef}
        state, metrics = improve(
            config, inner.step, state._replace(carry=carry), frozen, learning, experience, order_key
        )
        return state, metrics | told

    return Algorithm(init, step, lambda values: _watch(values, rl.mismatch))


def check(config: Any, nets: models.Models, critic: bool) -> None:
    """Raises ConfigError for settings of `config.rl` that contradict each other, or that need a critic without one."""
    rl, rows = config.rl, config.batch_size * config.rollout.n
    demos = config.batch_size if config.data.pretrain else 0
    wrong = {
        f"reward is {config.reward!r}; it should be a call such as 'model()', with config.frozen.reward set": (
            not config.reward
        ),
        f"frozen.reference is not set; it should be the model that the KL is measured to: {config.model!r}": (
            "reference" not in nets
        ),
        f"rl.kl is {rl.kl!r}; it should be one of {', '.join(ops.KL)}": rl.kl not in ops.KL,
        f"rl.kl_in is {rl.kl_in!r}; it should be 'reward' or 'loss'": rl.kl_in not in ("reward", "loss"),
        "rl.kl is 'k1' in the loss, where its expected gradient is 0; it should be 'k2' there": (
            rl.kl_in == "loss" and rl.kl == "k1"
        ),
        f"rl.truncated is {rl.truncated!r}; it should be one of {', '.join(TRUNCATED)}": rl.truncated not in TRUNCATED,
        f"rl.truncated is 'bootstrap', which needs a critic, and {config.algorithm} has none; it should be keep, "
        "penalise or mask": rl.truncated == "bootstrap" and not critic,
        f"rl.critic_warmup is {rl.critic_warmup}, and {config.algorithm} has no critic to warm up; it should be 0": (
            rl.critic_warmup > 0 and not critic
        ),
        f"rl.whiten_rewards is True, and {config.algorithm} has no rewards of tokens; it should be False": (
            rl.whiten_rewards and not critic
        ),
        f"rl.minibatches is {rl.minibatches}; it should divide the {rows} samples"
        + (f" and the {demos} demonstrations" if demos else "")
        + " of a step": rl.minibatches < 1 or rows % rl.minibatches > 0 or demos % rl.minibatches > 0,
        f"data.pretrain is {config.data.pretrain!r}, whose loss weighs tokens; config.loss should be per='token'": (
            bool(config.data.pretrain) and optim.weighs(config) != "token"
        ),
        f"rl.epochs is {rl.epochs}; it should be 1 or more": rl.epochs < 1,
        f"rollout.n is {config.rollout.n}; it should be 1 or more": config.rollout.n < 1,
        f"rollout.max_new is {config.rollout.max_new}; it should be 1 or more": config.rollout.max_new < 1,
        f"rollout.temperature is {config.rollout.temperature}; it should be above 0": config.rollout.temperature <= 0,
    }
    for message, holds in wrong.items():
        if holds:
            raise ConfigError(f"config.{message}")


def _roller(config: Any, nets: models.Models, critic: Critic | None) -> Callable:
    """(state, frozen, hparams, prompts, key) -> (Rollout, metrics)."""
    policy, n, tokenizer = nets["policy"], config.rollout.n, load.tokenizer(config.tokenizer or config.model)
    records = functools.cache(lambda: load.records(config.data.train))
    reward, eos = rewards.make(config.reward, nets, tokenizer, records), tokenizer.eos_id

    def roll(state, frozen, hparams, batch, key):
        temperature, rows = hparams["rollout.temperature"], len(batch.tokens) * n
        first = 0 if config.parallel == "jit" else jax.lax.axis_index(mesh.PMAP_AXIS) * rows
        knobs = {"max_new": config.rollout.max_new, "stop": eos, "temperature": temperature, "n": n, "first": first}
        sequences, logps = generate(policy, state.params, batch.tokens, batch.valid, key, **knobs)
        ends = jnp.sum(sequences.valid, axis=-1, keepdims=True) - 1  # [B, 1], place of the last token
        stopped = jnp.take_along_axis(sequences.tokens, ends, axis=1)[:, 0] == eos
        found = models.divergence(policy, state.params, nets["reference"], frozen["reference"], sequences, temperature)
        scores, parts = reward(frozen, sequences, jnp.repeat(batch.ids, n))
        known = ~jnp.isnan(scores)
        scores = jnp.where(known, scores, 0.0)
        values, after = jnp.zeros_like(logps), jnp.zeros_like(scores)
        if critic is not None:
            read = critic(state.params, sequences.tokens, None)
            values, after = shift(read), jnp.take_along_axis(read, ends, axis=1)[:, 0]
        told = _describe(sequences, logps, found, scores, parts, known, stopped)
        scores = jnp.where(
            hparams["rl.score_clip"] > 0, jnp.clip(scores, -hparams["rl.score_clip"], hparams["rl.score_clip"]), scores
        )
        if config.rl.truncated == "penalise":
            scores -= jnp.where(stopped, 0.0, hparams["rl.penalty"])
        if config.rl.truncated == "mask":
            known &= stopped
        weight = known.astype(jnp.float32)
        return Rollout(sequences, logps, found.ref_logps, values, after, scores, stopped, weight), told

    return roll


def _describe(sequences, logps, found, scores, parts, known, stopped) -> dict[str, Mean]:
    """The metrics of samples, each the mean over sequences: KL and entropy in nats a sequence."""
    mask = sequences.response
    gaps = jnp.where(mask, jnp.abs(logps - found.logps), 0.0).ravel()
    worst = jnp.argmax(gaps)
    per_sequence = {
        "score": scores,
        "length": jnp.sum(mask, axis=-1, dtype=jnp.float32),
        "stopped": stopped.astype(jnp.float32),
        "kl": ops.sum_tokens(found.kl, mask),
        "kl/k1": ops.sum_tokens(ops.kl_k1(found.logps, found.ref_logps), mask),
        "kl/k3": ops.sum_tokens(ops.kl_k3(found.logps, found.ref_logps), mask),
        "entropy": ops.sum_tokens(found.entropy, mask),
    }
    if len(parts) > 1:
        per_sequence |= {f"score/{name}": jnp.where(jnp.isnan(x), 0.0, x) for name, x in parts.items()}
    told = {name: Mean.of(x, known if name.startswith("score") else None) for name, x in per_sequence.items()}
    extremes = {"mismatch": gaps, "mismatch/sampler": logps.ravel(), "mismatch/trainer": found.logps.ravel()}
    return (
        told
        | {"scored": Mean.of(known.astype(jnp.float32))}
        | {k: Mean.of(x[worst][None]) for k, x in extremes.items()}
    )


def _moments(rollout: Rollout, returns: jax.Array) -> dict[str, Mean]:
    """Moments of the returns and of what the critic left unexplained, before it learns from them."""
    _, moments = ppo_value_loss(
        rollout.values, rollout.values, returns, rollout.sequences.response, where=rollout.weight > 0
    )
    return moments


def _loss_fn(config: Any, nets: models.Models, critic: Critic | None) -> Callable:
    """The policy loss, with the KL if it is in the loss, the entropy bonus and the value loss."""
    policy, rl = nets["policy"], config.rl
    policy_loss, value_loss = optim.loss_of(config), optim.loss_of(config, "value_loss")
    per = optim.weighs(config)
    if critic is not None and optim.weighs(config, "value_loss") != per:
        raise ConfigError(f"config.value_loss is {config.value_loss!r}; it should weigh as config.loss: per={per!r}")

    def loss_fn(params, frozen, hparams, batch, key):
        sequences, temperature = batch.sequences, hparams["rollout.temperature"]
        mask, where = sequences.response, batch.weight > 0
        mean = lambda x: average(jnp.where(where[:, None], x, 0), mask & where[:, None], per, where)
        hidden = policy.apply(params, sequences.tokens, method="hidden")
        logps, entropy = models.logps_and_entropy(policy, params, hidden, sequences, temperature)
        arrays = {"logps": logps, "old_logps": batch.logps, "advantages": batch.advantages, "mask": mask}
        loss, metrics = policy_loss(hparams, batch, **arrays, ref_logps=batch.ref_logps)
        total = loss.total - hparams["rl.entropy_coef"] * mean(entropy).total
        if rl.kl_in == "loss":
            total += hparams["kl_coef"] * mean(ops.KL[rl.kl](logps, batch.ref_logps)).total
        total *= hparams["policy"]
        metrics |= {"policy/loss": loss}
        if critic is not None:
            values = shift(critic(params, sequences.tokens, hidden))
            known = {"values": values, "old_values": batch.values, "returns": batch.returns, "mask": mask}
            error, told = value_loss(hparams, batch, **known)
            total += hparams["rl.value_coef"] * error.total
            metrics |= told | {"value/loss": error}
        if batch.demos is not None:
            demo_logps = models.logps(policy, params, batch.demos.sequences)
            imitation, _ = sft_loss(demo_logps, batch.demos.sequences.response, where=batch.demos.weight > 0)
            total += hparams["policy"] * hparams["pretrain"] * imitation.total
            metrics |= {"pretrain/loss": imitation}
        return Mean(total, loss.weight), jax.lax.stop_gradient(metrics)

    return loss_fn


def improve(config: Any, update: Callable, state: TrainState, frozen, hparams, experience: Experience, key):
    """Epochs over the experience in minibatches, each an update: one step of the run, whatever their number."""
    rl = config.rl

    def epoch(state, key):
        def deal(x):
            x = jax.random.permutation(key, x) if rl.minibatches > 1 else x
            return x.reshape(rl.minibatches, -1, *x.shape[1:])

        return jax.lax.scan(one, state, jax.tree.map(deal, experience))

    def one(state, batch):
        numbers = hparams
        if batch.demos is not None:  # both losses are means: each total is divided by the weight of the policy's
            weights = [
                jnp.sum(x.sequences.response & (x.weight > 0)[:, None], dtype=jnp.float32) for x in (batch, batch.demos)
            ]
            mine, theirs = mesh.total(config, weights)
            numbers = hparams | {"pretrain": hparams["rl.pretrain_coef"] * mine / jnp.maximum(theirs, 1.0)}
        new, metrics = update(state, frozen, numbers, batch, key)
        return new._replace(step=state.step), metrics

    state, metrics = jax.lax.scan(epoch, state, jax.random.split(key, rl.epochs))
    return state._replace(step=state.step + 1), jax.tree.map(jnp.sum, metrics)


def check_group(config: Any) -> None:
    """Raises ConfigError unless there are several samples of a prompt to compare."""
    if config.rollout.n < 2:
        raise ConfigError(
            f"config.rollout.n is {config.rollout.n}; {config.algorithm} compares the samples of a prompt: 2 or more"
        )


def whole_scores(config: Any, rollout: Rollout, kl_coef: jax.Array) -> jax.Array:
    """Scores `[B]`, less the KL penalty of the sequence if the KL is in the reward."""
    if config.rl.kl_in == "loss":
        return rollout.scores
    return rollout.scores - kl_coef * ops.sum_tokens(
        ops.KL[config.rl.kl](rollout.logps, rollout.ref_logps), rollout.sequences.response
    )


def spread(advantages: jax.Array, scores: jax.Array, rollout: Rollout) -> tuple[jax.Array, jax.Array]:
    """Advantages and returns `[B]` of sequences, as those of each of their tokens `[B, T]`."""
    mask = rollout.sequences.response
    return jnp.where(mask, advantages[:, None], 0.0), jnp.where(mask, scores[:, None], 0.0)


def shift(after: jax.Array) -> jax.Array:
    """Values before each token `[B, T]` from those after it; the first is 0."""
    return jnp.pad(after[:, :-1], [(0, 0), (1, 0)])


def _watch(values: dict[str, float], allowed: float) -> None:
    """Raises PrefjaxError where the sampler and the trainer do not agree on what was sampled."""
    gap = values["train/mismatch"]
    if gap > allowed:
        raise PrefjaxError(
            f"the sampler and the trainer disagree: the worst token of a step had log-probability "
            f"{values['train/mismatch/sampler']:.4f} when it was sampled and {values['train/mismatch/trainer']:.4f} "
            f"when it was scored, {gap:.4f} nats apart; config.rl.mismatch allows {allowed}"
        )
