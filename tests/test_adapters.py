"""Runs that train adapters: alone, together, stopped, read again; the base is one and never moves."""

import json

import jax
import numpy as np
import pytest

from prefjax import axes, checkpoint, mesh, models, plan, setup, sweep, together
from prefjax.cli import main
from prefjax.config import base
from prefjax.errors import CheckpointError, ConfigError
from prefjax.models import lora
from prefjax.train import train


def start_config():
    c = base()
    c.steps, c.batch_size, c.log_every, c.algorithm, c.loss = 2, 4, 1, "sft", "sft_loss()"
    c.model, c.tokenizer = "llama(width=16, layers=1, heads=2)", "prefjax.worlds.desk:tokenizer()"
    c.data.train, c.data.rows, c.data.max_length = "prefjax.worlds.desk:demos(n=8)", "demos()", 80
    c.mesh.data, c.optim.lr, c.optim.schedule = 1, 1e-2, "constant()"
    return c


def config(start, steps=4):
    c = start_config()
    c.steps, c.algorithm, c.loss = steps, "dpo", "dpo_loss(beta=0.1)"
    c.model, c.tokenizer, c.frozen.reference = str(start), "", str(start)
    c.data.train, c.data.rows = "prefjax.worlds.desk:pairs(n=16)", "pairs()"
    c.lora.rank, c.lora.alpha = 2, 8.0
    return c


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A model to start from."""
    folder = tmp_path_factory.mktemp("start")
    train(start_config(), folder)
    return folder


@pytest.fixture(scope="module")
def run(start, tmp_path_factory):
    """A run of DPO with adapters."""
    folder, c = tmp_path_factory.mktemp("dpo"), config(start)
    c.checkpoint_every, c.optim.ema = 2, 0.5
    c.evals.held_out = "held_out(source=\"prefjax.worlds.desk:pairs(split='validation', n=8)\")"
    c.evals.answers = "samples(source=\"prefjax.worlds.desk:prompts(split='validation')\", limit=2, max_new=2)"
    return folder, c, train(c, folder)


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def distance(x, y):
    """Of two trees of parameters, the largest of all arrays relative to their norm."""
    norms = jax.tree.map(lambda x, y: np.linalg.norm(x - y) / np.linalg.norm(y), x, y)
    return max(jax.tree.leaves(norms))


def test_the_state_holds_adapters_alone_and_starts_as_the_base(run):
    folder, _, state = run
    names = {path[-1].key for path, _ in jax.tree_util.tree_leaves_with_path(state.params)}
    assert names == {"lora_a", "lora_b"} and list(state.params["params"]) == ["layers"]
    found = {key: value for line in lines(folder) if line["step"] == 0 for key, value in line.items()}
    assert found["eval/held_out/loss"] == pytest.approx(np.log(2), abs=1e-6)
    assert found["eval/answers/kl_exact"] == 0 and found["eval/answers/length_ratio"] == 1
    assert lines(folder)[-2]["eval/answers/kl_exact"] > 0


def test_a_reference_to_a_run_is_the_merged_model(run, start):
    folder, _, state = run
    (model, before), (_, after) = checkpoint.load(str(start)), checkpoint.load(str(folder))
    assert jax.tree.structure(before) == jax.tree.structure(after)
    np.testing.assert_array_equal(before["params"]["embed"]["embedding"], after["params"]["embed"]["embedding"])
    whole = lora.scaled(lora.join(before, state.params), 8.0 / 2)
    tokens = np.arange(20)[None]
    found, expected = (jax.jit(model.apply)(params, tokens) for params in (after, whole))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert distance(after["params"]["layers"], before["params"]["layers"]) > 1e-3
    averaged = checkpoint.load(f"{folder}:ema")[1]
    merged = lora.merge(lora.scaled(lora.join(before, state.carry["ema"]), 8.0 / 2))
    assert distance(averaged, merged) < 1e-6 < distance(averaged, after)


def test_its_evaluations_are_made_again_from_its_checkpoint(run, capsys):
    assert main(["eval", f"--workdir={run[0]}"]) == 0
    assert "as they were" in capsys.readouterr().out


def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(run, start, tmp_path):
    folder, c, _ = run
    shorter = c.copy_and_resolve_references()
    shorter.steps = 2
    train(shorter, tmp_path)
    train(c, tmp_path)
    assert (tmp_path / "DONE").read_bytes() == (folder / "DONE").read_bytes()
    assert lines(tmp_path)[-1] == lines(folder)[-1]


def test_runs_of_a_sweep_are_the_runs_alone_and_share_one_base(start, tmp_path):
    c = config(start)
    found = sweep.runs(c, [axes.axis("lora.alpha=4,8"), axes.axis("seed=0,1")])[:3]
    assert len(sweep.groups(found)) == 1
    sweep.train(found, tmp_path)
    before = checkpoint.digest(checkpoint.load(str(start))[1])
    for one in found[1:]:
        state = train(one.config, tmp_path / "alone" / one.name)
        ours, theirs = (checkpoint.load(str(f / one.name))[1] for f in (tmp_path, tmp_path / "alone"))
        assert distance(ours, theirs) <= 1e-5
        assert set(jax.tree.leaves(jax.tree.map(lambda x: x.dtype, state.params))) == {np.dtype("float32")}
    assert checkpoint.digest(checkpoint.load(str(start))[1]) == before
    different = sweep.runs(c, [axes.axis("lora.rank=0,2,4")])
    assert len(sweep.groups(different)) == 3


def test_a_program_of_several_runs_holds_one_base(start, monkeypatch):
    only = jax.devices()[:1]
    monkeypatch.setattr(jax, "devices", lambda *_: only)  # or the runs are dealt to several
    first = setup.setup(config(start), parallel=mesh.single())
    assert list(first.frozen) == ["reference"]  # which is the base, not a copy of it
    size = lambda tree: sum(x.nbytes for x in jax.tree.leaves(tree))
    swept = [one.config for one in sweep.runs(config(start), [axes.axis("lora.alpha=4,8,16")])]
    runs = [setup.sibling(first, c) for c in swept]
    one, three = (
        together.Program(part)._compiled.memory_analysis().argument_size_in_bytes for part in (runs[:1], runs)
    )
    state = first.algorithm.init(jax.random.key(0), first.start(0))
    own, shared = size((state.params, state.opt_state)), size(first.frozen)
    assert shared > 4 * own
    assert 0 <= three - one - 2 * own < 2048  # beside states numbers alone
    assert shared + own <= one < shared + own + size(first.batch_at(0)) + 2048


def test_a_reward_model_trains_its_head_too(start, tmp_path, capsys):
    c = config(start, steps=2)
    c.algorithm, c.loss, c.frozen, c.lora.targets = "reward", "bradley_terry_loss()", {}, "query|value"
    train(c, tmp_path / "reward")
    trained = checkpoint.adapters(str(tmp_path / "reward"))[1]["params"]
    assert set(trained["layers"]["query"]) == {"kernel", "lora_a", "lora_b", "lora_scale"}
    assert set(trained["layers"]["key"]) == {"kernel"}
    params = checkpoint.load(str(tmp_path / "reward"))[1]
    fresh = setup.setup(c, parallel=mesh.single())
    before = fresh.algorithm.init(jax.random.key(c.seed), fresh.start(0)).params
    assert distance(before["params"]["score_head"], params["params"]["score_head"]) > 1e-3
    assert main(["export", f"--model={tmp_path / 'reward'}", f"--out={tmp_path / 'merged'}"]) == 0
    assert distance(models.load(tmp_path / "merged")[1], params) < 1e-6
    assert main(["export", f"--model={tmp_path / 'reward'}", f"--out={tmp_path / 'own'}", "--adapters"]) == 0
    assert f"on {start}@2" in capsys.readouterr().out
    assert json.loads((tmp_path / "own" / "adapter_config.json").read_text())["modules_to_save"] == ["score"]
    with pytest.raises(CheckpointError, match="is no run that trained adapters"):
        checkpoint.adapters(str(start))


@pytest.mark.slow
@pytest.mark.parametrize("critic", ["head", "apart"])
def test_ppo(start, tmp_path, critic):
    """The policy's adapters alone are trained, with its scalar head or with the adapters of a critic."""
    scored = start_config()
    scored.algorithm, scored.loss, scored.steps = "reward", "bradley_terry_loss()", 1
    scored.data.train, scored.data.rows = "prefjax.worlds.desk:pairs(n=8)", "pairs()"
    train(scored, tmp_path / "reward")
    c = config(start, steps=2)
    c.algorithm, c.loss, c.reward = "ppo", "ppo_policy_loss(epsilon=0.2)", "model()"
    c.frozen.reward = str(tmp_path / "reward")
    c.data.train, c.data.rows = "prefjax.worlds.desk:prompts(split='validation')", "prompts()"
    c.rollout.max_new = 4
    if critic == "apart":
        c.trained.value = c.frozen.reward
    found = sweep.runs(c, [axes.axis("lora.alpha=4,8,16")])
    sweep.train(found, tmp_path / "sweep")
    state = train(found[1].config, tmp_path / "alone")
    trees = {"params": {"layers"}, "value": {"layers", "score_head"}} if critic == "apart" else {
        "params": {"layers", "score_head"}
    }  # fmt: skip
    assert {name: set(tree) for name, tree in state.params.items()} == trees
    assert set(state.params[[*trees][-1]]["layers"]["up"]) == {"lora_a", "lora_b"}
    ours, theirs = (checkpoint.load(str(f))[1] for f in (tmp_path / "sweep" / found[1].name, tmp_path / "alone"))
    assert distance(ours, theirs) <= 1e-5
    run = setup.setup(c, parallel=mesh.single())
    assert set(run.frozen) == {"reference", "reward"}  # both bases are there already


