"""One update for every gradient-trained algorithm: gradient, clip, schedule, optimizer, average.

The optimizer is built inside the step from traced numbers, so a sweep over learning rates, betas or decays is one
program: `optim.tx` and `optim.schedule` are call strings, `optim.lr`, `optim.clip` and `optim.ema` plain floats.
"""

import inspect
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from prefjax import mesh
from prefjax.errors import ConfigError
from prefjax.metrics import Mean, merge
from prefjax.models import lora
from prefjax.resolve import keywords, resolve
from prefjax.sums import mixture
from prefjax.types import Algorithm, Frozen, Hparams, Params, TrainState, Unpaired

LossFn = Callable[[Params, Frozen, Hparams, Any, jax.Array], tuple[Mean, dict[str, Mean]]]

_WITHOUT = {  # column of pairs or rankings -> the rows without it
    "margin": "margin_per_grade=0.0",
    "target": "soft=False",
    "grade": "grades=False",
    "attributes": "",
    "ranks": "expand_rankings=True",
}


def constant(total: int, *, warmup: int = 0) -> optax.Schedule:
    """1, after a linear rise over `warmup` steps."""
    return _warmed(optax.constant_schedule(1.0), warmup)


def linear(total: int, *, warmup: int = 0, final: float = 0.0) -> optax.Schedule:
    """A straight line from 1 after `warmup` to `final` at step `total`."""
    return _warmed(optax.linear_schedule(1.0, final, max(total - warmup, 1)), warmup)


def cosine(total: int, *, warmup: int = 0, final: float = 0.0) -> optax.Schedule:
    """Half a cosine from 1 after `warmup` to `final` at step `total`."""
    return _warmed(optax.cosine_decay_schedule(1.0, max(total - warmup, 1), final), warmup)


def _warmed(schedule: optax.Schedule, warmup: int) -> optax.Schedule:
    rise = lambda step: (step + 1) / (warmup + 1)
    return optax.join_schedules([rise, schedule], [warmup])


def loss_of(config: Any, name: str = "loss") -> Callable[..., tuple[Mean, dict[str, Mean]]]:
    """The loss named by `config.<name>`, or a sum of them, as a function (hparams, batch, **arrays) -> (Mean, metrics).

    Each is given the arrays that it names, the keywords of its call string, and of the batch the rows that count and
    the columns that pairs may have. Of pairs, a loss on rows of tokens (which says by `per` what it weighs alike) is
    given the chosen side, of judged responses the good ones (a bad one adds 0), and `per` is "response" if no term says
    another.

    Returns:
      The function. A sum has the metrics of its terms, the first of a name without that of its term, and the value of
      each, `loss/term`. It raises ConfigError where a loss takes no such column, or other arrays.
    """
    terms = mixture(config[name], "prefjax.losses")
    weighs(config, name)
    for term in terms:
        if hasattr(term.call.function, "spans_batch") and (config.optim.accumulate > 1 or config.parallel == "pmap"):
            raise ConfigError(
                f"config.{name} {term.call.text!r} compares rows with the rest of their batch: config.optim.accumulate "
                "should be 1 and config.parallel 'jit'"
            )

    def loss(hparams, batch, **arrays):
        numbers = keywords(hparams, name)
        found = [_value(config, name, term, len(terms) > 1, numbers, batch, arrays) for term in terms]
        if "weight" not in terms[0].paths:
            return found[0]
        values = {f"loss/{term.name}": value for term, (value, _) in zip(terms, found, strict=True)}
        metrics: dict[str, Mean] = dict(jax.lax.stop_gradient(values))
        for term, (_, told) in zip(terms, found, strict=True):
            metrics |= {f"{term.name}/{key}" if key in metrics else key: mean for key, mean in told.items()}
        totals = [numbers[term.paths["weight"]] * value.total for term, (value, _) in zip(terms, found, strict=True)]
        return Mean(sum(totals[1:], totals[0]), found[0][0].weight), metrics

    return loss


