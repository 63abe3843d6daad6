"""The experiment on closed forms: the numbers that need no training, the table and the verdict."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.closed_form import __main__ as command
from experiments.closed_form import exact, figures, online, training, transformers
from experiments.closed_form.rows import Row, printed, table
from prefjax.worlds import exact as worlds
from prefjax.worlds import goodhart

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


@pytest.mark.parametrize(
    ("rows", "slow", "flags", "code"),
    [
        ([GOOD], [], [], None),
        ([GOOD, BAD], [], ["--fast"], 1),
        ([GOOD], [BAD], [], 1),
        ([GOOD], [BAD], ["--fast"], None),
    ],
)
def test_check_exits_with_one_on_a_miss(rows, slow, flags, code, tmp_path, monkeypatch, capsys):
    for name in ("azar_policies", "policy_gradient"):
        monkeypatch.setattr(training, name, lambda *_: None)
    for module, names in {
        training: ("dpo", "azar_rows", "policy_gradient_rows"),
        online: ("rows",),
        transformers: ("at_rest", "rloo", "grpo", "hacked_rows", "ppo"),
    }.items():
        for name in names:
            monkeypatch.setattr(module, name, lambda *_: [])
    monkeypatch.setattr(transformers, "hacked", lambda: ({}, 0.0))
    monkeypatch.setattr(transformers, "dpo", lambda: slow)
    monkeypatch.setattr(exact, "rows", lambda: rows)
    monkeypatch.setattr(figures, "draw", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["closed_form", "--check", *flags, f"--workdir={tmp_path}"])
    expected = rows if flags else rows + slow
    if code is None:
        command.main()
    else:
        with pytest.raises(SystemExit) as stopped:
            command.main()
        assert stopped.value.code == code
    assert f"1 of {len(expected)} as expected" in capsys.readouterr().out
    written = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [line["passes"] for line in written] == [row.passes for row in expected]


def test_the_figure_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    azar = {"D1": np.full((3, 2, 3), 1 / 3)}
    figures.draw(tmp_path / "fig.png", azar, azar, {"PPO": np.full((3, 2, 5, 3), 1 / 3)}, {1.0: goodhart.optimum(1.0)})
    assert (tmp_path / "fig.png").read_bytes().startswith(b"\x89PNG")


def test_the_gap_is_0_at_the_best_policy_and_1_at_the_reference():
    reference = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    rewards = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]])
    best = worlds.optimum(reference, rewards, 0.5).policy
    found = transformers.gaps(np.stack([best, reference]), reference, rewards, 0.5)
    np.testing.assert_allclose(found, [0, 1], atol=1e-12)


def test_where_grpo_comes_to_rest():
    """Where its expected gradient is 0 for every logit: E[(r - mean) / sd] = beta (log ratio - KL), arm by arm."""
    reference, rewards, beta = np.array([0.5, 0.3, 0.2]), np.array([1.0, 0.0, 2.0]), 0.5
    policy = transformers.standardised(reference, rewards, beta)
    mean = policy @ rewards
    better = (rewards - mean) / np.sqrt(policy @ (rewards - mean) ** 2)
    ratio = np.log(policy / reference)
    np.testing.assert_allclose(policy * better, policy * beta * (ratio - policy @ ratio), atol=1e-9)


def test_bounds_are_above_means():
    mean, bound = transformers.gap_rows("s", "w", np.array([0.01, 0.02, 0.03]), 0.05)
    assert mean.got == pytest.approx(0.02)
    assert bound.got == pytest.approx(0.02 + 2.919986 * 0.01 / np.sqrt(3))  # Student's t, 2 degrees of freedom


@pytest.mark.slow
def test_training_reaches_what_it_should(tmp_path):
    """In a process of its own, compiled with optimisation."""
    command = [sys.executable, "-m", "experiments.closed_form", "--check", f"--workdir={tmp_path}"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
