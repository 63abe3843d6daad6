"""Rounds of pairs and DPO, and of best-of-n and SFT, each from the policy of the round before."""

import json

import pytest

from experiments.rounds.__main__ import main
from prefjax.train import train

REWARD = "text(function='prefjax.worlds.desk:judge', key='gold')"


@pytest.mark.parametrize("way", [pytest.param("dpo", marks=pytest.mark.slow), "expert"])
def test_two_rounds(way, tmp_path, monkeypatch, capsys):
    from configs import dpo, sft

    c = sft.get_config()
    c.steps, c.batch_size, c.model, c.evals = 1, 4, "llama(width=16, layers=1, heads=2)", {}
    c.data.train, c.mesh.data = "prefjax.worlds.desk:demos(n=16)", 1
    train(c, tmp_path / "sft")
    for module in (dpo, sft):
        monkeypatch.setattr(module, "get_config", one_device(module.get_config))
    argv = [f"--way={way}", f"--model={tmp_path / 'sft'}", f"--reward={REWARD}", f"--workdir={tmp_path / 'rounds'}"]
    argv += ["--rounds=2", "--n=16", "--steps=1", "--batch_size=4", f"--source={__name__}:few"]
    main(argv)
    told = capsys.readouterr().out
    assert told.count("round 2, step 1: gold") == 1
    for number, start in ((1, tmp_path / "sft"), (2, tmp_path / "rounds" / "1")):
        config = json.loads((tmp_path / "rounds" / str(number) / "config.json").read_text())
        assert config["model"] == str(start)
        assert way == "expert" or config["frozen"]["reference"] == str(start)
        rows = [json.loads(line) for line in (tmp_path / "rounds" / f"{number}.jsonl").read_text().splitlines()]
        assert all("chosen" in row if way == "dpo" else row["stopped"] for row in rows)
    first = (tmp_path / "rounds" / "1.jsonl").read_text()
    main(argv)  # what is done is not done again
    assert (tmp_path / "rounds" / "1.jsonl").read_text() == first


def few():
    from prefjax.worlds import desk

    return desk.prompts("train")[::40]


def one_device(get_config):
    def smaller(seed="0"):
        c = get_config(seed)
        c.mesh.data, c.evals.answers = 1, SMALL
        return c

    return smaller


SMALL = f"samples(source='{__name__}:few', judge='prefjax.worlds.desk:judge', max_new=8)"
