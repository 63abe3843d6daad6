"""Ship, hold or roll back."""

import json
import shutil

import pytest

from prefjax.cli import main
from prefjax.errors import ConfigError
from prefjax.gate import RULES, gate, rules
from prefjax.report.runs import read
from tests.workdirs import alarm, write

SAME = {"prompts": 1000, "won": 0.5, "every": 200}


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
    return write(tmp_path_factory.mktemp("gate") / "baseline", **SAME)


def changed(baseline, folder, move):
    """A copy of a run whose rows at the last step are moved; its summaries follow."""
    from tests.workdirs import summaries

    shutil.copytree(baseline, folder)
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    last = [row for row in rows if row["step"] == 200]
    for row in last:
        move(row)
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "eval" / "200.json").write_text(json.dumps({"step": 200, "evals": summaries(last)}))
    return folder


def better(row):
    row["win_rate"] = 1.0 if row["record"] % 3 == 0 else row["win_rate"]


def test_better_taste_and_nothing_lost_ships(baseline, tmp_path, capsys):
    run = changed(baseline, tmp_path / "run", better)
    assert main(["gate", str(run), f"--baseline={baseline}"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("SHIP\n")
    assert "taste: win rate +" in out and "(1000 prompts, paired): better" in out
    assert out.count("kept within 2.0 pts") == 4


def test_no_change_is_held(baseline, capsys):
    assert main(["gate", str(baseline), f"--baseline={baseline}"]) == 10
    assert "no clear change" in capsys.readouterr().out


def test_a_certain_loss_is_rolled_back(baseline, tmp_path, capsys):
    def move(row):
        better(row)
        row["skill"] = 0.0 if row["record"] % 10 < 2 else row["skill"]

    assert main(["gate", str(changed(baseline, tmp_path / "run", move)), f"--baseline={baseline}"]) == 11
    assert "back  skill −" in capsys.readouterr().out


def test_a_loss_in_a_slice_is_found_though_the_whole_is_kept(baseline, tmp_path):
    def move(row):
        better(row)
        if row["factuality"] is not None:
            row["factuality"] = 0.0 if row["slice"] == "falsehood" else 1.0

    found = gate(read(changed(baseline, tmp_path / "run", move)), read(baseline), rules())
    lost = [reason.words for reason in found.reasons if reason.verdict == "roll back"]
    assert found.verdict == "roll back" and len(lost) == 1
    assert "lost by more than 2.0 pts in the slice falsehood" in lost[0]


def test_no_taste_measured_cannot_be_known(baseline, tmp_path):
    def move(row):
        row.pop("win_rate")
        row.pop("gold")

    found = gate(read(changed(baseline, tmp_path / "run", move)), read(baseline), rules())
    assert found.verdict == "hold"
    assert "it cannot be known whether it improved: win_rate was not measured in" in found.reasons[0].words


def test_what_was_not_measured_and_alarms_and_failures_hold(baseline, tmp_path):
    run = changed(baseline, tmp_path / "run", lambda row: (better(row), row.pop("skill")))
    (run / "alarms.jsonl").write_text(json.dumps(alarm()) + "\n")
    (run / "DONE").rename(run / "FAILED.json")
    found = gate(read(run), read(baseline), rules())
    words = " ".join(reason.words for reason in found.reasons if reason.verdict == "hold")
    assert found.verdict == "hold"
    assert "skill was not measured in" in words and "has alarms: over-refusal" in words and "is failed" in words


def test_a_win_rate_against_the_baseline_itself_is_one_against_half(baseline, tmp_path):
    old = changed(baseline, tmp_path / "runs" / "sft", lambda row: row.pop("win_rate"))
    run = changed(baseline, tmp_path / "run", better)
    facts = json.loads((run / "run.json").read_text())
    facts["frozen"]["reference"] = f"{old}@200"
    (run / "run.json").write_text(json.dumps(facts))
    found = gate(read(run), read(old), rules())
    assert found.reasons[0].words.startswith("taste: win rate +") and found.reasons[0].words.endswith("better")


def test_a_win_rate_against_something_else_is_none_against_the_baseline(baseline, tmp_path):
    old = changed(baseline, tmp_path / "old", lambda row: row.pop("win_rate"))
    run = changed(baseline, tmp_path / "run", better)
    facts, config = (json.loads((run / name).read_text()) for name in ("run.json", "config.json"))
    facts["frozen"]["reference"] = f"{old}@200"
    config["evals"]["wins"] = "win_rate(judge='gold', against='chosen')"
    (run / "run.json").write_text(json.dumps(facts))
    (run / "config.json").write_text(json.dumps(config))
    found = gate(read(run), read(old), rules() | {"taste": ["win_rate"]})
    assert "win_rate was not measured in" in found.reasons[0].words


def test_win_rates_against_different_opponents_are_not_compared(baseline, tmp_path):
    run = changed(baseline, tmp_path / "run", better)
    facts = json.loads((run / "run.json").read_text())
    facts["frozen"]["reference"] = "another@3"
    (run / "run.json").write_text(json.dumps(facts))
    found = gate(read(run), read(baseline), rules() | {"taste": ["win_rate"]})
    assert "are not against one opponent with one judge" in found.reasons[0].words


def test_runs_that_share_few_prompts_are_compared_unpaired(baseline, tmp_path):
    def move(row):
        row["prompt"] += "" if row["record"] % 3 == 0 else " (asked anew)"

    found = gate(read(changed(baseline, tmp_path / "run", move)), read(baseline), rules())
    assert all("(not paired)" in reason.words for reason in found.reasons)


def test_rules_of_a_file_take_the_place_of_the_defaults(baseline, tmp_path):
    file = tmp_path / "rules.toml"
    file.write_text(RULES)
    assert rules(file) == rules()
    file.write_text('taste = ["gold"]\n[keep]\n')
    rule = rules(file)
    assert (rule["taste"], rule["keep"], rule["confidence"]) == (["gold"], {}, 0.95)
    assert len(gate(read(baseline), read(baseline), rule).reasons) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("taste = ", "is not TOML"),
        ("tast = []", "there is no rule 'tast'; did you mean 'taste'?"),
        ("[keep]\nskil = 0.1", "'skil' is no metric of which more or less is better; did you mean 'skill'?"),
        ("[keep]\nskill = -1", "keep.skill is -1; it should be a number, 0 or more"),
        ("confidence = 95.0", "confidence is 95.0; it should be between 0 and 1"),
        ('few = "x"', "few is 'x'; it should be like 30"),
    ],
)
def test_rules_that_are_wrong(text, message, tmp_path):
    (tmp_path / "rules.toml").write_text(text)
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        rules(tmp_path / "rules.toml")


def test_no_workdir_is_exit_2(baseline, tmp_path, capsys):
    assert main(["gate", str(tmp_path), f"--baseline={baseline}"]) == 2
    assert "is no workdir" in capsys.readouterr().err
    assert main(["gate", str(baseline), f"--baseline={baseline}", "--rules=nowhere.toml"]) == 2
