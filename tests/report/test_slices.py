"""Slices: the worst first, and nothing concluded from few."""

import json

import pytest

from prefjax.evals.stats import holm
from prefjax.report.runs import read
from prefjax.report.slices import slices
from tests.workdirs import write


def test_the_worst_change_first_with_holm_over_those_with_enough_rows(tmp_path):
    rows = slices(read(write(tmp_path / "run", prompts=170)))  # 20 prompts less of a falsehood
    changes = [row.change.mean for row in rows]
    assert changes == sorted(changes) and rows[0].name == "borderline"
    assert {row.name: row.few for row in rows} == {row.name: row.n < 30 for row in rows}
    tested = [row for row in rows if not row.few]
    assert [row.p for row in tested] == pytest.approx(holm([row.change.p for row in tested]))
    assert [row.p for row in rows if row.few] == [None] * (len(rows) - len(tested))
    assert all(row.change.paired for row in rows)
    assert "unsafe_refusal" in next(row for row in rows if row.name == "unsafe").values


def test_without_samples_the_change_is_unpaired(tmp_path):
    folder = write(tmp_path / "run")
    (folder / "samples.jsonl").unlink()
    assert all(row.change and not row.change.paired for row in slices(read(folder)))


def test_prompts_are_counted_not_rows_nor_those_of_another_metric(tmp_path):
    folder = write(tmp_path / "run", prompts=170)
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    (folder / "samples.jsonl").write_text("".join(2 * f"{json.dumps(row)}\n" for row in rows))
    counts = {row.name: row.n for row in slices(read(folder))}
    gold = {(r["record"], r["slice"]) for r in rows if r["step"] == 200 and r.get("gold") is not None}
    assert counts == {name: sum(part == name for _, part in gold) for name in counts}


def test_without_slices_there_is_no_table(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 1, "eval/a/gold": 1.0}) + "\n")
    assert slices(read(tmp_path)) == []
