"""What the tests of the page share: items, and sittings on them."""

import contextlib

import pytest

from prefjax.label.items import CARRIED, Item, answers, key
from prefjax.label.session import Session
from prefjax.label.store import opened


def item(prompt="p", texts=("x", "y"), **rest):
    record = {"prompt": prompt, "ranking": [*texts]}
    carried = {field: rest.pop(field) for field in CARRIED if field in rest}
    return Item(key(record), prompt, answers(record), carried, rest)


@pytest.fixture
def make_item():
    return item


@pytest.fixture
def items():
    return [item(f"prompt {i}", (f"good {i}", f"bad {i}"), id=i, slice="s") for i in range(6)]


@pytest.fixture
def sit(tmp_path, items):
    """A sitting of an annotator, by default on `items` into one file."""

    @contextlib.contextmanager
    def sit(annotator="ada", scale="binary", out="labels.jsonl", found=items, **knobs):
        with opened(tmp_path / out, annotator, scale) as store:
            yield Session(found, store, annotator, scale, **knobs)

    return sit


@pytest.fixture
def judge():
    """Judges the item on the page: prefers the text that begins with `best`, or gives the value."""

    def judge(session, value=None, best=None, **sent):
        shown = session.state()["item"]
        if best is not None:
            value = 1 if shown["answers"][0].startswith(best) else -1
        session.judge(shown["key"], {"value": value, "seconds": 2.0, "flags": [], "comment": ""} | sent)
        return shown

    return judge
