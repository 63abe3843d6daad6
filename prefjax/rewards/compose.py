"""A reward from its call string: a weighted sum of named parts, each logged apart."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from prefjax.resolve import resolve
from prefjax.sums import terms
from prefjax.types import Frozen, Sequences

Score = Callable[[Frozen, Sequences, jax.Array], jax.Array]


class Context(NamedTuple):
    """What a reward may be made from."""

    nets: dict[str, Any]  # name -> model
    tokenizer: Any
    records: Callable[[], Sequence[dict[str, Any]]]  # those that ids index; read when first asked for


def make(
    text: str, nets: dict[str, Any], tokenizer: Any, records: Callable[[], Sequence[dict[str, Any]]]
) -> Callable[[Frozen, Sequences, jax.Array], tuple[jax.Array, dict[str, jax.Array]]]:
    """The reward that a text names: a call of this package, or a weighted sum of calls.

    Args:
      text: such as "model()", or "model() + 0.2 * length(target=20)".
      nets: the models of the run.
      tokenizer: of the rows.
      records: returns those that ids index; called when they are first asked for.

    Returns:
      (frozen, sequences, ids) -> (the sum `[B]`, the parts before they are weighted {name: `[B]`}).

    Raises:
      ConfigError: no such reward, or it needs a model that is not there.
    """
    context = Context(nets, tokenizer, records)
    parts: dict[str, tuple[float, Score]] = {
        name: (weight, resolve(call, "prefjax.rewards")(context)) for name, (weight, call) in terms(text).items()
    }

    def score(frozen, sequences, ids):
        scores = {name: part(frozen, sequences, ids) for name, (_, part) in parts.items()}
        return sum(parts[name][0] * value for name, value in scores.items()), scores

    return score
