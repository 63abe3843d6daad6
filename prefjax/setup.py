"""Everything a run needs before its first step: from a config to its data, models, algorithm and evaluations."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax

from prefjax import adapters, checkpoint, mesh, models, reference
from prefjax.config import hparams, validate
from prefjax.data import load
from prefjax.data.batches import batches, order
from prefjax.errors import ConfigError
from prefjax.resolve import is_call, resolve
from prefjax.types import Frozen, Mixed, Params, Setup, TrainState


def setup(
    config: Any, frozen: Mapping[str, str] | None = None, *, dry: bool = False, parallel: mesh.Parallel | None = None
) -> Setup:
    """Everything a run needs before its first step, from its config.

    Args:
      config: of the run.
      frozen: name -> reference, where they are not those of the config: a resumed run keeps its own.
      dry: for a look at the run: nothing long is computed, nothing is written.
      parallel: how functions run on the devices; by default as the config says.

    Raises:
      ConfigError, DataError, CheckpointError: with one message that says what to mend.
    """
    validate(config)
    parallel = parallel or mesh.make(config)
    tokenizer = load.tokenizer(config.tokenizer or config.model)
    frozen, nets, trained, values = read(config, tokenizer, frozen)
    start = starts(nets["policy"], trained)
    check_fit(nets, tokenizer, config.data.max_length)
    nets = {n: models.computing(net, config.dtype, config.remat, parallel.blocks) for n, net in nets.items()}
    rows, counts = load.load(config.data.train, config.data.rows, tokenizer, config.data.max_length)
    nets["policy"] = models.judging(nets["policy"], rows.names)
    algorithm = resolve(config.algorithm, "prefjax.algorithms").function(config, nets)
    reference.check(config, nets)
    homes = adapters.homes(config, trained, values)
    values = {name: tree for name, tree in values.items() if name in config.frozen or name in homes.values()}
    algorithm, whole = adapters.adapt(algorithm, config, homes)
    facts: dict[str, Any] = {"data": counts, "tokens": len(rows.tokens), "tokenizer": tokenizer.digest}
    facts["frozen"] = frozen
    if homes:
        facts["lora"] = {name: checkpoint.digest(trained[name]) for name in homes}
    waits = config.reference != "frozen" and "reference" not in homes.values()
    waiting = {"reference": jax.device_get(values.pop("reference"))} if waits else {}
    if config.reference == "cached":
        model = nets["reference"], (waiting or values)["reference"]
        rows, facts["reference"] = reference.cached(config, *model, parallel, tokenizer.digest, rows, compute=not dry)
    elif waiting:
        algorithm = reference.follow(algorithm, config, waiting["reference"])
    split = {"microbatches": config.optim.accumulate, "shards": parallel.shards}
    parts = [rows]
    if config.data.pretrain:
        demos, facts["pretrain"] = load.load(config.data.pretrain, "demos()", tokenizer, config.data.max_length)
        parts.append(demos)

    def batches_of(seed: int) -> Callable[[int], Any]:
        batch_at = [batches(part, config.batch_size, config.data.max_length, seed, **split) for part in parts]
        return batch_at[0] if len(parts) == 1 else mixed(*batch_at)

    own = batches_of(config.seed)

    return Setup(
        config=config,
        tokenizer=tokenizer,
        nets=nets,
        start=start,
        frozen=parallel.place(values) | waiting,
        hparams=hparams(config),
        algorithm=algorithm,
        whole=whole,
        parallel=parallel,
        batch_at=lambda step: parallel.deal(own(step)),
        batches_of=batches_of,
        records=rows.records,
        prompts=rows.prompts,
        facts=facts,
        shared={},
    )


def read(
    config: Any, tokenizer: Any, frozen: Mapping[str, str] | None = None
) -> tuple[dict[str, str], models.Models, Params, Frozen]:
    """The models of a run; arguments as in `setup`.

    Returns:
      Name -> reference of the frozen ones, name -> model of all, what is trained, but for random weights, and name ->
      parameters of the frozen.
    """
    load = functools.cache(checkpoint.load)  # a reference that is the policy's start is read once
    pin = functools.cache(checkpoint.pin)
    named = dict(frozen or {name: pin(ref) for name, ref in (dict(config.frozen) | adapters.bases(config)).items()})
    found = {name: load(reference) for name, reference in named.items()}
    start = lambda name, reference: found[name] if config.lora.rank else load(pin(reference))
    beside = {name: start(name, reference) for name, reference in config.trained.items()}
    trained = {name: tree["params"] for name, (_, tree) in beside.items()}
    if is_call(config.model):
        make = resolve(config.model, "prefjax.models")
        policy = make(vocab=tokenizer.vocab_size, positions=config.data.max_length)
    else:
        policy, params = start(adapters.BASE, config.model)
        trained["params"] = params["params"]
    nets = {"policy": policy} | {name: net for name, (net, _) in (found | beside).items()}
    return named, nets, trained, {name: values for name, (_, values) in found.items()}


def starts(policy: Any, trained: Params) -> Callable[[int], Params]:
    """What is trained, before the first step of a run: its seed -> `trained`, with random weights of a policy without.

    They are drawn when they are asked for, so that the step can be compiled meanwhile: shapes are enough for that.
    """
    held = jax.device_get(trained)  # the state trains a copy: this one need not lie on a device
    return lambda seed: held if "params" in held else held | models.init(policy, jax.random.key(seed))


def sibling(run: Setup, config: Any) -> Setup:
    """A run that differs from `run` in numbers and in its seed alone: data, models and evaluations are shared."""
    own = run.batches_of(config.seed)
    return run._replace(
        config=config,
        hparams=hparams(config),
        batch_at=lambda step: run.parallel.deal(own(step)),
        facts=dict(run.facts),
    )


def records_of(run: Setup) -> Callable[[int], Any]:
    """Which records the batch that led to a step was made of: number of the step, from 1 -> indices `[B]`."""
    rows_at = order(len(run.records), run.config.batch_size, run.config.seed)
    return lambda at: run.records[rows_at(at - 1)]


def mixed(prompts_at: Callable[[int], Any], demos_at: Callable[[int], Any]) -> Callable[[int], Any]:
    """Batches of prompts with demonstrations beside them."""
    return lambda step: Mixed(prompts_at(step), demos_at(step))


def check_fit(nets: dict[str, Any], tokenizer: Any, max_length: int) -> None:
    """Raises ConfigError unless every model knows the tokenizer's ids and has room for the rows."""
    for name, net in nets.items():
        if tokenizer.vocab_size > net.config.vocab:
            raise ConfigError(
                f"the tokenizer has {tokenizer.vocab_size} ids and the {name} model knows {net.config.vocab}: "
                "config.tokenizer should be the one the model was trained with"
            )
        if max_length > net.config.positions:
            raise ConfigError(
                f"config.data.max_length is {max_length}; it should be at most {net.config.positions}, "
                f"the positions of the {name} model"
            )


def evaluations(run: Setup) -> dict[str, Callable]:
    """Those that the config of a run names. They see the whole model, whatever is trained of it."""
    found = {name: resolve(text, "prefjax.evals")(run) for name, text in run.config.evals.items() if text}

    def of_whole(evaluate: Callable, state: TrainState, frozen: Frozen, key: jax.Array) -> dict[str, Any]:
        trained, whole = run.shared.get("whole", (None, None))  # of the last state alone, whichever run it is of
        if trained is not state.params:
            whole = run.whole(state.params, frozen, run.hparams)  # one object for all evaluations, which know it again
            run.shared["whole"] = state.params, whole
        return evaluate(state._replace(params=whole), frozen, key)

    return {name: functools.partial(of_whole, evaluate) for name, evaluate in found.items()}
