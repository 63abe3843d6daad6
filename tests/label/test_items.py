"""What is shown: which records, once each, in which order, and nothing of what was said before."""

import json

import pytest

from prefjax.errors import ConfigError, DataError
from prefjax.label.items import items, key, order, queue


@pytest.fixture
def write(tmp_path):
    def write(*rows):
        (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(tmp_path / "pairs.jsonl")

    return write


PAIR = {"prompt": "p", "chosen": "x", "rejected": "y"}


def test_a_pair_and_its_twin_the_other_way_round_are_one_item(write):
    found, again = items(
        write(PAIR | {"id": 4, "slice": "s", "grade": 2}, PAIR | {"chosen": "y", "rejected": "x"}), "binary"
    )
    assert again == 1
    assert len(found) == 1
    assert found[0].answers == ["x", "y"]
    assert found[0].carried == {"id": 4, "slice": "s"}
    assert found[0].before == {"grade": 2}


def test_fields_layouts_limits_and_bad_rows(write):
    path = write({"q": "1", "a": "x", "b": "y"}, {"q": "2", "a": "x", "b": "x"}, {"q": "3", "a": "x", "b": "y"})
    fields = {"prompt": "q", "chosen": "a", "rejected": "b"}
    assert [item.prompt for item in items(path, "graded", bad_rows=1, **fields)[0]] == ["1", "3"]
    assert [item.prompt for item in items(path, "graded", limit=1, **fields)[0]] == ["1"]
    with pytest.raises(DataError, match=r"pairs.jsonl:2: b: chosen equals rejected"):
        items(path, "graded", **fields)
    transcript = "\n\nHuman: hi\n\nAssistant: "
    [found], _ = items(write({"chosen": transcript + "a", "rejected": transcript + "b"}), "binary", "hh")
    assert found.prompt == [{"role": "user", "content": "hi"}]
    assert found.answers == ["a", "b"]


def test_what_cannot_be_judged_is_one_message(write):
    path = write({"prompt": "p", "ranking": ["a", ["b", "c"]]})
    assert items(path, "ranked")[0][0].answers == ["a", "b", "c"]
    for scale, knobs, words in [
        ("binary", {}, "--scale=binary compares two answers, and a record has 3: use ranked"),
        ("stars", {}, "--scale is 'stars'; expected one of binary, graded, ranked"),
        ("ranked", {"layout": "demos"}, "layout: expected one of pairs, hh"),
        ("ranked", {"layout": "hh", "prompt": "q"}, "layout 'hh' knows its fields, got prompt"),
        ("ranked", {"limit": 0}, "--limit is 0"),
    ]:
        with pytest.raises(ConfigError, match=words):
            items(path, scale, **knobs)
    with pytest.raises(DataError, match="no usable rows"):
        items(write(), "binary")


def test_orders_are_drawn_by_seed_annotator_and_record(make_item):
    many = [make_item(f"prompt {i}") for i in range(400)]
    first = [order(0, "ada", item)[0] for item in many]
    assert 160 < sum(first) < 240
    assert first == [order(0, "ada", item)[0] for item in many]
    for seed, annotator in ((1, "ada"), (0, "bob")):
        agree = sum(order(seed, annotator, item)[0] == at for item, at in zip(many, first, strict=True))
        assert 160 < agree < 240
    assert queue(many, 0) == queue(many[::-1], 0) != queue(many, 1)
    assert queue(many, 0) != queue(many, 0, "ada") != queue(many, 0, "bob")


def test_the_key_knows_the_texts_and_not_their_order():
    assert key(PAIR) == key({"prompt": "p", "ranking": ["y", "x"]}) == key({"prompt": "p", "ranking": [["x", "y"]]})
    assert key(PAIR) != key(PAIR | {"prompt": "q"})
