"""Charts as data: what is drawn of which runs."""

import math
import re

import pytest

from prefjax.report.charts import signals, training
from prefjax.report.groups import Group, group
from prefjax.report.runs import read
from prefjax.report.svg import draw
from tests.workdirs import alarm, write


def by_key(groups):
    return {chart.key: chart for chart in signals(groups)}


def kinds(chart):
    return [(line.label, line.kind, line.dashed) for line in chart.lines]


def test_six_signals_of_one_run(one):
    charts = by_key([one])
    assert list(charts) == ["reward", "kl", "length", "refusal", "factuality", "win"]
    assert kinds(charts["reward"]) == [
        ("training", "raw", False),
        ("training", "smooth", True),
        ("gold", "measured", False),
        ("proxy", "measured", True),
    ]
    assert kinds(charts["refusal"]) == [("benign", "measured", False), ("unsafe", "measured", True)]
    assert all(line.bars for chart in charts.values() for line in chart.lines if line.kind == "measured")
    assert charts["kl"].levels == [(10.0, "budget", "budget")]
    assert charts["kl"].zones == [(10.0, float("inf"), "over")]
    assert charts["length"].zones == [(0.85, 1.25, "allowed")]
    assert charts["win"].levels == [(0.5, "50 %", "half")]
    assert [(x, kind) for x, _, kind in charts["kl"].walls] == [(200, "checkpoint"), (100, "resume")]
    assert [chart.key for chart in training([one])] == ["loss", "entropy", "gradient"]


def test_alarms_stand_in_the_chart_they_are_about(tmp_path):
    names = ("kl-budget", "over-refusal", "reward-hacking", "sycophancy", "verbosity")
    run = read(write(tmp_path / "run", alarms=[alarm(name, 160) for name in names]))
    charts = by_key([Group("run", [run])])
    found = {key: [name for _, name in chart.alarms] for key, chart in charts.items()}
    assert found == {
        "kl": ["kl-budget"],
        "refusal": ["over-refusal"],
        "reward": ["reward-hacking"],
        "factuality": ["sycophancy"],
        "length": ["verbosity"],
        "win": [],
    }


def test_seeds_have_bands_and_groups_their_own_colour_and_one_name(tmp_path):
    runs = [
        read(write(tmp_path / f"{beta}{seed}", seed=seed, beta=beta, prompts=20))
        for beta in (0.1, 0.2)
        for seed in (0, 1)
    ]
    chart = by_key(group(runs))["reward"]
    assert [(line.label, line.colour, line.named, line.bars) for line in chart.lines] == [
        ("epsilon 0.1", 0, True, False),
        ("epsilon 0.1, proxy", 0, False, False),
        ("epsilon 0.2", 1, True, False),
        ("epsilon 0.2, proxy", 1, False, False),
    ]
    assert chart.lines[0].low[0] < chart.lines[0].y[0] < chart.lines[0].high[0]


def test_seeds_that_were_measured_otherwise_are_told(tmp_path):
    runs = [read(write(tmp_path / str(seed), seed=seed, prompts=20)) for seed in (0, 1, 2)]
    short = runs[0]._replace(evaluations=runs[0].evaluations[:3])
    assert not any("Not all seeds" in chart.note for chart in signals([Group("a", runs)]))
    charts = by_key([Group("a", [short, *runs[1:]])])
    assert all("Not all seeds measured it at the same steps" in chart.note for chart in charts.values())
    assert [len(line.x) for line in charts["kl"].lines if line.kind == "measured"] == [3]


def test_the_exact_kl_is_the_one_that_is_drawn(run):
    exact = {"mean": 3.0, "low": None, "high": None, "n": None}
    entries = [e | {"evals": {"answers": e["evals"]["answers"] | {"kl_exact": exact}}} for e in run.evaluations]
    chart = by_key([Group("run", [run._replace(evaluations=entries)])])["kl"]
    assert [list(line.y) for line in chart.lines if line.kind == "measured"] == [[3.0] * len(entries)]


def test_a_band_is_drawn_where_there_is_one_limit(run):
    other = run._replace(config=run.config | {"budget.length_ratio": [0, 2.0]})
    off = run._replace(config=run.config | {"budget.length_ratio": [0, 0]})
    zones = lambda *runs: by_key([Group(str(at), [run]) for at, run in enumerate(runs)])["length"].zones
    assert zones(other) == [(-math.inf, 2.0, "allowed")]
    assert zones(off) == zones(run, other) == []


def test_one_interval_that_is_missing_leaves_the_others(run):
    answers = run.evaluations[0]["evals"]["answers"]
    first = run.evaluations[0] | {"evals": {"answers": answers | {"gold": {"mean": 0.5}}}}
    group = Group("run", [run._replace(evaluations=[first, *run.evaluations[1:]])])
    (gold,) = [line for line in by_key([group])["reward"].lines if line.label == "gold"]
    assert gold.low[0] is None and all(low < y for low, y in zip(gold.low[1:], gold.y[1:], strict=True))
    assert (
        len(re.findall(r"M\S+ \S+V", re.findall(r'class="bar c0" d="([^"]*)"', draw(by_key([group])["reward"]))[0]))
        == 5
    )


def test_what_was_not_measured_says_what_it_takes(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "train/kl": 2.0}\n')
    charts = by_key([Group("run", [read(tmp_path)])])
    assert charts["win"].lines == [] and "win_rate(...)" in charts["win"].missing
    assert [line.kind for line in charts["kl"].lines] == ["raw", "smooth"]


def test_annotators_who_hardly_agree_are_told_beside_the_win_rate(run):
    words = "By their votes people agree with alpha .21, below 0.4."
    finding = {"section": "agreement", "severity": "alarm", "words": words}
    told = by_key([Group("run", [run._replace(audit={"findings": [finding]})])])
    assert words in told["win"].note and words not in told["kl"].note
    calm = by_key([Group("run", [run._replace(audit={"findings": [finding | {"severity": "note"}]})])])
    assert words not in calm["win"].note


@pytest.mark.parametrize("value", ["NaN", "Infinity"])
def test_numbers_that_are_not_finite_are_gaps_that_are_told(value, tmp_path):
    (tmp_path / "metrics.jsonl").write_text(f'{{"step": 1, "train/kl": 2.0}}\n{{"step": 2, "train/kl": {value}}}\n')
    chart = by_key([Group("run", [read(tmp_path)])])["kl"]
    assert "1 values that are not finite are gaps." in chart.note


def test_long_records_say_how_they_were_thinned(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("".join(f'{{"step": {i}, "train/kl": {i % 7}}}\n' for i in range(3000)))
    chart = by_key([Group("run", [read(tmp_path)])])["kl"]
    raw = chart.lines[0]
    assert len(raw.y) == 400 and min(raw.low) == 0 and max(raw.high) == 6
    assert chart.note.startswith("3,000 logged steps in 400 bins")
