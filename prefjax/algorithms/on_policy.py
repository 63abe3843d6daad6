"""What on-policy algorithms share: credit for the policy's own samples, and several updates on them.

A step eats `Prompts`. It samples, scores, assigns credit and updates in one compiled program.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from prefjax import mesh, models, ops, optim
from prefjax.advantages import adaptive_kl
from prefjax.algorithms import rollouts
from prefjax.algorithms.rollouts import Critic, Rival, shift
from prefjax.errors import ConfigError
from prefjax.losses.ppo import explained_variance, ppo_value_loss
from prefjax.losses.rows import average
from prefjax.losses.sft import sft_loss
from prefjax.metrics import Mean
from prefjax.types import Algorithm, Experience, Mixed, Prompts, Rollout, TrainState


def make(
    config: Any, nets: models.Models, credit: Callable, critic: Critic | None = None, rival: Rival | None = None
) -> Algorithm:
    """An algorithm that learns from its own samples.

    Args:
      config: `config.rollout` and `config.rl`; the loss `config.loss` takes of logps, old_logps,
        ref_logps, advantages and mask what it names.
      nets: the models of the run: "policy", "reference" and those that the reward names.
      credit: (rollout, kl_coef, hparams, carry) -> (advantages `[B, T]`, returns `[B, T]`, carry).
      critic: reads values; then `config.value_loss` is added to the loss.
      rival: draws what each sample is compared with, for a credit that does.
    """
    check(config, nets, critic is not None)
    rl, inner = config.rl, optim.algorithm(_loss_fn(config, nets, critic), config, Experience)
    roll, update = rollouts.roller(config, nets, critic, rival), _weighing(config, inner.step)

    def init(key, params):
        state = inner.init(key, params)
        return state._replace(carry=state.carry | {"kl_scale": jnp.float32(1)})

    def step(state: TrainState, frozen, hparams, batch: Prompts | Mixed, key):
        batch, demos = batch if isinstance(batch, Mixed) else (batch, None)
        rollouts.check_batch(config, batch, Prompts)
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
        state, metrics = improve(config, update, state._replace(carry=carry), frozen, learning, experience, order_key)
        return state, metrics | told

    return rollouts.watched(config, Algorithm(init, step))


def check(config: Any, nets: models.Models, critic: bool) -> None:
    """Raises ConfigError for settings of `config.rl` that contradict each other, or that need a critic without one."""
    rl = config.rl
    wrong = {
        f"rl.kl is {rl.kl!r}; it should be one of {', '.join(ops.KL)}": rl.kl not in ops.KL,
        f"rl.kl_in is {rl.kl_in!r}; it should be 'reward' or 'loss'": rl.kl_in not in ("reward", "loss"),
        "rl.kl is 'k1' in the loss, where its expected gradient is 0; it should be 'k2' there": (
            rl.kl_in == "loss" and rl.kl == "k1"
        ),
        f"rl.truncated is 'bootstrap', which needs a critic, and {config.algorithm} has none; it should be keep, "
        "penalise or mask": rl.truncated == "bootstrap" and not critic,
        f"rl.critic_warmup is {rl.critic_warmup}, and {config.algorithm} has no critic to warm up; it should be 0": (
            rl.critic_warmup > 0 and not critic
        ),
        f"rl.whiten_rewards is True, and {config.algorithm} has no critic that learns from them; it should be False": (
            rl.whiten_rewards and not critic
        ),
        f"data.pretrain is {config.data.pretrain!r}, whose loss weighs tokens; config.loss should be per='token'": (
            bool(config.data.pretrain) and optim.weighs(config) != "token"
        ),
    }
    rollouts.check(config, nets, wrong, config.batch_size * config.rollout.n)


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


def _weighing(config: Any, update: Callable) -> Callable:
    """`update`, told what a demonstration weighs: both losses are means, and one total is divided by one weight."""

    def weighed(state: TrainState, frozen, hparams, batch: Experience, key):
        if batch.demos is not None:
            tokens = lambda x: jnp.sum(x.sequences.response & (x.weight > 0)[:, None], dtype=jnp.float32)
            mine, theirs = mesh.total(config, (tokens(batch), tokens(batch.demos)))
            hparams = hparams | {"pretrain": hparams["rl.pretrain_coef"] * mine / jnp.maximum(theirs, 1.0)}
        return update(state, frozen, hparams, batch, key)

    return weighed


def improve(config: Any, update: Callable, state: TrainState, frozen, hparams, batch: Any, key: jax.Array):
    """Epochs over a batch in minibatches, each an update: one step of the run, in all."""
    rl = config.rl

    def epoch(state, key):
        def deal(x):
            x = jax.random.permutation(key, x) if rl.minibatches > 1 else x
            return x.reshape(rl.minibatches, -1, *x.shape[1:])

        return jax.lax.scan(one, state, jax.tree.map(deal, batch))

    def one(state, batch):
        new, metrics = update(state, frozen, hparams, batch, key)
        return new._replace(step=state.step), metrics

    state, metrics = jax.lax.scan(epoch, state, jax.random.split(key, rl.epochs))
    return state._replace(step=state.step + 1), jax.tree.map(jnp.sum, metrics)


def spread(advantages: jax.Array, scores: jax.Array, rollout: Rollout) -> tuple[jax.Array, jax.Array]:
    """Advantages and returns `[B]` of sequences, as those of each of their tokens `[B, T]`."""
    mask = rollout.sequences.response
    return jnp.where(mask, advantages[:, None], 0.0), jnp.where(mask, scores[:, None], 0.0)
