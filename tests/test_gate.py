"""Ship, hold or roll back."""

import json
import math
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


def refer(run, reference=None, evals=(), **settings):
    """The run with another reference and other settings."""
    facts, config = (json.loads((run / name).read_text()) for name in ("run.json", "config.json"))
    facts["frozen"]["reference"] = reference or facts["frozen"]["reference"]
    config |= settings | {"evals": config["evals"] | dict(evals)}
    (run / "run.json").write_text(json.dumps(facts))
    (run / "config.json").write_text(json.dumps(config))
    return run


def better(row):
    if "win_rate" in row and row["record"] % 3 == 0:
        row["win_rate"] = 1.0


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
        if "skill" in row and row["record"] % 10 < 2:
            row["skill"] = 0.0

    assert main(["gate", str(changed(baseline, tmp_path / "run", move)), f"--baseline={baseline}"]) == 11
    assert "back  skill −" in capsys.readouterr().out


def test_a_loss_in_a_slice_is_found_though_the_whole_is_kept(baseline, tmp_path):
    def move(row):
        better(row)
        if row.get("factuality") is not None:
            row["factuality"] = 0.0 if row["slice"] == "falsehood" else 1.0

    found = gate(read(changed(baseline, tmp_path / "run", move)), read(baseline), rules())
    lost = [reason.words for reason in found.reasons if reason.verdict == "roll back"]
    assert found.verdict == "roll back" and len(lost) == 1
    assert "lost by more than 2.0 pts in the slice falsehood" in lost[0]


def test_no_taste_measured_cannot_be_known(baseline, tmp_path):
    def move(row):
        row.pop("win_rate", None)
        row.pop("gold", None)

    found = gate(read(changed(baseline, tmp_path / "run", move)), read(baseline), rules())
    assert found.verdict == "hold"
    assert "it cannot be known whether it improved: win_rate was not measured in" in found.reasons[0].words


def test_what_was_not_measured_and_alarms_and_failures_hold(baseline, tmp_path):
    run = changed(baseline, tmp_path / "run", lambda row: (better(row), row.pop("skill", None)))
    (run / "alarms.jsonl").write_text(json.dumps(alarm()) + "\n")
    (run / "DONE").rename(run / "FAILED.json")
    found = gate(read(run), read(baseline), rules())
    words = " ".join(reason.words for reason in found.reasons if reason.verdict == "hold")
    assert found.verdict == "hold"
    assert "skill was not measured in" in words and "has alarms: over-refusal" in words and "is failed" in words


def test_a_win_rate_against_the_baseline_itself_is_one_against_half(baseline, tmp_path):
    old = changed(baseline, tmp_path / "runs" / "sft", lambda row: row.pop("win_rate", None))
    run = changed(baseline, tmp_path / "run", better)
    refer(run, f"{old}@200")
    found = gate(read(run), read(old), rules())
    words = found.reasons[0].words
    assert words.startswith("taste: win rate +") and "better; slices: 5 judged" in words
    refer(run, f"{old}@160")  # not what the baseline ended with
    assert (
        "win_rate was not measured in" in gate(read(run), read(old), rules() | {"taste": ["win_rate"]}).reasons[0].words
    )


def test_a_win_rate_over_the_baseline_is_judged_by_slice(baseline, tmp_path):
    def move(row):
        better(row)
        if "win_rate" in row and row["slice"] == "falsehood":
            row["win_rate"] = 0.0

    run = refer(changed(baseline, tmp_path / "run", move), f"{baseline}@200")
    lost = [
        reason.words for reason in gate(read(run), read(baseline), rules()).reasons if reason.verdict == "roll back"
    ]
    assert len(lost) == 1 and lost[0].startswith("win rate −50.0 pts") and "lost in the slice falsehood" in lost[0]


def test_a_run_that_started_from_the_baseline_measured_it_itself(baseline, tmp_path):
    old = shutil.copytree(baseline, tmp_path / "sft")
    shutil.rmtree(old / "eval")
    (old / "metrics.jsonl").write_text("")
    run = refer(changed(baseline, tmp_path / "run", better), f"{old}@200", model=str(old))
    words = [reason.words for reason in gate(read(run), read(old), rules()).reasons]
    assert len(words) == 5 and "better" in words[0] and all("prompts, paired)" in word for word in words[1:])
    refer(run, f"{old}@200", model="another")
    assert "was not measured in" in gate(read(run), read(old), rules()).reasons[1].words


def test_a_run_that_was_rolled_back_is_judged_by_what_it_ended_with(baseline, tmp_path):
    run = changed(baseline, tmp_path / "run", lambda row: row.update(win_rate=0.0) if "win_rate" in row else None)
    assert ": worse" in gate(read(run), read(baseline), rules()).reasons[0].words
    (run / "DONE").write_text(json.dumps({"step": 0}))
    assert ": no clear change" in gate(read(run), read(baseline), rules()).reasons[0].words


@pytest.mark.parametrize("metric", ["win_rate", "skill"])
def test_what_is_not_finite_holds(metric, baseline, tmp_path):
    def move(row):
        better(row)
        if metric in row and row["record"] == 7:
            row[metric] = math.nan

    found = gate(read(changed(baseline, tmp_path / "run", move)), read(baseline), rules())
    assert found.verdict == "hold"
    assert f"{metric} is not finite in {tmp_path / 'run'} at step 200" in found.reasons[metric == "skill"].words


def test_metrics_that_were_not_measured_alike_are_not_compared(baseline, tmp_path):
    run = refer(changed(baseline, tmp_path / "run", better), evals={"answers": "samples(n=3)"})
    words = [reason.words for reason in gate(read(run), read(baseline), rules()).reasons]
    assert "skill was not measured alike: in " in words[1] and "by samples(n=3); measure it in both alike" in words[1]
    added = refer(changed(baseline, tmp_path / "added", better), evals={"answers": ""})
    words = [reason.words for reason in gate(read(added), read(baseline), rules()).reasons]
    assert "by what is not recorded; measure it in both alike" in words[1]


def test_a_win_rate_against_something_else_is_none_against_the_baseline(baseline, tmp_path):
    old = changed(baseline, tmp_path / "old", lambda row: row.pop("win_rate", None))
    run = changed(baseline, tmp_path / "run", better)
    refer(run, f"{old}@200", {"wins": "win_rate(judge='gold', against='chosen')"})
    found = gate(read(run), read(old), rules() | {"taste": ["win_rate"]})
    assert "win_rate was not measured in" in found.reasons[0].words


def test_win_rates_against_different_opponents_are_not_compared(baseline, tmp_path):
    run = refer(changed(baseline, tmp_path / "run", better), "another@3")
    found = gate(read(run), read(baseline), rules() | {"taste": ["win_rate"]})
    assert "win_rate was not measured alike: in " in found.reasons[0].words


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
        ("confidence = true", "confidence is True; it should be between 0 and 1"),
        ("[keep]\nskill = nan", "keep.skill is nan; it should be a number, 0 or more"),
        ("[keep]\nskill = inf", "keep.skill is inf; it should be a number, 0 or more"),
        ("few = true", "few is True; it should be a whole number, 1 or more"),
        ("few = -5", "few is -5; it should be a whole number, 1 or more"),
        ('few = "x"', "few is 'x'; it should be a whole number, 1 or more"),
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
