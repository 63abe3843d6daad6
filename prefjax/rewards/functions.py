"""The rewards that a config can name; each takes the context of the run first."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from prefjax.errors import ConfigError, DataError
from prefjax.resolve import nearest, resolve
from prefjax.rewards.compose import Context, Score


def model(run: Context, *, name: str = "reward", weights: Mapping[str, float] | None = None) -> Score:
    """A trained reward model: `frozen.<name>` of the config, read at the last token of a row.

    Args:
      run: the context.
      name: of the model.
      weights: of a model that judges several attributes, what each is worth: {"fact": 1.0, "length": -0.5}; those that
        are not named are worth 0.
    """
    if name not in run.nets:
        raise ConfigError(f"frozen.{name} is not set; it should be a reward model")
    net = run.nets[name]
    judged = net.config.attributes
    for attribute in weights or {}:
        if attribute not in judged:
            raise ConfigError(f"frozen.{name} does not judge {attribute!r}; {nearest(attribute, judged)}")
    if judged and not weights:
        raise ConfigError(f"frozen.{name} judges {', '.join(judged)}: weights={{...}} says their worth")
    worth = np.array([(weights or {}).get(attribute, 0.0) for attribute in judged], np.float32)

    @jax.jit
    def score(frozen, sequences, ids):
        del ids
        if "score_head" not in frozen[name]["params"]:
            raise ConfigError(f"frozen.{name} has no score head; it should be a reward model")
        longest, positions = sequences.tokens.shape[-1], net.config.positions
        if longest > positions:
            raise ConfigError(f"frozen.{name} has {positions} positions, and rows have {longest}: lower max_new")
        scores = net.apply(frozen[name], sequences.tokens, sequences.valid, method="score")
        return scores @ worth if judged else scores

    return score


def ensemble(
    run: Context,
    *,
    names: Sequence[str],
    combine: str = "mean",
    spread: float = 0.5,
    of: str = "variance",
    weights: Mapping[str, float] | None = None,
) -> Score:
    """Several reward models: `frozen.<name>` of the config for each of `names`.

    Args:
      run: the context.
      names: of the models.
      combine: "mean"; "worst", the least of the scores; or "uncertain", the mean less `spread` times how far the models
        differ (worst-case and uncertainty-weighted optimisation: Coste et al. 2023, section 3.2,
        https://arxiv.org/abs/2310.02743).
      spread: lambda of "uncertain".
      of: how far models differ: "variance", as in the paper, or "std", in the unit of the scores.
      weights: as in `model`, of each.
    """
    measures = {"variance": jnp.var, "std": jnp.std}
    if of not in measures:
        raise ConfigError(f"ensemble(of={of!r}): it should be one of {', '.join(map(repr, measures))}")
    ways = {
        "mean": lambda scores: jnp.mean(scores, axis=0),
        "worst": lambda scores: jnp.min(scores, axis=0),
        "uncertain": lambda scores: jnp.mean(scores, axis=0) - spread * measures[of](scores, axis=0),
    }
    if combine not in ways:
        raise ConfigError(f"ensemble(combine={combine!r}): it should be one of {', '.join(map(repr, ways))}")
    members = [model(run, name=name, weights=weights) for name in names]
    return lambda *row: ways[combine](jnp.stack([member(*row) for member in members]))


def length(run: Context, *, target: int) -> Score:
    """1 - |tokens / target - 1|: a reward for a length, as a control (Singhal et al. 2023, https://arxiv.org/abs/2310.03716)."""
    del run
    return lambda frozen, sequences, ids: 1 - jnp.abs(jnp.sum(sequences.response, axis=-1) / target - 1)


def overlong(run: Context, *, longest: int, margin: int) -> Score:
    """A price of the last tokens: 0 up to `longest - margin` tokens, falling to -1 at `longest` and beyond.

    The soft overlong punishment of DAPO, Yu et al. 2025, equation 13 (https://arxiv.org/abs/2503.14476), who take
    20,480 and 4,096. With `longest` as `config.rollout.max_new`, what was cut has the whole of it.
    """
    del run
    if margin < 1:
        raise ConfigError(f"overlong(margin={margin}): it should be 1 or more, the tokens that the price rises over")
    return lambda frozen, sequences, ids: jnp.clip(
        (longest - margin - jnp.sum(sequences.response, axis=-1)) / margin, -1.0, 0.0
    )


def text(run: Context, *, function: str, key: str = "") -> Score:
    """Any Python function of texts, called from a compiled step through `jax.pure_callback`.

    The device waits for it, and the program cannot be kept in the persistent compilation cache. Where nothing is
    compiled it is simply called.

    Args:
      run: the context.
      function: call string of a function (records, texts) -> a number for each text, or {name: such numbers}; None
        says that a text has no score.
      key: which name, where there are several.
    """
    judge = resolve(function)

    def on_host(tokens, response, ids):
        records = run.records()
        texts = [run.tokenizer.decode(row[mask].tolist()) for row, mask in zip(tokens, response, strict=True)]
        found: Any = judge([records[i] for i in ids], texts)
        if isinstance(found, dict):
            if key not in found:
                raise DataError(f"text(function={function!r}): key should be one of {', '.join(found)}; got {key!r}")
            found = found[key]
        return np.array([np.nan if value is None else value for value in found], np.float32)

    def score(frozen, sequences, ids):
        arrays = sequences.tokens, sequences.response, ids
        if not any(isinstance(x, Tracer) for x in arrays):  # what the function raises arrives as it is
            return jnp.asarray(on_host(*map(np.asarray, arrays)))
        like = jax.ShapeDtypeStruct(ids.shape, jnp.float32)
        return jax.pure_callback(lambda *x: on_host(*map(np.asarray, x)), like, *arrays, vmap_method="sequential")

    return score
