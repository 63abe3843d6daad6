"""Ranges and ticks."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefjax.report.axes import axes, spread, ticks
from prefjax.report.charts import Chart, Line


def chart(y, **more):
    return Chart(key=more.pop("key", "kl"), title="t", unit="", lines=[Line("a", "measured", range(len(y)), y)], **more)


@pytest.mark.parametrize("pair", [(0, 1), (-3, 7.3), (0.001, 0.0012), (1e5, 3e6), (-1e-3, 0)])
def test_ticks_are_round_and_within(pair):
    found = ticks(*pair, 5)
    assert 2 <= len(found) <= 8
    assert all(pair[0] - 1e-9 <= tick <= pair[1] + 1e-9 for tick in found)
    steps = {f"{b - a:.6g}" for a, b in pairwise(found)}
    assert len(steps) == 1 and f"{float(steps.pop()):e}"[0] in "125"


def test_a_limit_that_is_near_is_drawn_and_one_that_is_far_flattens_nothing():
    near = axes(chart([0.0, 6.0], levels=[(10.0, "budget", "budget")]))
    far = axes(chart([0.0, 0.2], levels=[(10.0, "budget", "budget")]))
    assert near.y[1] > 10 > 1 > far.y[1]


def test_one_number_gaps_and_rounding_have_a_range():
    for y in ([1.0, 1.0 + 1e-12], [float("nan"), 2.0], [5.0], [float("nan")]):
        low, high = axes(chart(y, key="reward")).y
        assert math.isfinite(low) and high - low > 1e-3


def test_shares_stay_within_0_and_100():
    found = axes(chart([0.0, 1.0], key="refusal", percent=True))
    assert found.y[0] == 0 and found.y[1] <= 1.04
    assert max(found.y_ticks) == 1


@given(st.lists(st.floats(0, 100), max_size=7))
def test_names_are_kept_apart_in_their_order(wanted):
    places = spread(wanted, 12, 0, 100)
    pairs = sorted(zip(wanted, places, strict=True))
    assert all(b[1] - a[1] >= 12 - 1e-9 for a, b in pairwise(pairs))
    assert all(place >= -1e-9 and place <= 100 + 1e-9 for place in places)


def test_names_that_have_room_stay_where_they_are():
    assert spread([10, 50, 30], 12, 0, 100) == pytest.approx([10, 50, 30])
