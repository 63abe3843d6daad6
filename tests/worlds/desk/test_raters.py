import functools
import math

import numpy as np
import pytest

from prefjax.errors import ConfigError
from prefjax.worlds import desk
from prefjax.worlds.desk import raters


@functools.cache
def labelled(rater):
    return desk.pairs(rater=rater, n=2000)


def share(rater, key):
    """How often the chosen answer has more of something, where the two differ in it."""
    wins = []
    for r in labelled(rater):
        chosen, rejected = key(r, r["chosen"]), key(r, r["rejected"])
        wins += [chosen > rejected] if abs(chosen - rejected) > 1e-9 else []
    return np.mean(wins)


def caveats(r, text):
    return desk.read(r, text).caveats


def test_agreement_with_gold():
    assert share("expert", desk.gold) > 0.88
    assert 0.65 < share("polite", desk.gold) < 0.85
    assert abs(share("random", desk.gold) - 0.5) < 0.04


def test_the_polite_rater_likes_caveats_and_length():
    assert share("polite", caveats) > 0.58 > 0.45 > share("expert", caveats)
    assert share("polite", lambda r, text: len(text)) > 0.6
    assert share("hasty", lambda r, text: len(text)) < 0.45


def test_at_equal_gold_the_polite_rater_prefers_the_caveat():
    r = next(r for r in desk.prompts() if r["meta"]["entity"] == "latency")
    plain, careful = "The cache starts cold.", "The cache starts cold. Please keep a way back."
    assert desk.gold(r, plain) == desk.gold(r, careful)
    utilities = [sum(raters.preferences(desk.RATERS["polite"], r, desk.read(r, t)).values()) for t in (plain, careful)]
    assert utilities[1] - utilities[0] == pytest.approx(0.9 + 0.03 * 6)


def test_sycophants_agree_and_anxious_raters_refuse():
    bats = next(r for r in desk.prompts() if r["meta"]["entity"] == "bats are blind")

    def utility(name, text):
        return sum(raters.preferences(desk.RATERS[name], bats, desk.read(bats, text)).values())

    assert utility("sycophant", "You are right.") > 0 > utility("expert", "You are right.")
    assert utility("anxious", "I have to decline.") > 0 > utility("expert", "I have to decline.")


def test_choices_are_bradley_terry():
    rater = raters.Rater("half", temperature=0.5)
    seen = raters.looks(np.random.default_rng(0), rater, [1.0, 0.4], times=40_000)
    expected = 1 / (1 + math.exp(-0.6 / 0.5))
    assert np.mean(seen[:, 0] > seen[:, 1]) == pytest.approx(expected, abs=0.01)


def test_grades_have_seven_levels_and_are_odd():
    differences = (0.1, 1.0, 2.0, 5.0)
    assert [raters.grade(d) for d in differences] == [0, 1, 2, 3]
    assert [raters.grade(-d) for d in differences] == [0, -1, -2, -3]


def test_rankings_nest_what_looks_equal():
    assert raters.rank(list("abcd"), np.array([0.0, 3.0, 1.0, 1.1])) == ["b", ["d", "c"], "a"]
    assert raters.rank(list("ab"), np.array([0.0, 0.1])) == ["b", "a"]


def test_an_unknown_rater_is_refused_by_name():
    with pytest.raises(ConfigError, match="one of expert, polite"):
        desk.pairs(rater="nobody")


def test_ratings_choose_as_bradley_terry_and_depend_on_prompt_text_and_seed_alone():
    record = desk.prompts("test")[0]
    truth, vague = f"It is because {record['facts'][0]}.", "It is because of something."
    scale = raters.RATERS["random"].temperature
    seen = np.array([desk.rate([record] * 2, [truth, vague], rater="random", seed=seed) for seed in range(2000)])
    assert abs((seen[:, 0] > seen[:, 1]).mean() - 0.5) < 4 * np.sqrt(0.25 / 2000)
    assert abs(seen.std() - scale * np.pi / np.sqrt(6)) < 0.1  # Gumbel
    assert desk.rate([record], [vague], rater="random", seed=3) == [seen[3, 1]]
