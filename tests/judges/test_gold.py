"""The judge that goes by a score."""

import pytest

from prefjax.data import load
from prefjax.errors import ConfigError, DataError
from prefjax.judges import compare, make
from prefjax.worlds import desk

RECORDS = [{"prompt": "p", "facts": ["f"]}, {"prompt": [{"role": "user", "content": "q"}]}]


def length(records, texts):
    assert all(record in RECORDS or "prompt" in record for record in records)
    return [None if "?" in text else float(len(text)) for text in texts]


def named(records, texts):
    return {"long": length(records, texts), "short": [-len(text) for text in texts]}


def test_what_scores_higher_wins_and_what_is_near_ties():
    judge = make("gold(function='tests.judges.test_gold:length', tie=1.0)", RECORDS)
    assert [judge("p", "a" * n, "bbb") for n in (1, 2, 3, 4, 5)] == ["B", "tie", "tie", "tie", "A"]
    assert judge("q", "aaa", "b") == "A"  # a message of the user is the same as its text
    assert compare(judge, "p", "?", "b").value is None


def test_a_score_of_several():
    judge = make("gold(function='tests.judges.test_gold:named', key='short')", RECORDS)
    assert judge("p", "aaa", "b") == "B"
    with pytest.raises(ConfigError, match="key should be one of long, short; got ''"):
        make("gold(function='tests.judges.test_gold:named')", RECORDS)("p", "a", "b")


def test_the_true_worth_of_the_desk_world():
    pairs = load.records("prefjax.worlds.desk:pairs(split='test', n=40)")
    judge = make("gold(function='prefjax.worlds.desk:judge', key='gold')", pairs)
    for pair in pairs:
        gap = desk.gold(pair, pair["chosen"]) - desk.gold(pair, pair["rejected"])
        assert compare(judge, pair["prompt"], pair["chosen"], pair["rejected"]).value == (gap > 0) + (gap == 0) / 2


@pytest.mark.parametrize(
    ("text", "records", "error", "message"),
    [
        ("gold(function='tests.judges.test_gold:length', tie=-1)", [], ConfigError, r"gold\(tie=-1\): it should be 0"),
        ("gold(function='tests.judges.test_gold:none')", [], ConfigError, "no 'none' in tests.judges.test_gold"),
        (
            "gold(function='tests.judges.test_gold:length')",
            [{"prompt": "p", "facts": 1}, {"prompt": "p", "facts": 2}],
            DataError,
            "two records have the prompt 'p' and a different facts",
        ),
    ],
)
def test_mistakes_are_one_message(text, records, error, message):
    with pytest.raises(error, match=message):
        make(text, records)


def test_a_prompt_that_no_record_has():
    with pytest.raises(DataError, match="no record with the prompt 'r'"):
        make("gold(function='tests.judges.test_gold:length')", RECORDS)("r", "a", "b")
