"""Eight devices give what one gives, by jit over a mesh and by pmap; and every step lowers for TPU and CUDA."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax import mesh, models
from prefjax.algorithms import dpo, reward, sft
from prefjax.config import base, hparams
from prefjax.data import rows
from prefjax.data.batches import batches
from prefjax.errors import ConfigError
from prefjax.train import one_step
from prefjax.worlds import desk

TOKENIZER = desk.tokenizer()
MODEL = models.llama(vocab=TOKENIZER.vocab_size, width=16, layers=2, heads=2, tied=False)
RECIPES = {"sft": (sft, "sft_loss()"), "reward": (reward, "bradley_terry_loss()"), "dpo": (dpo, "dpo_loss()")}


@pytest.fixture(scope="module")
def params():
    return models.init(MODEL, jax.random.key(0))


@pytest.fixture(scope="module")
def single(params):
    """What one device gives, by the name of the recipe."""
    return functools.cache(lambda name: run(params, name))


def run(params, name, parallel="jit", sizes=(1, 1, 1), accumulate=1, steps=2):
    """Parameters and metrics after a few steps on a batch of ragged rows."""
    c = base()
    make, c.loss = RECIPES[name]
    c.optim.tx, c.optim.lr, c.parallel, c.optim.accumulate = "sgd()", 0.1, parallel, accumulate
    c.mesh.data, c.mesh.fsdp, c.mesh.tensor = sizes
    way = mesh.make(c)
    table, _ = (
        rows.demos(desk.demos(n=64), TOKENIZER, 80) if name == "sft" else rows.pairs(desk.pairs(n=64), TOKENIZER, 80)
    )
    batch_at = batches(table, 16, 80, seed=0, microbatches=accumulate, shards=way.shards)
    net = models.computing(MODEL, shards=way.blocks)
    algorithm = make.make(c, {"policy": net, "reference": net})
    state = way.place(algorithm.init(jax.random.key(1), params))
    frozen = way.place({"reference": params})
    step = way.update(one_step(algorithm.step))
    for at in range(steps):
        state, metrics = step(state, frozen, hparams(c), way.deal(batch_at(at)), jax.random.key(2))
    return state.params, metrics, state


def close(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5), a, b)


@pytest.mark.parametrize(
    ("parallel", "sizes", "accumulate"),
    [
        ("jit", (8, 1, 1), 1),
        ("jit", (2, 2, 2), 1),
        ("jit", (2, 2, 2), 2),
        ("pmap", (8, 1, 1), 1),
        ("pmap", (8, 1, 1), 2),
    ],
)
@pytest.mark.parametrize("name", RECIPES)
def test_eight_devices_are_one(params, single, name, parallel, sizes, accumulate):
    one, many = single(name), run(params, name, parallel, sizes, accumulate)
    close(many[0], one[0])
    close(many[1], one[1])


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_the_work_is_shared_among_the_devices(params, parallel):
    def flops(way_of, devices):
        c = base()
        c.loss, c.parallel, c.mesh.data = "sft_loss()", way_of, devices
        way = mesh.make(c)
        net = models.computing(MODEL, shards=way.blocks)
        table, _ = rows.demos(desk.demos(n=64), TOKENIZER, 80)
        batch = way.deal(batches(table, 64, 80, seed=0, shards=way.shards)(0))
        algorithm = sft.make(c, {"policy": net})
        state = way.place(algorithm.init(jax.random.key(1), params))
        step = way.update(one_step(algorithm.step)).lower(state, {}, hparams(c), batch, jax.random.key(2))
        return step.compile().cost_analysis()["flops"]

    assert flops(parallel, 8) < 1.5 / 8 * flops("jit", 1)


def test_rows_that_cannot_be_dealt_are_scored_all_the_same(params):
    batch = batches(rows.demos(desk.demos(n=8), TOKENIZER, 80)[0], 3, 80, seed=0)(0)
    eight = models.logps(models.computing(MODEL, shards=8), params, batch.sequences)
    np.testing.assert_allclose(eight, models.logps(MODEL, params, batch.sequences), rtol=1e-6)


def test_the_rules_lay_parameters_out_over_the_mesh(params):
    _, _, state = run(params, "dpo", "jit", (2, 2, 2), steps=1)
    kernel = state.params["params"]["layers"]["up"]["kernel"]  # [L, D, H]
    assert kernel.sharding.shard_shape(kernel.shape) == (2, 8, kernel.shape[2] // 2)
    scale = state.params["params"]["norm"]["scale"]
    assert scale.sharding.is_fully_replicated


def test_an_axis_that_does_not_divide_is_left_out():
    grid = jax.make_mesh((1, 8, 1), mesh.AXES, axis_types=(jax.sharding.AxisType.Auto,) * 3)
    tree = {"up": {"kernel": jnp.zeros((2, 12, 16))}}
    assert mesh.layout(tree, grid)["up"]["kernel"].spec == jax.sharding.PartitionSpec(None, None, "tensor")


@pytest.mark.parametrize(
    ("parallel", "sizes", "message"),
    [
        ("jit", (3, 3, 1), "config.mesh asks for 3 x 3 x 1 devices; there are 8"),
        ("jit", (0, 16, 1), "config.mesh asks for 0 x 16 x 1 devices; there are 8"),
        ("pmap", (2, 2, 2), "config.parallel is 'pmap', which has the data axis alone"),
    ],
)
def test_meshes_that_cannot_be(parallel, sizes, message):
    c = base()
    c.parallel = parallel
    c.mesh.data, c.mesh.fsdp, c.mesh.tensor = sizes
    with pytest.raises(ConfigError, match=message):
        mesh.make(c)


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
@pytest.mark.parametrize("name", RECIPES)
def test_a_step_lowers_for_other_platforms(params, name, platform):
    c = base()
    make, c.loss = RECIPES[name]
    table, _ = (
        rows.demos(desk.demos(n=64), TOKENIZER, 80) if name == "sft" else rows.pairs(desk.pairs(n=64), TOKENIZER, 80)
    )
    algorithm = make.make(c, {"policy": MODEL, "reference": MODEL})
    state, batch = algorithm.init(jax.random.key(1), params), batches(table, 16, 80, seed=0)(0)
    arguments = (state, {"reference": params}, hparams(c), batch, jax.random.key(2))
    exported = jax.export.export(jax.jit(algorithm.step), platforms=[platform])(*arguments)
    assert exported.platforms == (platform,)
