"""Self-play fine-tuning: prefer the demonstration to the opponent's own answer, until the two cannot be told apart.

Chen et al. 2024 (https://arxiv.org/abs/2401.01335). The opponent is the reference: with `config.reference`
"sync(steps=K)" the policy of K steps ago or less, an iteration of the paper; with "frozen" that of the first iteration.
It needs no reward and no rater.
"""

from typing import Any

import jax
import jax.numpy as jnp

from prefjax import mesh, models
from prefjax.algorithms import dpo, rollouts
from prefjax.algorithms.on_policy import improve
from prefjax.data import load
from prefjax.errors import PrefjaxError
from prefjax.metrics import Mean
from prefjax.types import Algorithm, Demos, Pairs, Sequences, TrainState


def make(config: Any, nets: models.Models) -> Algorithm:
    """Trains `nets["policy"]` on pairs of each of `Demos` and an answer of the reference to its prompt."""
    inner, positions = dpo.make(config, nets, sampled=True), nets["policy"].config.positions
    room = positions - config.rollout.max_new
    wrong = {
        f"frozen.reference is not set; it should be the opponent: {config.model!r}": "reference" not in nets,
        f"rollout.max_new is {config.rollout.max_new}; it should be below the {positions} positions of the model": (
            room < 1
        ),
    }
    rollouts.check_samples(config, wrong, config.batch_size)
    eos = load.tokenizer(config.tokenizer or config.model).eos_id

    def step(state: TrainState, frozen, hparams, batch, key):
        rollouts.check_batch(config, batch, Demos)
        sample_key, order_key = jax.random.split(key)
        own, fits = answers(frozen["reference"], hparams, batch.sequences, sample_key)
        told = {"length": jnp.sum(own.response, axis=-1, dtype=jnp.float32), "fits": fits.astype(jnp.float32)}
        told = mesh.total(config, {name: Mean.of(x, batch.weight > 0) for name, x in told.items()})
        pairs = Pairs(beside(batch.sequences, own), batch.weight)
        state, metrics = improve(config, inner.step, state, frozen, hparams, pairs, order_key)
        return state, metrics | told

    def answers(params, hparams, sequences, key):
        """The opponent's answers to the prompts of demonstrations, and whether each prompt leaves room for one."""
        before = sequences.valid & ~sequences.response
        width = min(sequences.tokens.shape[1], room)
        tokens, valid = (x[:, :width] for x in (jnp.where(before, sequences.tokens, 0), before))
        knobs = {"stop": eos, "temperature": hparams["rollout.temperature"]}
        own, _ = rollouts.sample(config, nets["reference"], params, tokens, valid, key, **knobs)
        return own, jnp.sum(before, axis=-1) <= width

    def watch(values: dict[str, float]) -> None:
        if values["train/fits"] < 1:
            raise PrefjaxError(
                f"{1 - values['train/fits']:.1%} of the prompts have more than {room} tokens: the model has "
                f"{positions} positions, and config.rollout.max_new is {config.rollout.max_new}"
            )

    return Algorithm(inner.init, step, watch)


def beside(chosen: Sequences, rejected: Sequences) -> Sequences:
    """Rows `[B, T]` and `[B, U]` as pairs `[B, 2, max(T, U)]`, the shorter ones padded."""
    width = max(chosen.tokens.shape[1], rejected.tokens.shape[1])
    pad = lambda x: jnp.pad(x, [(0, 0), (0, width - x.shape[1])])
    both = lambda name: jnp.stack([pad(getattr(chosen, name)), pad(getattr(rejected, name))], axis=1)
    return Sequences(both("tokens"), both("valid"), both("response"))  # packed no more: that is not the same for pairs
