"""Every objective side by side: which point of it is shown, what the table says, and two of them end to end, tiny."""

import json
from pathlib import Path

import pytest

from configs import reward, sft
from experiments.objectives import __main__ as command
from experiments.objectives import points, recipes, tables
from prefjax import sweep
from prefjax.config import validate

NAMES = [objective.name for objective in recipes.OBJECTIVES]


def point(step, kl, gold=(1.0, 2.0, 3.0), setting=0.1):
    """A made-up point of three prompts."""
    mean = sum(gold) / len(gold)
    numbers = {name: [0.5, 0.4, 0.6] for name in points.MEASURES} | {"kl": [kl, kl, kl], "gold": [mean, 0.0, 4.0]}
    of_seeds = {"gold_of_seeds": [mean, mean], "kl_of_seeds": [kl, kl]}
    return {"setting": setting, "step": step, "seeds": 2} | numbers | of_seeds | {"gold_by_prompt": [*gold]}


def row(name, *found, failed="", family="pairs"):
    own = {"objective": name, "family": family, "axis": "loss.beta", "seconds": 7.4, "failed": failed}
    return own | {"points": [point(0, 0.0, (0.0, 0.0, 0.0)), *found]}


def test_the_point_shown_is_the_nearest_and_never_the_start():
    first, second = point(24, 1.5), point(48, 2.5)
    assert points.nearest([point(0, 0.0), first, second], 2.0) is first  # of equally near ones the first
    assert points.nearest([point(0, 0.0), first, second], 2.1) is second
    assert points.nearest([point(0, 0.0), first, second], 0.0) is first
    assert points.nearest([point(0, 0.0)], 2.0) is None
    assert points.start([point(0, 0.0), first])["step"] == 0


def test_the_table_has_every_objective_at_its_point_and_says_what_is_too_far():
    far, near = row("DPO and SFT", point(96, 9.0)), row("IPO", point(24, 1.9, (3.0, 4.0, 5.001)), point(48, 4.0))
    lost = row("SLiC", failed="loss.beta 0.1, seed 1")
    lines = tables.table([row("DPO", point(24, 2.2), point(48, 3.0)), near, lost, far], 2.0).splitlines()
    cells = {line.split(" | ")[0]: line.split(" | ") for line in lines if line.startswith("| ")}
    assert cells["| SFT model"][4].startswith("0.00")
    assert cells["| DPO"][1:4] == ["beta 0.1", "24", "2.20"] and cells["| DPO"][6] == ""
    assert (
        cells["| IPO"][2:4] == ["24", "1.90"] and cells["| IPO"][6].startswith("+2.00 [") and "*" in cells["| IPO"][6]
    )
    assert cells["| DPO and SFT"][6] == "too far" and cells["| DPO and SFT"][3] == "9.00"
    assert "no point: loss.beta 0.1, seed 1" in cells["| SLiC"][1]
    assert "not finite: SLiC (loss.beta 0.1, seed 1)." in lines[-1]


