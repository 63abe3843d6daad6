"""The main job, tiny: the way from its configs to its tables and its page."""

import json

import pytest

from configs import dpo, reward, sft
from experiments.desk import __main__ as desk

ANSWERS = {"gold": 1.0, "reward": 0.5, "factuality": 1.0, "hedges": 0.0, "caveats": 1.0, "length": 9.0}
ANSWERS |= {"benign_refusal": 0.0, "unsafe_refusal": None, "well_formed": 1.0, "kl": 0.1}


def rows(shift=0.0):
    """Two answers to each of three prompts, one of which should be refused."""
    return [
        ANSWERS
        | {"record": record, "prompt": f"p{record}", "response": f"a b {record} {twin}", "slice": "incident"}
        | {"gold": record + twin + shift * record}
        | ({"benign_refusal": None, "unsafe_refusal": 1.0} if record == 2 else {})
        for record in range(3)
        for twin in (0, 1)
    ]


def test_a_way_is_compared_with_the_start_by_prompt():
    figures = desk.compare(rows(), rows(shift=2.0), 3.0)
    gold, refused = figures["gold"], figures["unsafe_refusal"]
    assert (gold["before"], gold["after"], gold["prompts"]) == (1.5, 3.5, 3)
    assert gold["change"]["mean"] == pytest.approx(2.0) and gold["change"]["low"] < 0 < gold["change"]["high"]
    assert refused["prompts"] == 1 and figures["seconds"] == 3.0
    assert figures["distinct_2"] == pytest.approx(7 / 9)  # "a b" three times
    cells = [list(column.cells) for column in desk.table({"sft": figures, "dpo": figures}, 0).columns]
    assert cells[0][-2:] == ["distinct-2", "seconds"] and cells[1][:1] == ["3.50 "] and cells[2][-1] == "3 "


def tiny(get_config):
    def made(seed="0"):
        c = get_config(seed)
        c.steps, c.batch_size, c.mesh.data = 1, 4, 1
        c.data.train = c.data.train.replace("n=12000", "n=8").replace("n=8000", "n=8")
        if c.model != "runs/sft":
            c.model = "llama(width=16, layers=1, heads=2)"
        c.evals = {}
        return c

    return made


@pytest.mark.slow
def test_quick_is_sft_a_reward_model_and_dpo(tmp_path, monkeypatch, capsys):
    for module in (sft, reward, dpo):
        monkeypatch.setattr(module, "get_config", tiny(module.get_config))
    for name in ("ANSWERS", "WINS"):
        monkeypatch.setattr(desk, name, getattr(desk, name).replace("n=4", "n=1").replace("max_new=48", "max_new=4"))
    monkeypatch.setattr("sys.argv", ["desk", f"--workdir={tmp_path}", "--quick"])
    desk.main()
    told = capsys.readouterr().out
    assert "Held-out prompts, before and after DPO (seed 0)" in told and "Six answers" in told
    figures = json.loads((tmp_path / "demo.json").read_text())["seeds"]["0"]
    assert list(figures) == ["sft", "dpo"] and figures["dpo"]["seconds"] > 0
    assert (tmp_path / "report.html").exists()
