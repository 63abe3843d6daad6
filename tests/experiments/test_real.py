"""Real preferences: folds by prompt, labels of votes, what is measured, the table, and two arms end to end."""

import gzip
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.real import __main__ as command
from experiments.real import points, recipes, sides, tables
from prefjax import sweep
from prefjax.config import validate
from prefjax.data import load
from prefjax.data.prompts import prompt_key
from prefjax.errors import NonFiniteError
from prefjax.evals import calibration
from tests.evals.conftest import of_pairs

DESK = "prefjax.worlds.desk:pairs(split='validation', n=12)"
TITLES = [command.title(arm) for arm in recipes.ARMS]
POLICY = [arm for arm in recipes.ARMS if recipes.STUDIES[arm.study].policy]


def vote(chosen, rejected, ties):
    return {"prompt": "Why?", "chosen": "Yes.", "rejected": "No.", "votes": [chosen, rejected, ties]}


def metric(*by_prompt):
    known = [value for value in by_prompt if value is not None]
    mean = sum(known) / len(known)
    return {"mean": [mean, mean - 0.1, mean + 0.1], "of_seeds": [mean, mean], "by_prompt": [*by_prompt]}


def row(arm, right=(1.0, 0.0, 0.5, None), **more):
    """A made-up line of results of four prompts, on one of which the label is a tie."""
    names = ("brier", "even", "longer", "picks_longer", "chosen", "likelier", "kl", "dialogue", "length")
    own = {name: metric(*right) for name in ("right", *names)} | {name: metric(*x) for name, x in more.items()}
    steps = [{"step": step, "pairs": 9, "prompts": 4} | own for step in (0, 24)]
    return {"study": arm.study, "arm": arm.name, "seconds": 7.4, "points": steps}


