"""Runs that train adapters alone: `config.lora`. What the adapters lie on is frozen, and stored once for all runs.

The state of such a run holds adapters, and what they are not put on: a scalar head, a critic that `lora.targets` leaves
out. A step is given the rest among the frozen models, where the reference or a reward model may be it already.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from prefjax.errors import ConfigError
from prefjax.models import lora
from prefjax.resolve import is_call
from prefjax.types import Algorithm, Frozen, Hparams, Params, TrainState

BASE = "base"  # name of the policy's start among the frozen models

Whole = Callable[[Params, Frozen, Hparams], Params]


def bases(config: Any) -> dict[str, str]:
    """Name -> reference of the models that adapters may lie on; a run without adapters has none.

    Raises:
      ConfigError: `config.lora` does not fit the rest of the config.
    """
    if not config.lora.rank:
        return {}
    if is_call(config.model):
        raise ConfigError(
            f"config.lora.rank is {config.lora.rank} and config.model {config.model!r} starts from random weights, "
            "which adapters would leave as they are; it should be a folder or a workdir"
        )
    if is_call(config.reference):
        raise ConfigError(
            f"config.lora.rank is {config.lora.rank} and config.reference is {config.reference!r}, which would be a "
            "copy of the whole model for each run; it should be 'frozen' or 'cached'"
        )
    return {BASE: config.model} | dict(config.trained)


def homes(config: Any, params: Params, frozen: Frozen) -> dict[str, str]:
    """Tree of `params` that adapters are put on -> the first of the frozen models that is the very same.

    Raises:
      ConfigError: `lora.targets` finds nothing, or `lora.rank` is too large.
    """
    if not config.lora.rank:
        return {}
    names = {path[0] for path in lora.targets(params, config.lora.targets, config.lora.rank)}
    same = lambda name: next(home for home, values in frozen.items() if values["params"] is params[name])
    return {name: same(name) for name in sorted(names)}


def adapt(algorithm: Algorithm, config: Any, homes: Mapping[str, str]) -> tuple[Algorithm, Whole]:
    """`algorithm` as one that trains adapters, and (params, frozen, hparams) -> the parameters of the whole model.

    `init` takes whole parameters without adapters.
    """
    rank, pattern = config.lora.rank, config.lora.targets
    if not rank:
        return algorithm, lambda params, frozen, hparams: params

    def whole(params, frozen, hparams):
        fixed = {name: frozen[home]["params"] for name, home in homes.items()}
        return lora.scaled(lora.join(fixed, params), hparams["lora.alpha"] / rank)

    def trained(state: TrainState) -> TrainState:
        return state._replace(params=lora.split(state.params)[0])

    def init(key, params):
        return trained(algorithm.init(key, lora.add(params, jax.random.fold_in(key, 0), pattern, rank)))

    def step(state, frozen, hparams, batch, key):
        state = state._replace(params=whole(state.params, frozen, hparams))
        state, metrics = algorithm.step(state, frozen, hparams, batch, key)
        return trained(state), metrics

    return algorithm._replace(init=init, step=step), whole
