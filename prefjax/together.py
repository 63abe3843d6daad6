"""Several runs as one program: the loop of `prefjax.train`, with a leading axis `R` of runs.

The runs differ in traced numbers and in seeds alone. State, hyper-parameters and keys carry `R`, and so does the batch
where the seeds differ; the frozen models are stored once. Each run keeps its own workdir, as if it were run alone.
"""

import contextlib
import logging
import math
from collections.abc import Callable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from prefjax import budget, files, host, interrupt, memory, mesh, processes, saves
from prefjax.errors import Interrupted, PrefjaxError
from prefjax.log import Meter, Record, progress
from prefjax.setup import evaluations, records_of, setup, sibling
from prefjax.train import begin, due, evaluate, finish, one_step, prefetch, settle, shapes, start, take_up
from prefjax.types import Sequences as Rows
from prefjax.types import Setup, TrainState

_log = logging.getLogger(__name__)

Steps = list[tuple[int, dict[str, Any]]]  # number of a step -> its metrics


def train(
    configs: Sequence[Any],
    workdirs: Sequence[Path],
    *,
    idle: Sequence[bool] = (),
    limit: float | None = None,
    say: Callable[[str], None] = _log.info,
) -> int:
    """Trains runs that differ in traced numbers and seeds alone, each in its workdir, from the newest checkpoint there.

    Args:
      configs, workdirs: of the runs.
      idle: which of them have ended for good. They keep their place in the program, since the last digits of the others
        depend on how many runs it has; nothing of theirs is touched.
      limit: bytes that a program may take, frozen models included, as `prefjax.memory` estimates them: of a device,
        or on a CPU of the process; by default what a device has, where it tells. While it takes more, half of the runs
        are left out.
      say: is told how much memory the program takes.

    Returns:
      How many of the runs the program had, the first ones. Those whose own numbers became NaN or infinite are among
      them: such a run ends with a FAILED.json, and the others go on.

    Raises:
      PrefjaxError: as `prefjax.train.train`.
      Interrupted: inside `interrupt.handled`, a signal arrived; the same call goes on from there.
    """
    host.give_back_after_compiling()
    with contextlib.ExitStack() as stack:
        records, idle = [], idle or [False] * len(configs)
        for config, workdir, ended in zip(configs, workdirs, idle, strict=True):
            if processes.is_first() and not ended:
                stack.enter_context(files.locked(Path(workdir)))
            records.append(Record(Path(workdir), config.to_dict()))
        lanes: list[Lane | None] = []
        try:
            first = setup(configs[0], records[0].facts.get("frozen"), parallel=mesh.single())
            runs = [first, *(sibling(first, config) for config in configs[1:])]
            step = Program(runs)
            most = _of_a_device() if limit is None else limit
            while processes.told(step.needs.process or step.needs.device) > most and len(step.runs) > 1:
                step = Program(runs[: (len(step.runs) + 1) // 2])
            takes = f"{step.needs.device / 2**20:.1f} MiB of a device"
            takes += f", {step.needs.process / 2**20:.1f} MiB of the process" if step.needs.process else ""
            say(f"{len(step.runs)} of {len(runs)} runs in one program: {takes}")
            if not all(idle[: len(step.runs)]):
                for run, record, ended in zip(step.runs, records, idle, strict=False):
                    lanes.append(None if ended else Lane(run, record, stack))
                _fit(lanes, step)
        except BaseException as error:
            going = [record for record, ended in zip(records, idle, strict=True) if not ended]
            for record in [lane.record for lane in lanes if lane and lane.alive] or going[:1]:
                record.close(error)
            raise
    return len(step.runs)


def _of_a_device() -> float:
    """Bytes that a program may take of a device, where it tells."""
    told = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    return processes.told(told or math.inf)


class Lane:
    """One of the runs: its newest state, its record, and what has become of it."""

    def __init__(self, run: Setup, record: Record, stack: contextlib.ExitStack):
        """Opens its checkpoints, until the stack is closed."""
        self.run, self.record, self.evals = run, record, evaluations(run)
        self.meter, self.verdict = Meter(record, run.algorithm.watch, records_of(run)), budget.Verdict()
        self.alive = True
        begin(run, record)
        inside = lambda: self.verdict.inside
        opened = saves.Checkpoints(
            record.workdir, run.config.keep, inside, limit=run.config.checkpoint_timeout, beside=True
        )
        self.checkpoints = stack.enter_context(opened)
        state, self.verdict = take_up(start(run), run, self.evals, record, opened, self.meter)
        self.first = int(state.step)
        if record.ended or self.verdict.ended or self.first == run.config.steps:
            self.end(state)
        self.state: Any = processes.fetch(state)  # until the program has it; off the device meanwhile

    def tell(self, steps: Steps) -> None:
        """Records an interval. A run whose numbers are not finite, or make no sense, ends."""
        try:
            for at, metrics in steps:
                self.meter.add(at, metrics)
            self.meter.flush()
        except PrefjaxError as error:
            self.record.close(error)
            self.alive = False

    def reach(self, state: TrainState, evaluates: bool, saves: bool) -> None:
        """Evaluates a state and saves it, if due. A run that has spent its budget, or taken its last step, ends."""
        if evaluates:
            done = interrupt.attempt(evaluate, self.evals, state, self.run.frozen, self.record)
            self.verdict = done or self.verdict
            self.meter.skip()
        if self.verdict.ended or int(state.step) == self.run.config.steps:
            self.end(state)
        elif saves:
            self.checkpoints.save(state)

    def pause(self, state: TrainState, steps: Steps) -> None:
        """Saves a state in the middle of an interval."""
        for at, metrics in steps:
            self.meter.add(at, metrics)
        self.checkpoints.save(state, self.meter.pause())

    def end(self, state: TrainState) -> None:
        """Marks the run as done, after its last step or where its budget ended it."""
        if not self.record.ended:
            state = settle(state, lambda: start(self.run), self.verdict, self.run.config, self.checkpoints)
        self.alive = False
        finish(state, self.record.ended or self.verdict.ended, self.record)


class Program:
    """The step of several runs, compiled once, and where its arguments lie: the runs are dealt to the devices.

    step: (active `[R]` bool, states `[R]`, frozen, hparams `[R]`, batch, keys `[R, 2]`) -> (states, metrics `[R]`).
    A run that is not active keeps its state, and its metrics are 0. Where the devices do not divide the runs, R is
    larger by copies of the last run, which are never active.

    The runs of an accelerator take their step at once, by `jax.vmap`, those of a CPU one after another, by `in_turn`.
    """

    def __init__(self, runs: list[Setup]):
        devices = jax.devices()
        each = -(-len(runs) // len(devices))
        count = len(devices) if processes.several() else -(-len(runs) // each)  # each process has a part
        over = jax.make_mesh((count,), ("runs",), axis_types=(AxisType.Auto,), devices=devices[:count])
        self.each, self.whole = (NamedSharding(over, PartitionSpec(*axes)) for axes in (("runs",), ()))
        self.runs, self.lanes = runs, count * each
        self.seeds = {run.config.seed: run.batches_of(run.config.seed) for run in runs}
        lies = lambda x: _put(x, self.whole) if isinstance(x, jax.Array) else x  # what waits on the host stays there
        self.frozen = jax.tree.map(lies, runs[0].frozen)
        self.hparams = self.stacked([run.hparams for run in runs])
        self.keys = self.stacked([jax.random.key_data(jax.random.key(run.config.seed)) for run in runs])
        one = jax.jit(one_step(runs[0].algorithm.step))  # traced once, for its shapes and for itself
        axes = (0, 0, None, 0, 0 if len(self.seeds) > 1 else None, 0)

        def moved(active, state, frozen, hparams, batch, key):
            step = lambda: one(state, frozen, hparams, batch, jax.random.wrap_key_data(key))
            none = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(step)[1])
            return jax.lax.cond(active, step, lambda: (state, none))

        own = (jax.vmap if devices[0].platform != "cpu" else in_turn)(moved, axes)
        specs = tuple(PartitionSpec() if axis is None else PartitionSpec("runs") for axis in axes)
        dealt = jax.shard_map(own, mesh=over, in_specs=specs, out_specs=PartitionSpec("runs"), check_vma=False)

        def stepped(*arguments):
            new, metrics = dealt(*arguments)
            return new, jax.lax.with_sharding_constraint(metrics, self.whole)

        self._step = jax.jit(stepped, donate_argnums=1)
        self._take = jax.jit(lambda tree, index: jax.tree.map(lambda x: x[index], tree), out_shardings=self.whole)
        arguments = _, state, frozen, _, batch, _ = self._shapes()
        self._compiled = self._step.lower(*arguments).compile()
        self.needs = memory.needed(self._compiled, state, frozen, batch)

    def stacked(self, trees: Sequence[Any]) -> Any:
        """Trees of the runs as one with a leading axis, array by array: the host holds no second copy of them all."""
        lanes = [*trees, *[trees[-1]] * (self.lanes - len(trees))]
        return jax.tree.map(lambda *x: _put(np.stack(x), self.each), *jax.device_get(lanes))

    def state_of(self, index: int, states: TrainState) -> TrainState:
        """The state of one run, where its evaluations take it from."""
        return self.runs[index].parallel.place(processes.fetch(self._take(states, index)))

    def batch_at(self, step: int) -> Any:
        """The batch of all runs, `[R, ...]` where they differ."""
        found = {seed: batch_at(step) for seed, batch_at in self.seeds.items()}
        if len(found) == 1:
            return _put(found.popitem()[1], self.whole)
        batches = [found[run.config.seed] for run in self.runs]
        if len({jax.tree.structure(batch) for batch in batches}) > 1:  # one of them did not fit its stream
            batches = [unpacked(batch) for batch in batches]
        return self.stacked(batches)

    def __call__(self, active: set[int], states: TrainState, batch: Any) -> tuple[TrainState, dict[str, Any]]:
        moving = np.array([index in active for index in range(self.lanes)])
        arguments = moving, states, self.frozen, self.hparams, batch, self.keys
        usual = jax.tree.structure(batch) == self._structure
        return (self._compiled if usual else self._step)(*arguments)

    def _shapes(self) -> tuple[Any, ...]:
        """The arguments of a step, states and their mask as shapes alone."""
        run, batch = self.runs[0], self.batch_at(0)
        self._structure = jax.tree.structure(batch)
        many = lambda x: jax.ShapeDtypeStruct((self.lanes, *x.shape), x.dtype, sharding=self.each)
        active = jax.ShapeDtypeStruct((self.lanes,), np.bool_)
        return active, jax.tree.map(many, shapes(run)), self.frozen, self.hparams, batch, self.keys


def in_turn(step: Callable, axes: Sequence[int | None]) -> Callable:
    """As `jax.vmap` of (active, state, ...) -> (state, metrics), one run after another.

    One run keeps the cores of a CPU busy: vmap of its products is slower than a loop over them, and holds the
    temporaries of all runs at once. The states are changed where they lie, and runs that are not active take no time.
    """

    def each(active, states, *rest):
        def one(states, index):
            own = lambda x: jax.lax.dynamic_index_in_dim(x, index, keepdims=False)
            given = zip((active, states, *rest), axes, strict=True)
            new, metrics = step(*(x if axis is None else jax.tree.map(own, x) for x, axis in given))
            put = lambda x, y: jax.lax.dynamic_update_index_in_dim(x, y, index, 0)
            return jax.tree.map(put, states, new), metrics

        return jax.lax.scan(one, states, jnp.arange(len(active)))

    return each


def _put(tree: Any, sharding: NamedSharding) -> Any:
    return mesh.put(tree, jax.tree.map(lambda _: sharding, tree))


def unpacked(batch: Any) -> Any:
    """A batch whose rows go through the model as they are."""
    plain = lambda x: x._replace(packing=None) if isinstance(x, Rows) else x
    return jax.tree.map(plain, batch, is_leaf=lambda x: isinstance(x, Rows))


def _fit(lanes: Sequence[Lane | None], step: Program) -> None:
    """The loop over steps. Runs that go on from a later step than others wait for them."""
    there = [(index, lane) for index, lane in enumerate(lanes) if lane]
    config, some = there[0][1].run.config, there[0][1]
    states = step.stacked([(lane or some).state for lane in lanes])
    for _, lane in there:
        lane.state = None
    host.give_back()  # of the host, where the states waited
    first = min((lane.first for _, lane in there if lane.alive), default=config.steps)
    late: Steps = []  # of the interval before, fetched when this one ends, so that the loop never waits for a step
    new: Steps = []

    def running(at: int) -> list[tuple[int, Lane]]:
        return [(index, lane) for index, lane in there if lane.alive and at > lane.first]

    def tell(at: int, steps: Steps) -> None:
        fetched = jax.device_get(steps)
        for index, lane in running(at):
            lane.tell(_own(lane, index, fetched))

    with interrupt.deferred() as asked, progress(first, config.steps) as advance:
        for at, batch in prefetch(step.batch_at, first, config.steps):
            states, metrics = step({index for index, _ in running(at)}, states, batch)
            new.append((at, metrics))
            logs, evaluates, saves = (
                due(at, every, config.steps) for every in (config.log_every, config.eval_every, config.checkpoint_every)
            )
            if logs or evaluates or saves:
                tell(at, late)
                late, new = new, []
                advance(at, {})
            if evaluates or saves:
                tell(at, late)
                late = []
                for index, lane in running(at):
                    lane.reach(step.state_of(index, states), evaluates, saves)
            signal = asked()
            if signal and not saves:
                tell(at, late)
                new = jax.device_get(new)
                for index, lane in running(at):
                    lane.pause(step.state_of(index, states), _own(lane, index, new))
            if signal and at < config.steps:
                raise Interrupted(signal, f"after step {at}")
            if not any(lane.alive for _, lane in there):
                return


def _own(lane: Lane, index: int, steps: Steps) -> Steps:
    """What is told of one run."""
    return [(at, jax.tree.map(itemgetter(index), found)) for at, found in steps if at > lane.first]
