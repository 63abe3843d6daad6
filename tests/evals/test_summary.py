"""Summaries: means and intervals by prompt and by slice, and what has no rows."""

import numpy as np
import pytest

from prefjax.evals.stats import Interval, interval
from prefjax.evals.summary import mean, summarise, told


def rows(values, slices=("a", "b"), n=2):
    return [
        {"record": at // n, "slice": slices[at // n % len(slices)], "prompt": "?", "response": "!", "x": value}
        for at, value in enumerate(values)
    ]


def found(values, **more):
    told = [value for value in values if value is not None]
    return {"x": sum(told) / len(told), "samples": rows(values, **more)}


def test_a_mean_over_rows_has_the_interval_of_its_prompts():
    values = list(np.random.default_rng(0).normal(size=40))
    own = summarise({"e": found(values)})["e"]["x"]
    whole = interval(values, [at // 2 for at in range(40)])
    assert (own["mean"], own["low"], own["high"]) == pytest.approx(tuple(whole)) and own["n"] == 40
    part = [value for at, value in enumerate(values) if at // 2 % 2]
    assert own["slices"]["b"]["mean"] == pytest.approx(np.mean(part)) and own["slices"]["b"]["n"] == 20
    assert own["slices"]["b"]["low"] == pytest.approx(interval(part, [at // 2 for at in range(20)]).low)


def test_rows_a_metric_does_not_apply_to_are_left_out():
    own = summarise({"e": found([1.0, None, 3.0, None, None, None, 5.0, 7.0])})["e"]["x"]
    assert own["mean"] == 4.0 and own["n"] == 4
    assert own["slices"]["a"]["n"] == 1 and own["slices"]["b"]["n"] == 3


def test_a_share_of_none_is_not_known_without_error():
    own = summarise({"e": found([0.0] * 20, n=1)})["e"]["x"]
    assert own["low"] == 0 and own["high"] == pytest.approx(1 - 0.025 ** (1 / 20))
    assert summarise({"e": found([2.5] * 20)})["e"]["x"]["high"] == 2.5  # no share


def test_one_prompt_has_no_interval():
    own = summarise({"e": found([1.0, 3.0, 2.0, 4.0])})["e"]["x"]
    assert own["low"] < own["mean"] and own["slices"]["a"] == {"n": 2, "mean": 2.0, "low": None, "high": None}


def test_rows_may_hold_words_that_no_metric_names():
    told_ = found([1.0, 2.0])
    told_["samples"] = [row | {"why": "good"} for row in told_["samples"]]
    assert list(summarise({"e": told_})["e"]) == ["x"]


def test_slices_are_measured_as_the_whole_is():
    most = lambda rows: {"x": Interval(max(row["x"] for row in rows), 0.0, 9.0)}
    own = summarise({"e": told(rows([1.0, 2.0, 3.0, 4.0]), most)})["e"]["x"]
    assert [own["mean"], own["slices"]["a"]["mean"], own["slices"]["b"]["mean"]] == [4.0, 2.0, 4.0]


def test_what_has_no_rows_has_its_own_interval_or_none():
    own = summarise(
        {"held_out": {"loss": 0.5}, "pairs": {"distinct_2": Interval(0.5, 0.4, 0.6), "samples": rows([1.0])}}
    )
    assert own["held_out"]["loss"] == {"n": None, "mean": 0.5, "low": None, "high": None, "slices": {}}
    assert own["pairs"]["distinct_2"] == {"n": None, "mean": 0.5, "low": 0.4, "high": 0.6, "slices": {}}
    assert mean(Interval(0.5, 0.4, 0.6)) == mean(0.5) == 0.5