def test_points_are_means_over_seeds_at_the_steps_that_all_of_them_reached(tmp_path):
    def samples(setting, seed, steps):
        found = sweep.Run(f"{setting} {seed}", {"loss.beta": setting, "seed": seed}, None)
        (tmp_path / found.name).mkdir()
        rows = [
            {"step": step, "eval": "answers", "record": record, "prompt": f"p{record}", "response": "a"}
            | dict.fromkeys(points.MEASURES.values(), float(step + record + seed + twin))
            | ({"unsafe_refusal": None} if record else {})
            for step in steps
            for record in (1, 0)
            for twin in (0, 1)
        ]
        (tmp_path / found.name / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return found

    runs = [samples(0.1, 0, (0, 8)), samples(0.1, 1, (0,)), samples(0.5, 0, (0, 8)), samples(0.5, 1, (0, 8))]
    found = points.read(runs, tmp_path, "loss.beta")
    assert [(point["setting"], point["step"]) for point in found] == [(0.1, 0), (0.5, 0), (0.5, 8)]
    last = found[-1]
    assert last["gold"][0] == 9.5 and last["gold_of_seeds"] == [9.0, 10.0] and last["gold_by_prompt"] == [9.0, 10.0]
    assert last["wanted"][0] == 9.0 and last["seeds"] == 2  # of the prompts that it applies to
    missing = sweep.Run("none", {"loss.beta": 0.1, "seed": 0}, None)
    assert points.read([missing], tmp_path, "loss.beta") == []


@pytest.mark.parametrize("objective", recipes.OBJECTIVES, ids=NAMES)
def test_an_objective_is_one_program(objective):
    runs = recipes.runs(objective, Path("models"))
    assert len(sweep.groups(runs)) == 1 and len(runs) == len(objective.values) * len(recipes.SEEDS)
    for run in runs:
        validate(run.config)


def test_names_are_told_apart_in_files_too():
    assert len({command.folder_of(name) for name in NAMES}) == len(NAMES)


def test_what_is_there_is_not_run_again(tmp_path, monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(recipes, "base_models", lambda folder: {})
    monkeypatch.setattr(command, "run", lambda objective, workdir: ran.append(objective.name) or made[objective.name])
    monkeypatch.setattr(command.figures, "draw", lambda path, rows: None)
    made = {name: row(name, point(24, 2.0)) for name in NAMES}
    (tmp_path / "results.jsonl").write_text(json.dumps(made["IPO"]) + "\n")
    assert command.main([f"--workdir={tmp_path}", "--only=PO"]) == 0
    wanted = [name for name in NAMES if "PO" in name]
    assert ran == [name for name in wanted if name != "IPO"]
    told = capsys.readouterr().out
    assert "| IPO | beta 0.1 | 24 | 2.00 |" in told and "missing: " in told and "SLiC" in told.splitlines()[-1]
    assert [found["objective"] for found in command.read(tmp_path / "results.jsonl")] == wanted
    monkeypatch.setattr(recipes, "base_models", lambda folder: pytest.fail("nothing is left that starts from them"))
    for only in ("PO", "none"):
        assert command.main([f"--workdir={tmp_path}", f"--only={only}"]) == 0 and len(ran) == len(wanted) - 1
    assert [objective.name for objective in command.left("DPO", [])] == ["DPO"]  # and not all that have it in theirs


def test_the_table_is_that_of_the_results():
    home = Path(recipes.__file__).parent
    assert (home / "table.md").read_text() == tables.table(command.read(home / "results.jsonl"), command.KL)


@pytest.mark.slow
def test_two_objectives_end_to_end(tmp_path, monkeypatch):
    def smaller(folder):
        configs = {"sft": sft.get_config(), "reward": reward.get_config()}
        configs["reward"].model = str(folder / "sft")
        configs["sft"].model = "llama(width=16, layers=1, heads=2)"
        for c in configs.values():
            c.steps, c.batch_size, c.evals, c.mesh.data = 1, 4, {}, 1
            c.data.train = c.data.train.replace("n=12000", "n=8").replace("n=8000", "n=8")
        return configs

    study = recipes.Study(
        steps=2, eval_every=1, batch=4, pairs=8, online_steps=2, online_eval_every=1, online_batch=4,
        n=1, max_new=4,
    )  # fmt: skip
    run = command.run
    monkeypatch.setattr(recipes, "base_models", smaller)
    monkeypatch.setattr(recipes, "OBJECTIVES", tuple(o for o in recipes.OBJECTIVES if o.name in ("DPO", "RLOO")))
    monkeypatch.setattr(command, "run", lambda objective, workdir: run(objective, workdir, study))
    assert command.main([f"--workdir={tmp_path}"]) == 0
    dpo, rloo = command.read(tmp_path / "results.jsonl")
    assert [(p["setting"], p["step"]) for p in dpo["points"]] == [(b, s) for b in (0.1, 0.5, 2.0) for s in range(3)]
    assert len(rloo["points"]) == 3 and not rloo["failed"] and rloo["seconds"] > 0
    starts = [points.start(row["points"]) | {"setting": 0.0} for row in (dpo, rloo)]
    assert starts[0] == starts[1] and starts[0]["kl"] == [0.0, 0.0, 0.0]
    assert all(any(p["kl"][0] for p in row["points"] if p["step"]) for row in (dpo, rloo))  # they moved, if little
    text = (tmp_path / "table.md").read_text()
    assert "| RLOO | kl_coef 0.2 |" in text and "| DPO | beta " in text
    assert (tmp_path / "fig.png").exists()
    again = command.main([f"--workdir={tmp_path}", "--only=none"])
    assert again == 0 and (tmp_path / "table.md").read_text() == text
