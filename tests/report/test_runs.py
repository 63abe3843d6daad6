"""Workdirs as they are read: whole, in part, and not at all."""

import json

import pytest

from prefjax.errors import ConfigError, DataError
from prefjax.report.runs import Estimate, of_sweep, read
from tests.workdirs import alarm, write


def test_a_whole_workdir(tmp_path):
    run = read(write(tmp_path / "run", alarms=[alarm()]))
    assert (run.status, run.message, run.last, run.checkpoints) == ("done", "", 200, [200])
    assert [entry["step"] for entry in run.evaluations] == [0, 40, 80, 120, 160, 200]
    assert run.config["budget.kl"] == 10
    assert run.curves["kl"].logged == 40
    assert run.resumes == [100]
    assert run.seconds == pytest.approx(0.4 * 100 + 0.4 * 100)
    steps, estimates = zip(*run.track("gold"), strict=True)
    assert steps == (0, 40, 80, 120, 160, 200)
    assert all(e.low < e.mean < e.high and e.n == 120 for e in estimates)
    assert run.home("win_rate") == "wins" and set(run.at(200, "unsafe_refusal")[1]) == {"unsafe"}
    assert [{row["step"] for row in run.rows(step, "gold")} for step in (0, 200)] == [{0}, {200}]
    assert run.curves["entropy"].mean[0] == pytest.approx(20 / 24, abs=0.15)  # nats a token, as it is evaluated
    assert run.alarms[0]["name"] == "over-refusal"


def test_the_folder_of_a_sweep_stands_for_its_runs_that_have_begun(tmp_path):
    rows = [{"name": str(seed), "changes": {"loss.beta": 0.1, "seed": seed}} for seed in range(3)]
    (tmp_path / "sweep.json").write_text(json.dumps({"runs": rows}))
    with pytest.raises(ConfigError, match="none of the 3 runs of the sweep has begun"):
        of_sweep(tmp_path)
    for seed in (0, 2):
        write(tmp_path / str(seed), seed=seed, prompts=20)
    assert of_sweep(tmp_path) == ([tmp_path / "0", tmp_path / "2"], 1)
    assert of_sweep(tmp_path / "2") == ([tmp_path / "2"], 0)
    assert read(tmp_path / "2").changes == {"loss.beta": 0.1, "seed": 2}
    (tmp_path / "sweep.json").write_text('{"runs": [{"name": "0"}]}')
    with pytest.raises(DataError, match=r"sweep.json is no table of a sweep"):
        of_sweep(tmp_path)


def test_what_is_no_workdir_says_so_in_one_message(tmp_path):
    with pytest.raises(ConfigError, match="there is no such folder"):
        read(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"is no workdir: it has none of config.json"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl", "FAILED.json"])
def test_one_file_is_enough(name, tmp_path):
    (tmp_path / name).write_text("{}" if name != "metrics.jsonl" else '{"step": 3, "train/loss": 1.0}\n')
    run = read(tmp_path)
    assert run.status == ("failed" if name == "FAILED.json" else "not finished")
    assert run.track("gold") == [] and run.rows(0, "gold") == [] and run.seconds == 0


def test_a_last_line_that_was_cut_is_not_read_and_a_damaged_one_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "train/loss": 1.0}\n{"step": 2, "tra')
    assert read(tmp_path).last == 1
    path.write_text('{"step": 1}\n{"loss": 2}\n{"step": 3}\n')
    with pytest.raises(DataError, match=r"metrics.jsonl:2: not a row of a record: no 'step'"):
        read(tmp_path)
    path.write_bytes(b'{"step": 1, "x": "\xff"}\n')
    with pytest.raises(DataError, match=r"metrics.jsonl:1: not a row of a record"):
        read(tmp_path)
    path.write_text("")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(DataError, match=r"config.json is not JSON"):
        read(tmp_path)


def test_without_eval_the_means_of_metrics_are_used(tmp_path):
    rows = [{"step": 0, "eval/a/gold": 1.0}, {"step": 5, "eval/a/gold": 2.0, "eval/a/reward/x": 3.0}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = read(tmp_path)
    assert run.track("gold") == [(0, Estimate(1.0)), (5, Estimate(2.0))]
    assert run.track("reward/x") == [(5, Estimate(3.0))]


def test_the_first_and_last_samples_are_kept_in_whatever_order_they_were_written(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    steps = (0, 200, 100, 50)  # `prefjax eval --step=100` writes behind the run
    (tmp_path / "samples.jsonl").write_text("".join(f'{{"step": {step}, "eval": "a"}}\n' for step in steps))
    assert sorted(read(tmp_path).samples["a"]) == [0, 200]


def test_what_a_run_that_was_rolled_back_abandoned_is_not_kept(tmp_path):
    folder = write(tmp_path / "run")
    (folder / "DONE").write_text(json.dumps({"step": 160, "stopped": {"alarm": "kl-budget", "at": 200}}))
    run = read(folder)
    assert [entry["step"] for entry in run.kept.evaluations] == [0, 40, 80, 120, 160]
    assert run.evaluations[-1]["step"] == 200 and sorted(run.samples["answers"]) == [0]


def test_the_call_strings_of_evaluations_are_those_of_the_config_and_of_what_was_added(tmp_path):
    folder = write(tmp_path / "run")
    entry = json.loads((folder / "eval" / "40.json").read_text()) | {"calls": {"more": "samples()"}}
    (folder / "eval" / "40.json").write_text(json.dumps(entry))
    calls = [entry["calls"] for entry in read(folder).evaluations[:2]]
    assert calls[1] == calls[0] | {"more": "samples()"} and calls[0]["wins"] == "win_rate(judge='gold')"


def test_how_a_run_ended(tmp_path):
    folder = write(tmp_path / "run", end="FAILED.json")
    assert read(folder).message == "NonFiniteError: step 90: loss not finite"
    (folder / "DONE").write_text(json.dumps({"stopped": {"alarm": "kl-budget", "at": 160, "rolled_back_to": 120}}))
    assert read(folder).message == "stopped at step 160 by the alarm kl-budget, and rolled back to step 120"
    assert read(folder).stopped == "kl-budget"
