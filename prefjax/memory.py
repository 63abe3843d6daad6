"""The memory that a compiled step takes of a device, and on a CPU of the process: that of one run, or of several."""

import math
from typing import Any, NamedTuple

import jax
import numpy as np

from prefjax import host

# An aligned block of glibc's asks for more than the hole that the one before it left: what a step frees, the next one
# cannot take, until it lies there about three times. What is larger than the heap of a thread comes and goes by mmap.
_TIMES, _HEAP = 3, 2**26


class Needs(NamedTuple):
    """Bytes."""

    parts: dict[str, int]  # of a device, by what takes them
    device: int  # in all
    state: int  # of all devices of this process
    runtime: int  # of the process, beside what its devices hold
    process: int  # what it will hold when it takes the step, on a CPU; 0 elsewhere, and where the system does not tell


def needed(step: Any, state: Any, frozen: Any, batch: Any) -> Needs:
    """What a step will take: call it where the frozen models and the batch are there, and the state is not.

    On a CPU the process holds what its devices hold. It resides in what it does now, with the frozen models, a batch
    and the compiled step, and will hold besides them the state, the step's temporaries and the next batch; and a
    checkpoint is written from a copy of the state. Evaluations are not counted.

    Args:
      step: compiled.
      state, frozen, batch: what it is given, or their shapes, as they lie on the devices.
    """
    import orbax.checkpoint  # noqa: F401  (a run has it in memory)

    told = step.memory_analysis()
    devices = len(jax.tree.leaves(batch)[0].sharding.addressable_devices)  # of this process
    state, params, frozen, batch = map(_size, (state, state.params, frozen, batch))
    unused = told.output_size_in_bytes - told.alias_size_in_bytes  # returned, beside the state given
    parts = {
        "parameters": params,
        "optimizer and averages": state - params,
        "frozen models": frozen,
        "this batch and the next": 2 * batch,
        "activations and gradients": told.temp_size_in_bytes + unused,
    }
    host.give_back()
    now, _ = host.resident() if jax.default_backend() == "cpu" else (0, 0)
    times = _TIMES if told.temp_size_in_bytes < _HEAP else 1
    takes = 2 * state + batch + times * told.temp_size_in_bytes + unused
    return Needs(
        parts=parts,
        device=sum(parts.values()),
        state=devices * state,
        runtime=now and now - devices * (frozen + batch),
        process=now and now + devices * takes,
    )


def _size(tree: Any) -> int:
    """Bytes of the arrays of a tree on one device; those of numpy stay on the host."""
    leaves = [x for x in jax.tree.leaves(tree) if not isinstance(x, np.ndarray)]
    return sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in leaves)