def test_every_prompt_is_held_out_once_and_never_trained_on_then(tmp_path):
    lines = [{"prompt": f"Why {n % 40}?", "chosen": f"{n} is.", "rejected": f"{n} is not."} for n in range(80)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    source, held_out = f"pairs(path='{tmp_path}/pairs.jsonl')", []
    for at in range(recipes.FOLDS):
        train, test = (load.records(recipes.fold(source, part, at)) for part in ("train", "held_out"))
        assert len(train) + len(test) == 80 and not {*map(prompt_key, train)} & {*map(prompt_key, test)}
        held_out += test
    assert sorted(record["chosen"] for record in held_out) == sorted(line["chosen"] for line in lines)


def test_the_majority_of_votes_is_a_side_or_a_tie(monkeypatch):
    monkeypatch.setattr(load, "stream", lambda source: [vote(3, 0, 0), vote(2, 0, 1), vote(1, 0, 2), vote(0, 0, 3)])
    assert [record["grade"] for record in sides.majority("some()")] == [1, 1, 0, 0]
    assert [record.get("votes") for record in sides.majority("some()", ties=False)] == [None, None]


@pytest.mark.parametrize("algorithm", ["reward", "dpo"])
def test_the_rows_are_what_the_model_says(algorithm):
    run, state = of_pairs(algorithm)
    other = state._replace(params=jax.tree.map(lambda x: 1.1 * x, state.params))
    evaluate = sides.make(run, source=DESK, batch_size=5)
    rows = evaluate(state, {}, None)["samples"]
    margins = [row["margin"] for row in calibration.make(run, source=DESK)(state, {}, None)["samples"]]
    mine = [points.measured(row | {"eval": "sides"}) for row in rows]
    if algorithm == "reward":
        np.testing.assert_allclose([row["chosen"] - row["rejected"] for row in rows], margins, rtol=1e-4, atol=1e-5)
        assert [found["right"] for found in mine] == [float(margin > 0) for margin in margins]
    else:
        each = [row["chosen"] / row["tokens_chosen"] - row["rejected"] / row["tokens_rejected"] for row in rows]
        np.testing.assert_allclose(each, margins, rtol=1e-4, atol=1e-5)
        beside = evaluate(other, {"reference": state.params}, None)["samples"]
        assert [row["reference_rejected"] for row in beside] == [row["rejected"] for row in rows]
        found = points.measured(beside[0] | {"eval": "sides"})
        assert found["chosen"] == beside[0]["chosen"] - rows[0]["chosen"] != 0
    assert len(rows) == 12 and run.facts["sides"][DESK]["rows"] == 12


def test_what_is_measured_of_a_pair():
    pair = {"eval": "sides", "prompt": "Why?", "target": 0.0, "tokens_chosen": 9, "tokens_rejected": 3}
    found = points.measured(pair | {"chosen": 0.0, "rejected": float(np.log(3))})
    assert (
        found["right"] == 1.0
        and found["longer"] == found["picks_longer"] == 0.0
        and found["brier"] == pytest.approx(1 / 16)
        and found["even"] == 1 / 4
    )
    assert points.agrees(np.zeros(2), 1.0) == 0.5
    tie = points.measured(pair | {"chosen": 0.0, "rejected": 5.0, "target": 0.5})
    assert tie["right"] is None and tie["longer"] is None and tie["picks_longer"] == 0.0 and tie["brier"] > 0.2
    policy = {"chosen": -9.0, "rejected": -6.0, "reference_chosen": -10.0, "reference_rejected": -6.5, "target": 1.0}
    found = points.measured(pair | policy)  # -1 and -2 nats a token; 1 and 0.5 nats more than the reference
    assert (found["right"], found["likelier"], found["chosen"]) == (1.0, 1.0, 1.0) and "brier" not in found
    story = {"eval": "stories", "prompt": "Why?", "kl_exact": 2.0, "dialogue": 1.0, "length": 7.0, "stopped": 1.0}
    assert points.measured(story) == {"prompt": found["prompt"], "kl": 2.0, "dialogue": 1.0, "length": 7.0}


def test_points_join_folds_and_average_seeds(tmp_path):
    def samples(at, seed, prompts):
        found = sweep.Run(f"{at} {seed}", {"seed": seed}, None)
        (tmp_path / found.name).mkdir()
        pair = {"eval": "sides", "record": 0, "target": 1.0, "tokens_chosen": 1, "tokens_rejected": 2}
        rows = [
            pair | {"step": step, "prompt": prompt, "chosen": float(seed == 1 or not step), "rejected": 0.5}
            for step in (0, 8)
            for prompt in prompts
        ]
        (tmp_path / found.name / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return found

    runs = [samples(at, seed, prompts) for at, prompts in enumerate(("aab", "c")) for seed in (0, 1)]
    start, last = points.read(runs, tmp_path)
    assert (start["step"], last["step"], last["pairs"], last["prompts"]) == (0, 8, 4, 3)
    assert last["right"]["of_seeds"] == [0.0, 1.0] and last["right"]["by_prompt"] == [0.5, 0.5, 0.5]
    assert start["right"]["mean"] == [1.0, 1.0, 1.0] and last["longer"]["mean"][0] == 0.0


@pytest.mark.parametrize("arm", recipes.ARMS, ids=TITLES)
def test_an_arm_is_a_program_for_each_fold(arm):
    runs = recipes.runs(arm)
    assert [len(group) for group in sweep.groups(runs)] == [len(recipes.SEEDS)] * recipes.FOLDS
    for run in runs:
        validate(run.config)
    first = next(other for other in recipes.ARMS if other.study == arm.study)
    assert all(
        run.config.evals == own.config.evals and run.config.steps == own.config.steps
        for run, own in zip(runs, recipes.runs(first), strict=True)
    )


def test_the_table_compares_with_the_first_arm_and_with_length():
    first, second = (arm for arm in recipes.ARMS if arm.study == "oasst" and "row" not in arm.name)
    worse = row(first, longer=(0.0, 0.0, 0.0, None))
    better = row(second, right=(2.0, 1.0, 1.501, None), brier=(0.1, 0.2, 0.3, 0.4))
    lines = tables.table([worse, better]).splitlines()
    cells = {line.split(" | ")[0]: line.split(" | ") for line in lines if line.startswith("| ")}
    assert "9 pairs of 4 prompts; 24 steps." in lines
    assert cells[f"| {tables.LONGER}"][1:4] == ["0.000 [-0.100, 0.100]", "", "-0.500 [-1.742, +0.742]"]
    assert cells[f"| {first.name}"][3] == "" and cells[f"| {second.name}"][3].startswith("+1.000 [+0.99")
    assert cells[f"| {second.name}"][3].endswith("*") and not cells[f"| {second.name}"][5].endswith("*")
    assert "before training" in tables.table([row(POLICY[0])]) and "before training" not in "".join(cells)


def test_what_is_there_is_not_run_again(tmp_path, monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(command, "run", lambda arm, workdir: ran.append(command.title(arm)) or row(arm))
    (tmp_path / "results.jsonl").write_text(json.dumps(row(recipes.ARMS[0])) + "\n")
    assert command.main([f"--workdir={tmp_path}", "--only=oasst", "--most=1"]) == 0 and ran == TITLES[1:2]
    assert command.main([f"--workdir={tmp_path}", "--only=oasst"]) == 0 and ran == TITLES[1:3]
    told = capsys.readouterr().out
    assert f"missing: {TITLES[3]}" in told and (tmp_path / "table.md").read_text() in told
    assert command.main([f"--workdir={tmp_path}", "--only=none"]) == 0 and len(ran) == 2


def test_a_run_that_is_not_finite_leaves_no_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sweep, "train", lambda *args, **knobs: None)
    monkeypatch.setattr(sweep, "over", lambda run, folder: "not finite")
    with pytest.raises(NonFiniteError, match="oasst: Plackett-Luce: 6 of 6 runs became NaN or infinite"):
        command.run(next(arm for arm in recipes.ARMS if arm.name == "Plackett-Luce"), tmp_path)
    assert command.main([f"--workdir={tmp_path}", "--only=Plackett"]) == NonFiniteError.exit_code
    assert not (tmp_path / "results.jsonl").exists() and "became NaN" in capsys.readouterr().err


def test_the_table_is_that_of_the_results():
    home = Path(recipes.__file__).parent
    rows = command.read(home / "results.jsonl")
    assert len(rows) == len(recipes.ARMS)
    assert (home / "table.md").read_text() == tables.table(rows)


@pytest.mark.slow
def test_two_arms_end_to_end(tmp_path, monkeypatch, real_data):
    monkeypatch.setattr(recipes, "FOLDS", 2)
    tiny = {"steps": 2, "eval_every": 1, "batch_size": 4}
    smaller = {name: study._replace(shared=study.shared | tiny) for name, study in recipes.STUDIES.items()}
    few = tmp_path / "few.jsonl"
    rows = gzip.decompress((real_data / "storybyte_pairs/preference_pairs.jsonl.gz").read_bytes()).splitlines()[:12]
    few.write_bytes(b"\n".join(rows))
    smaller["storybyte"] = smaller["storybyte"]._replace(source=f"pairs(path='{few}', prompt='request')")
    votes = recipes.VOTES.replace("bad_rows=60", "bad_rows=60, limit=20")
    smaller["pandalm"] = smaller["pandalm"]._replace(source=votes)
    monkeypatch.setattr(recipes, "STUDIES", smaller)
    for only in ("pandalm: Davidson", "storybyte: KTO"):
        assert command.main([f"--workdir={tmp_path}", f"--only={only}"]) == 0
    judged, stories = command.read(tmp_path / "results.jsonl")
    assert [point["step"] for point in stories["points"]] == [0, 1, 2] == [point["step"] for point in judged["points"]]
    start, *_, last = stories["points"]
    assert start["kl"]["mean"][0] == 0 and start["chosen"]["mean"][0] == 0 and last["kl"]["mean"][0] > 0
    assert "| KTO |" in (tmp_path / "table.md").read_text()
