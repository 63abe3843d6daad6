"""Where the programs of a sweep run: `here`, as jobs of `slurm` through submitit, or as tasks of `ray`.

    engine(tasks, folder, say) -> iterator of (index of a task, Failure or None), as they end

A task is one program, that is several runs. Machines share the filesystem of the command, and its Python environment.
A task that fails ends no other one; all are ended where the command is interrupted.
"""

import os
import signal
import sys
import time
import traceback
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from prefjax import interrupt, processes, together
from prefjax.errors import ConfigError, HungError, Interrupted, PrefjaxError

FORWARDED = ("JAX_", "XLA_", "PREFJAX_", "WANDB_MODE")  # what the variables begin with that workers of Ray are given


class Task(NamedTuple):
    """A program: what `together.train` is called with, as what can be sent."""

    name: str
    configs: list[dict[str, Any]]
    workdirs: list[str]
    idle: list[bool]
    limit: float | None
    place: str  # the folder that relative paths are of
    argv: list[str]  # the command, for the record


class Failure(NamedTuple):
    """Why a task did not end well."""

    message: str
    code: int = 1  # exit code


Ends = Iterator[tuple[int, Failure | None]]
Say = Callable[[str], None]
Engine = Callable[[Sequence[Task], Path, Say], Ends]


def trained(task: Task, say: Say = print) -> Failure | None:
    """Trains the runs of a task in this process, as many at a time as fit.

    Raises:
      Interrupted: a signal arrived.
    """
    from ml_collections import ConfigDict

    left = [ConfigDict(config).lock() for config in task.configs], task.workdirs, task.idle
    try:
        while left[0]:
            configs, workdirs, idle = left
            count = together.train(configs, [*map(Path, workdirs)], idle=idle, limit=task.limit, say=say)
            left = configs[count:], workdirs[count:], idle[count:]
    except Exception as error:
        if processes.several() or isinstance(error, HungError):
            raise  # the others wait for this one; what hangs may hang the rest
        return _told(error)
    return None


def _told(error: Exception) -> Failure:
    """As the command line has it: by message and exit code, or what nobody foresaw by its trace and Python's own 1."""
    if isinstance(error, PrefjaxError):
        return Failure(str(error), error.exit_code)
    return Failure("".join(traceback.format_exception(error)))


def away(task: Task, *signals: int, joining: tuple[str, int, int] | None = None) -> Failure | None:
    """Trains the runs of a task in a process of an engine.

    Args:
      task: the task.
      *signals: that save first, besides those of the command line.
      joining: of several processes what `processes.joined` takes; they save for no signal, as on the command line.
    """
    os.chdir(task.place)
    sys.path.insert(0, "")
    sys.argv = task.argv
    try:
        with processes.joined(*joining) if joining else interrupt.handled(*signals):
            return trained(task)
    except Interrupted as error:
        return Failure(str(error), error.exit_code)
    except Exception as error:
        return _told(error)


def here() -> Engine:
    """One task after another, in this process."""

    def run(tasks: Sequence[Task], folder: Path, say: Say) -> Ends:
        del folder
        for index, task in enumerate(tasks):
            yield index, trained(task, say)

    return run


class _Job:
    """A task of submitit, which queues it again where the cluster takes its machine away or its time is over."""

    def __init__(self, nodes: int = 1):
        self.nodes = nodes

    def __call__(self, task: Task) -> Failure | None:
        if self.nodes > 1:
            from submitit import JobEnvironment

            here = JobEnvironment()
            port = 20000 + zlib.crc32(here.job_id.encode()) % 20000  # the same on all nodes
            return away(task, joining=(f"{here.hostnames[0]}:{port}", here.num_tasks, here.global_rank))
        asked: Any = signal.getsignal(signal.SIGUSR2)  # what submitit does then
        failure = away(task, signal.SIGUSR2)
        if failure and failure.code == 128 + signal.SIGUSR2:
            asked(signal.SIGUSR2, None)
        return failure

    def checkpoint(self, task: Task) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, task)


