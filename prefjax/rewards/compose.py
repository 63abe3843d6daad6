"""A reward from its call string: a weighted sum of named parts, each logged apart."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from prefjax.data import load
from prefjax.errors import ConfigError
from prefjax.resolve import parse, resolve, terms
from prefjax.types import Frozen, Sequences

Score = Callable[[Frozen, Sequences, jax.Array], jax.Array]


class Context(NamedTuple):
    """What a reward may be made from."""

    nets: dict[str, Any]  # name -> model
    tokenizer: Any
    records: Callable[[], list[dict[str, Any]]]  # those that ids index; read when first asked for


def make(
    config: Any, nets: dict[str, Any], source: str = ""
) -> Callable[[Frozen, Sequences, jax.Array], tuple[jax.Array, dict[str, jax.Array]]]:
    """The reward named by `config.reward`.

    Args:
      config: of the run.
      nets: the models of the run.
      source: call string of the records that ids index; by default the training data.

    Returns:
      (frozen, sequences, ids) -> (the sum `[B]`, the parts before they are weighted {name: `[B]`}).

    Raises:
      ConfigError: no such reward, or it needs a model that the run does not have.
    """
    if not config.reward:
        raise ConfigError("config.reward is ''; it should be a call such as 'model()', with c.frozen.reward set")
    records = functools.cache(lambda: load.records(source or config.data.train))
    context = Context(nets, load.tokenizer(config.tokenizer or config.model), records)
    parts: dict[str, tuple[float, Score]] = {}
    for weight, call in terms(config.reward):
        name = parse(call)[0].rpartition(":")[2]
        if name in parts:
            name = f"{name}{sum(other.startswith(name) for other in parts) + 1}"
        parts[name] = weight, resolve(call, "prefjax.rewards")(context)

    def score(frozen, sequences, ids):
        scores = {name: part(frozen, sequences, ids) for name, (_, part) in parts.items()}
        return sum(parts[name][0] * value for name, value in scores.items()), scores

    return score
