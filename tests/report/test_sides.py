"""Which evaluations are compared, and what a metric comes from."""

import pytest

from prefjax.report.sides import Side, sides

CALL = "win_rate(source='a', judge='gold')"


def of(run, **config):
    """A side of a run with other settings and frozen models."""
    frozen = config.pop("frozen", {"reference": "runs/sft@240"})
    calls = {"wins": CALL} | config.pop("calls", {})
    entries = [entry | {"calls": calls} for entry in run.evaluations]
    return Side(run._replace(config=run.config | config, facts={"frozen": frozen}, evaluations=entries), 200)


@pytest.mark.parametrize(
    ("metric", "more", "made"),
    [
        ("win_rate", {}, (CALL, "runs/sft@240")),
        ("win_rate", {"frozen": {}}, None),
        ("win_rate", {"calls": {"wins": "win_rate(against='chosen')"}, "frozen": {}}, ("win_rate(against='chosen')",)),
        ("gold", {"calls": {"answers": "samples()"}}, ("samples()",)),
        ("gold", {}, None),
        ("kl", {"calls": {"answers": "samples()"}}, ("samples()", "runs/sft@240")),
        ("reward", {"calls": {"answers": "samples()"}, "reward": "model()", "frozen": {"reference": "a@1", "x": "b@2"}},
         ("samples() of model()", "b@2")),
    ],
)  # fmt: skip
def test_what_a_metric_comes_from(metric, more, made, run):
    assert of(run, **more).made_by(metric) == made


def test_the_first_evaluation_stands_for_a_baseline_that_a_run_started_from(run, tmp_path):
    started = run._replace(
        path=tmp_path / "tuned",
        config=run.config | {"model": f"{run.path}/"},
        facts={"frozen": {"reference": f"{run.path}@200"}},
    )
    before, after = sides(started, run, "gold")
    assert (before.run.path, before.step, after.step) == (started.path, 0, 200)
    for other in (
        started._replace(config=run.config | {"model": f"{run.path}@120"}),
        started._replace(config=run.config | {"model": f"{run.path}@200:ema"}),
        started._replace(facts={}),
    ):
        before, _ = sides(other, run, "gold")
        assert (before.run.path, before.step) == (run.path, 200)
    assert sides(started._replace(evaluations=[]), run, "gold")[1] is None
