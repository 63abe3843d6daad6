"""Marks of a text that are seen without reading it."""

import pytest

from prefjax.audit.surface import FLAGS, surface


def marks(text):
    flags = surface(text).flags
    return {name for bit, name in enumerate(FLAGS) if flags >> bit & 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Plain words.", set()),
        ("**Bold** here.", {"bold"}),
        ("# Title\nWords.", {"heading"}),
        ("#hashtag is a heading too.", {"heading"}),
        ("One:\n  - two\n  - three.", {"bullets"}),
        ("A-b is - no list.", set()),
        ("Steps:\n1. Go.\n2) Stop.", {"numbered list"}),
        ("It is 12.5 long.", set()),
        ("Use `ls`.", {"code"}),
        ("See https://example.org/x.", {"link"}),
        ("[here](x).", {"link"}),
        ("One.\n\nTwo.", {"paragraphs"}),
        ("Nice 🎉.", {"emoji"}),
        ("Größe zählt.", set()),
        ("Wow! Yes.", {"exclamation mark"}),
        ("Wow!", {"exclamation mark", "ends in an exclamation mark"}),
        ("Why?", {"question mark", "ends in a question mark"}),
        ("It goes on and", {"no punctuation at the end"}),
        ('He said "no."', {"quotation"}),
        ("“No,” said he.", {"quotation"}),
        ("lower case.", {"starts in lower case"}),
        ("It is VERY good.", {"word in capitals"}),
        ("The NHS and a USA.", set()),
        (" Space.", {"space at an end"}),
        ("Sorry to hear that.", {"regret in the opening"}),
        ("I'm sorry, but I can't.", {"regret in the opening", "refusal in the opening"}),
        ("I cannot help with it.", {"refusal in the opening"}),
        ("As an AI, I feel nothing.", {"refusal in the opening", "speaks of being an AI"}),
        ("I would. I cannot say more.", set()),
    ],
)
def test_each_mark(text, expected):
    assert marks(text) == expected


def test_lengths_and_edges():
    found = surface("Certainly! Here is  the\nanswer: 42.")
    assert (found.characters, found.words) == (35, 6)
    assert found.edges == ("certainly!", "certainly! here", "42.", "answer: 42.")
    assert surface("Yes").edges == ("yes", "yes", "yes", "yes")
    assert surface("   ").words == 0
