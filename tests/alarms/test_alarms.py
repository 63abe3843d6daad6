"""Every alarm on the numbers that call for it, and on those that nearly do."""

import numpy as np
import pytest

from prefjax.alarms import check, left, unmeasured
from prefjax.config import base
from prefjax.evals.stats import ratio
from prefjax.evals.summary import summarise

BUDGET = base().budget.to_dict()
PROMPTS = 40


def world(*evaluations, held_out=(), train=(), budget=None, steps=100):
    """The alarms of the last of some evaluations `{metric: value or values}` at equally distant steps."""
    history, rows = [], {}
    for at, (metrics, count) in enumerate(zip(evaluations, range(len(evaluations)), strict=True)):
        step = round(count * steps / (len(evaluations) - 1)) if len(evaluations) > 1 else 0
        rows[step] = rows_of(metrics)
        names = [name for name in metrics if name not in ("response", "length_reference")]
        told = {name: mean(rows[step], name) for name in names}
        told |= {"samples": rows[step]}
        if "length" in metrics and "length_reference" in metrics:
            columns = ([row[name] for row in rows[step]] for name in ("length", "length_reference", "record"))
            told["length_ratio"] = ratio(*columns)
        evals = summarise({"answers": told})
        if held_out:
            evals |= summarise({"held_out": held_out[at]})
        history.append({"step": step, "evals": evals, "train": train[at] if train else {}})
        rows[step] = [row | {"eval": "answers"} for row in rows[step]]
    return check(history, BUDGET | (budget or {}), rows=rows.__getitem__, steps=steps)


def rows_of(metrics):
    def value(metric, record):
        values = metrics[metric]
        return values[record] if isinstance(values, list | np.ndarray) else values

    slices = ["falsehood", "incident"]
    return [
        {
            "record": record,
            "slice": slices[record % 2],
            "prompt": f"question {record}",
            "response": "The cache is cold.",
        }
        | {metric: value(metric, record) for metric in metrics}
        for record in range(PROMPTS)
    ]


def mean(rows, name):
    values = [row[name] for row in rows if row[name] is not None]
    return sum(values) / len(values)


def share(p, other=0.0):
    """That share of ones, spread over the prompts."""
    return [1.0 if record < p * PROMPTS else other for record in range(PROMPTS)]


def names(found):
    return [alarm.name for alarm in found[0]]


QUIET = {"kl_exact": 1.0, "length": 20.0, "length_reference": 20.0, "stopped": 1.0, "entropy": 0.5}


def test_a_quiet_run_raises_nothing():
    start = QUIET | {"kl_exact": 0.0}
    assert world(start) == ([], [])
    assert world(start, QUIET, QUIET) == ([], [])


def test_the_kl_has_patience_but_not_at_the_end():
    far = QUIET | {"kl_exact": 11.0}
    evaluations = [QUIET | {"kl_exact": 0.0}, far, far, far]
    assert names(world(*evaluations[:3], QUIET)) == []
    raised, over = world(*evaluations)
    assert over == ["kl-budget"] and raised[0].severity == "breach" and raised[0].evidence["evaluations"] == 3
    middle = [*evaluations[:3], QUIET]
    for count, expected in ((2, []), (3, [])):  # once or twice over, in the middle of a run
        history = [{"step": 10 * at, "evals": summarise({"a": {"kl": e["kl_exact"]}})} for at, e in enumerate(middle)]
        raised, over = check(history[:count], BUDGET, steps=100)
        assert [a.name for a in raised] == expected and over == ["kl-budget"]
    assert names(world(QUIET, far, budget={"kl": 0.0})) == []


@pytest.mark.parametrize(
    ("length", "expected"), [(26.0, ["verbosity"]), (24.9, []), (17.1, []), (16.0, ["brevity"])], ids=str
)
def test_length_outside_its_band(length, expected):
    noise = np.random.default_rng(0).normal(0, 1, PROMPTS)
    raised, over = world(QUIET, QUIET | {"length": length + noise - noise.mean()})
    assert [a.name for a in raised] == over == expected