@pytest.mark.slow
@pytest.mark.parametrize("way", ["jit", "pmap"])
def test_several_devices_give_what_one_gives(start, tmp_path, way):
    c = config(start)
    train(c, tmp_path / "one")
    c.parallel = way
    c.mesh.update({"data": 2, "fsdp": 2, "tensor": 1} if way == "jit" else {"data": 2})
    train(c, tmp_path / way)
    assert distance(*(checkpoint.load(str(tmp_path / name))[1] for name in (way, "one"))) <= 1e-5


def test_cached_log_probs_are_of_the_base_itself(start, tmp_path):
    c = config(start)
    c.reference, c.cache = "cached", str(tmp_path)
    run = setup.setup(c, parallel=mesh.single())
    assert list(run.frozen) == ["reference"] and isinstance(jax.tree.leaves(run.frozen)[0], jax.Array)
    assert run.batch_at(0).ref_logps is not None


def test_a_dry_run_tells_what_is_trained(start):
    told = plan.describe(config(start)).splitlines()
    assert any(line.startswith("params/layers/query/kernel") and line.endswith("frozen") for line in told)
    assert any(line.startswith("params/layers/query/lora_a") and line.endswith(")") for line in told)
    (trained,) = (int(line.split()[-1].replace(",", "")) for line in told if line.startswith("trained"))
    assert trained == 2 * (4 * (16 + 16) + 3 * (16 + 48))
    assert not any("lora_scale" in line for line in told)


