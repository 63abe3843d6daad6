"""The loop: a config and a workdir become a trained state and its record. It names no algorithm."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax

from prefjax import budget, checkpoint, files, host, interrupt, mesh, models, processes, reference, saves
from prefjax.config import hparams, validate
from prefjax.data import load
from prefjax.data.batches import batches
from prefjax.errors import ConfigError, Interrupted
from prefjax.evals import history
from prefjax.evals.summary import mean, summarise
from prefjax.log import Meter, Record, progress
from prefjax.resolve import is_call, resolve
from prefjax.types import Mixed, Setup, TrainState


def setup(config: Any, frozen: Mapping[str, str] | None = None, *, dry: bool = False) -> Setup:
    """Everything a run needs before its first step, from its config.

    Args:
      config: of the run.
      frozen: name -> reference, where they are not those of the config: a resumed run keeps its own.
      dry: for a look at the run: nothing long is computed, nothing is written.

    Raises:
      ConfigError, DataError, CheckpointError: with one message that says what to mend.
    """
    validate(config)
    parallel = mesh.make(config)
    tokenizer = load.tokenizer(config.tokenizer or config.model)
    read = functools.cache(checkpoint.load)  # a reference that is the policy's start is read once
    pin = functools.cache(checkpoint.pin)
    frozen = frozen or {name: pin(reference) for name, reference in config.frozen.items()}
    loaded = {name: read(reference) for name, reference in frozen.items()}
    policy, params = new_policy(config, tokenizer) if is_call(config.model) else read(pin(config.model))
    beside = {name: read(pin(reference)) for name, reference in config.trained.items()}
    params = {"params": params["params"]} | {name: tree["params"] for name, (_, tree) in beside.items()}
    nets = {"policy": policy} | {name: net for name, (net, _) in (loaded | beside).items()}
    check_fit(nets, tokenizer, config.data.max_length)
    nets = {n: models.computing(net, config.dtype, config.remat, parallel.blocks) for n, net in nets.items()}
    rows, counts = load.load(config.data.train, config.data.rows, tokenizer, config.data.max_length)
    algorithm = resolve(config.algorithm, "prefjax.algorithms").function(config, nets)
    reference.check(config, nets)
    facts: dict[str, Any] = {"data": counts, "tokenizer": tokenizer.digest, "frozen": dict(frozen)}
    values = {name: values for name, (_, values) in loaded.items()}
    waiting = {"reference": jax.device_get(values.pop("reference"))} if config.reference != "frozen" else {}
    if config.reference == "cached":
        model = nets["reference"], waiting["reference"]
        rows, facts["reference"] = reference.cached(config, *model, parallel, tokenizer.digest, rows, compute=not dry)
    elif waiting:
        algorithm = reference.follow(algorithm, config, waiting["reference"])
    split = {"microbatches": config.optim.accumulate, "shards": parallel.shards}
    batch_at = batches(rows, config.batch_size, config.data.max_length, config.seed, **split)
    if config.data.pretrain:
        demos, facts["pretrain"] = load.load(config.data.pretrain, "demos()", tokenizer, config.data.max_length)
        batch_at = mixed(batch_at, batches(demos, config.batch_size, config.data.max_length, config.seed, **split))
    return Setup(
        config=config,
        tokenizer=tokenizer,
        nets=nets,
        params=jax.device_get(params),  # the state trains a copy: this one need not lie on a device
        frozen=parallel.place(values) | waiting,
        hparams=hparams(config),
        algorithm=algorithm,
        parallel=parallel,
        batch_at=lambda step: parallel.deal(batch_at(step)),
        prompts=rows.prompts,
        facts=facts,
        shared={},
    )


def mixed(prompts_at: Callable[[int], Any], demos_at: Callable[[int], Any]) -> Callable[[int], Any]:
    """Batches of prompts with demonstrations beside them."""
    return lambda step: Mixed(prompts_at(step), demos_at(step))


def new_policy(config: Any, tokenizer: Any) -> tuple[Any, Any]:
    """A model with random weights, from a call string."""
    model = resolve(config.model, "prefjax.models")(vocab=tokenizer.vocab_size, positions=config.data.max_length)
    return model, models.init(model, jax.random.key(config.seed))


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
    """Those that the config of a run names."""
    return {name: resolve(text, "prefjax.evals")(run) for name, text in run.config.evals.items() if text}


def train(config: Any, workdir: str | Path) -> TrainState:
    """Trains as `config` says, from the newest checkpoint in `workdir` if it holds one, and records the run there.

    Args:
      config: nested ml_collections config, see `prefjax.config.base`.
      workdir: folder of the run; made if missing.

    Returns:
      The state after `config.steps` updates, or the one that its budget ended it with: then DONE says so.

    Raises:
      PrefjaxError: a setting, row, number, checkpoint or disk that a user can mend; `FAILED.json` keeps the message.
      Interrupted: inside `interrupt.handled`, a signal arrived; the same call goes on from there.
    """
    workdir = Path(workdir)
    with files.locked(workdir) if processes.is_first() else contextlib.nullcontext():
        record = Record(workdir, config.to_dict())
        try:
            run = setup(config, record.facts.get("frozen"))
            evals = evaluations(run)
            processes.agree([record.config, run.facts])
            record.begin(run.facts)
            if processes.is_first():
                with files.writing(workdir):
                    models.save_config(workdir / load.MODEL_FOLDER, run.nets["policy"])
                    run.tokenizer.save(workdir / load.MODEL_FOLDER)
            state, ended = fit(run, evals, record)
            processes.agree("done")
        except BaseException as error:
            record.close(error)
            raise
        result = {"step": int(state.step), "digest": checkpoint.digest(processes.fetch(state))}
        record.close(None, **result, **({"stopped": ended} if ended else {}))
    return state


def fit(run: Setup, evals: dict[str, Callable], record: Record) -> tuple[TrainState, dict[str, Any] | None]:
    """The loop over steps: update, and log, evaluate and save when due.

    Returns:
      The last state, and how the budget ended the run, if it did.
    """
    config, key = run.config, jax.random.key(run.config.seed)
    host.give_back_after_compiling()
    step, meter = run.parallel.update(one_step(run.algorithm.step)), Meter(record, run.algorithm.watch)
    state = run.parallel.place(run.algorithm.init(key, run.params))
    verdict = budget.Verdict()
    with saves.Checkpoints(record.workdir, config.keep, lambda: verdict.inside) as checkpoints:
        state, cut = checkpoints.restore(state)
        if record.ended:
            return state, record.ended
        meter.resume(cut)
        first = int(state.step)
        done = record.resume(first)
        history.forget(record.workdir, first, done)
        verdict = budget.resumed(record, first)
        if first == 0 or due(first, config.eval_every, config.steps):
            missing = {name: evals[name] for name in evals if name not in done}
            verdict = evaluate(missing, state, run.frozen, record)
        last = first if verdict.ended else config.steps
        with interrupt.deferred() as asked, progress(first, config.steps) as advance:
            for at, batch in prefetch(run.batch_at, first, last):
                state, metrics = step(state, run.frozen, run.hparams, batch, key)
                meter.add(at, metrics)
                if due(at, config.log_every, config.steps):
                    advance(at, meter.turn())
                if due(at, config.eval_every, config.steps):
                    meter.flush()
                    verdict = interrupt.attempt(evaluate, evals, state, run.frozen, record) or verdict
                    meter.skip()
                    if verdict.ended:
                        break
                signal = asked()
                if due(at, config.checkpoint_every, config.steps):  # last: a checkpoint vouches for the record up to it
                    meter.flush()
                    checkpoints.save(state)
                elif signal:
                    checkpoints.save(state, meter.pause())
                if signal:
                    raise Interrupted(signal, f"after step {at}")
        meter.flush()
        if verdict.ended and config.budget.on_breach == "rollback":
            state = checkpoints.back(run.parallel.place(run.algorithm.init(key, run.params)))
            verdict.ended["rolled_back_to"] = int(state.step)
        elif verdict.ended and checkpoints.latest != int(state.step):
            checkpoints.save(state)
    return state, verdict.ended


def one_step(step: Callable) -> Callable:
    """An algorithm's step with a key of its own for each step, folded from that of the run."""

    def keyed(state, frozen, hparams, batch, key):
        return step(state, frozen, hparams, batch, jax.random.fold_in(key, state.step))

    return keyed


