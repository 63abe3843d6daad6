"""The audit as a whole: planted faults, real sets, its words and its refusals."""

import json

import numpy as np
import pytest

from prefjax.audit import audit, findings, sections
from prefjax.audit.findings import within
from prefjax.errors import ConfigError, DataError


def names(found, severity=None):
    return {f["name"] for f in found["findings"] if severity in (None, f["severity"])}


def told(found):
    """All that the sections say."""
    return "\n".join(text for part in sections(found) for text in [*part.words, *(c for row in part.rows for c in row)])


@pytest.fixture(scope="module")
def planted(tmp_path_factory, pairs, write):
    folder = tmp_path_factory.mktemp("audit")
    rows, held = pairs(300), pairs(40, seed=1)
    for row in rows:
        row |= {"score_chosen": 7, "score_rejected": 5, "facts": ["none of these words"], "tag": "clear"}
    for row in rows[:6]:
        row |= {"score_chosen": 2, "score_rejected": 8}  # flips
    contradicted = [r | {"chosen": r["rejected"], "rejected": r["chosen"]} for r in rows[20:27]]
    twins = [rows[30] | {"chosen": "Yes.", "rejected": "yes. "}]
    leaks = [row | {"prompt": other["prompt"]} for row, other in zip(pairs(5, seed=2), held[:5], strict=True)]
    write(folder / "train", [*rows, *rows[10:14], *contradicted, *twins, *leaks, {"prompt": "bad"}])
    write(folder / "held", held)
    return audit(folder / "train", eval_path=folder / "held")


def test_everything_planted_is_found(planted):
    assert {name: planted["repeats"][name] for name in ("exact", "normalised", "equal_sides", "contradictions")} == {
        "exact": 4,
        "normalised": 0,
        "equal_sides": 1,
        "contradictions": 7,
    }
    assert planted["margins"]["scores"]["strongly_opposed"] == 6
    assert planted["eval"]["exact"] == 5
    assert (planted["records"], sum(planted["form"]["refused"].values())) == (317, 1)
    expected = {"duplicates", "contradictions", "equal-sides", "opposed-scores", "leakage", "refused"}
    assert expected <= names(planted)
    assert {"leakage", "contradictions"} <= names(planted, "alarm")
    assert not names(planted) & {"pair-artifacts", "label-noise", "cycles", "flips", "position", "no-facts", "no-tags"}


def test_it_is_plain_json_and_told_the_same_from_a_file(planted):
    again = json.loads(json.dumps(planted, allow_nan=False))
    assert again == planted
    assert sections(again) == sections(planted)
    assert findings(again) == again["findings"]
    words = told(planted)
    for finding in planted["findings"]:
        assert finding["words"] in words
        assert finding["advice"] in words
    assert "ALARM: 5 of 40 prompts of the evaluation are trained on" in words
    assert all(len({len(row) for row in part.rows}) < 2 for part in sections(planted))


def test_alarms_come_first(planted):
    severities = [finding["severity"] for finding in planted["findings"]]
    assert severities == sorted(severities)
    assert {finding["section"] for finding in planted["findings"]} <= {
        *(
            "set",
            "values",
            "margins",
            "length",
            "marks",
            "shortcuts",
            "repeats",
            "tokens",
            "prompts",
            "eval",
            "agreement",
        )
    }


def test_a_set_without_a_fault_raises_no_alarm(tmp_path, pairs, write):
    rows = [
        row | {"tag": "clear", "slice": "a", "facts": [row["chosen"].split()[0]], "grade": 1 + i % 3}
        for i, row in enumerate(pairs(300))
    ]
    found = audit(write(tmp_path / "x", rows))
    assert names(found) <= {"grades"}


def test_noisy_annotators_raise_an_alarm(tmp_path, pairs, write):
    votes = np.random.default_rng(0).binomial(3, 0.6, 300).tolist()
    rows = [row | {"votes": [n, 3 - n, 0]} for row, n in zip(pairs(300), votes, strict=True)]
    found = audit(write(tmp_path / "x", rows))
    assert "label-noise" in names(found, "alarm")
    assert "soft targets" in told(found)


