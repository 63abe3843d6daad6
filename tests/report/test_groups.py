"""Runs that differ in their seeds alone, together."""

import json

import pytest

from prefjax import report
from prefjax.report.groups import but_for_the_seed, group, mean, over_runs
from prefjax.report.runs import Estimate, read
from prefjax.report.table import cells
from tests.workdirs import write


def test_seeds_are_one_group_named_by_what_differs_between_groups(tmp_path):
    runs = [
        read(write(tmp_path / f"{beta}-{seed}", seed=seed, beta=beta, prompts=20))
        for beta in (0.1, 0.5)
        for seed in (0, 1)
    ]
    groups = group(runs)
    assert [(g.label, [run.config["seed"] for run in g.runs]) for g in groups] == [
        ("epsilon 0.1", [0, 1]),
        ("epsilon 0.5", [0, 1]),
    ]


def test_runs_of_a_sweep_are_named_by_what_its_axes_changed(tmp_path):
    """Also where that is a default, which their settings do not spell, or the weight of a loss in a sum."""
    swept(tmp_path, [{"loss.sft_loss.weight": w, "seed": seed} for w in (0.0, 0.2) for seed in (0, 1)])
    groups = report.read([tmp_path])
    assert [(g.label, len(g.runs)) for g in groups] == [("weight 0.0", 2), ("weight 0.2", 2)]
    assert groups[1].track("gold")[-1][1].n == 2
    table = cells(groups)
    assert [row[:2] for row in table[1]] == [["weight 0.0", "2"], ["weight 0.2", "2"]]
    assert all("[" in row[2] for row in table[1])  # an interval over the seeds


def test_a_sweep_over_seeds_alone_has_the_name_of_its_folder(tmp_path):
    swept(tmp_path / "seeds", [{"seed": seed} for seed in (0, 1, 2)])
    (group,) = report.read([tmp_path / "seeds"])
    assert (group.label, len(group.runs)) == ("seeds", 3)


def swept(folder, points):
    """The folder of a sweep, as if its runs were done."""
    folder.mkdir(exist_ok=True)
    rows = [{"name": f"run{at}", "changes": changes} for at, changes in enumerate(points)]
    (folder / "sweep.json").write_text(json.dumps({"runs": rows}))
    for row in rows:
        weight = row["changes"].get("loss.sft_loss.weight", 0.0)
        write(folder / row["name"], seed=row["changes"]["seed"], prompts=20, loss=f"dpo_loss() + {weight} * sft_loss()")


def test_groups_that_differ_in_much_are_named_by_their_folders(tmp_path):
    first = read(write(tmp_path / "dpo", prompts=20))
    second = read(write(tmp_path / "ppo", prompts=20, model="a", steps=400, log_every=3, dtype="bfloat16"))
    assert [g.label for g in group([first, second])] == ["dpo", "ppo"]
    assert group([first])[0].label == "dpo"


def test_runs_without_a_config_are_not_taken_for_equal(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").write_text('{"step": 1}\n')
    assert [g.label for g in group([read(tmp_path / "a"), read(tmp_path / "b")])] == ["a", "b"]


def test_the_interval_over_seeds_is_that_of_student():
    found = mean([1.0, 2.0, 3.0])
    assert (found.mean, found.low, found.high) == pytest.approx((2, 2 - 4.303 * 3**-0.5, 2 + 4.303 * 3**-0.5), abs=1e-3)


def test_only_steps_that_all_runs_have_are_averaged():
    tracks = [[(0, Estimate(1.0)), (5, Estimate(3.0))], [(0, Estimate(2.0)), (6, Estimate(9.0))]]
    assert [(step, e.mean, e.n) for step, e in over_runs([*tracks, []])] == [(0, 1.5, 2)]
    assert over_runs([[], []]) == []
    one = over_runs([tracks[0], []])
    assert [(step, e.mean, e.n) for step, e in one] == [(0, 1.0, 1), (5, 3.0, 1)]


def test_a_copy_of_a_run_is_no_second_seed(tmp_path):
    runs = [read(write(tmp_path / name, seed=seed, prompts=20)) for name, seed in (("a", 0), ("b", 1), ("c", 0))]
    assert [(g.label, len(g.runs)) for g in group(runs)] == [("a", 2), ("c", 1)]


def test_a_folder_that_is_named_twice_is_one_run(tmp_path):
    write(tmp_path / "a", prompts=20)
    (only,) = report.read([tmp_path / "a", f"{tmp_path}/a/", tmp_path / "a" / ".." / "a"])
    assert len(only.runs) == 1


def test_settings_but_for_the_seed(tmp_path):
    first, second = (
        read(write(tmp_path / f"seed{seed}", seed=seed, model=f"runs/seed{seed}/sft", tokenizer=f"t(seed={seed}, n=3)"))
        for seed in (0, 12)
    )
    assert first.config != second.config
    assert but_for_the_seed(first) == but_for_the_seed(second)
    assert but_for_the_seed(first)["tokenizer"] == "t(seed=*, n=3)"