def test_a_base_that_changed_is_refused(start, tmp_path):
    model, params = checkpoint.load(str(start))
    setup.load.tokenizer(str(start)).save(tmp_path / "base")
    models.save(tmp_path / "base", model, params)
    c = config(tmp_path / "base", steps=1)
    train(c, tmp_path / "run")
    models.save(tmp_path / "base", model, jax.tree.map(lambda x: 2 * x, params))
    with pytest.raises(CheckpointError, match="base is not the model that the adapters of .*run were trained on"):
        checkpoint.load(str(tmp_path / "run"))
    c.steps = 2
    with pytest.raises(CheckpointError, match="run: the model that its adapters lie on has changed"):
        train(c, tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lora.rank": -1}, "config.lora.rank is -1; it should be 0"),
        ({"lora.targets": "embed"}, "config.lora.targets is 'embed', which finds no linear layer; there are params/"),
        ({"lora.rank": 99}, "config.lora.rank is 99; it should be at most 16"),
        ({"reference": "sync(alpha=0.1)"}, "would be a copy of the whole model for each run"),
        ({"model": "llama(width=16, layers=1, heads=2)"}, "starts from random weights"),
    ],
)
def test_what_makes_no_sense_is_refused(start, changes, message):
    c = config(start)
    c.tokenizer = "prefjax.worlds.desk:tokenizer()"
    for path, value in changes.items():
        sweep.change(c, path, value)
    with pytest.raises(ConfigError, match=message):
        setup.setup(c, dry=True)