def test_an_artifact_that_gives_the_winner_away_raises_an_alarm(tmp_path, pairs, write):
    rows = [row | {"chosen": f"- {row['chosen']}\n- And so on!"} for row in pairs(200)]
    assert {"pair-artifacts", "length"} <= names(audit(write(tmp_path / "x", rows)), "alarm")


def test_a_rule_of_wording_is_told(tmp_path, pairs, write):
    rows = [row | {"chosen": f"{row['chosen']} thanks.", "rejected": f"{row['rejected']} hello."} for row in pairs(200)]
    assert "wording" in names(audit(write(tmp_path / "x", rows)))


def test_a_reward_tells_margins(tmp_path, pairs, write):
    rows = pairs(30)
    for i, row in enumerate(rows):
        row["chosen" if i < 6 else "rejected"] += " bad"

    def score(records, answers):
        assert all(record["prompt"] for record in records)
        return [-4.0 * answer.endswith("bad") for answer in answers]

    found = audit(write(tmp_path / "x", rows), score=score, scored=1000)
    assert "opposed-reward" in names(found, "alarm")
    margins = found["margins"]["reward"]
    assert (margins["pairs"], margins["opposed"], margins["strongly_opposed"]) == (30, 6, 6)
    assert margins["obvious"] == 0.8
    assert "no score" not in told(found)
    assert audit(tmp_path / "x", score=score, scored=10)["margins"]["reward"]["pairs"] == 10


def test_what_a_reward_does_not_score_is_told_and_ties_are_not_asked(tmp_path, pairs, write):
    rows = [*pairs(6), *(row | {"grade": 0} for row in pairs(3, seed=1))]
    path = write(tmp_path / "x", rows)
    sides = {row[side]: side for row in rows for side in ("chosen", "rejected")}

    def score(records, answers):
        ones = [float(sides[answer] == "chosen") for answer in answers]
        return [np.nan, np.nan, *ones[2:]]

    found = audit(path, score=score)
    assert (found["margins"]["reward"]["pairs"], found["margins"]["reward"]["unscored"]) == (4, 2)
    assert "The reward gave 2 pairs more no score." in told(found)
    none = audit(path, score=lambda records, answers: [np.nan] * len(answers))
    assert "The reward gave 6 pairs more no score." in told(none)


def test_two_pairs_raise_no_alarm(tmp_path, pairs, write):
    rows = [row | {"chosen": f"{row['chosen']} And so on.", "meta": {"order": [0, 1]}} for row in pairs(2)]
    rows[0]["facts"] = [rows[0]["rejected"]]
    found = audit(write(tmp_path / "x", rows))
    assert not names(found, "alarm")
    assert not names(found) & {"length", "position", "wrong-answers-win"}


def test_right_answers_that_lose_raise_an_alarm(tmp_path, pairs, write):
    rows = [row | {"facts": [row["rejected" if i < 28 else "chosen"]]} for i, row in enumerate(pairs(40))]
    assert "wrong-answers-win" in names(audit(write(tmp_path / "x", rows)), "alarm")


def test_refused_rows_of_the_evaluation_are_told(tmp_path, pairs, write):
    held = write(tmp_path / "held", [*pairs(2), {"prompt": "bad"}, {"prompt": "bad"}])
    found = audit(write(tmp_path / "x", pairs(3, seed=1)), eval_path=held)
    assert found["eval"]["refused"] == {"missing field": 2}
    assert "2 records, 2 refused (missing field), 2 prompts" in told(found)


def test_last_words_are_found_after_many_others(tmp_path, pairs, write, monkeypatch):
    monkeypatch.setattr("prefjax.audit.table._EDGES", 50)
    rows = pairs(300)
    for row in rows[150:]:
        row["chosen"] += " thanks."
    found = audit(write(tmp_path / "x", rows))
    assert {"last word: thanks."} <= {mark["mark"] for mark in found["artifacts"] if mark["p"] < 0.01}
    assert found["edges_dropped"] > 0
    assert "rarest were forgotten" in told(found)