def _value(config, name, term, summed, numbers, batch, arrays):
    """One loss of a sum, or the one there is."""
    function, signature = term.call.function, inspect.signature(term.call.function)
    words, wanted, said = dict(term.call.words), signature.parameters, f"config.{name} {term.call.text!r}"
    takes_all = any(p.kind is p.VAR_KEYWORD for p in wanted.values())
    of_good = "per" in wanted and isinstance(batch, Unpaired)
    of_chosen = "per" in wanted and any(x.ndim == 3 for x in arrays.values())
    if of_chosen:
        arrays = {key: x[:, 0] for key, x in arrays.items()}
    if of_chosen or of_good:
        words["per"] = weighs(config, name, "response")
        if summed and words["per"] == "token":
            raise ConfigError(
                f"{said} weighs tokens, and a sum of losses on responses weighs those: per should be 'response' "
                "or 'sequence'"
            )
    elif "per" in wanted:
        words["per"] = weighs(config, name)
    columns = {column: x for column in _WITHOUT if (x := getattr(batch, column, None)) is not None}
    if of_good:
        columns = {}
    if of_chosen:
        columns = {k: x for k, x in columns.items() if k == "target"}  # the others say how it compares with the rest
    for column in columns:
        if column not in wanted and not takes_all:
            raise ConfigError(f"{said} takes no {column}: config.data.rows should be 'pairs({_WITHOUT[column]})'")
    given = {key: x for key, x in arrays.items() if key in wanted}
    own = {k: numbers[path] for k, path in term.paths.items() if k != "weight" and path in numbers}
    counted = batch.weight > 0
    knobs = words | own | columns | {"where": counted & (batch.target > 0.5) if of_good else counted}
    try:
        signature.bind(**given, **knobs)
    except TypeError as error:
        raise ConfigError(
            f"{said} does not fit config.algorithm {config.algorithm!r}, which has {', '.join(arrays)}: {error}"
        ) from None
    try:
        loss, metrics = function(**given, **knobs)
        return (loss._replace(weight=jnp.sum(counted, dtype=jnp.float32)) if of_good else loss), metrics
    except ValueError as error:  # of shapes and names, at trace time
        raise ConfigError(f"{said}, on batches of config.algorithm {config.algorithm!r}: {error}") from error


def weighs(config: Any, name: str = "loss", default: str = "") -> str:
    """What the losses on rows of tokens in `config.<name>` weigh alike: tokens, responses or sequences.

    It is the `per` that one of them says, for all of them. Where none does it is `default`, or without one what the
    first of them has by default.

    Raises:
      ConfigError: they say different ones.
    """
    terms = mixture(config[name], "prefjax.losses")
    said = {term.call.kwargs["per"]: term.call.text for term in terms if "per" in term.call.kwargs}
    if len(said) > 1:
        raise ConfigError(f"config.{name}: {' and '.join(said.values())} weigh differently; they should have one `per`")
    own = [p["per"].default for t in terms if "per" in (p := inspect.signature(t.call.function).parameters)]
    return [*said, *([default] if default else own), "token"][0]


def takes(config: Any, argument: str) -> bool:
    """Whether the loss named by `config.loss`, or one of a sum, has an argument of that name."""
    terms = mixture(config.loss, "prefjax.losses")
    return any(argument in inspect.signature(term.call.function).parameters for term in terms)


