"""What a step will take of memory."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax import memory, mesh
from prefjax.types import TrainState

MIB = 2**20


def needed(temporaries, monkeypatch, resident=300 * MIB, runs=1):
    """Of a step that has 1 MiB of parameters a run, as much of an optimizer, 2 MiB frozen and 1/2 MiB of a batch."""
    monkeypatch.setattr(memory.host, "resident", lambda: (resident, resident))
    monkeypatch.setattr(memory.host, "give_back", lambda: None)
    place = mesh.single().place
    state = place(TrainState(jnp.int32(0), {"w": jnp.zeros((runs, MIB // 4))}, jnp.zeros((runs, MIB // 4)), ()))
    frozen = {"reference": place(jnp.zeros(MIB // 2)), "waits": np.zeros(MIB)}
    told = SimpleNamespace(temp_size_in_bytes=temporaries, output_size_in_bytes=100, alias_size_in_bytes=60)
    return memory.needed(SimpleNamespace(memory_analysis=lambda: told), state, frozen, place(jnp.zeros(MIB // 8)))


def test_a_device_holds_its_parts_and_what_waits_on_the_host_is_none_of_them(monkeypatch):
    needs = needed(5 * MIB, monkeypatch)
    assert list(needs.parts.values()) == [MIB, MIB + 4, 2 * MIB, MIB, 5 * MIB + 40]
    assert needs.device == 10 * MIB + 44
    assert needs.state == 2 * MIB + 4


@pytest.mark.parametrize(("temporaries", "times"), [(5 * MIB, 3), (80 * MIB, 1)])
def test_the_process_will_hold_two_states_and_the_temporaries_as_often_as_malloc_does(temporaries, times, monkeypatch):
    needs = needed(temporaries, monkeypatch)
    assert needs.process == 300 * MIB + 2 * needs.state + MIB // 2 + times * temporaries + 40
    assert needs.runtime == 300 * MIB - 2 * MIB - MIB // 2  # what it holds now, but for frozen models and a batch
    assert needed(temporaries, monkeypatch, runs=4).process - needs.process == 2 * 3 * 2 * MIB
    assert needed(temporaries, monkeypatch, resident=0).process == 0


def test_a_compiled_step_tells_its_temporaries(monkeypatch):
    """On devices that share the rows: by device what is there is a share of the batch and all of the state."""
    monkeypatch.setattr(memory.host, "resident", lambda: (MIB, MIB))
    devices = len(jax.devices())
    over = jax.make_mesh((devices,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    lay = lambda *axes: jax.sharding.NamedSharding(over, jax.sharding.PartitionSpec(*axes))
    state = jax.device_put(TrainState(jnp.int32(0), jnp.ones((64, 64)), (), ()), lay())
    batch = jax.device_put(jnp.ones((8 * devices, 64)), lay("data"))
    moved = lambda state, batch: state._replace(params=state.params - (batch @ state.params).T @ batch)
    step = jax.jit(moved, donate_argnums=0).lower(state, batch).compile()
    needs = memory.needed(step, state, {}, batch)
    assert needs.parts["parameters"] == 64 * 64 * 4 and needs.parts["this batch and the next"] == 2 * 8 * 64 * 4
    assert needs.state == devices * (64 * 64 * 4 + 4)
    assert needs.parts["activations and gradients"] >= 8 * 64 * 4  # the product
    assert needs.process >= MIB + 2 * needs.state + devices * needs.parts["activations and gradients"]