def test_bad_settings_and_files(tmp_path, pairs, write):
    path = write(tmp_path / "x", pairs(2))
    for knobs, message in (
        ({"layout": "table"}, "layout: expected one of pairs, hh"),
        ({"layout": "hh", "prompt": "q"}, "knows its fields, got prompt"),
        ({"promt": "q"}, "did you mean 'prompt'"),
        ({"max_length": 5}, "give a tokenizer too"),
        ({"sample": -1}, "sample: expected at least 1, got -1"),
        ({"scored": 0}, "scored: expected at least 1, got 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            audit(path, **knobs)
    empty = write(tmp_path / "empty", [{"prompt": "p", "chosen": "a"}])
    with pytest.raises(DataError, match=r"no usable pairs\n.*empty:1: rejected: missing field"):
        audit(empty)
    with pytest.raises(DataError, match=r"empty: no usable pairs\n.*empty:1: rejected: missing field"):
        audit(path, eval_path=empty)
    assert audit(path)["classifiers"] is None  # and two pairs are enough for the rest


def test_of_hh_nearly_all_pairs_share_their_prompt(real_data):
    found = audit(real_data / "hh_harmless_test/harmless-base_test.jsonl.gz", layout="hh")
    assert found["form"]["refused"] == {"prompts differ": 5, "empty or blank answer": 4}
    assert "The sides share their prompt in 99.8 % of 2,312 rows." in told(found)
    assert "The shorter answer wins in 56.0 %" in told(found)
    marks = {mark["mark"]: mark for mark in found["artifacts"] if mark["p"] < 0.01}
    assert marks["refusal in the opening"]["odds"] > 2  # harmless answers decline


def test_of_pandalm_repeats_and_a_cycle(real_data):
    found = audit(real_data / "pandalm_test/pandalm_testset.jsonl.gz", layout="pandalm")
    assert (found["ties"], found["repeats"]["exact"], found["cycles"]["number"]) == (84, 100, 1)
    assert {"duplicates", "split-inflation"} <= names(found, "alarm")
    assert "A ranker of words reaches 8" in told(found)
    assert found["position"]["low"] < 0.5 < found["position"]["high"]


def test_of_ultrafeedback_the_gaps_of_its_grades(real_data):
    folder = real_data / "ultrafeedback_slice"
    found = audit(folder / "train.jsonl.gz", layout="ultrafeedback", eval_path=folder / "eval.jsonl.gz")
    grades = found["margins"]["grades"]
    assert grades["counts"] == {"-3": 0, "-2": 0, "-1": 0, "0": 110, "1": 384, "2": 298, "3": 202}
    assert found["margins"]["scores"]["quantiles"][2] == 1.5
    assert {"hard-scores", "grades"} <= names(found)
    assert found["eval"]["prompts"] == 199
    assert "leakage" not in names(found)


def test_of_oasst_the_lengths_of_its_rankings(real_data):
    found = audit(real_data / "oasst_rankings/ranked_groups.jsonl.gz", layout="oasst")
    assert found["rankings"] == {"2": 57, "3": 117, "4": 27, "5": 3, "6": 6, "8": 1, "9": 1}
    assert (found["records"], found["pairs"], found["cycles"]["number"]) == (212, 754, 0)
    assert found["length"]["words"]["longer_wins"]["low"] > 0.6
    assert "split-inflation" in names(found, "alarm")


def test_estimates_in_words():
    assert within({"mean": 0.5, "low": -0.1, "high": 1.2}) == "50.0 % [0.0 %, 100.0 %]"
    assert within({"mean": -0.95, "low": -1.0, "high": 1.2}, "{:.2f}".format) == "-0.95 [-1.00, 1.20]"
    assert within({"mean": None, "low": None, "high": None}) == "-"
