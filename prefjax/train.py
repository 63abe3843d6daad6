"""The loop: a config and a workdir become a trained state and its record. It names no algorithm."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from prefjax import checkpoint, mesh, models
from prefjax.config import numbers, validate
from prefjax.data import load
from prefjax.data.batches import batches
from prefjax.log import Meter, Record, progress
from prefjax.resolve import is_call, resolve
from prefjax.types import Setup, TrainState


def setup(config: Any) -> Setup:
    """Everything a run needs before its first step, from its config.

    Raises:
      ConfigError, DataError, CheckpointError: with one message that says what to mend.
    """
    validate(config)
    parallel = mesh.make(config)
    tokenizer = load.tokenizer(config.tokenizer or config.model)
    policy, params = load_policy(config, tokenizer)
    loaded = {name: checkpoint.load(reference) for name, reference in config.frozen.items()}
    nets = {"policy": policy} | {name: net for name, (net, _) in loaded.items()}
    nets = {name: models.computing(net, config.dtype, config.remat) for name, net in nets.items()}
    rows, counts = load.load(config.data.train, config.data.rows, tokenizer, config.data.max_length)
    algorithm = resolve(config.algorithm, "prefjax.algorithms").function(config, nets)
    split = {"microbatches": config.optim.accumulate, "shards": parallel.shards}
    batch_at = batches(rows, config.batch_size, config.data.max_length, config.seed, **split)
    return Setup(
        config=config,
        tokenizer=tokenizer,
        nets=nets,
        params=params,
        frozen=parallel.place({name: values for name, (_, values) in loaded.items()}),
        hparams={path: jnp.float32(number) for path, number in numbers(config).items()},
        algorithm=algorithm,
        parallel=parallel,
        batch_at=lambda step: parallel.deal(batch_at(step)),
        facts={"data": counts, "tokenizer": tokenizer.digest},
    )


def load_policy(config: Any, tokenizer: Any) -> tuple[Any, Any]:
    """The model to train: from a checkpoint, or with random weights from a call string."""
    if not is_call(config.model):
        return checkpoint.load(config.model)
    model = resolve(config.model, "prefjax.models")(vocab=tokenizer.vocab_size, positions=config.data.max_length)
    return model, models.init(model, jax.random.key(config.seed))


def train(config: Any, workdir: str | Path) -> TrainState:
    """Trains as `config` says, from the newest checkpoint in `workdir` if it holds one, and records the run there.

    Args:
      config: nested ml_collections config, see `prefjax.config.base`.
      workdir: folder of the run; made if missing.

    Returns:
      The state after `config.steps` updates.

    Raises:
      PrefjaxError: a setting, row, number or checkpoint that a user can mend; `FAILED.json` keeps the message.
    """
    run = setup(config)
    record = Record(Path(workdir), config.to_dict(), run.facts)
    try:
        models.save_config(record.workdir / checkpoint.MODEL_FOLDER, run.nets["policy"])
        run.tokenizer.save(record.workdir / checkpoint.MODEL_FOLDER)
        state = fit(run, record)
    except BaseException as error:
        record.close(error)
        raise
    record.close()
    return state


def fit(run: Setup, record: Record) -> TrainState:
    """The loop over steps: update, and log, evaluate and save when due."""
    config, key = run.config, jax.random.key(run.config.seed)
    step, meter = run.parallel.update(one_step(run.algorithm.step)), Meter(record)
    evals = {name: resolve(text, "prefjax.evals")(run) for name, text in config.evals.items()}
    state = run.parallel.place(run.algorithm.init(key, run.params))
    with checkpoint.manager(record.workdir, config.keep) as checkpoints:
        state = checkpoint.restore(checkpoints, state)
        first = int(state.step)
        record.resume(first)
        if first == 0:
            evaluate(evals, state, run.frozen, record)
        with progress(first, config.steps) as advance:
            for at, batch in prefetch(run.batch_at, first, config.steps):
                state, metrics = step(state, run.frozen, run.hparams, batch, key)
                meter.add(at, metrics)
                if due(at, config.log_every, config.steps):
                    advance(at, meter.turn())
                if due(at, config.checkpoint_every, config.steps):
                    meter.flush()
                    checkpoint.save(checkpoints, state)
                if due(at, config.eval_every, config.steps):
                    meter.flush()
                    evaluate(evals, state, run.frozen, record)
        meter.flush()
    return state


def one_step(step: Callable) -> Callable:
    """An algorithm's step with a key of its own for each step, folded from that of the run."""

    def keyed(state, frozen, hparams, batch, key):
        return step(state, frozen, hparams, batch, jax.random.fold_in(key, state.step))

    return keyed


def evaluate(evals: dict[str, Callable], state: TrainState, frozen: Any, record: Record) -> None:
    """Runs every evaluation on a state, with a key that is the same at every step, and records what they say."""
    key, at = jax.random.key(0), int(state.step)
    for name, run in evals.items():
        values = run(state, frozen, key)
        record.samples(at, [{"eval": name, **row} for row in values.pop("samples", [])])
        record.metrics(at, {f"eval/{name}/{k}": float(v) for k, v in values.items()})


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
