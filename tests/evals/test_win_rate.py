"""The win rate: what it counts, what it compares with, and judges that must gain nothing."""

import json
import logging
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefjax import models
from prefjax.data import load
from prefjax.errors import ConfigError, DataError
from prefjax.evals import completions, win_rate
from prefjax.evals.completions import Completion
from prefjax.evals.stats import wilson
from prefjax.evals.summary import mean, metrics, summarise
from prefjax.types import Setup
from prefjax.worlds import desk

SOURCE = "prefjax.worlds.desk:pairs(split='test', n=100)"
GOLD = "gold(function='prefjax.worlds.desk:judge', key='gold')"
HERE = "tests.evals.test_win_rate"
DEFAULTS = (1, 64, 1.0, 64)  # n, max_new, temperature, batch_size
KEY = jax.random.key(0)


def first(prompt, a, b):
    return "A"


def longer(prompt, a, b):
    return "tie" if len(a) == len(b) else "A" if len(a) > len(b) else "B"


def garbage(prompt, a, b):
    return "invalid"


def sometimes(prompt, a, b):
    return "invalid" if "?" in a + b else longer(prompt, a, b)


def a_run(policy, reference=None, source=SOURCE, n=1):
    """A run whose models write what is given, `n` texts to a record."""
    limit = len(policy) // n
    records, asked = load.records(source, limit), (source, limit, n, *DEFAULTS[1:])
    shared = {}
    for name, texts in (("policy", policy), ("reference", reference)):
        if texts is not None:
            written = [
                Completion(at // n, records[at // n], text, 1, True, None)  # ty: ignore[invalid-argument-type]
                for at, text in enumerate(texts)
            ]
            shared[name, *asked] = lambda params, key, written=written: written
    nets = {name: None for name, *_ in shared}
    return Setup(**{name: None for name in Setup._fields} | {"shared": shared, "nets": nets})


def evaluated(policy, reference=None, judge=GOLD, n=1, **knobs):
    knobs = {"source": SOURCE, "limit": len(policy) // n, "n": n, "resamples": 50} | knobs
    run = a_run(policy, reference, knobs["source"], n)
    return win_rate.make(run, judge=judge, **knobs)(SimpleNamespace(params=None), {"reference": None}, KEY)


def good(count):
    """Varied answers of the world, the best of eight."""
    records = load.records("prefjax.worlds.desk:pairs(split='test', n=100, label='ranking', candidates=8)", count)
    texts = [[text for rank in r["ranking"] for text in ([rank] if isinstance(rank, str) else rank)] for r in records]
    return [max(all8, key=lambda text, r=r: desk.gold(r, text)) for r, all8 in zip(records, texts, strict=True)]


def test_rows_say_who_won_and_the_means_are_theirs():
    policy, other = ["long", "ss", "same", "what?"], ["s", "long", "same", "s"]
    found = evaluated(policy, other, f"{HERE}:sometimes")
    assert [row["verdict"] for row in found["samples"]] == ["win", "loss", "tie", "invalid"]
    assert [row["win_rate"] for row in found["samples"]] == [1, 0, 0.5, None]
    assert [row["said"] for row in found["samples"][:2]] == [["A", "B"], ["B", "A"]]
    assert [row["baseline"] for row in found["samples"]] == other
    assert [row["longer_by"] for row in found["samples"]] == [3, -2, 0, 4]
    assert {name: mean(value) for name, value in metrics(found).items()} == pytest.approx(
        {"win_rate": 0.5, "ties": 1 / 3, "position_flips": 0, "invalid": 1 / 4, "longer_by": 5 / 4}
        | {"win_rate_lc": found["win_rate_lc"].mean}
    )
    for name, value in metrics(found).items():
        if name != "win_rate_lc":
            rows = [row[name] for row in found["samples"] if row[name] is not None]
            assert mean(value) == pytest.approx(np.mean(rows))
    assert found["invalid"] == wilson(1, 4)
    json.dumps(found["samples"])
    summary = summarise({"judged": found})["judged"]
    assert summary["win_rate"]["n"] == 3 and summary["win_rate"]["low"] == found["win_rate"].low
    assert set(summary["win_rate"]["slices"]) <= {row["slice"] for row in found["samples"]}


def test_a_judge_of_positions_alone_scores_half():
    found = evaluated([f"a{i}" for i in range(30)], [f"b{i}" for i in range(30)], f"{HERE}:first")
    assert found["win_rate"] == wilson(15, 30)  # thirty ties do not prove that two are equal
    assert (found["position_flips"].mean, found["ties"].mean) == (1, 1)
    assert found["win_rate_lc"].mean == pytest.approx(0.5)


def test_a_judge_of_length_alone_scores_half_at_equal_length():
    rng, found = np.random.default_rng(0), []
    for _ in range(3):  # the policy writes longer by one standard deviation
        policy, other = (["x" * int(n) for n in rng.normal(m, 85, 1000).clip(1)] for m in (620, 500))
        judged = evaluated(policy, other, f"{HERE}:longer", source="prefjax.worlds.desk:pairs(n=1000)")
        assert judged["win_rate"].mean > 0.8
        found.append(judged["win_rate_lc"].mean)
    assert np.mean(found) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("constant", ["Yes.", "I can not help with that, and I am sorry that I can not. " * 3])
def test_a_constant_answer_wins_next_to_nothing_against_varied_good_ones(constant):
    texts = good(100)
    assert len(set(texts)) > 80
    found = evaluated([constant] * 100, texts)
    assert found["win_rate"].mean <= 0.05
    assert found["win_rate_lc"].mean <= 0.05


def test_garbage_is_invalid_and_never_scored(caplog):
    with caplog.at_level(logging.WARNING):
        found = evaluated(["a"] * 8, ["b"] * 8, f"{HERE}:garbage")
    assert set(metrics(found)) == {"invalid", "longer_by"}
    assert found["invalid"].mean == 1 and found["invalid"] == wilson(8, 8)
    assert "no verdict on any of 8 comparisons" in caplog.text
    assert {row["win_rate"] for row in found["samples"]} == {None}


@settings(max_examples=30)
@given(st.lists(st.tuples(st.text("ab?", max_size=3), st.text("ab?", max_size=3)), min_size=1, max_size=12))
def test_what_one_wins_the_other_loses(pairs):
    mine, theirs = ([*side] for side in zip(*pairs, strict=True))
    there, back = (evaluated(*sides, f"{HERE}:sometimes") for sides in ((mine, theirs), (theirs, mine)))
    assert there["invalid"] == back["invalid"]
    for name in ("win_rate", "win_rate_lc"):
        assert name not in there or there[name].mean + back[name].mean == pytest.approx(1, abs=1e-6)


def test_wilson_without_ties_and_otherwise_by_prompt():
    policy, other = ["aa"] * 12 + ["a"] * 8, ["a"] * 12 + ["aa"] * 8
    assert evaluated(policy, other, f"{HERE}:longer")["win_rate"] == wilson(12, 20)
    of_four = evaluated(policy, other, f"{HERE}:longer", n=4)["win_rate"]  # 3 prompts won and 2 lost
    assert of_four.mean == 0.6 and of_four != wilson(12, 20)
    assert of_four.high - of_four.low > 1.5 * np.ptp(wilson(12, 20)[1:])


def test_against_the_chosen_side_and_against_texts(tmp_path):
    pairs, mine = load.records(SOURCE, 6), good(6)
    chosen = evaluated(mine, against="chosen")
    assert [row["baseline"] for row in chosen["samples"]] == [pair["chosen"] for pair in pairs]
    file = tmp_path / "texts.jsonl"
    written = [{"prompt": pair["prompt"], "response": pair[side]} for pair in pairs for side in ("rejected", "chosen")]
    file.write_text("".join(json.dumps(row) + "\n" for row in written))
    for against in (str(file), f"demos(path={str(file)!r})"):
        found = evaluated([text for text in mine for _ in range(3)], n=3, against=against)
        sides = [pair[side] for pair in pairs for side in ("rejected", "chosen", "rejected")]
        assert [row["baseline"] for row in found["samples"]] == sides
    rankings = "prefjax.worlds.desk:pairs(split='test', n=6, label='ranking')"
    ranked = evaluated(mine, source=rankings, against="chosen")
    bests = [record["ranking"][0] for record in load.records(rankings, 6)]
    assert [row["baseline"] for row in ranked["samples"]] == [b if isinstance(b, str) else b[0] for b in bests]
    file.write_text(json.dumps(written[0]) + "\n")
    with pytest.raises(DataError, match="no text for 5 of 6 prompts, such as"):
        evaluated(mine, against=str(file))


@pytest.mark.parametrize(
    ("knobs", "error", "message"),
    [
        ({}, ConfigError, "frozen.reference is not set; name it, or say against='chosen' or a file"),
        ({"against": "nowhere.jsonl"}, DataError, "nowhere.jsonl: no such file"),
        ({"judge": "glod()", "against": "chosen"}, ConfigError, "no 'glod' in prefjax.judges"),
        (
            {"against": "chosen", "source": "prefjax.worlds.desk:prompts(split='test')"},
            DataError,
            "have no chosen side",
        ),
    ],
)
def test_mistakes_are_one_message(knobs, error, message):
    with pytest.raises(error, match=message):
        evaluated(["a"] * 2, **knobs)


def test_a_policy_against_the_reference_that_it_is_ties_without_a_question():
    tokenizer = desk.tokenizer()
    net = models.llama(vocab=tokenizer.vocab_size, width=16, layers=1, heads=2)
    params, empty = models.init(net, KEY), {name: None for name in Setup._fields}
    nets = {"policy": net, "reference": net}
    run = Setup(**empty | {"tokenizer": tokenizer, "nets": nets, "shared": {}})
    knobs = {"limit": 6, "n": 2, "max_new": 8, "batch_size": 12}
    evaluate = win_rate.make(run, source=SOURCE, judge=f"{HERE}:garbage", **knobs)
    found = evaluate(SimpleNamespace(params=params), {"reference": params}, KEY)
    assert (found["win_rate"].mean, found["ties"].mean) == (0.5, 1)
    assert (found["invalid"].mean, found["position_flips"].mean) == (0, 0)
    written = completions.completions(run, SOURCE, **knobs)(SimpleNamespace(params=params), KEY)
    assert [row["response"] for row in found["samples"]] == [c.text for c in written]
