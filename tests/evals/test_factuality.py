"""Closed-book answers: what counts as one, aliases and shares."""

import pytest

from prefjax.errors import ConfigError, DataError
from prefjax.evals import factuality
from prefjax.evals.factuality import aliases, answered
from tests.evals.conftest import bare

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
    found = factuality.make(bare(), source=SOURCE)(None, {}, None)
    assert (found["factuality"], found["answered"]) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert [(row["factuality"], row["answered"]) for row in found["samples"]] == [(1, 1), (0, 0), (0, 1)]


def negations():
    return [{"prompt": "Is ice warm?", "facts": "No."}, {"prompt": "Who wrote Beowulf?", "facts": ["unknown", "the"]}]


def test_what_is_right_was_answered(writes):
    writes("factuality", ["No.", "Unknown."])
    found = factuality.make(bare(), source="tests.evals.test_factuality:negations()")(None, {}, None)
    assert (found["factuality"], found["answered"]) == (1, 1)
    writes("factuality", ["I don't know.", ""])
    found = factuality.make(bare(), source="tests.evals.test_factuality:negations()")(None, {}, None)
    assert (found["factuality"], found["answered"]) == (0, 0)


def test_numbers_are_facts_too(writes):
    writes("factuality", ["by Austen", "8", "It is Lima."])
    assert factuality.make(bare(), source=SOURCE, match="contains")(None, {}, None)["factuality"] == 1


def test_what_is_wrong_is_said():
    with pytest.raises(DataError, match="nothing is left of the facts of record 0 but articles and punctuation"):
        factuality.make(bare(), source="tests.evals.test_skill:nothings()")
    with pytest.raises(ConfigError, match="match='fuzzy'.*should be 'exact' or 'contains'"):
        factuality.make(bare(), source=SOURCE, match="fuzzy")
    for facts in (None, [], {"right": ["x"]}, [""]):
        with pytest.raises(DataError, match="record 4 has no facts: give the answer"):
            aliases({"prompt": "?", "facts": facts}, 4, "prompts()")
