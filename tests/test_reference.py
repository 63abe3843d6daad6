"""The reference: in every step, from the cache, or following the policy."""

import dataclasses
import json
import logging
import math
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax import models, optim, plan, reference
from prefjax.cli import main
from prefjax.config import base, numbers, validate
from prefjax.data.rows import Rows
from prefjax.errors import ConfigError
from prefjax.metrics import Mean
from prefjax.setup import setup
from prefjax.train import one_step, train
from prefjax.types import Algorithm, Sequences, TrainState

PAIRS = "prefjax.worlds.desk:pairs(n=40)"


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A tiny language model, after one step and after two."""
    c = base()
    c.algorithm, c.loss, c.steps, c.batch_size, c.checkpoint_every = "sft", "sft_loss()", 2, 8, 1
    c.model, c.tokenizer = "llama(width=16, layers=1, heads=2)", "prefjax.worlds.desk:tokenizer()"
    c.data.train, c.data.rows, c.data.max_length = "prefjax.worlds.desk:demos(n=16)", "demos()", 80
    c.mesh.data = 1
    folder = tmp_path_factory.mktemp("runs") / "sft"
    train(c, folder)
    return folder


@pytest.fixture
def config(start, tmp_path):
    c = base()
    c.steps, c.batch_size, c.log_every, c.mesh.data = 4, 8, 1, 1
    c.model = f"{start}@2"
    c.frozen.reference = c.get_ref("model")
    c.data.train, c.data.max_length = PAIRS, 80
    c.optim.lr = 1e-2
    c.cache = str(tmp_path / "cache")
    return c


def using(config, how, **more):
    c = config.copy_and_resolve_references()
    c.update_from_flattened_dict({"reference": how} | more)
    return c


def close(a, b, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def lines(workdir, name="metrics.jsonl"):
    return [json.loads(line) for line in (workdir / name).read_text().splitlines()]


# cached


def test_a_cached_run_is_the_run_that_computes_its_reference(config, start, tmp_path):
    held_out = "held_out(source='prefjax.worlds.desk:pairs(n=12, seed=1)', batch_size=8, allow_overlap=True)"
    config.evals.held_out = ""
    apart = {"frozen.reference": f"{start}@1", "steps": 20, "evals.held_out": held_out}
    frozen = train(using(config, "frozen", **apart), tmp_path / "frozen")
    cached = train(using(config, "cached", **apart), tmp_path / "cached")
    close(cached.params, frozen.params, rtol=1e-6, atol=1e-7)
    for a, b in zip(lines(tmp_path / "cached"), lines(tmp_path / "frozen"), strict=True):
        assert a == pytest.approx(b, rel=1e-5, abs=1e-6)
    facts = json.loads((tmp_path / "cached" / "run.json").read_text())["reference"]
    assert facts["logps"] == "computed"
    assert sorted(path.suffix for path in Path(config.cache).iterdir()) == [".json", ".json", ".npy", ".npy"]


@pytest.mark.parametrize(
    ("parallel", "sizes", "accumulate", "dtype", "packed"),
    [
        ("jit", (2, 2, 2), 2, "float32", True),
        ("jit", (1, 1, 1), 1, "float32", False),
        ("pmap", (8, 1, 1), 1, "bfloat16", True),
    ],
)
def test_the_column_is_what_a_step_computes(config, monkeypatch, parallel, sizes, accumulate, dtype, packed):
    monkeypatch.setattr("prefjax.data.batches._WORTH_PACKING", 9 if packed else 0)
    ways = {"parallel": parallel, "optim.accumulate": accumulate, "dtype": dtype, "batch_size": 16}
    ways |= {f"mesh.{axis}": size for axis, size in zip(("data", "fsdp", "tensor"), sizes, strict=True)}
    run = setup(using(config, "cached", **ways))
    batch = run.batch_at(0)
    assert bool(batch.sequences.packing) == packed
    found, *sequences = (np.asarray(x).reshape(16, 2, -1) for x in (batch.ref_logps, *batch.sequences[:3]))
    net = models.computing(run.nets["reference"], dtype)
    logps = jax.jit(models.logps, static_argnums=0)(net, run.frozen["reference"], Sequences(*sequences))
    np.testing.assert_allclose(found, logps, rtol=0, atol={"float32": 1e-5, "bfloat16": 0.1}[dtype])
    np.testing.assert_array_equal(found[~sequences[2]], 0)

    with jax.numpy_dtype_promotion("standard"):  # jax itself mixes types in the gradient of a bfloat16 product
        state = jax.jit(run.algorithm.init)(jax.random.key(0), run.start(0))
        loss = run.parallel.measure(lambda *arguments: run.algorithm.step(*arguments)[1]["loss"])
        mean = loss(run.parallel.place(state), run.frozen, run.hparams, batch, jax.random.key(1))
    assert float(mean.value) == pytest.approx(math.log(2), abs={"float32": 1e-6, "bfloat16": 0.02}[dtype])


@pytest.mark.parametrize("loss", ["dpo_loss(beta=2.0)", "ipo_loss()", "experiments.hinge.loss:hinge_loss(beta=2.0)"])
def test_every_loss_on_a_reference_takes_the_column(config, start, loss):
    run = setup(using(config, "cached", **{"loss": loss, "frozen.reference": f"{start}@1"}))
    batch, score = run.batch_at(0), jax.jit(models.logps, static_argnums=0)
    loss = optim.loss_of(run.config)
    logps = score(run.nets["policy"], run.start(0), batch.sequences)
    online = score(run.nets["reference"], run.frozen["reference"], batch.sequences)
    cached, expected = (
        float(loss(run.hparams, batch, logps=logps, ref_logps=x, mask=batch.sequences.response)[0].value)
        for x in (batch.ref_logps, online)
    )
    assert cached == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_a_step_on_the_cache_is_given_no_reference(config, parallel):
    def given(how):
        run = setup(using(config, how, **{"parallel": parallel, "mesh.data": 8}), dry=True)
        state = jax.eval_shape(run.algorithm.init, jax.random.key(0), run.start(0))
        step = run.parallel.update(one_step(run.algorithm.step))
        lowered = step.lower(state, run.frozen, run.hparams, run.batch_at(0), jax.random.key(1))
        signature = lowered.as_text().partition("@main(")[2].partition("->")[0]
        return signature.count("%arg"), run

    (cached, run), (frozen, _) = given("cached"), given("frozen")
    model = jax.tree.leaves(run.frozen["reference"])
    assert all(isinstance(x, np.ndarray) for x in (*model, *jax.tree.leaves(run.start(0))))
    assert frozen - cached == len(model) - 1  # and the column instead


@pytest.fixture
def fill(config, monkeypatch):
    """Calls `reference.cached` with log-probs that cost nothing: the tokens."""
    run = setup(using(config, "frozen"))
    start, tokens = run.start(0), np.arange(6, dtype=np.int32)
    table = Rows(tokens, np.array([[0, 2, 4, 6]]), np.zeros(1, np.int32))
    monkeypatch.setattr(reference, "_logps", lambda *given: iter([tokens.astype(np.float32)]))

    def call(net=run.nets["reference"], params=start, tokenizer="a", rows=table, compute=True, **more):
        c = using(config, "cached", **more)
        return reference.cached(c, net, params, run.parallel, tokenizer, rows, compute=compute)

    return call


def test_what_was_computed_is_found(fill):
    (first, one), (second, two) = fill(), fill(loss="ipo_loss()")
    np.testing.assert_array_equal(first.ref_logps, np.arange(6))
    np.testing.assert_array_equal(second.ref_logps, np.arange(6))
    assert isinstance(second.ref_logps, np.memmap)
    assert (one["logps"], two["logps"], one["file"]) == ("computed", "found", two["file"])


def test_the_key_names_all_that_the_log_probs_depend_on(fill, config, monkeypatch):
    run = setup(using(config, "frozen"))
    net, rows = run.nets["reference"], Rows(np.arange(6, dtype=np.int32), np.array([[0, 2, 4, 6]]), np.zeros(1))
    rounder = net.clone(config=dataclasses.replace(net.config, eps=1e-6))
    moved = jax.tree.map(lambda x: x.copy(), run.start(0))
    moved["params"]["norm"]["scale"][3] += 1e-6
    changes = [
        {},
        {"rows": rows._replace(tokens=rows.tokens[::-1])},
        {"rows": rows._replace(offsets=np.array([[0, 1, 4, 6]]))},
        {"params": moved},
        {"net": rounder},
        {"tokenizer": "b"},
        {"data.max_length": 79},
        {"dtype": "bfloat16"},
    ]
    files = [fill(**change, compute=False)[1]["file"] for change in changes]
    monkeypatch.setattr(reference, "__version__", "0.0.0")
    files.append(fill(compute=False)[1]["file"])
    assert len(set(files)) == len(files)


def test_the_cache_says_what_a_file_is_made_of(fill):
    about = json.loads(Path(fill()[1]["file"]).with_suffix(".json").read_text())
    assert about.keys() == {"prefjax", "rows", "reference", "model", "tokenizer", "max_length", "dtype", "sha256"}
    assert (about["max_length"], about["dtype"], about["model"]["width"], about["tokenizer"]) == (
        80,
        "float32",
        16,
        "a",
    )


def test_a_damaged_file_is_computed_again_with_one_warning(fill, caplog):
    path = Path(fill()[1]["file"])
    whole, about = path.read_bytes(), path.with_suffix(".json").read_bytes()
    flipped = whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:]
    for array, text in [(whole[:-1], about), (b"", about), (flipped, about), (whole, b"{"), (whole, b"[]")]:
        path.write_bytes(array)
        path.with_suffix(".json").write_bytes(text)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert fill()[1]["logps"] == "computed"
        assert [record.message for record in caplog.records] == [f"{path} is damaged; its log-probs are computed again"]
        assert path.read_bytes() == whole
    path.with_suffix(".json").unlink()  # killed between the two files: no damage, only not there
    caplog.clear()
    assert fill()[1]["logps"] == "computed"
    assert not caplog.records


def test_a_run_that_is_stopped_leaves_nothing_half_written(fill, config, monkeypatch):
    def stopped(*given):
        yield np.zeros(3, np.float32)
        raise KeyboardInterrupt

    monkeypatch.setattr(reference, "_logps", stopped)
    with pytest.raises(KeyboardInterrupt):
        fill()
    assert list(Path(config.cache).iterdir()) == []


def test_two_that_compute_the_same_at_once_do_no_harm(fill, config, monkeypatch):
    together = threading.Barrier(2)

    def wait(*given):
        together.wait(timeout=60)  # both found nothing
        yield np.arange(6, dtype=np.float32)

    monkeypatch.setattr(reference, "_logps", wait)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: fill(), range(2)))
    assert [facts["logps"] for _, facts in found] == ["computed", "computed"]
    for rows, _ in found:
        np.testing.assert_array_equal(rows.ref_logps, np.arange(6))
    assert len(list(Path(config.cache).iterdir())) == 2
    assert fill()[1]["logps"] == "found"


def test_a_dry_run_computes_and_writes_nothing(config, monkeypatch):
    monkeypatch.setattr(plan, "_time", lambda run, step, batch, key: str(batch.ref_logps.any()))
    text = plan.describe(using(config, "cached"))
    assert '"logps": "not there yet"' in text and text.endswith("False")
    assert not Path(config.cache).exists()


def test_the_command_line_takes_it_from_the_cache_the_second_time(start, tmp_path, monkeypatch):
    monkeypatch.setenv("PREFJAX_CACHE", str(tmp_path / "shared"))
    (tmp_path / "recipe.py").write_text(
        "from prefjax.config import base\n"
        "def get_config():\n"
        "    c = base()\n"
        f"    c.steps, c.batch_size, c.model, c.mesh.data = 1, 8, {str(start)!r}, 1\n"
        "    c.frozen.reference = c.get_ref('model')\n"
        f"    c.data.train, c.data.max_length = {PAIRS!r}, 80\n"
        "    return c\n"
    )
    for beta, logps in ((0.1, "computed"), (0.5, "found")):
        argv = ["train", f"--config={tmp_path / 'recipe.py'}", f"--workdir={tmp_path / logps}"]
        assert main([*argv, "--config.reference=cached", f"--config.loss=dpo_loss(beta={beta})"]) == 0
        facts = json.loads((tmp_path / logps / "run.json").read_text())["reference"]
        assert facts["logps"] == logps
        assert Path(facts["file"]).parent == tmp_path / "shared"
        assert lines(tmp_path / logps)[0]["train/loss"] == pytest.approx(math.log(2), abs=1e-6)


# following the policy


def test_sync_is_the_update_of_the_paper():
    old, new = {"w": jnp.float32([1.0, 2.0])}, {"w": jnp.float32([3.0, -0.3])}
    at = lambda step, **knobs: reference.sync(old, new, jnp.int32(step), **knobs)["w"]
    np.testing.assert_allclose(at(1, alpha=0.01), 0.01 * new["w"] + 0.99 * old["w"], rtol=1e-6)
    for step, expected in ((99, old), (100, new), (101, old), (200, new)):
        np.testing.assert_array_equal(at(step, steps=100), expected["w"])  # to the bit
        np.testing.assert_array_equal(at(step, steps=jnp.float32(100)), expected["w"])
    np.testing.assert_allclose(at(4, alpha=0.6, steps=2), 0.6 * new["w"] + 0.4 * old["w"], rtol=1e-6)


def test_the_reference_follows_by_hand(config, start):
    ways = {"frozen.reference": f"{start}@1", "parallel": "pmap", "mesh.data": 8}
    run = setup(using(config, "sync(alpha=0.25, steps=2)", **ways))
    expected = run.frozen["reference"]  # the original, which is not where the policy starts
    state = run.parallel.place(run.algorithm.init(jax.random.key(0), run.start(0)))
    step = run.parallel.update(one_step(run.algorithm.step))
    for at in (1, 2, 3, 4):
        state, _ = step(state, run.frozen, run.hparams, run.batch_at(at - 1), jax.random.key(1))
        if at % 2 == 0:
            expected = jax.tree.map(lambda r, p: 0.25 * p + 0.75 * r, expected, state.params)
            expected = jax.device_get(expected)
        close(state.carry["reference"], expected, rtol=1e-6, atol=1e-7)


@pytest.mark.slow
def test_drift_is_measured_against_the_original(config, tmp_path):
    config.evals.answers = "samples(source=\"prefjax.worlds.desk:prompts(split='test')\", limit=4, max_new=8)"
    config.budget.kl = 1e-4
    train(using(config, "sync()"), tmp_path)  # the policy itself is its reference
    rows = lines(tmp_path)
    losses = [row["train/loss"] for row in rows if "train/loss" in row]
    np.testing.assert_allclose(losses, math.log(2), atol=1e-6)
    kl = [row["eval/answers/kl"] for row in rows if "eval/answers/kl" in row]
    assert kl[0] == pytest.approx(0, abs=1e-6) and kl[1] > 1e-4
    exact = [row["eval/answers/kl_exact"] for row in rows if "eval/answers/kl_exact" in row]
    assert exact[0] == pytest.approx(0, abs=1e-6) and exact[1] > 1e-4
    assert [row["name"] for row in lines(tmp_path, "alarms.jsonl")][:1] == ["kl-budget"]  # spent against it as well


def test_a_reference_on_its_way_is_resumed_to_the_bit(config, tmp_path):
    c = using(config, "sync(alpha=0.3, steps=2)", steps=4, checkpoint_every=3)
    whole = train(c, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "parts")
    shutil.rmtree(tmp_path / "parts" / "checkpoints" / "4")
    parts = train(c, tmp_path / "parts")
    assert parts.carry.keys() == {"reference"}
    jax.tree.map(np.testing.assert_array_equal, parts, whole)


@pytest.fixture
def toy():
    """An algorithm whose policy is its reference plus one, and whose batch says whether a step is finite."""

    def init(key, params):
        return TrainState(jnp.int32(0), params, (), {})

    def step(state, frozen, hparams, batch, key):
        params = jax.tree.map(lambda x: x + 1, frozen["reference"])
        return state._replace(step=state.step + 1, params=params), {"finite": Mean(batch, jnp.float32(1))}

    return Algorithm(init, step)


def test_a_step_that_is_not_finite_moves_no_reference(config, toy):
    first = {"w": jnp.zeros(2)}
    algorithm = reference.follow(toy, using(config, "sync()"), first)
    state = algorithm.init(None, first)
    for finite, expected in ((1.0, 1), (0.0, 1), (1.0, 2)):
        state, _ = algorithm.step(state, {}, {}, jnp.float32(finite), None)
        np.testing.assert_array_equal(state.carry["reference"]["w"], np.full(2, expected))


def test_its_numbers_are_swept_in_one_program(config, toy):
    c, first = using(config, "sync(alpha=0.5, steps=1)"), {"w": jnp.zeros(())}
    names = ["reference.alpha", "reference.steps"]
    assert [numbers(c)[name] for name in names] == [0.5, 1.0]
    algorithm = reference.follow(toy, c, first)
    sweep = jax.jit(jax.vmap(algorithm.step, in_axes=(0, None, 0, None, None)))
    state = jax.tree.map(lambda x: jnp.stack([x] * 3), algorithm.init(None, first))
    knobs = dict(zip(names, jnp.float32([[1.0, 0.5, 1.0], [1, 1, 2]]), strict=True))
    for expected in ([1, 0.5, 0], [2, 1, 1]):
        state, _ = sweep(state, {}, knobs, jnp.float32(1), None)
        np.testing.assert_array_equal(state.carry["reference"]["w"], expected)


# refusals


@pytest.mark.parametrize(
    ("how", "more", "message"),
    [
        ("cachd", {}, r"config.reference is 'cachd'; it should be 'frozen', 'cached' or a call"),
        ("ema(decay=0.9)", {}, r"no 'ema' in prefjax.reference"),
        ("sync(beta=1)", {}, r"sync takes no keyword 'beta'"),
        ("sync(alpha=1.5)", {}, r"config.reference.alpha is 1.5; it should be in \[0, 1\]"),
        ("sync(steps=0)", {}, r"config.reference.steps is 0.0; it should be a whole number, 1 or more"),
        ("sync(steps=2.5)", {}, r"config.reference.steps is 2.5; it should be a whole number"),
        ("cached", {"frozen": {}}, r"config.reference is 'cached' and config.frozen.reference is not set"),
        ("sync()", {"frozen": {}}, r"config.reference is 'sync\(\)' and config.frozen.reference is not set"),
        (
            "cached",
            {"algorithm": "reward", "loss": "bradley_terry_loss()"},
            r"'cached' and config.loss 'bradley_terry_loss\(\)' takes no ref_logps; config.reference should be",
        ),
        (
            "sync()",
            {"algorithm": "sft", "loss": "sft_loss()", "data.rows": "prompts()"},
            r"config.loss 'sft_loss\(\)' takes no ref_logps",
        ),
        (
            "cached",
            {"data.rows": "prompts()"},
            r"'cached', which is for rows of judged responses: config.data.rows should be 'pairs\(\)'",
        ),
        ("cached", {"cache": "/dev/null/x"}, r"config.cache: /dev/null/x cannot be written: Not a directory"),
    ],
)
def test_contradictions_are_refused(config, how, more, message):
    if more.pop("frozen", None) is not None:
        config.frozen = {}
        config.algorithm = "reward"  # dpo says so itself
    with pytest.raises(ConfigError, match=message):
        c = using(config, how, **more)
        validate(c)
        setup(c)


def test_only_a_model_of_the_same_shape_can_follow(config):
    nets = {"policy": models.llama(vocab=9, width=8, layers=1, heads=2)}
    nets["reference"] = models.llama(vocab=9, width=8, layers=1, heads=2, rope_theta=5e5)
    reference.check(using(config, "cached"), nets)
    with pytest.raises(ConfigError, match=r"'sync\(\)', and config.frozen.reference is a model of another shape"):
        reference.check(using(config, "sync()"), nets)
