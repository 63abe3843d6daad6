"""Margins, groups, agreement and position against brute force."""

import itertools

import numpy as np
import pytest

from prefjax.audit import labels
from prefjax.audit.table import Table
from prefjax.data.readers import LAYOUTS
from prefjax.data.records import scan


def alone(found):
    return np.arange(found.size)


def test_grades_votes_and_scores(tmp_path, pairs, table):
    marks = [
        {"grade": 3, "votes": [3, 0, 0], "score_chosen": 10, "score_rejected": 2},
        {"grade": 1, "votes": [2, 1, 0], "score_chosen": 5, "score_rejected": 4},
        {"grade": 0, "votes": [1, 1, 1], "score_chosen": 5, "score_rejected": 5},
        {"grade": -2, "votes": [1, 2, 0], "score_chosen": 2, "score_rejected": 6},
    ]
    rows = [*(row | mark for row, mark in zip(pairs(4), marks, strict=True)), *pairs(3, seed=1)]
    found = labels.margins(table(tmp_path / "x", rows))
    assert found["grades"] == {
        "counts": {"-3": 0, "-2": 1, "-1": 0, "0": 1, "1": 1, "2": 0, "3": 1},
        "pairs": 4,
        "hard": 0.25,
        "obvious": 0.25,
        "ties": 0.25,
        "opposed": 1,
    }
    assert found["votes"] == {"pairs": 4, "hard": 0.5, "obvious": 0.25, "ties": 0.25, "opposed": 1, "unanimous": 0.25}
    assert {name: found["scores"][name] for name in ("hard", "ties", "opposed", "strongly_opposed")} == {
        "hard": 0.25,
        "ties": 0.25,
        "opposed": 1,
        "strongly_opposed": 1,
    }
    assert found["scores"]["quantiles"][2] == 0.5  # the median of 8, 1, 0, -4
    assert labels.margins(table(tmp_path / "y", pairs(2))) == {}


def test_margins_of_a_reward_are_in_nats():
    scores = np.array([[4.0, 0.0], [0.5, 0.0], [0.0, 4.0], [1.0, 1.0], [np.nan, 0.0]])
    found = labels.reward_margins(scores)
    assert (found["pairs"], found["hard"], found["obvious"], found["ties"]) == (4, 0.5, 0.25, 0.25)
    assert (found["opposed"], found["strongly_opposed"]) == (1, 1)
    assert labels.reward_margins(np.full((2, 2), np.nan)) == {"pairs": 0}


def test_groups_by_tag(tmp_path, pairs, table):
    longer = lambda row: row | {"tag": "care", "chosen": row["chosen"] + " and more of it."}
    rows = [*map(longer, pairs(40)), *(row | {"tag": "wit"} for row in pairs(10, seed=1)), *pairs(3, seed=2)]
    found = table(tmp_path / "x", rows)
    told = labels.groups(found, "tag", alone(found))
    assert (told["without"], told["number"], told["few"]) == (3, 2, 1)
    assert [(group["name"], group["pairs"], group["few"]) for group in told["largest"]] == [
        ("care", 40, False),
        ("wit", 10, True),
    ]
    assert told["largest"][0]["longer_wins"]["mean"] == 1
    assert told["largest"][1]["longer_wins"]["mean"] == 0.5  # all answers of nine words


def test_facts_that_one_side_states(tmp_path, table):
    row = {"prompt": "When?", "chosen": "In 1969.", "rejected": "In 1970."}
    rows = [
        row | {"facts": [fact], "chosen": f"{row['chosen']} {i}"} for i, fact in enumerate(["1969", "1970", "2000"])
    ]
    found = table(tmp_path / "x", [*rows, row])
    told = labels.facts(found, alone(found))
    assert told["pairs"] == 3
    assert (told["right_wins"]["mean"], told["right_wins"]["n"]) == (0.5, 2)


