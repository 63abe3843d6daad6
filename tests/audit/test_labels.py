"""Margins, groups, agreement and position against brute force."""

import itertools

import numpy as np
import pytest

from prefjax.audit import labels
from prefjax.audit.table import Table
from prefjax.data.readers import LAYOUTS
from prefjax.data.records import scan
from prefjax.evals.agreement import first


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
        "opposed": 0,  # rejected is preferred by grade and votes alike
    }
    assert found["votes"] == {"pairs": 4, "hard": 0.5, "obvious": 0.25, "ties": 0.25, "opposed": 0}
    assert {name: found["scores"][name] for name in ("pairs", "hard", "ties", "opposed")} == {
        "pairs": 3,  # of a tie the label says nothing that a score could oppose
        "hard": 1 / 3,
        "ties": 0,
        "opposed": 0,
    }
    assert found["scores"]["quantiles"][2] == 4  # the median of 8, 1, and 4 for rejected
    assert labels.margins(table(tmp_path / "y", pairs(2))) == {}


def test_what_opposes_the_label_is_what_prefers_the_other_side(tmp_path, pairs, table):
    marks = [
        {"grade": -2, "score_chosen": 1, "score_rejected": 2},
        {"grade": -2, "score_chosen": 2, "score_rejected": 1},
        {"grade": 0, "score_chosen": 1, "score_rejected": 2},
        {"grade": 1, "votes": [1, 2, 0]},
        {"score_chosen": 1, "score_rejected": 2},
    ]
    rows = [row | mark for row, mark in zip(pairs(5), marks, strict=True)]
    found = labels.margins(table(tmp_path / "x", rows))
    assert (found["scores"]["opposed"], found["scores"]["pairs"]) == (2, 3)
    assert found["grades"]["opposed"] == 1
    reward = labels.reward_margins(np.array([[-4.0, 0.0], [0.0, 4.0]]), np.array([-1, -1]))
    assert (reward["opposed"], reward["obvious"]) == (0, 1)


def test_a_vote_alone_and_scores_that_are_all_alike_are_not_obvious(tmp_path, pairs, table):
    rows = [row | {"votes": [1, 0, 0], "score_chosen": 5, "score_rejected": 5} for row in pairs(3)]
    found = labels.margins(table(tmp_path / "x", rows))
    assert "votes" not in found
    assert (found["scores"]["ties"], found["scores"]["obvious"]) == (1, 0)


def test_margins_of_a_reward_are_in_nats():
    scores = np.array([[4.0, 0.0], [0.5, 0.0], [0.0, 4.0], [1.0, 1.0], [np.nan, 0.0]])
    found = labels.reward_margins(scores, np.ones(5))
    assert (found["pairs"], found["hard"], found["obvious"], found["ties"]) == (4, 0.5, 0.25, 0.25)
    assert (found["opposed"], found["strongly_opposed"]) == (1, 1)
    assert found["unscored"] == 1
    assert labels.reward_margins(np.full((2, 2), np.nan), np.ones(2)) == {"pairs": 0, "unscored": 2}


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
    changed = rows[0] | {"grade": 3 if rows[0]["grade"] < 3 else -3}  # of who judges again the last judgement counts
    found = table(tmp_path / "x", [changed, *rows])
    told = labels.agreement(found)["annotators"]
    signs = np.array([1 if first(row["chosen"], row["rejected"]) else -1 for row in answers])
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


def test_people_who_agree_in_sign_agree_whatever_their_scales(tmp_path, pairs, table):
    rows = [row | {"grade": [3, -2][i % 2]} for i, row in enumerate(pairs(20))]
    signs = [row | {"grade": 1 if row["grade"] > 0 else -1} for row in rows]
    plain = [{name: row[name] for name in ("prompt", "chosen", "rejected")} for row in rows]
    binary = [
        row if sign["grade"] > 0 else row | {"chosen": row["rejected"], "rejected": row["chosen"]}
        for row, sign in zip(plain, signs, strict=True)
    ]
    named = [row | {"annotator": "a"} for row in rows] + [row | {"annotator": "b"} for row in binary]
    assert labels.agreement(table(tmp_path / "x", named))["annotators"]["ordinal"]["mean"] == 1


def test_ties_of_a_ranking_are_judgements(tmp_path, table):
    rankings = [["a", "b", "c"], [["a", "b", "c"]], ["c", "b", "a"]]
    rows = [
        {"prompt": f"p{i}", "ranking": ranking, "annotator": who}
        for i in range(4)
        for who, ranking in zip("xyz", rankings, strict=True)
    ]
    told = labels.agreement(table(tmp_path / "x", rows))["annotators"]
    assert (told["pairs"], told["unanimous"], told["agreeing"]) == (12, 0, 0)


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
    # The first wins, a tie, the second wins: of those whom chance calls so, and not as they were shown.
    orders = [{1: 0, 0: 1, 2: 2} if first(row["response1"], row["response2"]) else {2: 0, 0: 1, 1: 2} for row in usable]
    data = [[order[row[f"annotator{i}"]] for row, order in zip(usable, orders, strict=True)] for i in (1, 2, 3)]
    for level in ("nominal", "ordinal"):
        expected = krippendorff.alpha(reliability_data=data, level_of_measurement=level)
        assert told[level]["mean"] == pytest.approx(expected)
        assert told[level]["low"] < expected < told[level]["high"]
    assert told["unanimous"] == np.mean([len(set(row)) == 1 for row in zip(*data, strict=True)])