def algorithm(loss_fn: LossFn, config: Any, *eats: type) -> Algorithm:
    """An algorithm whose step is one gradient update of `loss_fn`.

    Args:
      loss_fn: (params, frozen, hparams, batch, key) -> (Mean, {name: Mean}).
      config: `config.steps` and `config.optim`: tx, schedule, lr, clip (largest global gradient norm, 0: no clipping),
        accumulate (microbatches a step), ema (decay of the averaged copy in `carry["ema"]`, 0: none), decay (regex of
        the parameter paths that weight decay acts on).
      *eats: what a batch is, such as `Pairs` or `Rankings`; another is a ConfigError. By default anything.
    """
    optim = config.optim
    tx = resolve(optim.tx, "optax")
    schedule = resolve(optim.schedule, __name__)
    masked = {"mask": _matching(optim.decay)} if "mask" in inspect.signature(tx.function).parameters else {}

    def optimizer(hparams: Hparams, lr: jax.Array | float) -> optax.GradientTransformation:
        return tx.function(lr, **tx.words, **masked, **keywords(hparams, "optim.tx"))

    def init(key: jax.Array, params: Params) -> TrainState:
        del key
        params, fixed = lora.split(params)
        params = jax.tree.map(lambda x: jnp.array(x, copy=True), params)  # the state is donated, these may not be
        carry = {"ema": jax.tree.map(jnp.copy, params)} if optim.ema else {}
        opt_state = optimizer({f"optim.tx.{k}": jnp.float32(v) for k, v in tx.numbers.items()}, 0.0).init(params)
        return TrainState(jnp.int32(0), lora.join(params, fixed), opt_state, carry)

    def step(state: TrainState, frozen: Frozen, hparams: Hparams, batch: Any, key: jax.Array):
        if eats and not isinstance(batch, eats):
            raise ConfigError(
                f"config.algorithm {config.algorithm!r} eats {' or '.join(kind.__name__ for kind in eats)}, got "
                f"{type(batch).__name__}: config.data.rows should be '{eats[0].__name__.lower()}()'"
            )
        start, fixed = lora.split(state.params)
        of_whole = lambda params, *rest: loss_fn(lora.join(params, fixed), *rest)
        sums, grads = gradients(of_whole, start, frozen, hparams, batch, key, optim.accumulate)
        sums, grads = mesh.total(config, (sums, grads))
        loss, metrics = sums
        grads = jax.tree.map(lambda g: g / jnp.where(loss.weight == 0, 1.0, loss.weight), grads)
        norm = optax.tree.norm(grads)
        clip = hparams["optim.clip"]
        scale = jnp.where((clip > 0) & (norm > clip), clip / norm, 1.0)
        grads = jax.tree.map(lambda g: g * scale, grads)
        pace = schedule.function(config.steps, **schedule.words, **keywords(hparams, "optim.schedule"))
        with jax.numpy_dtype_promotion("standard"):  # optax mixes floats and integer counts
            lr = hparams["optim.lr"] * pace(state.step)
            updates, opt_state = optimizer(hparams, lr).update(grads, state.opt_state, start)
        params = optax.apply_updates(start, updates)
        carry = dict(state.carry)
        if optim.ema:
            decay = hparams["optim.ema"]
            carry["ema"] = jax.tree.map(lambda a, p: decay * a + (1 - decay) * p, carry["ema"], params)

        finite = jnp.isfinite(norm) & jnp.isfinite(loss.total)  # a step that is not finite moves nothing
        params, *rest = jax.tree.map(
            lambda new, old: jnp.where(finite, new, old),
            (params, opt_state, carry),
            (start, state.opt_state, state.carry),
        )
        one = lambda x: Mean(jnp.asarray(x, jnp.float32), jnp.float32(1))
        metrics |= {"loss": loss, "grad_norm": one(norm), "lr": one(lr), "finite": one(finite)}
        return TrainState(state.step + 1, lora.join(params, fixed), *rest), metrics

    return Algorithm(init, step)


def gradients(
    loss_fn: LossFn, params: Params, frozen: Frozen, hparams: Hparams, batch: Any, key: jax.Array, microbatches: int = 1
) -> tuple[tuple[Mean, dict[str, Mean]], Params]:
    """Loss, metrics and the gradient of the loss's total over a batch, in `microbatches` parts.

    The sums of the parts are those of the whole. Divided once, by the loss's weight, they give the gradient of
    `loss.value`, even where the parts weigh differently.
    """

    def total(params, batch, key):
        loss, metrics = loss_fn(params, frozen, hparams, batch, key)
        return loss.total, (loss, metrics)

    differentiate = jax.grad(total, has_aux=True)

    if microbatches == 1:
        grads, sums = differentiate(params, batch, key)
    else:

        def part(x):  # strided, so that rows stay on the devices that hold them
            if x.shape[0] % microbatches:
                raise ValueError(f"optim.accumulate: {microbatches} does not divide the batch of {x.shape[0]} rows")
            return jnp.swapaxes(x.reshape(-1, microbatches, *x.shape[1:]), 0, 1)

        def body(carry, xs):
            return merge(carry, differentiate(params, *xs)), None

        xs = (jax.tree.map(part, batch), jax.random.split(key, microbatches))
        first = jax.tree.map(lambda x: x[0], xs)
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(differentiate, params, *first))
        (grads, sums), _ = jax.lax.scan(body, zeros, xs)

    return sums, grads


def _matching(pattern: str) -> Callable[[Params], Params]:
    """A mask over parameters: True where the path, joined by slashes, matches."""

    def mask(params):
        path_of = lambda path: "/".join(str(getattr(k, "key", k)) for k in path)
        return jax.tree_util.tree_map_with_path(lambda path, _: bool(re.search(pattern, path_of(path))), params)

    return mask
