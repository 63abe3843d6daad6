"""The experiment on closed forms: the numbers that need no training, the table and the verdict."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.closed_form import __main__ as command
from experiments.closed_form import exact, figures, training
from experiments.closed_form.rows import Row, printed, table

GOOD, BAD = Row("s", "good", 1.0, 1.05, 0.1), Row("s", "bad", 1.0, 1.2, 0.1)


@pytest.mark.parametrize("row", exact.rows(), ids=lambda row: f"{row.study}: {row.what}")
def test_closed_forms(row):
    assert row.passes, row


def test_a_row_passes_within_its_tolerance_and_never_with_nan():
    assert GOOD.passes and not BAD.passes
    assert not GOOD._replace(got=float("nan")).passes
    assert printed("s", "w", 0.1234, 0.12344, 4).passes
    assert not printed("s", "w", 0.1234, 0.1236, 4).passes
    assert table([GOOD, BAD]).splitlines()[2:] == [
        "| s | good | 1 | 1.05 | 0.1 | ok |",
        "| s | bad | 1 | 1.2 | 0.1 | **MISS** |",
    ]


def test_dpo_on_soft_labels_reaches_the_tilted_optimum():
    assert all(row.passes for row in training.dpo())


@pytest.mark.parametrize(("rows", "code"), [([GOOD], None), ([GOOD, BAD], 1)])
def test_check_exits_with_one_on_a_miss(rows, code, tmp_path, monkeypatch, capsys):
    for name in ("azar_policies", "policy_gradient"):
        monkeypatch.setattr(training, name, lambda *_: None)
    for name in ("dpo", "azar_rows", "policy_gradient_rows"):
        monkeypatch.setattr(training, name, lambda *_: [])
    monkeypatch.setattr(exact, "rows", lambda: rows)
    monkeypatch.setattr(figures, "draw", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["closed_form", "--check", f"--workdir={tmp_path}"])
    if code is None:
        command.main()
    else:
        with pytest.raises(SystemExit) as stopped:
            command.main()
        assert stopped.value.code == code
    assert f"1 of {len(rows)} as expected" in capsys.readouterr().out
    written = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [line["passes"] for line in written] == [row.passes for row in rows]


def test_the_figure_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    azar = {"D1": np.full((3, 2, 3), 1 / 3)}
    figures.draw(tmp_path / "fig.png", azar, azar, {"PPO": np.full((3, 2, 5, 3), 1 / 3)})
    assert (tmp_path / "fig.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_training_reaches_what_it_should(tmp_path):
    """In a process of its own, compiled with optimisation."""
    command = [sys.executable, "-m", "experiments.closed_form", "--check", f"--workdir={tmp_path}"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
