"""The loop: a config and a workdir become a trained state and its record. It names no algorithm."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax

from prefjax import budget, checkpoint, files, host, interrupt, models, processes, saves
from prefjax.data import load
from prefjax.errors import CheckpointError, Interrupted
from prefjax.evals import history
from prefjax.evals.summary import mean, metrics, summarise
from prefjax.log import Meter, Record, progress
from prefjax.setup import evaluations, records_of, setup
from prefjax.types import Setup, TrainState


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
            begin(run, record)
            state, ended = fit(run, evals, record)
            processes.agree("done")
        except BaseException as error:
            record.close(error)
            raise
        finish(state, ended, record)
    return state


def begin(run: Setup, record: Record) -> None:
    """Writes what a workdir holds before the first step, once all processes agree on it.

    Raises:
      CheckpointError: the run goes on, and the model that its adapters lie on is another one by now.
    """
    processes.agree([record.config, run.facts])
    known = record.facts.get("lora")
    if known and known != run.facts["lora"]:
        raise CheckpointError(f"{record.workdir}: the model that its adapters lie on has changed since they were begun")
    record.begin(run.facts)
    if processes.is_first():
        with files.writing(record.workdir):
            models.save_config(record.workdir / load.MODEL_FOLDER, run.nets["policy"])
            run.tokenizer.save(record.workdir / load.MODEL_FOLDER)


def finish(state: TrainState, ended: dict[str, Any] | None, record: Record) -> None:
    """Marks a run as done, with its digest and how its budget ended it, if it did."""
    result = {"step": int(state.step), "digest": checkpoint.digest(processes.fetch(state))}
    record.close(None, **result, **({"stopped": ended} if ended else {}))


def fit(run: Setup, evals: dict[str, Callable], record: Record) -> tuple[TrainState, dict[str, Any] | None]:
    """The loop over steps: update, and log, evaluate and save when due.

    Returns:
      The last state, and how the budget ended the run, if it did.
    """
    config, key = run.config, jax.random.key(run.config.seed)
    host.give_back_after_compiling()
    limit = config.checkpoint_timeout
    meter, verdict = Meter(record, run.algorithm.watch, records_of(run)), budget.Verdict()
    with saves.Checkpoints(record.workdir, config.keep, lambda: verdict.inside, limit=limit) as checkpoints:
        goes_on = not record.ended and (checkpoints.latest or 0) < config.steps
        state, step = compiled(run) if goes_on else (start(run), update(run))
        state, verdict = take_up(state, run, evals, record, checkpoints, meter)
        first = int(state.step)
        if record.ended:
            return state, record.ended
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
        if verdict.ended:
            state = settle(state, lambda: start(run), verdict, config, checkpoints)
    return state, verdict.ended


def take_up(
    state: TrainState,
    run: Setup,
    evals: dict[str, Callable],
    record: Record,
    checkpoints: saves.Checkpoints,
    meter: Meter,
) -> tuple[TrainState, budget.Verdict]:
    """The newest state of a run, `state` if it has none, its record cut back to it, and what its evaluations say."""
    config = run.config
    state, cut = checkpoints.restore(state)
    if record.ended:
        return state, budget.Verdict()
    meter.resume(cut)
    first = int(state.step)
    done = record.resume(first)
    history.forget(record.workdir, first, evals.keys() - done)
    evaluates = first == 0 or due(first, config.eval_every, config.steps)
    missing = {name: call for name, call in evals.items() if evaluates and name not in done}
    return state, evaluate(missing, state, run.frozen, record)  # alarms of what is there are raised again


def settle(
    state: TrainState,
    start: Callable[[], TrainState],
    verdict: budget.Verdict,
    config: Any,
    checkpoints: saves.Checkpoints,
) -> TrainState:
    """The state that a run ends with, saved: its last one, or where the budget ended it the newest one inside."""
    if verdict.ended and config.budget.on_breach == "rollback":
        state = checkpoints.back(start())
        verdict.ended["rolled_back_to"] = int(state.step)
    elif checkpoints.latest != int(state.step):
        checkpoints.save(state)
    return state


def compiled(run: Setup) -> tuple[TrainState, Callable]:
    """The state before the first step, and the step: compiled from shapes, while random weights are drawn."""
    step, key = update(run), jax.random.key(run.config.seed)

    def program():
        batch = run.batch_at(0)
        return step.lower(shapes(run), run.frozen, run.hparams, batch, key).compile(), jax.tree.structure(batch)

    with ThreadPoolExecutor(1) as pool:
        compiling = pool.submit(program)
        state = start(run)
    once, usual = compiling.result()
    fits = lambda batch: jax.tree.structure(batch) == usual  # a batch that did not fit its stream goes another way
    return state, lambda *given: (once if fits(given[3]) else step)(*given)


def update(run: Setup) -> Any:
    """The step of a run, which is compiled when it is first taken."""
    return run.parallel.update(one_step(run.algorithm.step))


def start(run: Setup) -> TrainState:
    """The state before the first step."""
    seed = run.config.seed
    return run.parallel.place(run.algorithm.init(jax.random.key(seed), run.start(seed)))


def shapes(run: Setup) -> TrainState:
    """What `start` gives, as shapes and where they lie."""
    key, params = jax.random.key(0), jax.eval_shape(lambda: run.start(0))
    state = jax.eval_shape(run.algorithm.init, key, params)
    laid = lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)
    return jax.tree.map(laid, state, run.parallel.layout(state))


def one_step(step: Callable) -> Callable:
    """An algorithm's step with a key of its own for each step, folded from that of the run."""

    def keyed(state, frozen, hparams, batch, key):
        return step(state, frozen, hparams, batch, jax.random.fold_in(key, state.step))

    return keyed


def evaluate(evals: dict[str, Callable], state: TrainState, frozen: Any, record: Record) -> budget.Verdict:
    """Runs every evaluation on a state, and records what they say.

    Returns:
      What follows of all that was evaluated at this step for the run, by its budget.
    """
    at = int(state.step)
    for name, found in measured(evals, state, frozen):
        record.samples(at, rows_of(name, found))
        history.add(record.workdir, at, summarise({name: found}))
        values = {f"eval/{name}/{metric}": mean(value) for metric, value in metrics(found).items()}
        record.metrics(at, values)  # last: what resumes believes an evaluation that has its metrics
    return budget.spend(record, at)


def measured(evals: dict[str, Callable], state: TrainState, frozen: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, what it finds on a state) for each evaluation, with a key that is the same for all and at every step."""
    key = jax.random.key(0)
    for name, run in evals.items():
        yield name, run(state, frozen, key)
        host.give_back()


def rows_of(name: str, found: dict[str, Any]) -> list[dict[str, Any]]:
    """What an evaluation found, as rows of samples.jsonl."""
    return [{"eval": name, **row} for row in found.get("samples", [])]


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
