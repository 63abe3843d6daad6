"""The drift budget in the loop: a breach warns, stops or rolls back, and a run that is started again agrees."""

import json

import pytest

from prefjax import checkpoint
from prefjax.config import base, validate
from prefjax.errors import ConfigError
from prefjax.evals import history
from prefjax.train import train


def drift(run):
    """An evaluation that finds as many nats as steps were taken."""
    del run
    rows = [{"record": at, "slice": None, "prompt": "?", "response": "!"} for at in range(12)]
    return lambda state, frozen, key: {
        "kl_exact": float(state.step),
        "samples": [row | {"kl_exact": float(state.step)} for row in rows],
    }


def config(acts, kl=2.5, steps=6):
    c = base()
    c.steps, c.batch_size, c.eval_every, c.checkpoint_every, c.keep = steps, 4, 1, 1, 1
    c.algorithm, c.loss = "sft", "sft_loss()"
    c.model, c.tokenizer = "llama(width=16, layers=1, heads=2)", "prefjax.worlds.desk:tokenizer()"
    c.data.train, c.data.rows, c.data.max_length = "prefjax.worlds.desk:demos(n=8)", "demos()", 80
    c.mesh.data = 1
    c.evals.drift = f"{__name__}:drift()"
    c.budget.kl, c.budget.patience, c.budget.on_breach = kl, 2, acts
    return c


def lines(workdir, name):
    return [json.loads(line) for line in (workdir / name).read_text().splitlines()]


def files(workdir):
    paths = [workdir / name for name in ("DONE", "metrics.jsonl", "samples.jsonl", "alarms.jsonl")]
    return {path.name: path.read_bytes() for path in (*paths, *(workdir / "eval").iterdir())}


def steps(workdir):
    return sorted(path.name for path in (workdir / "checkpoints").iterdir())