def test_agreement_of_annotators_is_that_of_the_krippendorff_package(tmp_path, pairs, table):
    krippendorff = pytest.importorskip("krippendorff")
    rng = np.random.default_rng(0)
    answers = pairs(60)
    grades = np.clip(rng.integers(-2, 3, 60) + rng.integers(-1, 2, (4, 60)), -3, 3)
    given = rng.random((4, 60)) < 0.6
    rows = [
        row | {"grade": int(grade), "annotator": f"a{who}"}
        if flip
        else row | {"chosen": row["rejected"], "rejected": row["chosen"], "grade": -int(grade), "annotator": f"a{who}"}
        for who, i in itertools.product(range(4), range(60))
        for row, grade, flip in [(answers[i], grades[who, i], rng.random() < 0.5)]
        if given[who, i]
    ]
    found = table(tmp_path / "x", [*rows, rows[0]])  # who judges again is not counted again
    told = labels.agreement(found)["annotators"]
    first = table(tmp_path / "y", answers)["answer"]
    signs = np.where(first[:, 0] > first[:, 1], -1, 1)
    data = np.where(given, grades * signs, np.nan)
    for level in ("nominal", "ordinal"):
        expected = krippendorff.alpha(reliability_data=data, level_of_measurement=level)
        assert told[level]["mean"] == pytest.approx(expected)
    couples = [
        (data[a, i], data[b, i])
        for i in range(60)
        for a, b in itertools.combinations(range(4), 2)
        if given[a, i] and given[b, i]
    ]
    assert told["agreeing"] == pytest.approx(np.mean([a == b for a, b in couples]))


def test_how_often_one_judgement_is_wrong_is_found_back(tmp_path, pairs, table):
    rng = np.random.default_rng(0)
    wrong = (rng.random((2000, 5)) < 0.15).sum(1)
    rows = [row | {"votes": [5 - int(n), int(n), 0]} for row, n in zip(pairs(2000), wrong, strict=True)]
    told = labels.agreement(table(tmp_path / "x", rows))["votes"]
    assert told["error"] == pytest.approx(0.15, abs=0.01)
    assert told["unanimous"] == np.mean((wrong == 0) | (wrong == 5))


def test_votes_drawn_by_chance_have_no_alpha_though_the_majority_is_chosen(tmp_path, pairs, table):
    votes = np.random.default_rng(0).binomial(3, 0.5, 1000)
    rows = [
        row | {"votes": [int(max(n, 3 - n)), int(min(n, 3 - n)), 0]} for row, n in zip(pairs(1000), votes, strict=True)
    ]
    told = labels.agreement(table(tmp_path / "x", rows))["votes"]
    assert told["nominal"]["low"] < 0 < told["nominal"]["high"]
    assert labels.agreement(table(tmp_path / "y", pairs(3))) == {"votes": None, "annotators": None}


def test_position(tmp_path, pairs, table):
    orders = [[0, 1]] * 30 + [[1, 0]] * 10
    rows = [row | {"meta": {"order": order}} for row, order in zip(pairs(40), orders, strict=True)]
    found = table(tmp_path / "x", [*rows, *pairs(5, seed=1)])
    told = labels.position(found, alone(found))
    assert (told["mean"], told["n"]) == (0.75, 40)
    plain = table(tmp_path / "y", pairs(2))
    assert labels.position(plain, alone(plain)) is None


def test_three_annotators_of_pandalm_agree_as_the_krippendorff_package_says(real_data):
    import gzip
    import json

    krippendorff = pytest.importorskip("krippendorff")
    path = real_data / "pandalm_test/pandalm_testset.jsonl.gz"
    found = Table().read(scan(path, LAYOUTS["pandalm"]))
    told = labels.agreement(found)["votes"]
    with gzip.open(path, "rt") as file:
        rows = [json.loads(line) for line in file]
    usable = [
        row for row in rows if all(isinstance(row[f"response{i}"], str) and row[f"response{i}"].strip() for i in (1, 2))
    ]
    order = {1: 0, 0: 1, 2: 2}  # first wins, tie, second wins
    data = [[order[row[f"annotator{i}"]] for row in usable] for i in (1, 2, 3)]
    for level in ("nominal", "ordinal"):
        expected = krippendorff.alpha(reliability_data=data, level_of_measurement=level)
        assert told[level]["mean"] == pytest.approx(expected)
        assert told[level]["low"] < expected < told[level]["high"]
    assert told["unanimous"] == np.mean([len(set(row)) == 1 for row in zip(*data, strict=True)])
