"""Prompts that are nearly the same are all found, and no others."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefjax.audit.near import Near, jaccard, shingles

WORDS = [f"w{i}" for i in range(300)]
texts = st.lists(st.sampled_from("abcd"), max_size=8).map(" ".join)


@given(texts, texts)
def test_jaccard_is_that_of_sets_of_triples(a, b):
    def triples(text):
        words = text.split()
        return {tuple(words[i : i + 3]) for i in range(len(words) - 2)} if len(words) > 3 else {tuple(words)}

    expected = len(triples(a) & triples(b)) / len(triples(a) | triples(b))
    assert jaccard(shingles(a), shingles(b)) == expected


def test_what_is_found_is_what_comparing_all_finds():
    rng = random.Random(0)
    known = [" ".join(rng.choices(WORDS, k=rng.randint(5, 60))) for _ in range(200)]
    asked = []
    for text in known:  # from none to all of its words changed
        words = text.split()
        for at in rng.sample(range(len(words)), min(len(words), rng.randint(0, 4))):
            words[at] = rng.choice(WORDS)
        asked.append(" ".join(words))
    near = Near(known)
    sets = [shingles(text) for text in known]
    expected = [[i for i, s in enumerate(sets) if jaccard(shingles(text), s) >= 0.8] for text in asked]
    assert [near.like(text) for text in asked] == expected
    assert 50 < sum(map(bool, expected)) < 200


def test_a_shared_template_is_no_likeness():
    template = " ".join(WORDS[:10])
    like = lambda i: f"{template} about {' '.join(random.Random(i).choices(WORDS, k=12))}"
    near = Near(map(like, range(2000)))
    assert near.like(like(7)) == [7]
    assert near.like(like(9999)) == []


@pytest.mark.parametrize("count", [64, 300])
def test_prompts_that_differ_in_a_word_are_found_however_many_they_are(count):
    words = WORDS[:60]
    near = Near(" ".join([*words[:30], f"name{i}", *words[31:]]) for i in range(count))
    assert near.like(" ".join(words)) == [*range(count)]  # 55 triples of 61 are the same


def test_short_prompts_are_compared_whole():
    near = Near(["why so"])
    assert near.like("why so") == [0]
    assert near.like("why not") == []
    assert Near([]).like("why so") == []
    assert np.array_equal(shingles(""), shingles("?!"))
