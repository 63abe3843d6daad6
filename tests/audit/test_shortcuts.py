"""Length, marks, classifiers and flips: what is planted is found, and nothing is found in noise."""

import random

import numpy as np
import pytest

from prefjax.audit import shortcuts
from prefjax.audit.table import Table
from prefjax.data.readers import LAYOUTS
from prefjax.data.records import scan


def clusters(found):
    return np.unique(found["prompt"], return_inverse=True)[1]


def read(path, layout):
    found = Table().read(scan(path, LAYOUTS[layout]))
    return found, clusters(found)


def test_longer_wins_by_hand(tmp_path, table):
    rows = [
        {"prompt": "a", "chosen": "one two", "rejected": "one"},
        {"prompt": "b", "chosen": "one", "rejected": "two"},
        {"prompt": "c", "chosen": "one two", "rejected": "three", "grade": -1},  # rejected is better
        {"prompt": "d", "chosen": "one two three", "rejected": "two", "grade": 0},  # a tie has no winner
    ]
    found = table(tmp_path / "x", rows)
    told = shortcuts.length(found, clusters(found))
    assert told["words"]["longer_wins"]["mean"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert told["words"]["median"] == {"won": 1, "lost": 1}
    assert told["words"]["auc"] == 0.5
    assert "tokens" not in told


def test_planted_marks_are_found_and_no_others(tmp_path, pairs, table):
    rng, rows = random.Random(0), pairs(400)
    for row in rows:
        if rng.random() < 0.3:
            row["chosen"] = "certainly: " + row["chosen"]
        row["rejected" if rng.random() < 0.8 else "chosen"] += "!"
    found = table(tmp_path / "x", rows)
    told = shortcuts.artifacts(found, clusters(found))
    uneven = {mark["mark"]: mark for mark in told if mark["p"] < 0.01}
    assert set(uneven) == {"exclamation mark", "ends in an exclamation mark", "first word: certainly:"}
    opening = uneven["first word: certainly:"]
    assert (opening["lost"], opening["less"], opening["odds"]) == (0, 0, None)
    assert opening["won"] == opening["more"] / 400 == sum(row["chosen"].startswith("c") for row in rows) / 400
    marked = uneven["exclamation mark"]
    assert marked["odds"] == marked["more"] / marked["less"] < 0.5


def test_a_mark_of_one_prompt_told_many_times_is_no_evidence(tmp_path, pairs, table):
    row = pairs(1)[0]
    rows = [row | {"chosen": f"Wow! {i}"} for i in range(100)]
    found = table(tmp_path / "x", [*rows, *pairs(20, seed=1)])
    told = {mark["mark"]: mark for mark in shortcuts.artifacts(found, clusters(found))}
    assert told["exclamation mark"]["won"] > 0.8
    assert (told["exclamation mark"]["more"], told["exclamation mark"]["p"]) == (1, 1)


def test_every_planted_flip_is_found(tmp_path, pairs, table):
    rows = pairs(400)
    for row in rows:
        row["chosen"] = f"Gladly, {row['chosen']}"
    flipped = {7, 100, 101, 255, 399}
    for i in flipped:
        rows[i] |= {"chosen": rows[i]["rejected"], "rejected": rows[i]["chosen"]}
    told = shortcuts.classifiers(table(tmp_path / "x", rows))
    assert {int(place.rpartition(":")[2]) - 1 for place in told["flips"]["at"]} == flipped
    assert told["flips"]["number"] == 5
    assert told["examples"][0]["rejected"].startswith("Gladly")
    assert told["models"]["words"]["by_prompt"]["mean"] == pytest.approx(395 / 400, abs=0.01)


def test_noise_has_no_flips_and_no_ranker(tmp_path, pairs, table):
    told = shortcuts.classifiers(table(tmp_path / "x", pairs(400)))
    assert told["flips"] == {"number": 0, "at": []}
    for model in told["models"].values():
        assert 0.4 < model["by_prompt"]["mean"] < 0.6


def test_too_few_pairs_or_prompts_fit_nothing(tmp_path, pairs, table):
    assert shortcuts.classifiers(table(tmp_path / "x", pairs(49))) is None
    few = [row | {"prompt": f"prompt {i % 9}"} for i, row in enumerate(pairs(90))]
    assert shortcuts.classifiers(table(tmp_path / "y", few)) is None


def test_answers_that_come_again_inflate_a_random_split(tmp_path, pairs, table):
    rng, answers, rows = random.Random(0), pairs(400), []
    for i in range(40):  # ten pairs of the same five answers to each prompt, ranked by chance
        texts = [row["chosen"] for row in answers[10 * i : 10 * i + 5]]
        rows += [
            {"prompt": f"prompt {i}", "chosen": texts[a], "rejected": texts[b]}
            for a in range(5)
            for b in range(a + 1, 5)
        ]
    rng.shuffle(rows)
    told = shortcuts.classifiers(table(tmp_path / "x", rows))["models"]["words"]
    assert 0.4 < told["by_prompt"]["mean"] < 0.6
    assert told["random"]["mean"] > 0.75
    assert told["inflation"]["mean"] == pytest.approx(told["random"]["mean"] - told["by_prompt"]["mean"])
    assert told["inflation"]["low"] > 0.15


def test_of_hh_shorter_answers_win(real_data):
    found, groups = read(real_data / "hh_harmless_test/harmless-base_test.jsonl.gz", "hh")
    told = shortcuts.length(found, groups)["words"]["longer_wins"]
    assert told["mean"] == pytest.approx(0.439, abs=0.002)  # of all 2,312 rows; 9 are refused here
    assert told["high"] < 0.5
    words = [
        [len(text.split()) for text in (row.record["chosen"], row.record["rejected"])]
        for row in scan(real_data / "hh_harmless_test/harmless-base_test.jsonl.gz", LAYOUTS["hh"])
        if row.record
    ]
    assert told["mean"] == np.mean([(a > b) + (a == b) / 2 for a, b in words])


def test_of_pandalm_a_random_split_is_inflated_by_a_quarter(real_data):
    found, _ = read(real_data / "pandalm_test/pandalm_testset.jsonl.gz", "pandalm")
    models = shortcuts.classifiers(found)["models"]
    assert models["words"]["random"]["mean"] == pytest.approx(0.87, abs=0.03)
    assert models["words"]["by_prompt"]["mean"] == pytest.approx(0.60, abs=0.03)
    assert models["words"]["inflation"]["low"] > 0.2
    assert abs(models["length"]["inflation"]["mean"]) < 0.02  # one number cannot remember a prompt
