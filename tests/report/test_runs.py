"""Workdirs as they are read: whole, in part, and not at all."""

import json

import pytest

from prefjax.errors import ConfigError, DataError
from prefjax.report.runs import Estimate, best_of_n, but_for_the_seed, read
from tests.workdirs import alarm, write


def test_a_whole_workdir(tmp_path):
    run = read(write(tmp_path / "run", alarms=[alarm()]))
    assert (run.status, run.message, run.last, run.checkpoints) == ("done", "", 200, [200])
    assert [entry["step"] for entry in run.evaluations] == [0, 40, 80, 120, 160, 200]
    assert run.config["budget.kl"] == 10
    assert run.curves["kl"].logged == 40
    assert run.resumes == [105]
    assert run.seconds == pytest.approx(0.4 * 105 + 0.4 * 100)
    steps, estimates = zip(*run.track("gold"), strict=True)
    assert steps == (0, 40, 80, 120, 160, 200)
    assert all(e.low < e.mean < e.high and e.n == 120 for e in estimates)
    assert set(run.slices("unsafe_refusal")) == {"unsafe"}
    before, after = run.rows("gold")
    assert ({row["step"] for row in before}, {row["step"] for row in after}) == ({0}, {200})
    assert run.alarms[0]["name"] == "over-refusal"


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
    assert run.track("gold") == [] and run.rows("gold") == ([], []) and run.seconds == 0


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


def test_how_a_run_ended(tmp_path):
    folder = write(tmp_path / "run", end="FAILED.json")
    assert read(folder).message == "NonFiniteError: step 90: loss not finite"
    (folder / "DONE").write_text(json.dumps({"stopped": {"alarm": "kl-budget", "at": 160, "rolled_back_to": 120}}))
    assert read(folder).message == "stopped at step 160 by the alarm kl-budget, and rolled back to step 120"
    assert read(folder).stopped == "kl-budget"


def test_settings_but_for_the_seed(tmp_path):
    first, second = (
        read(write(tmp_path / f"seed{seed}", seed=seed, model=f"runs/seed{seed}/sft", tokenizer=f"t(seed={seed}, n=3)"))
        for seed in (0, 12)
    )
    assert first.config != second.config
    assert but_for_the_seed(first) == but_for_the_seed(second)
    assert but_for_the_seed(first)["tokenizer"] == "t(seed=*, n=3)"


def test_a_record_of_best_of_n(tmp_path):
    path = tmp_path / "best.jsonl"
    rows = [{"kl_bound": 1.8, "score": s, "gold": g, "n": 16} for s, g in ((1.0, 2.0), (3.0, 5.0))]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert best_of_n(path) == (1.8, 2.0, 3.5, 16)
    path.write_text('{"score": 1}\n')
    with pytest.raises(DataError, match=r"best.jsonl:1: not a row of `prefjax best-of-n --keep=best`: no 'kl_bound'"):
        best_of_n(path)
    with pytest.raises(DataError, match="No such file"):
        best_of_n(tmp_path / "none.jsonl")
