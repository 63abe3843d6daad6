"""How a step runs on several devices.

`parallel = "jit"`: one program over a mesh with the axes data, fsdp and tensor; arrays are laid out by regex rules and
the compiler inserts the communication. `parallel = "pmap"`: one copy of the state on each device, and gradients and
metrics summed across them. Rows of a batch are dealt in blocks; both give what one device gives.
"""

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from prefjax.errors import ConfigError

AXES = ("data", "fsdp", "tensor")
PMAP_AXIS = "data"

Rules = tuple[tuple[str, tuple[str | None, ...]], ...]
RULES: Rules = (  # regex of a parameter's path -> the axis of the mesh that each of its dimensions lies along
    ("(query|key|value|gate|up)/kernel", (None, "fsdp", "tensor")),
    ("(out|down)/kernel", (None, "tensor", "fsdp")),
    ("(query|key|value|gate|up)/bias", (None, "tensor")),
    ("(embed|lm_head)/embedding", ("tensor", "fsdp")),
    (".*", ()),
)


class Parallel(NamedTuple):
    """A way to run functions on the devices of a run."""

    shards: int  # blocks in which the rows of a batch are dealt
    blocks: int  # of them, those that one program sees: all under jit, its own under pmap
    layout: Callable[[Any], Any]  # state or frozen models, or their shapes -> the sharding of each array
    deal: Callable[[Any], Any]  # a batch of numpy arrays -> arrays on the devices
    # Both compile a function of (state, frozen, hparams, batch, key).
    update: Callable[[Callable], Any]  # one that returns (state, metrics); the state given is donated
    measure: Callable[[Callable], Any]  # one that returns metrics

    def place(self, tree: Any) -> Any:
        """State or frozen models, laid out."""
        return put(tree, self.layout(tree))


def make(config: Any) -> Parallel:
    """The way named by `config.parallel`, over `config.mesh`: sizes of data (0: all devices left), fsdp and tensor.

    Raises:
      ConfigError: the sizes ask for more devices than there are, or pmap for more than the data axis.
    """
    devices, sizes = jax.devices(), [config.mesh[axis] for axis in AXES]
    if sizes[0] == 0 and math.prod(sizes[1:]) > 0:
        sizes[0] = len(devices) // math.prod(sizes[1:])
    if not 0 < math.prod(sizes) <= len(devices):
        raise ConfigError(f"config.mesh asks for {' x '.join(map(str, sizes))} devices; there are {len(devices)}")
    if math.prod(sizes) < len(devices) and jax.process_count() > 1:
        raise ConfigError(f"config.mesh leaves out some of the {len(devices)} devices; several processes use them all")
    devices = devices[: math.prod(sizes)]
    if config.parallel == "pmap":
        if jax.process_count() > 1:
            raise ConfigError("config.parallel is 'pmap', which is for one process; use 'jit' for several")
        if sizes[0] != len(devices):
            raise ConfigError("config.parallel is 'pmap', which has the data axis alone; use 'jit' for fsdp and tensor")
        return _pmap(devices)
    return _jit(jax.make_mesh(tuple(sizes), AXES, axis_types=(AxisType.Auto,) * 3, devices=devices))


def single() -> Parallel:
    """The way over one device; of several processes each does the same on its own first one."""
    firsts = {device.process_index: device for device in reversed(jax.devices())}
    devices = [firsts[index] for index in sorted(firsts)]
    axes, sizes = (*AXES, "process"), (1, 1, 1, len(devices))
    return _jit(jax.make_mesh(sizes, axes, axis_types=(AxisType.Auto,) * 4, devices=devices))


def axis_name(config: Any) -> str | None:
    """The axis that devices are summed over inside a step: that of `pmap`; under `jit` the compiler sums."""
    return PMAP_AXIS if config.parallel == "pmap" else None


def total(config: Any, sums: Any) -> Any:
    """A tree of sums, inside a step, as those of all devices."""
    return jax.lax.psum(sums, PMAP_AXIS) if config.parallel == "pmap" else sums


def _jit(mesh: jax.sharding.Mesh) -> Parallel:
    rows, whole = NamedSharding(mesh, PartitionSpec(("data", "fsdp"))), NamedSharding(mesh, PartitionSpec())
    lay = partial(layout, mesh=mesh)

    def deal(batch: Any) -> Any:
        return put(batch, jax.tree.map(lambda _: rows, batch))

    def update(f: Callable) -> Any:
        def laid_out(state, frozen, hparams, batch, key):
            state, metrics = f(state, frozen, hparams, batch, key)
            state = jax.lax.with_sharding_constraint(state, lay(state))
            return state, jax.lax.with_sharding_constraint(metrics, whole)

        return jax.jit(laid_out, donate_argnums=0)

    def measure(f: Callable) -> Any:
        return jax.jit(lambda *arguments: jax.lax.with_sharding_constraint(f(*arguments), whole))

    shards = mesh.shape["data"] * mesh.shape["fsdp"]
    return Parallel(shards, shards, lay, deal, update, measure)


def _pmap(devices: list[jax.Device]) -> Parallel:
    mesh = jax.make_mesh((len(devices),), (PMAP_AXIS,), axis_types=(AxisType.Auto,), devices=devices)
    whole, rows = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec(PMAP_AXIS))

    def deal(batch: Any) -> Any:
        blocks = jax.tree.map(lambda x: x.reshape(len(devices), -1, *x.shape[1:]), batch)
        return put(blocks, jax.tree.map(lambda _: rows, blocks))

    per_device = partial(
        jax.pmap, devices=devices, axis_name=PMAP_AXIS, in_axes=(None, None, None, 0, None), out_axes=None
    )
    lay = lambda tree: jax.tree.map(lambda _: whole, tree)
    return Parallel(len(devices), 1, lay, deal, partial(per_device, donate_argnums=0), per_device)


def put(tree: Any, shardings: Any) -> Any:
    """Arrays that every process holds whole, laid out: each process puts its own pieces on its own devices."""
    if jax.process_count() == 1:
        return jax.device_put(tree, shardings)

    def pieces(x, sharding):
        x = np.asarray(x)
        return jax.make_array_from_callback(x.shape, sharding, x.__getitem__)

    return jax.tree.map(pieces, tree, shardings)


def layout(tree: Any, mesh: jax.sharding.Mesh, rules: Rules = RULES) -> Any:
    """The sharding of every array of a tree, by the first rule that its path matches.

    An axis that does not divide a dimension is left out: that dimension is whole on every device.
    """

    def sharding(path, x):
        name = "/".join(str(getattr(key, "key", getattr(key, "name", key))) for key in path)
        axes = next(axes for pattern, axes in rules if re.search(pattern, name))
        sizes = zip(axes, x.shape, strict=True) if len(axes) == x.ndim else ()
        fits = (axis if axis and size % mesh.shape[axis] == 0 else None for axis, size in sizes)
        return NamedSharding(mesh, PartitionSpec(*fits))

    return jax.tree_util.tree_map_with_path(sharding, tree)
