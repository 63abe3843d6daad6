"""Prompts as keys."""

import pytest

from prefjax.data.prompts import last_turn, prompt_key

USER = {"role": "user", "content": "a question"}
SYSTEM = {"role": "system", "content": "be brief"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"prompt": "A  question\n", "chosen": "x"}, {"prompt": "a ｑuestion"}, True),
        ({"prompt": "a question"}, {"prompt": [USER]}, True),
        ({"prompt": [SYSTEM, USER]}, {"prompt": [SYSTEM, USER | {"content": "A question"}]}, True),
        ({"prompt": [SYSTEM, USER]}, {"prompt": [USER]}, False),
        ({"prompt": "a question"}, {"prompt": "another question"}, False),
        ({"response": "A text"}, {"response": "a text"}, True),
        ({"prompt": "a", "response": "x"}, {"prompt": "b", "response": "x"}, False),
    ],
)
def test_a_key_is_that_of_the_normalised_prompt_or_of_a_text_without_one(one, other, same):
    assert (prompt_key(one) == prompt_key(other)) is same
    assert 0 <= prompt_key(one) < 2**64


def test_the_last_turn_is_what_was_asked():
    turns = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
    assert last_turn("Why?") == last_turn([*turns, {"role": "user", "content": "Why?"}]) == "Why?"