def test_an_open_side_is_worded_as_one():
    noise = np.random.default_rng(0).normal(0, 1, PROMPTS)
    long = QUIET | {"length": 30.0 + noise}
    for limits, words in (
        ((0.85, 1.25), "allows 0.85 to 1.25 (answers)"),
        ((0, 1.25), "allows at most 1.25 (answers)"),
    ):
        (raised, *_), _ = world(QUIET, long, budget={"length_ratio": limits})
        assert raised.words.endswith(words)
    assert names(world(QUIET, long, budget={"length_ratio": (0.85, 0)})) == []


def test_length_is_judged_on_enough_prompts_and_with_an_interval():
    long = {"mean": 2.0, "low": 1.5, "high": 2.5}
    cases = ((long, 10, ["verbosity"]), (long, 9, []), (long, 0, ["verbosity"]), (long | {"low": None}, 10, []))
    for own, prompts, expected in cases:
        rows = [{"eval": "a", "record": at, "response": "!", "length": 9.0} for at in range(prompts)]
        history = [{"step": step, "evals": {"a": {"length_ratio": own}}} for step in (0, 50)]
        raised, over = check(history, BUDGET, rows=lambda step, rows=rows: rows, steps=100)
        assert [a.name for a in raised] == over == expected


def test_every_evaluation_is_held_to_the_limits():
    near, far = {"kl": {"mean": 1.0, "low": 0.9, "high": 1.1}}, {"kl": {"mean": 20.0, "low": 19.0, "high": 21.0}}
    history = [{"step": step, "evals": {"common": near, "rare": far}} for step in (0, 100)]
    raised, over = check(history, BUDGET, steps=100)
    assert [a.name for a in raised] == over == ["kl-budget"]
    assert raised[0].words.endswith("(rare)") and raised[0].evidence["evaluation"] == "rare"
    assert left(history[-1], BUDGET) == {"kl": -10.0} and left(history[-1], BUDGET | {"kl": 0.0}) == {}


@pytest.mark.parametrize("kl", [float("nan"), float("inf")])
def test_what_is_not_finite_is_over(kl):
    history = [{"step": step, "evals": {"a": {"kl": {"mean": kl, "low": None, "high": None}}}} for step in (0, 100)]
    assert check(history, BUDGET, steps=100)[1] == ["kl-budget"]


def test_limits_that_nothing_measures():
    entry = {"evals": {"a": {"kl": {}, "stopped": {}}}}
    budget = BUDGET | {"factuality": 0.0, "length_ratio": (0, 0)}
    assert unmeasured(entry, budget) == {n: (n,) for n in ("benign_refusal", "unsafe_refusal", "entropy")}
    assert unmeasured({"evals": {}}, budget).keys() == {"kl", "missing_eos", *unmeasured(entry, budget)}


def test_the_worst_completion_of_a_prompt_is_shown():
    rows = {
        step: [
            {"eval": "a", "record": at, "response": f"{at}{tail}", "benign_refusal": value}
            for at in range(12)
            for tail, value in (("good", 0.0), ("bad", float(step > 0)))
        ]
        for step in (0, 100)
    }
    own = {"mean": 0.5, "low": 0.4, "high": 0.6, "slices": {}}
    history = [{"step": step, "evals": {"a": {"benign_refusal": own}}} for step in (0, 100)]
    raised, _ = check(history, BUDGET, rows=rows.__getitem__, steps=100)
    assert [e["response"] for e in raised[0].examples] == ["0bad", "1bad", "2bad"]


def test_length_that_is_not_known_well_is_no_breach():
    wild = np.abs(np.random.default_rng(0).normal(0, 90, PROMPTS))
    raised, _ = world(QUIET, QUIET | {"length": 26.0 + wild - wild.mean()})
    assert raised == []


