"""Prompts that are nearly the same are all found, and no others."""

import random

import numpy as np
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
    near = Near()
    for text in known:
        near.add(text)
    sets = [shingles(text) for text in known]
    expected = [[i for i, s in enumerate(sets) if jaccard(shingles(text), s) >= 0.8] for text in asked]
    assert [near.like(text) for text in asked] == expected
    assert 50 < sum(map(bool, expected)) < 200


def test_a_shared_template_is_no_likeness_and_takes_no_time():
    template = " ".join(WORDS[:10])
    near = Near()
    for i in range(2000):
        near.add(f"{template} about {' '.join(random.Random(i).choices(WORDS, k=12))}")
    again = f"{template} about {' '.join(random.Random(7).choices(WORDS, k=12))}"
    assert near.like(again) == [7]
    assert near.like(f"{template} about {' '.join(random.Random(9999).choices(WORDS, k=12))}") == []


def test_short_prompts_are_compared_whole():
    near = Near()
    near.add("why so")
    assert near.like("why so") == [0]
    assert near.like("why not") == []
    assert np.array_equal(shingles(""), shingles("?!"))
