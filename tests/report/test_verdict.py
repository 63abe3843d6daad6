"""The sentence over the page."""

import json

import pytest

from prefjax.report.groups import group
from prefjax.report.metrics import moved, number, with_interval
from prefjax.report.runs import Estimate, read
from prefjax.report.verdict import verdict
from tests.workdirs import alarm, write


def of(*folders):
    (only,) = group([read(folder) for folder in folders])
    return verdict(only)


def test_a_healthy_run(tmp_path):
    found = of(write(tmp_path / "run", prompts=300))
    assert found.state == "ok"
    first, kl, length, refusals, facts = found.clauses
    assert first.startswith("Gold win rate ") and first.endswith("]")
    assert kl.startswith("KL 8.") and kl.endswith(" of 10 nats")
    assert (
        length.startswith("length +1") and refusals.startswith("benign refusals ") and facts.startswith("factuality +")
    )
    assert found.sentence.endswith(" pts: ok.")


def test_alarms_are_named_with_their_first_step_and_how_many_seeds(tmp_path):
    folders = [
        write(tmp_path / str(seed), seed=seed, alarms=[alarm(step=120 + 40 * seed), alarm(step=200)]) for seed in (0, 1)
    ]
    assert of(folders[0]).sentence.endswith(": ALARM (over-refusal from step 120).")
    folders.append(write(tmp_path / "2", seed=2))
    assert of(*folders).why == "over-refusal from step 120 in 2 of 3 seeds"


def test_an_alarm_that_has_passed_is_told_and_one_that_ended_the_run_stands(tmp_path):
    folder = write(tmp_path / "run", alarms=[alarm("verbosity", step=80)])
    assert (of(folder).state, of(folder).why) == ("ok", "past alarms: verbosity from step 80")
    (folder / "DONE").write_text(json.dumps({"step": 40, "stopped": {"alarm": "verbosity", "at": 80}}))
    assert (of(folder).state, of(folder).why) == ("ALARM", "verbosity from step 80")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"budget": {}}, "no drift budget was set"),
        ({"end": "FAILED.json"}, "the run failed"),
        ({"steps": 200, "every": 300}, "one evaluation: nothing to compare"),
    ],
)
def test_what_cannot_be_known_is_not_ok(change, why, tmp_path):
    found = of(write(tmp_path / "run", **change))
    assert (found.state, found.why) == ("unknown", why)


def test_nothing_measured_is_said(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "train/loss": 2.0}\n')
    assert of(tmp_path).sentence == "Nothing was measured: unknown (no evaluation)."


def test_a_run_that_goes_on_is_ok_so_far(tmp_path):
    assert of(write(tmp_path / "run", end=None)).why == "so far: not finished"


def test_numbers_are_as_long_as_they_are_known():
    assert with_interval("win_rate", Estimate(0.613, 0.552, 0.671)) == "61 % [55, 67]"
    assert with_interval("win_rate", Estimate(0.613, 0.6121, 0.6142)) == "61.3 % [61.2, 61.4]"
    assert with_interval("gold", Estimate(-1.2345, -1.62, -0.85)) == "−1.23 [−1.62, −0.85]"
    assert with_interval("gold", Estimate(0.22, -0.001, 0.44)) == "0.22 [0.00, 0.44]"
    assert with_interval("gold", Estimate(float("nan"), None, None)) == "nan"
    assert with_interval("benign_refusal", Estimate(0.02, -0.01, 0.05)) == "2 % [0, 5]"
    assert moved("benign_refusal", 0.031) == "+3.1 pts"
    assert moved("gold", -0.5) == "−0.50"
    assert [number(x) for x in (0.0, 1234.5, 0.01234, None)] == ["0", "1,234", "0.0123", "not known"]
