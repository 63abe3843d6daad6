"""Several processes as one run, through `jax.distributed`: each has devices of its own, all take every step together.

Every process computes the same batches and puts its own pieces on its own devices; the first one writes the record. A
process that fails ends at once, with its message, and the others within `HEARTBEAT` seconds: jax ends them, exit code
134 or 1. The same command on all of them resumes.
"""

import contextlib
import hashlib
import json
import os
import sys
import traceback
from collections.abc import Generator
from typing import Any

import jax
import numpy as np

from prefjax.errors import ConfigError, PrefjaxError

HEARTBEAT = 30  # seconds without a sign of life after which a process counts as dead


@contextlib.contextmanager
def joined(coordinator: str, count: int | None = None, index: int | None = None) -> Generator[None]:
    """Runs what is inside as one process of several; has to come before anything computes.

    Args:
      coordinator: `host:port` of process 0; "auto" asks the cluster (Slurm, TPU, MPI, Kubernetes), or the variables
        JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID; empty: this process is alone.
      count, index: of the processes; needed with `host:port`.

    Raises:
      ConfigError: no such cluster, or the processes did not find each other.
    """
    if not coordinator:
        if count is not None or index is not None:
            raise ConfigError("--processes and --process_id need --coordinator=HOST:PORT, the address of process 0")
        yield
        return
    address = None if coordinator == "auto" else coordinator
    try:
        jax.distributed.initialize(address, count, index, heartbeat_timeout_seconds=HEARTBEAT)
    except (ValueError, RuntimeError) as error:
        raise ConfigError(f"--coordinator={coordinator}: {str(error).strip().splitlines()[0]}") from error
    try:
        yield
    except BaseException as error:  # a normal exit would wait for the others, and they for this one
        told = str(error) if isinstance(error, PrefjaxError) else traceback.format_exc()
        print(f"prefjax: process {jax.process_index()}: {told}", file=sys.stderr, flush=True)
        os._exit(getattr(error, "exit_code", 130 if isinstance(error, KeyboardInterrupt) else 1))


def several() -> bool:
    """Whether this process is one of several; takes no device to know it."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_first() -> bool:
    """Whether this process writes what only one should."""
    return not several() or jax.process_index() == 0


def agree(value: Any) -> None:
    """Waits for all processes.

    Raises:
      ConfigError: on all of them, where one came with another value (of JSON).
    """
    if not several():
        return
    from jax.experimental import multihost_utils

    digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
    digests = multihost_utils.process_allgather(np.frombuffer(digest, np.int32))  # [processes, 8]
    other = np.flatnonzero((digests != digests[0]).any(axis=1))
    if other.size:
        raise ConfigError(f"process {other[0]} has other settings, or reads other data, than process 0")


def told(value: Any) -> Any:
    """A value of JSON as the first process has it, on all of them."""
    if not several():
        return value
    from jax.experimental import multihost_utils

    data = np.frombuffer(json.dumps(value).encode(), np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.int32(data.size)))
    sent = data if is_first() else np.zeros(size, np.uint8)
    return json.loads(np.asarray(multihost_utils.broadcast_one_to_all(sent)).tobytes())


def fetch(tree: Any) -> Any:
    """Numpy copies of arrays, whole on every process, wherever their pieces are."""
    from jax.experimental import multihost_utils

    def whole(x):
        here = not isinstance(x, jax.Array) or x.is_fully_addressable or x.is_fully_replicated
        return x if here else multihost_utils.process_allgather(x, tiled=True)

    return jax.device_get(jax.tree.map(whole, tree))
