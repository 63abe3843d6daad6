"""Two models to sample from as one: their geometric mixture, token by token."""

import dataclasses
from typing import Any, NamedTuple

import jax

from prefjax.models import Transformer
from prefjax.types import Params


class MixtureParams(NamedTuple):
    """The parameters of both models, and the weight of the second, from 0 to 1."""

    first: Params
    second: Params
    weight: float | jax.Array


@dataclasses.dataclass(frozen=True)
class Mixture:
    """A model for `prefjax.sampling.generate`, whose logits are (1 - weight) first + weight second.

    So the distribution of each token is proportional to first^(1 - weight) second^weight, and of a single token this is
    the geometric mixture of Munos et al. 2023, section 7 (https://arxiv.org/abs/2312.00886), who sample it so, token by
    token. Both models know the same tokens; they read every prompt and every token.
    """

    first: Transformer
    second: Transformer

    def cast(self, params: MixtureParams) -> MixtureParams:
        """As of a transformer."""
        return params._replace(first=self.first.cast(params.first), second=self.second.cast(params.second))

    def apart(self, params: MixtureParams) -> MixtureParams:
        """As of a transformer."""
        return params._replace(first=self.first.apart(params.first), second=self.second.apart(params.second))

    def empty_cache(self, rows: int, slots: int) -> tuple[Any, Any]:
        """One for each model."""
        return self.first.empty_cache(rows, slots), self.second.empty_cache(rows, slots)

    def apply(
        self, params: MixtureParams, tokens: jax.Array, valid: jax.Array, cache: tuple[Any, Any], *, method: str
    ) -> tuple[jax.Array, tuple[Any, Any]]:
        """`extend` of a transformer, the one method there is."""
        first, grown = self.first.apply(params.first, tokens, valid, cache[0], method=method)
        second, also_grown = self.second.apply(params.second, tokens, valid, cache[1], method=method)
        return (1 - params.weight) * first + params.weight * second, (grown, also_grown)
