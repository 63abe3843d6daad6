"""Numbers as a reader meets them."""

import math
import re

from hypothesis import given
from hypothesis import strategies as st

from prefjax.report.metrics import METRICS, TASTE, known, moved, moved_between, number, told, with_interval
from prefjax.report.runs import Estimate


def test_numbers_are_as_long_as_they_are_known():
    assert with_interval("win_rate", Estimate(0.613, 0.552, 0.671)) == "61 % [55, 67]"
    assert with_interval("win_rate", Estimate(0.613, 0.6121, 0.6142)) == "61.3 % [61.2, 61.4]"
    assert with_interval("gold", Estimate(-1.2345, -1.62, -0.85)) == "−1.23 [−1.62, −0.85]"
    assert with_interval("gold", Estimate(0.22, -0.001, 0.44)) == "0.22 [0.00, 0.44]"
    assert with_interval("gold", Estimate(float("nan"), None, None)) == "nan"
    assert with_interval("benign_refusal", Estimate(0.02, -0.01, 0.05)) == "2 % [0, 5]"
    assert moved("benign_refusal", 0.031) == "+3.1 pts"
    assert moved("gold", -0.5) == "−0.50"
    assert [number(x) for x in (0.0, 1234.5, 0.01234, None)] == ["0", "1,234", "0.0123", "not known"]
    assert [number(x) for x in (-0.5, 1e-9, math.inf)] == ["−0.500", "0", "inf"]


def test_shares_are_percents_and_points_and_others_have_their_own_unit():
    assert [told("win_rate", x) for x in (0.0, 0.004, 0.0996, 0.5)] == ["0 %", "0.4 %", "10 %", "50 %"]
    assert told("gold", 1.25) == "1.25" and told("win_rate", None) == "not known"
    assert moved_between("skill", 0.031, -0.012, 0.05) == "+3.1 pts [−1.2, +5.0]"
    assert moved_between("gold", 0.5, -0.1, 12.3) == "+0.50 [−0.10, +12]"


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e3))
def test_a_value_lies_in_its_interval_as_it_is_written(mean, half):
    words = with_interval("gold", Estimate(mean, mean - half, mean + half)).replace("−", "-").replace(",", "")
    value, low, high = map(float, re.findall(r"[-\d.]+", words))
    assert low <= value <= high


def test_what_is_not_listed_has_its_name_for_words_and_no_better_side():
    assert (known("my_metric").words, known("my_metric").better, known("my_metric").share) == ("my metric", 0, False)
    assert all(METRICS[name].better > 0 for name in TASTE)
