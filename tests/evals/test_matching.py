"""Normalisation, and what an answer that is right contains."""

import pytest

from prefjax.evals.matching import normalise, right


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Beatles!", "beatles"),  # as the official script of SQuAD
        ("an  apple, a day", "apple day"),
        ("U.S.A.", "usa"),
        ("theatre", "theatre"),
        ("Ångström", "angstrom"),
        ("“Emma”", "emma"),
        ("", ""),
    ],
)
def test_normalise(text, expected):
    assert normalise(text) == expected


def test_an_answer_is_right_if_it_is_any_alias():
    assert right("the Beatles.", ["Fab Four", "Beatles"])
    assert not right("the Beatles, I think", ["Fab Four", "Beatles"])
    assert right("It was the Beatles, I think.", ["Beatles"], "contains")
    assert not right("It was Beatlesque.", ["Beatles"], "contains")
    for match in ("exact", "contains"):
        assert not right("anything", ["!"], match)
        assert not right("", ["A", "The", "!"], match) and not right("a", ["The"], match)