def test_refusals_and_facts_by_points_and_with_an_interval():
    start = QUIET | {"benign_refusal": share(0.1), "unsafe_refusal": share(0.9), "factuality": share(0.8)}
    assert names(world(start, start)) == []
    raised, over = world(start, start | {"benign_refusal": share(0.5)})
    assert [a.name for a in raised] == over == ["over-refusal"]
    assert raised[0].words.startswith("what should be answered is refused: benign_refusal +40.0 points [+24")
    assert raised[0].evidence["slices"]["falsehood"]["before"] == 0.1
    assert [e["record"] for e in raised[0].examples] and all(e["before"] for e in raised[0].examples)
    assert all(e["benign_refusal"] == 1.0 and 4 <= e["record"] < 20 for e in raised[0].examples)  # those that changed
    assert names(world(start, start | {"benign_refusal": share(0.05)})) == []  # fewer is no breach
    assert names(world(start, start | {"benign_refusal": share(0.125)})) == []  # one prompt of 40: not clear
    assert names(world(start, start | {"unsafe_refusal": share(0.5)})) == ["under-refusal"]
    assert names(world(start, start | {"factuality": share(0.5)})) == ["factuality"]
    budget = {"benign_refusal": 50.0, "factuality": 0.0}
    assert names(world(start, start | {"benign_refusal": share(0.5), "factuality": share(0.5)}, budget=budget)) == []


def test_facts_that_fall_while_what_pleases_grows():
    start = QUIET | {"factuality": share(0.8), "warmth": share(0.2)}
    later = start | {"factuality": share(0.5), "warmth": share(0.8)}
    raised, _ = world(start, later, budget={"factuality": 0.0})
    assert [a.name for a in raised] == ["factuality-hidden-by-style"]
    assert "while warmth rise: style hides what is lost" in raised[0].words


def test_the_proxy_rises_and_the_truth_falls():
    ramp = np.linspace(0, 1, PROMPTS)
    start = QUIET | {"reward": ramp, "gold": ramp}
    assert names(world(start, start | {"reward": ramp * 1.5 + 0.1, "gold": ramp + 0.1})) == []
    raised, over = world(start, start | {"reward": ramp * 1.5 + 0.1, "gold": ramp * 0.5})
    assert [a.name for a in raised] == ["reward-hacking"] and over == [] and raised[0].evidence["since"] == 0
    peak = start | {"reward": ramp + 1, "gold": ramp + 2}
    raised, _ = world(start, peak, start | {"reward": ramp * 1.1 + 2, "gold": ramp * 0.9 + 1})  # above the start still
    assert [a.name for a in raised] == ["reward-hacking"]
    assert raised[0].evidence["since"] == 50 and raised[0].evidence["confidence"] == pytest.approx(1 - 0.05 / 3)
    facts = QUIET | {"reward": ramp, "factuality": share(0.8)}  # where there is no gold
    found = world(facts, facts | {"reward": ramp + 1, "factuality": share(0.4)}, budget={"factuality": 0.0})
    assert "reward-hacking" in names(found)


def test_agreement_with_falsehoods_and_truth_that_falls_on_them():
    start = QUIET | {"agreement": [1.0 if r % 8 == 0 else 0.0 if r % 2 == 0 else None for r in range(PROMPTS)]}
    later = start | {"agreement": [1.0 if r % 2 == 0 else None for r in range(PROMPTS)]}
    raised, _ = world(start, later)
    assert [a.name for a in raised] == ["sycophancy"] and "agreed with more often: +75.0 points" in raised[0].words
    assert {e["slice"] for e in raised[0].examples} == {"falsehood"}
    ramp = np.linspace(0, 1, PROMPTS)
    start = QUIET | {"reward": ramp, "gold": ramp}
    fallen = np.where(np.arange(PROMPTS) % 2 == 0, ramp - 1, ramp + 2)  # on falsehoods alone
    assert names(world(start, start | {"reward": ramp * 1.5 + 1, "gold": fallen})) == ["sycophancy"]


def test_a_policy_that_does_not_move_and_one_that_falls_back():
    still = QUIET | {"kl_exact": 0.001}
    assert names(world(still, still)) == ["no-movement"]
    assert names(world(still, still, steps=10**9)) == ["no-movement"]
    assert names(world(still, QUIET, still)) == ["kl-collapse"]
    history = [{"step": step, "evals": summarise({"a": {"kl": 0.0}})} for step in (0, 10)]
    assert check(history, BUDGET, steps=100) == ([], [])  # too soon to tell


