import json

import numpy as np
import pytest

from prefjax.errors import ConfigError
from prefjax.worlds import desk
from prefjax.worlds.desk import facts


@pytest.mark.parametrize("label", ["binary", "grade", "votes", "ranking"])
def test_pairs_depend_on_the_seed_alone(label):
    pairs = desk.pairs(n=50, seed=3, label=label)
    assert pairs == desk.pairs(n=50, seed=3, label=label)
    assert pairs != desk.pairs(n=50, seed=4, label=label)
    assert pairs[:20] == desk.pairs(n=20, seed=3, label=label)
    assert json.loads(json.dumps(pairs)) == pairs


def test_demos_depend_on_the_seed_alone():
    demos = desk.demos(n=50, seed=3)
    assert demos == desk.demos(n=50, seed=3)
    assert demos != desk.demos(n=50, seed=4)
    assert json.loads(json.dumps(demos)) == demos


def test_records_say_what_they_are_about():
    for r in desk.prompts("test") + desk.demos("test", n=200) + desk.pairs("test", n=200):
        assert r["slice"] in facts.SLICES
        assert r["facts"]
        assert r["meta"]["unsafe"] == (r["slice"] == "unsafe")
        assert r["meta"]["entity"] in r["prompt"] or r["slice"] == "household"
    assert len({r["id"] for r in desk.pairs(n=800)}) == 800


def test_splits_share_no_prompt():
    found = {split: {r["prompt"] for r in desk.pairs(split, n=600)} for split in facts.SPLITS}
    assert {split: len(prompts) for split, prompts in found.items()} == {"train": 378, "validation": 54, "test": 108}
    assert not found["train"] & found["validation"]
    assert not found["train"] & found["test"]
    assert not found["validation"] & found["test"]


def test_thousands_of_distinct_answers():
    assert len({r["response"] for r in desk.demos(n=4000)}) > 2000
    assert len({text for r in desk.pairs() for text in (r["chosen"], r["rejected"])}) > 4000


def test_raters_of_one_seed_order_the_same_answers():
    expert, polite = desk.pairs(n=300, rater="expert"), desk.pairs(n=300, rater="polite")
    same = [{a["chosen"], a["rejected"]} == {b["chosen"], b["rejected"]} for a, b in zip(expert, polite, strict=True)]
    assert all(same)
    assert 0.5 < np.mean([a["chosen"] == b["chosen"] for a, b in zip(expert, polite, strict=True)]) < 0.95


def test_the_two_answers_differ():
    assert all(r["chosen"] != r["rejected"] for r in desk.pairs(n=2000))


def test_grades_mostly_agree_with_the_choice():
    grades = np.array([r["grade"] for r in desk.pairs(label="grade", n=2000)])
    assert set(grades) == set(range(-3, 4))
    assert np.mean(grades > 0) > 3 * np.mean(grades < 0)
    expert = np.array([r["grade"] for r in desk.pairs(label="grade", n=2000, rater="expert")])
    assert np.mean(expert < 0) < np.mean(grades < 0)


def test_votes_side_with_the_chosen():
    pairs = desk.pairs(label="votes", n=300, annotators=7)
    assert all(sum(r["votes"]) == 7 and r["votes"][0] >= r["votes"][1] for r in pairs)
    assert any(r["votes"][2] for r in pairs)
    assert all(sum(r["votes"]) == 1 for r in desk.pairs(label="votes", n=20, annotators=1))


def test_rankings_hold_every_candidate_best_first():
    rankings = desk.pairs(label="ranking", n=300, candidates=5, rater="expert")
    flat = [[t for rank in r["ranking"] for t in ([rank] if isinstance(rank, str) else rank)] for r in rankings]
    assert all(len(set(texts)) == 5 for texts in flat)
    assert any(len(r["ranking"]) < 5 for r in rankings)
    worth = np.array([[desk.gold(r, text) for text in texts] for r, texts in zip(rankings, flat, strict=True)])
    assert np.all(np.diff(worth.mean(0)) < 0)


def test_the_tag_names_what_the_choice_turned_on():
    pairs = desk.pairs(n=1000, rater="expert")
    assert {"fact", "refusal", "warmth"} <= {r["tag"] for r in pairs}
    assert {r["tag"] for r in desk.pairs(n=50, rater="random")} == {"noise"}
    for r in pairs:
        if r["tag"] == "fact":
            assert desk.read(r, r["chosen"]).fact != desk.read(r, r["rejected"]).fact


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "dev"}, "split: expected one of train, validation, test; got 'dev'"),
        ({"label": "stars"}, "label: expected one of binary, grade, votes, ranking, attributes; got 'stars'"),
        ({"candidates": 1}, "candidates: expected at least 2; got 1"),
        ({"annotators": 0}, "annotators: expected at least 1; got 0"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        desk.pairs(**settings)


def test_attributes_are_looked_at_one_by_one():
    records = desk.pairs(label="attributes", n=1000)
    assert [r["chosen"] for r in records] == [r["chosen"] for r in desk.pairs(n=1000)]  # the same choices besides
    sure = wins = seen = 0
    for record in records:
        better, worse = (desk.terms(record, record[side]) for side in ("chosen", "rejected"))
        gaps = {name: better[name] - worse[name] for name in better}
        assert list(record["attributes"]) == list(gaps)
        assert all((record["attributes"][name] == 0) == (gap == 0) for name, gap in gaps.items())
        if abs(gaps["fact"]) == 6:
            sure += 1
            wins += record["attributes"]["fact"] * gaps["fact"] > 0
        seen += record["attributes"]["warmth"] * gaps["warmth"] > 0
    assert wins > 0.98 * sure > 0  # Bradley-Terry: sigmoid(6)
    shown = sum(r["attributes"]["warmth"] != 0 for r in records)
    assert abs(seen / shown - 1 / (1 + np.exp(-0.3))) < 0.08  # a warm answer against a blunt one
