"""Reward model: a score head trained on pairs, rankings or judged steps, read pointwise at inference."""

from functools import reduce
from typing import Any

import jax.numpy as jnp

from prefjax import models, optim
from prefjax.errors import ConfigError
from prefjax.metrics import Mean, merge
from prefjax.types import Algorithm, Pairs, Rankings, Steps


def make(config: Any, nets: models.Models) -> Algorithm:
    """Trains score head and body of `nets["policy"]` on `Pairs`, `Rankings` or `Steps` with the loss `config.loss`.

    A candidate is read at its last token, a step at its own; the last step ends where the response does, so that a
    model of steps scores a response by its last one. Of pairs judged in several attributes each has a score of its own,
    and the loss on it.
    """
    loss, net = optim.loss_of(config), nets["policy"]

    def loss_fn(params, frozen, hparams, batch, key):
        tokens, valid, _, packing = batch.sequences
        if isinstance(batch, Steps):
            hidden = net.apply(params, tokens, packing=packing, method="hidden")
            return loss(hparams, batch, rewards=net.apply(params, hidden, method="read_score"), mask=batch.ends)
        rewards = net.apply(params, tokens, valid, packing, method="score")
        if net.config.attributes:
            return _by_attribute(loss, net.config.attributes, hparams, batch, rewards)
        return loss(hparams, batch, rewards=rewards)

    algorithm = optim.algorithm(loss_fn, config, Pairs, Rankings, Steps)

    def init(key, params):
        return algorithm.init(key, models.add_score_head(params, nets["policy"], key))

    return Algorithm(init, algorithm.step)


def _by_attribute(loss, names, hparams, batch, rewards):
    """The loss on the score of each attribute `[B, 2, H]`, of the pairs judged in it; every judgement weighs alike."""
    if getattr(batch, "attributes", None) is None:
        raise ConfigError(f"the model judges {', '.join(names)}: rows should be 'attributes(names={names})'")
    parts: list[tuple[Mean, dict[str, Mean]]] = []
    for h in range(len(names)):
        known = ~jnp.isnan(batch.attributes[:, h])
        target = jnp.where(known, batch.attributes[:, h], 0.5)
        judged = batch._replace(attributes=None, target=target, weight=jnp.where(known, batch.weight, 0))
        parts.append(loss(hparams, judged, rewards=rewards[..., h]))
    value, metrics = reduce(merge, parts)
    told = zip(names, parts, strict=True)
    return value, metrics | {f"{key}/{name}": mean for name, (_, found) in told for key, mean in found.items()}