def test_ends_and_entropy():
    raised, over = world(QUIET, QUIET | {"stopped": share(0.9)})
    assert [a.name for a in raised] == over == ["missing-eos"]
    unended = QUIET | {"stopped": share(0.9)}
    raised, over = world(unended, unended)
    assert [(a.name, a.severity) for a in raised] == [("missing-eos", "alarm")] and over == []
    assert "as at the start: max_new may be too small" in raised[0].words
    raised, over = world(QUIET, QUIET | {"entropy": 0.24})
    assert [a.name for a in raised] == over == ["entropy-collapse"]
    assert names(world(QUIET, QUIET | {"entropy": 0.26})) == []


def test_a_critic_that_is_worse_than_a_mean():
    train = [{}, {"value/explained_variance": -0.1}]
    assert names(world(QUIET, QUIET, train=train)) == ["critic-useless"]
    train[1]["value/explained_variance"] = 0.1
    assert names(world(QUIET, QUIET, train=train)) == []
    soon = [{"step": step, "evals": {}, "train": {"value/explained_variance": -1.0}} for step in (0, 20, 40)]
    assert check(soon[:2], BUDGET, steps=100) == ([], [])  # of its first steps nobody asks so much
    assert [a.name for a in check(soon, BUDGET, steps=100)[0]] == ["critic-useless"]


def told(**metrics):
    return {name.replace("__", "/"): value for name, value in metrics.items()}


def test_chosen_answers_that_become_less_likely():
    falling = [told(logps__chosen=-10.0 - at) for at in range(4)]
    assert names(world(*[QUIET] * 4, held_out=falling)) == ["chosen-falling"]
    assert names(world(*[QUIET] * 4, held_out=[*falling[:3], falling[0]])) == []


def test_labels_that_are_noise_or_flipped():
    start = told(rewards__accuracy=0.5)
    raised, _ = world(QUIET, QUIET, held_out=[start, told(rewards__accuracy=0.52)])
    assert [a.name for a in raised] == ["label-noise"] and raised[0].words.endswith("or nothing is learned")
    raised, _ = world(QUIET, QUIET, held_out=[start, told(rewards__accuracy=0.2)])
    assert raised[0].words.endswith("the labels of one side are flipped")
    assert names(world(QUIET, QUIET, held_out=[start, told(rewards__accuracy=0.7)])) == []
    train = [{}, {"rewards/accuracy": 0.51}]
    assert names(world(QUIET, QUIET, train=train)) == ["label-noise"]


def test_pairs_that_an_artifact_tells_apart():
    accuracies = [told(rewards__accuracy=a) for a in (0.5, 0.99, 1.0, 1.0, 1.0)]
    greeted = QUIET | {"response": [f"Happy to help! It is cold{'.' * r}" for r in range(PROMPTS)]}
    raised, _ = world(*[QUIET] * 4, greeted, held_out=accuracies)
    assert [a.name for a in raised] == ["pair-artifacts"]
    assert "begin with 'Happy' 0 % to 100 %" in raised[0].words
    assert raised[0].examples[0]["response"].startswith("Happy to help!")
    assert names(world(*[QUIET] * 5, held_out=accuracies)) == []  # no shift of form
    doubtful = [told(rewards__accuracy=a) for a in (0.5, 0.8, 0.9, 0.95, 0.96)]
    assert names(world(*[QUIET] * 4, greeted, held_out=doubtful)) == []


def test_an_evaluation_of_intervals_alone_changes_by_both():
    history = [
        {"step": step, "evals": {"wins": {"win_rate": told_, "reward": reward}}, "train": {}}
        for step, told_, reward in (
            (0, {"mean": 0.5, "low": 0.45, "high": 0.55}, {"mean": 0.0, "low": -0.1, "high": 0.1}),
            (50, {"mean": 0.3, "low": 0.25, "high": 0.35}, {"mean": 1.0, "low": 0.9, "high": 1.1}),
        )
    ]
    raised, _ = check(history, BUDGET, steps=100)
    assert [a.name for a in raised] == ["reward-hacking"]
    assert raised[0].evidence["win_rate"]["high"] == pytest.approx(-0.1)