def slurm(
    *,
    partition: str = "",
    nodes: int = 1,
    gpus: int = 0,
    cpus: int = 0,
    memory: float = 0,
    timeout: str = "4h",
    cluster: str = "slurm",
    poll: float = 2.0,
    **more: Any,
) -> Engine:
    """Jobs of Slurm, a task each, as one array.

    Args:
      partition: of the cluster; empty: its own choice.
      nodes: of a job, whose devices train one program together.
      gpus, cpus, memory: of a node, the last one in GiB; 0: the cluster's own choice.
      timeout: of a job: "90m", "4h", "2d". One whose time is over saves, and is queued again.
      cluster: "slurm", or "local" for processes of this machine.
      poll: seconds between two looks at the jobs.
      **more: of submitit's parameters for Slurm: account, qos, constraint, array_parallelism, ...

    Raises:
      ConfigError: submitit is not installed, or takes no such parameter; there is no Slurm here.
    """
    os.environ.setdefault("SUBMITIT_LOG_LEVEL", "NOCONFIG")  # else it closes the handlers of all loggers
    submitit = _module("submitit", "slurm")
    asked: dict[str, Any] = {"gpus_per_node": gpus, "cpus_per_task": cpus, "mem_gb": memory}
    asked |= {f"slurm_{name}": value for name, value in {"partition": partition, **more}.items()}
    asked |= {"timeout_min": _minutes(timeout), "tasks_per_node" if cluster == "local" else "nodes": nodes}

    def run(tasks: Sequence[Task], folder: Path, say: Say) -> Ends:
        try:
            executor = submitit.AutoExecutor(folder / "jobs", cluster=cluster)
            executor.update_parameters(name="prefjax", **{name: value for name, value in asked.items() if value})
            with executor.batch():
                jobs = [executor.submit(_Job(nodes), task) for task in tasks]
        except (RuntimeError, ValueError, NameError, TypeError, OSError) as error:
            raise ConfigError(f"--engine=slurm: {str(error).strip().splitlines()[0]}") from None
        for task, job in zip(tasks, jobs, strict=True):
            say(f"{task.name} is job {job.job_id}; its log is {job.paths.stderr}")
        ended: set[int] = set()
        try:
            while len(ended) < len(jobs):
                for index, job in enumerate(jobs):
                    if index not in ended and job.done():
                        ended.add(index)
                        yield index, _result(job)
                time.sleep(poll if len(ended) < len(jobs) else 0)
        finally:
            for index in set(range(len(jobs))) - ended:
                jobs[index].cancel(check=False)

    return run


def _result(job: Any) -> Failure | None:
    error = job.exception()
    if error is None:
        return job.results()[0]
    return Failure(f"job {job.job_id} ended without a result, it may have been killed; its log is {job.paths.stderr}")


def ray(*, address: str = "", cpus: float = 1, gpus: float = 0, **resources: float) -> Engine:
    """Tasks of a Ray cluster. One whose worker dies is started again, on any machine, and goes on.

    Args:
      address: of the cluster; empty: that of RAY_ADDRESS, else one that is started here, and ends with the command.
      cpus, gpus: of a task.
      **resources: of a task, by their names in the cluster.

    Raises:
      ConfigError: Ray is not installed, or there is no cluster at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else it reports to its makers
    cluster = _module("ray", "ray")

    def run(tasks: Sequence[Task], folder: Path, say: Say) -> Ends:
        del folder
        given = {name: value for name, value in os.environ.items() if name.startswith(FORWARDED)}
        handler = signal.getsignal(signal.SIGTERM)
        try:
            cluster.init(address=address or None, log_to_driver=False, runtime_env={"env_vars": given})
            signal.signal(signal.SIGTERM, handler)  # Ray's own would end the command with another exit code
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConfigError(f"--engine=ray: {str(error).strip().splitlines()[0]}") from None
        refs: dict[Any, int] = {}
        try:
            remote = cluster.remote(num_cpus=cpus, num_gpus=gpus, resources=resources, max_calls=1)(away)
            refs |= {remote.remote(task): index for index, task in enumerate(tasks)}
            say(f"{len(refs)} tasks of Ray: {cluster.get_runtime_context().gcs_address}")
            with interrupt.deferred() as asked:  # what a handler raises inside of Ray comes out as another exception
                while refs:
                    for ref in cluster.wait([*refs], timeout=1.0)[0]:
                        yield refs.pop(ref), _fetched(cluster, ref)
                    if number := asked():
                        raise Interrupted(number, "while its tasks were at work")
        finally:
            for ref in refs:
                cluster.cancel(ref)
            if refs:
                cluster.wait([*refs], num_returns=len(refs), timeout=60.0)  # they save
            cluster.shutdown()

    return run


def _fetched(cluster: Any, ref: Any) -> Failure | None:
    try:
        return cluster.get(ref)
    except cluster.exceptions.RayError as error:
        return Failure(f"Ray gave a task up: {str(error).strip()}")


def _module(name: str, extra: str) -> Any:
    try:
        return __import__(name)
    except ModuleNotFoundError:
        raise ConfigError(f"--engine={extra} needs {name}: pip install prefjax[{extra}]") from None


def _minutes(text: str) -> int:
    """Minutes of "90m", "4h" or "2d"."""
    units = {"m": 1, "h": 60, "d": 24 * 60}
    if not text[:-1].isdigit() or text[-1] not in units or not int(text[:-1]):
        raise ConfigError(f"--engine: timeout is {text!r}; it should be such as '90m', '4h' or '2d'")
    return int(text[:-1]) * units[text[-1]]
