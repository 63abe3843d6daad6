"""Closed-book answers: what counts as one, aliases and shares."""

import pytest

from prefjax.errors import ConfigError, DataError
from prefjax.evals import factuality
from prefjax.evals.factuality import aliases, answered

SOURCE = "tests.evals.conftest:questions()"


@pytest.mark.parametrize(
    "text",
    ["", "  ", "I don't know.", "I’m sorry, but I do not know", "I'm not sure.", "I can't help with that.", "Unknown."],
)
def test_what_is_no_answer(text):
    assert not answered(text)


@pytest.mark.parametrize("text", ["Lima", "I don't think it is Rome; it is Lima.", "I'm not sure, but Lima?"])
def test_what_is_one(text):
    assert answered(text)


def test_the_shares(writes):
    writes("factuality", ["Jane Austen", "I don't know.", "Quito"])
    found = factuality.make(None, source=SOURCE)(None, {}, None)
    assert (found["factuality"], found["answered"]) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert [(row["factuality"], row["answered"]) for row in found["samples"]] == [(1, 1), (0, 0), (0, 1)]


def test_numbers_are_facts_too(writes):
    writes("factuality", ["by Austen", "8", "It is Lima."])
    assert factuality.make(None, source=SOURCE, match="contains")(None, {}, None)["factuality"] == 1


def test_what_is_wrong_is_said():
    with pytest.raises(ConfigError, match="match='fuzzy'.*should be 'exact' or 'contains'"):
        factuality.make(None, source=SOURCE, match="fuzzy")
    for facts in (None, [], {"right": ["x"]}, [""]):
        with pytest.raises(DataError, match="record 4 has no facts: give the answer"):
            aliases({"prompt": "?", "facts": facts}, 4, "prompts()")
