"""Numbers, dates and names: found, kept, and made up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefjax.errors import DataError
from prefjax.evals import facts_kept
from prefjax.evals.facts_kept import find, kept, unsupported
from tests.evals.conftest import bare

SOURCE = "On 3 May 2021 Ada Lovelace paid $1,200.50 to IBM in Paris."


def reports():
    return [{"prompt": "Sum it up.", "facts": [SOURCE]}, {"prompt": "Sum up: nothing is here, in lower case."}]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,234.50 and -7 and 12.5%", {"1234.5", "-7", "12.5"}),
        ("007 and 3.0", {"7", "3"}),
        ("in version 2.0.1 of a4 and v2", set()),
        ("the 4th of 10,000", {"4", "10000"}),
        ("none", set()),
    ],
)
def test_numbers(text, numbers):
    assert find(text).numbers == numbers


@pytest.mark.parametrize(
    "text", ["2021-05-03", "3 May 2021", "3rd of May, 2021", "May 3, 2021", "may 3rd 2021", "3. May 2021"]
)
def test_a_date_is_the_same_however_it_is_written(text):
    found = find(f"It was on {text}, they say.")
    assert (found.dates, found.numbers) == ({"2021-05-03"}, frozenset())


def test_dates_of_which_less_is_said():
    assert find("In March 2020, and again on 4 July.").dates == {"2020-03-?", "?-07-04"}
    assert find("It may 5 times rain.").dates == {"?-05-05"}  # a limit: it may be a month


def test_names():
    assert find("Yesterday Dr. Smith met the U.S. Army. Smith left.").names == {"smith", "u s army"}
    assert find("Bread is good. The bank of England agrees with the University of Oslo on Monday.").names == {
        "england",
        "university of oslo",
    }
    assert find("Paris fell. He had seen Paris before.").names == {"paris"}
    assert find("NASA agreed. I’m sure.").names == {"nasa"}


PIECES = ["U.S.", "O'Connor's", "it'S", "co-Operate", "--Ada", "Jean-Luc", "d’Artagnan", "U.S.A", "3 May 2021"]
PIECES += ["1,200.50", "paid", "Ada's", "Bank", "of", ". ", "-", "’s", "(", "ΣΑΣ", "Xs", "İstanbul"]


@given(st.lists(st.sampled_from(PIECES), max_size=8), st.sampled_from(["", " "]))
def test_a_text_keeps_its_own_facts(pieces, between):
    text = between.join(pieces)
    assert kept(text, text) in (1, None) and unsupported(text, text) in (0, None)


def test_names_with_marks_are_kept():
    assert kept("They met the U.S. Army and O'Connor.", "The U.S. Army met O'Connor.") == 1
    assert kept("They met in the U.S. today.", "They met in S. today.") == 0


def test_what_is_kept():
    assert kept(SOURCE, SOURCE) == 1
    assert kept(SOURCE, "Lovelace gave IBM 1200.50 dollars on May 3rd, 2021.") == pytest.approx(4 / 5)
    assert kept(SOURCE, "Somebody paid.") == 0
    assert kept("nothing here", "Ada paid 3.") is None


def test_what_is_made_up():
    assert unsupported(SOURCE, SOURCE) == 0
    assert unsupported(SOURCE, "She paid 1200.50 to IBM and 7 to Apple.") == pytest.approx(2 / 4)
    assert unsupported(SOURCE, "She paid.") is None


def test_the_shares(writes):
    writes("facts_kept", ["She paid 1200.50 to Ada Lovelace on 3 May 2021.", "All of 5 things."])
    found = facts_kept.make(bare(), source="tests.evals.test_facts_kept:reports()")(None, {}, None)
    assert found["facts_kept"] == pytest.approx(3 / 5)
    assert found["facts_unsupported"] == pytest.approx((0 + 1) / 2)
    assert [row["facts_kept"] for row in found["samples"]] == [pytest.approx(3 / 5), None]


def test_a_source_without_facts_is_refused():
    with pytest.raises(DataError, match="no number, date or name"):
        facts_kept.make(bare(), source="prefjax.worlds.desk:prompts()", limit=2)
