"""Where objectives come to rest: derived, and reached."""

import numpy as np
import pytest

from experiments.closed_form import objectives
from prefjax.worlds import bandit, exact

QUICK = ("dpo_loss", "plackett_luce_dpo_loss", "f_dpo_loss, js", "ipo_loss", "bco_loss", "cpo_loss, nll 0")
ELSEWHERE = sorted(objectives.ELSEWHERE, key=lambda name: name != "lipo_loss")
SLOW = [name for name in objectives.AT_REST if name not in QUICK]


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_it_comes_to_rest_where_it_should(name):
    objective = objectives.AT_REST[name]
    assert exact.total_variation(objectives.reached(objective), objective.rest) < 1e-5


@pytest.mark.parametrize("name", [*ELSEWHERE[:1], *(pytest.param(n, marks=pytest.mark.slow) for n in ELSEWHERE[1:])])
def test_what_rests_elsewhere_does(name):
    objective = objectives.ELSEWHERE[name]
    assert exact.total_variation(objectives.reached(objective), objectives.OPTIMUM) > 0.004


def test_the_optimum_under_a_divergence_maximises_reward_less_its_price():
    """Against other policies, for the Jensen-Shannon divergence: f(u) = u log u - (1 + u) log((1 + u) / 2)."""

    def worth(policy):
        u = policy / bandit.REFERENCE
        return policy @ objectives.REWARDS - bandit.REFERENCE @ (u * np.log(u) - (1 + u) * np.log((1 + u) / 2))

    rest = objectives.AT_REST["f_dpo_loss, js"].rest
    others = np.random.default_rng(0).dirichlet(rest * 200, 2000)
    assert worth(rest) > max(map(worth, others)) > worth(rest) - 1e-3


def test_judgements_are_whole():
    assert objectives.RANKED.sum() == pytest.approx(1)
    np.testing.assert_allclose(objectives.WINS + objectives.WINS.T, 1)
