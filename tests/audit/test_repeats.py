"""Planted duplicates, contradictions, cycles and leaks are counted exactly; brute force agrees."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefjax.audit import repeats
from prefjax.data.records import field_map, scan


def test_planted_repeats(tmp_path, pairs, table):
    rows = pairs(60)
    swapped = lambda row: row | {"chosen": row["rejected"], "rejected": row["chosen"]}
    planted = [
        *rows[:5],  # duplicates
        rows[0],  # once more
        *(row | {"chosen": row["chosen"].upper() + " "} for row in rows[10:13]),  # after normalising
        *map(swapped, rows[20:24]),  # contradictions
        swapped(rows[25]) | {"grade": 0},  # a tie contradicts nothing
        swapped(rows[26]) | {"annotator": "another"},  # nor does another annotator
        {"prompt": "twins", "chosen": "Aber ja", "rejected": "aber  JA"},
    ]
    found = repeats.repeats(table(tmp_path / "x", [*rows, *planted]))
    places = [f"{tmp_path}/x:{line}" for line in range(21, 25)]
    assert found == {
        "exact": 6,
        "normalised": 3,
        "equal_sides": 1,
        "contradictions": 4,
        "contradictions_at": places,
    }


LABEL = st.tuples(st.sampled_from("pP"), st.sampled_from("abB"), st.sampled_from("abB"), st.sampled_from([1, 0, -1]))


@given(st.lists(LABEL.filter(lambda row: row[1] != row[2]), min_size=1, max_size=12))
def test_counts_are_those_of_comparing_all(tmp_path_factory, table, labels):
    path = tmp_path_factory.mktemp("brute") / "x"
    rows = [{"prompt": p, "chosen": a, "rejected": b, "grade": grade} for p, a, b, grade in labels]
    found = repeats.repeats(table(path, rows))
    exact = sum((p, a, b) in {other[:3] for other in labels[:i]} for i, (p, a, b, _) in enumerate(labels))
    folded = [(p.lower(), a.lower(), b.lower()) for p, a, b, _ in labels]
    wins = {(p, *((a, b) if g > 0 else (b, a))) for (p, a, b), (*_, g) in zip(folded, labels, strict=True) if g}
    assert found["exact"] == exact
    assert found["normalised"] == sum(row in folded[:i] for i, row in enumerate(folded)) - exact
    assert found["equal_sides"] == sum(a == b for _, a, b in folded)
    assert found["contradictions"] == sum((p, b, a) in wins for p, a, b in wins if a < b)


def test_what_a_random_tenth_shares_is_what_drawing_it_gives(tmp_path, pairs, table):
    rows = [row | {"chosen": f"{row['chosen']} {i}"} for row in pairs(20) for i in range(1 + len(row["prompt"]) % 4)]
    found = table(tmp_path / "x", rows)
    _, clusters = np.unique(found["prompt"], return_inverse=True)
    told, rng, shares = repeats.prompts(found, clusters), np.random.default_rng(0), []
    for _ in range(4000):
        held = rng.random(len(rows)) < 0.1
        shares.append(np.sum(np.isin(clusters[held], clusters[~held])) / (0.1 * len(rows)))
    assert told["number"] == 20
    assert told["most_pairs"] == np.bincount(clusters).max()
    assert told["shared_by_random_tenth"] == pytest.approx(np.mean(shares), abs=0.02)


def test_planted_cycles(tmp_path, pairs, table):
    better = lambda p, a, b: {"prompt": p, "chosen": a, "rejected": b}
    ring = [better("p", a, b) for a, b in itertools.pairwise("abcda")]
    rows = [*pairs(10), *ring, better("q", "a", "b"), better("q", "b", "c")]
    found = repeats.cycles(table(tmp_path / "x", rows))
    assert found == {"number": 1, "rows": 4, "at": [[f"{tmp_path}/x:{line}" for line in range(11, 15)]]}


def test_planted_leaks(tmp_path, pairs, write):
    train, held = pairs(200), pairs(50, seed=1)
    close = lambda prompt: prompt.replace(prompt.split()[-1], "other")  # 9 triples of 10 are the same
    leaked = [
        held[0] | {"chosen": "an answer of its own"},
        held[0],  # the prompt is met twice
        held[1],
        held[2] | {"prompt": held[2]["prompt"].upper() + "  "},
        held[3] | {"prompt": [{"role": "user", "content": held[3]["prompt"]}]},
        *(row | {"prompt": close(row["prompt"])} for row in held[4:8]),
        held[8] | {"prompt": " ".join(held[8]["prompt"].split()[:6])},  # half of it is another prompt
    ]
    evaluated = [*held, held[1] | {"chosen": "another answer"}, {"prompt": "bad"}]
    leaks = repeats.Leaks(scan(write(tmp_path / "held", evaluated), field_map()))
    rows = [row for row in [*train, *leaked] if isinstance(row["prompt"], str)]
    messages = [row for row in leaked if not isinstance(row["prompt"], str)]
    for part in (rows, messages):
        for row in scan(write(tmp_path / "train", part), field_map()):
            leaks.see(row.record)
    assert leaks.result() == {
        "records": 51,
        "refused": {"missing field": 1},
        "prompts": 50,
        "sought_near": 50,
        "exact": 3,
        "normalised": 1,
        "near": 4,
        "records_met": 9,
        "trained_on": 9,
    }
