"""What algorithms share that make data of the policy's own samples, and learn from it as from any other.

A step eats `Prompts`. It samples, scores, makes pairs or demonstrations and updates in one compiled program.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from prefjax import mesh, models, optim
from prefjax.algorithms import rollouts
from prefjax.algorithms.on_policy import improve
from prefjax.algorithms.rollouts import Rival
from prefjax.errors import ConfigError
from prefjax.metrics import Mean
from prefjax.types import Algorithm, Demos, Pairs, Prompts, Rollout, TrainState

LABELS = ("hard", "soft")
_UNUSED = {"kl_in": "reward", "kl_target": 0.0, "entropy_coef": 0.0, "critic_warmup": 0, "whiten_rewards": False}


def make(
    config: Any,
    nets: models.Models,
    inner: Algorithm,
    data: Callable[[Rollout, dict[str, jax.Array]], Pairs | Demos],
    *,
    rows: int,
    rival: Rival | None = None,
) -> Algorithm:
    """An algorithm that learns from its own samples as `inner` does from its batches.

    Args:
      config: `config.rollout`, and of `config.rl` epochs, minibatches and what says how scores are read.
      nets: the models of the run: "policy", "reference" and those that the reward names.
      inner: one update on a batch.
      data: (rollout, hparams) -> a batch of `inner`, with weight 0 on rows that are not to be learnt from.
      rows: of that batch.
      rival: draws what each sample is compared with.
    """
    wrong: dict[str, bool] = {
        f"rl.{name} is {config.rl[name]!r}, of which {config.algorithm} makes no use; it should be {value!r}": (
            config.rl[name] != value
        )
        for name, value in _UNUSED.items()
    }
    wrong |= {
        f"data.pretrain is {config.data.pretrain!r}, of which {config.algorithm} makes no use; it should be ''": bool(
            config.data.pretrain
        ),
        f"rl.truncated is 'bootstrap', which needs a critic, and {config.algorithm} has none; it should be keep, "
        "penalise or mask": config.rl.truncated == "bootstrap",
    }
    rollouts.check(config, nets, wrong, rows)
    roll = rollouts.roller(config, nets, rival=rival)

    def step(state: TrainState, frozen, hparams, batch, key):
        rollouts.check_batch(config, batch, Prompts)
        sample_key, order_key = jax.random.split(key)
        rollout, told = roll(state, frozen, hparams, batch, sample_key)
        made = data(rollout, hparams)
        told |= {"learnt_from": Mean.of((made.weight > 0).astype(jnp.float32))}
        told = mesh.total(config, told)
        state, metrics = improve(config, inner.step, state, frozen, hparams, made, order_key)
        return state, metrics | told

    return rollouts.watched(config, Algorithm(inner.init, step))


def labelled(config: Any, sequences: Any, scores: jax.Array, weight: jax.Array, ref_logps: Any = None) -> Pairs:
    """Pairs `[B, 2, T]` with what their scores `[B, 2]` say of them.

    With `config.rl.labels` "hard" the target is 1 where candidate 0 has the higher score, 0 where it has the lower one,
    and pairs of equal scores have weight 0; with "soft" it is the probability sigmoid(s_0 - s_1) that a Bradley-Terry
    rater prefers candidate 0.
    """
    gap = scores[:, 0] - scores[:, 1]
    if config.rl.labels == "soft":
        return Pairs(sequences, weight, ref_logps=ref_logps, target=jax.nn.sigmoid(gap))
    weight = jnp.where(gap == 0, 0.0, weight)
    return Pairs(sequences, weight, ref_logps=ref_logps, target=(gap > 0).astype(jnp.float32))


def check_labels(config: Any, *, needed: bool) -> None:
    """Raises ConfigError unless `config.rl.labels` is one there is, and the loss takes the targets that it makes.

    `needed` says that it makes some even where they are "hard".
    """
    labels = config.rl.labels
    if labels not in LABELS:
        raise ConfigError(f"config.rl.labels is {labels!r}; it should be one of {', '.join(LABELS)}")
    if (needed or labels == "soft") and not optim.takes(config, "target"):
        raise ConfigError(
            f"config.loss {config.loss!r} takes no target, and {config.algorithm} with config.rl.labels {labels!r} "
            "says by it which response is better"
        )