@pytest.fixture(scope="module")
def warned(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("warned")
    return workdir, train(config("warn"), workdir)


def test_a_warning_names_the_breach_and_changes_nothing(warned):
    workdir, state = warned
    assert int(state.step) == 6 and "stopped" not in json.loads((workdir / "DONE").read_text())
    alarms = lines(workdir, "alarms.jsonl")
    assert [(a["step"], a["name"], a["severity"]) for a in alarms] == [(s, "kl-budget", "breach") for s in (4, 5, 6)]
    assert alarms[0]["words"].startswith(
        "KL is 4.00 nats a completion to the original reference, over the budget of 2.5"
    )
    assert alarms[0]["evidence"]["evaluations"] == 2 and alarms[0]["evidence"]["left"] == -1.5
    assert [e["response"] for e in alarms[0]["examples"]] == ["!"] * 3
    over = [json.loads((workdir / f"eval/{step}.json").read_text())["over"] for step in range(5)]
    assert over == [[], [], [], ["kl-budget"], ["kl-budget"]]
    assert steps(workdir) == ["6"]


def test_a_breach_stops_a_run_which_then_stays_as_it_is(warned, tmp_path):
    state = train(config("stop"), tmp_path)
    done = json.loads((tmp_path / "DONE").read_text())
    assert int(state.step) == done["step"] == 4 and steps(tmp_path) == ["4"]
    assert done["stopped"]["alarm"] == "kl-budget" and done["stopped"]["at"] == 4
    before = files(tmp_path)
    assert int(train(config("stop"), tmp_path).step) == 4
    assert files(tmp_path) == before
    train(config("stop", kl=100.0), tmp_path)  # a larger budget goes on from there
    assert json.loads((tmp_path / "DONE").read_text()) == json.loads((warned[0] / "DONE").read_text())
    assert (tmp_path / "metrics.jsonl").read_bytes() == (warned[0] / "metrics.jsonl").read_bytes()


def test_a_breach_rolls_back_to_the_newest_checkpoint_inside_the_budget(warned, tmp_path):
    state = train(config("rollback"), tmp_path / "run")
    done = json.loads((tmp_path / "run" / "DONE").read_text())
    assert int(state.step) == 2 and done["stopped"]["at"] == 4 and done["stopped"]["rolled_back_to"] == 2
    assert steps(tmp_path / "run") == ["2", "3.over_budget"]  # keep = 1, and 2 was kept beyond it
    train(config("warn", steps=2), tmp_path / "two")
    assert done["digest"] == json.loads((tmp_path / "two" / "DONE").read_text())["digest"]
    assert checkpoint.newest(tmp_path / "run") == 2
    assert [line["step"] for line in lines(tmp_path / "run", "metrics.jsonl")] == [0, 1, 1, 2, 2, 3, 3, 4, 4]
    before = files(tmp_path / "run")
    assert int(train(config("rollback"), tmp_path / "run").step) == 2
    assert files(tmp_path / "run") == before
    (tmp_path / "run" / "DONE").unlink()  # as if it had been killed before it was done
    train(config("rollback"), tmp_path / "run")
    assert files(tmp_path / "run") == before
    train(config("rollback", kl=100.0), tmp_path / "run")
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (warned[0] / "metrics.jsonl").read_bytes()


def test_a_run_that_is_extended_keeps_its_alarms_and_acts_on_them(warned, tmp_path):
    train(config("warn", steps=4), tmp_path / "run")
    at_the_end = lines(tmp_path / "run", "alarms.jsonl")
    train(config("warn", steps=6), tmp_path / "run")
    assert lines(tmp_path / "run", "alarms.jsonl") == lines(warned[0], "alarms.jsonl")
    assert [alarm["step"] for alarm in at_the_end] == [4]
    train(config("stop", steps=8), tmp_path / "run")  # over the budget where it ended: it does not go on
    done = json.loads((tmp_path / "run" / "DONE").read_text())
    assert done["step"] == 6 and done["stopped"]["at"] == 6


def test_alarms_stay_where_the_old_end_is_no_step_that_is_evaluated_any_more(tmp_path):
    c = config("warn", steps=3)
    c.eval_every = c.checkpoint_every = 2
    train(c, tmp_path)
    assert [alarm["step"] for alarm in lines(tmp_path, "alarms.jsonl")] == [3]
    c.steps = 4
    train(c, tmp_path)
    assert [alarm["step"] for alarm in lines(tmp_path, "alarms.jsonl")] == [4]  # patience: once over, and not the end
    c.budget.patience = 1
    c.steps = 6
    train(c, tmp_path)
    assert [alarm["step"] for alarm in lines(tmp_path, "alarms.jsonl")] == [4, 6]


def test_what_is_left_of_the_budget_is_recorded(warned):
    left = [json.loads((warned[0] / f"eval/{step}.json").read_text())["left"] for step in range(4)]
    assert left == [{"kl": 2.5 - step} for step in range(4)]


def nothing(run):
    del run
    return lambda state, frozen, key: {"mood": 1.0}


def test_a_run_that_should_act_on_what_nothing_measures_is_refused(tmp_path, caplog):
    c = config("stop", steps=1)
    c.evals = {"mood": f"{__name__}:nothing()"}
    with pytest.raises(
        ConfigError, match=r"no evaluation measures what the budget limits: kl \(which needs kl_exact or"
    ):
        train(c, tmp_path / "stop")
    c.budget.on_breach = "warn"
    with caplog.at_level("INFO"):
        train(c, tmp_path / "warn")
    told = [r.message for r in caplog.records if "no evaluation measures" in r.message]
    assert len(told) == 1 and "missing_eos (which needs stopped)" in told[0]


def test_evaluations_that_the_config_does_not_name_are_no_part_of_the_budget(tmp_path):
    c = config("warn", steps=2)
    train(c, tmp_path)
    history.add(tmp_path, 1, {"other": {"kl": {"mean": 99.0, "low": 90.0, "high": 100.0, "n": 12, "slices": {}}}})
    (tmp_path / "eval/2.json").unlink()  # killed before its last evaluation
    keep = [line for line in lines(tmp_path, "metrics.jsonl") if line["step"] < 2 or "train/loss" in line]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in keep))
    history.add(tmp_path, 2, {"other": {"kl": {"mean": 99.0, "low": 90.0, "high": 100.0, "n": 12, "slices": {}}}})
    (tmp_path / "DONE").unlink()
    train(c, tmp_path)
    assert not (tmp_path / "alarms.jsonl").exists() or lines(tmp_path, "alarms.jsonl") == []
    assert json.loads((tmp_path / "eval/2.json").read_text())["evals"].keys() == {"other", "drift"}
    assert json.loads((tmp_path / "eval/2.json").read_text())["left"] == {"kl": 0.5}


def test_where_no_checkpoint_is_inside_a_run_rolls_back_to_its_start(tmp_path):
    state = train(config("rollback", kl=0.5), tmp_path)
    assert int(state.step) == 0 and steps(tmp_path) == ["0", "1.over_budget"]
    train(config("warn", steps=0), tmp_path / "none")
    digests = [json.loads((path / "DONE").read_text())["digest"] for path in (tmp_path, tmp_path / "none")]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("budget.kl", -1.0, r"config.budget.kl is -1.0; it should be 0 \(no limit\) or more"),
        ("budget.factuality", 1.0, r"config.budget.factuality is 1.0; it should be 0 \(no limit\) or less"),
        ("budget.missing_eos", 5.0, r"config.budget.missing_eos is 5.0; it should be a share in \[0, 1\]"),
        ("budget.length_ratio", (1.25, 0.85), r"config.budget.length_ratio is .*; it should be \(least, most\)"),
        ("budget.patience", 0, r"config.budget.patience is 0; it should be 1 or more"),
        ("budget.on_breach", "panic", r"config.budget.on_breach is 'panic'; it should be 'warn', 'stop' or 'rollback'"),
        ("eval_every", 0, r"on_breach is 'rollback', and nothing measures the drift: set config.evals and"),
        ("checkpoint_every", 0, r"config.checkpoint_every is 0; it should be a multiple of config.eval_every = 1"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(path, value, message):
    c = config("rollback")
    c.update_from_flattened_dict({path: value})
    with pytest.raises(ConfigError, match=message):
        validate(c)