def evaluate(evals: dict[str, Callable], state: TrainState, frozen: Any, record: Record) -> budget.Verdict:
    """Runs every evaluation on a state, with a key that is the same at every step, and records what they say.

    Returns:
      What follows of them for the run, by its budget.
    """
    key, at = jax.random.key(0), int(state.step)
    for name, run in evals.items():
        found = run(state, frozen, key)
        record.samples(at, [{"eval": name, **row} for row in found.get("samples", [])])
        history.add(record.workdir, at, summarise({name: found}))
        values = {f"eval/{name}/{metric}": mean(value) for metric, value in found.items() if metric != "samples"}
        record.metrics(at, values)  # last: what resumes believes an evaluation that has its metrics
        host.give_back()
    return budget.spend(record, at)


def due(at: int, every: int, total: int) -> bool:
    """Whether something done every so many steps (0: only at the end) is due after step `at`."""
    return at == total or (every > 0 and at % every == 0)


def prefetch(batch_at: Callable[[int], Any], first: int, total: int) -> Iterator[tuple[int, Any]]:
    """(number of the step, batch) from `first` to `total`; the next batch is made while a step runs."""
    with ThreadPoolExecutor(1) as pool:
        ahead = [pool.submit(batch_at, step) for step in range(first, min(first + 1, total))]
        for step in range(first, total):
            batch = ahead.pop().result()
            if step + 1 < total:
                ahead.append(pool.submit(batch_at, step + 1))
            yield step + 1, batch
