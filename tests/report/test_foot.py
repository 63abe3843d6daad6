"""What a run was."""

import json
import math

import pytest

from prefjax.report.foot import alarms, command, facts, foot, settings, tokens
from prefjax.report.groups import Group
from prefjax.report.runs import read
from tests.workdirs import alarm, write


def started(run, *argv, **more):
    return run._replace(facts=run.facts | {"argv": list(argv)} | more)


def test_the_facts_under_the_verdict(one):
    found = dict(facts([one]))
    run = one.runs[0]
    assert found["state"] == "done" and found["steps"] == "200 of 200" and found["seed"] == "0"
    assert found["commit"] == "2e18dce0aa" and found["device-hours"] == "0.022 of cpu"
    read_, written = 5600 / 378 * 32 * 200, run.curves["length"].mean.mean() * 32 * 200
    assert tokens(run) == pytest.approx(read_ + written)
    assert tokens(run._replace(facts={})) == 0
    assert dict(facts([Group("x", [run._replace(facts={}, seconds=0)])]))["tokens"] == "not recorded"


def test_the_command_that_reproduces_a_run(run):
    assert command(run) == (
        "git checkout 2e18dce0aa0bb1cc2dd3ee4ff5aa6bb7cc8dd9ee\n"
        "prefjax train \\\n  --config=configs/ppo.py \\\n  --workdir=run"
    )
    plain = {"git": None}
    assert (
        command(started(run, "/x/prefjax/__main__.py", "train", "--a=b c", **plain)) == "prefjax train \\\n  '--a=b c'"
    )
    module = command(started(run, "/x/experiments/desk/__main__.py", "--quick", **plain))
    assert module == "python -m experiments.desk \\\n  --quick"
    assert command(started(run, "-c", **plain)).startswith("# started from Python: prefjax.train.train(config, ")
    assert command(started(run, **plain)).startswith("# started from Python")
    assert "what was changed" in command(run._replace(facts=run.facts | {"git_dirty": True}))


def test_settings_that_are_not_the_defaults(one):
    table = settings([one])
    assert "ppo_policy_loss(epsilon=0.1)" in table and "dpo_loss(beta=0.1)" in table
    assert "max_length" not in table
    assert "No config.json" in settings([Group("x", [one.runs[0]._replace(config={})])])


def test_the_alarm_log_shows_examples(tmp_path):
    nasty = "<script>alert(1)</script>"
    rows = [
        alarm(words=nasty, examples=[{"prompt": nasty, "response": nasty}]),
        alarm("brevity", evidence=None, examples=None),
    ]
    run = read(write(tmp_path / "run", alarms=rows))
    log = alarms([Group("x", [run])])
    assert "<script" not in log and log.count("&lt;script&gt;") == 3
    assert "change: 0.0310; limit: 0.0200" in log
    evidence = {
        "kl": {"before": 1, "after": 2, "mean": 1, "low": 0.5, "high": 1.5},
        "limit": [0.85, 1.25],
        "slices": {"a": 3},
    }
    rows = [
        alarm(step=step, evidence=evidence, examples=[{"response": "a b", "before": "a c"}]) for step in (120, 160, 200)
    ]
    log = alarms([Group("x", [run._replace(alarms=rows)])])
    assert "(steps 120, 160, 200, breach)" in log
    assert "kl: 1.00 → 2.00, 1.00 [0.500, 1.50]; limit: 0.850 to 1.25; slices: a 3.00" in log
    assert log.count("<li>") == 1 and "a <del>c</del>" in log and "a <ins>b</ins>" in log
    assert "No alarm" in alarms([Group("x", [run._replace(alarms=[])])])
    assert "Nothing was evaluated" in alarms([Group("x", [run._replace(alarms=[], evaluations=[])])])


def test_the_foot_of_an_almost_empty_workdir(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"versions": {"jax": "0.12"}}))
    assert "Recorded with jax 0.12." in foot([Group("x", [read(tmp_path)])])
    assert math.isclose(read(tmp_path).seconds, 0)
