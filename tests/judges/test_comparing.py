"""The protocol of judges: both orders, position flips, verdicts that are none, and symmetry."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefjax.errors import ConfigError, DataError
from prefjax.judges import compare, compare_all, concurrently, make

TEXTS = st.text("abc", max_size=4)


def longer(prompt, a, b):
    return "tie" if len(a) == len(b) else "A" if len(a) > len(b) else "B"


@pytest.mark.parametrize(
    ("verdicts", "value", "flipped"),
    [
        (("A", "B"), 1.0, False),
        (("B", "A"), 0.0, False),
        (("A", "A"), 0.5, True),
        (("B", "B"), 0.5, True),
        (("A", "tie"), 0.5, True),
        (("tie", "B"), 0.5, True),
        (("tie", "tie"), 0.5, False),
        (("A", "invalid"), None, False),
        (("invalid", "B"), None, False),
    ],
)
def test_both_orders_have_to_agree(verdicts, value, flipped):
    said = dict(zip(["ab", "ba"], verdicts, strict=True))
    assert compare(lambda prompt, a, b: said[a + b], "p", "a", "b") == (value, flipped, verdicts)


def test_an_unknown_verdict_is_an_error():
    with pytest.raises(DataError, match="the judge said 'C'; it should be one of A, B, tie, invalid"):
        compare(lambda *_: "C", "p", "a", "b")


def test_equal_answers_tie_without_a_question():
    assert compare(lambda *_: pytest.fail("asked"), "p", "same", "same").value == 0.5


@given(st.functions(like=lambda prompt, a, b: ..., returns=st.sampled_from(["A", "B", "tie", "invalid"]), pure=True))
def test_what_one_wins_the_other_loses(judge):
    for a, b in (("x", "y"), ("x", "zz"), ("y", "x")):
        mine, theirs = compare(judge, "p", a, b), compare(judge, "p", b, a)
        assert mine.flipped == theirs.flipped
        assert (mine.value is None) == (theirs.value is None)
        assert mine.value is None or mine.value + theirs.value == 1


@given(TEXTS, TEXTS)
def test_a_judge_of_positions_alone_always_ties(a, b):
    assert compare(lambda *_: "A", "p", a, b).value == 0.5


def test_as_many_at_a_time_as_the_judge_allows_in_order():
    here, barrier = threading.get_ident(), threading.Barrier(3, timeout=20)

    def slow(prompt, a, b):
        barrier.wait()  # passes only if three are here at once
        return longer(prompt, a, b)

    slow.concurrency = 3
    pairs = [("p", "a" * i, "bb") for i in (1, 3, 4, 5, 6, 1)]
    assert [c.value for c in compare_all(slow, pairs)] == [0, 1, 1, 1, 1, 0]
    assert list(concurrently(longer, lambda _: threading.get_ident(), "ab")) == [here, here]


def test_call_strings():
    assert make("tests.judges.test_comparing:longer")("p", "aa", "b") == "A"
    by_length = "gold(function='tests.judges.test_gold:length')"
    assert make(by_length, [{"prompt": "p"}])("p", "aa", "b") == "A"
    with pytest.raises(ConfigError, match=r"no 'glod' in prefjax.judges; did you mean 'gold'"):
        make("glod(function='x:y')")
