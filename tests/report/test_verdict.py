"""The sentence over the page."""

import json

import pytest

from prefjax.report.groups import group
from prefjax.report.runs import read
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
        ({"budget": {"kl": 0.0, "length_ratio": [0, 0]}}, "no drift budget was set"),
        ({"gold": float("nan"), "kl": float("nan")}, "KL at the last evaluation: not finite"),
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
