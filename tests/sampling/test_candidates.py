"""Completions with what they are worth."""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax import models, rewards
from prefjax.errors import DataError
from prefjax.sampling.candidates import Candidates, best, best_of_n, group, scored, usable
from prefjax.sampling.complete import Answer, complete
from prefjax.worlds import desk

TOKENIZER = desk.tokenizer()
MODEL = models.llama(vocab=TOKENIZER.vocab_size, width=16, layers=1, heads=2, positions=64)
RECORDS = desk.prompts("test")[:5]
KEY = jax.random.key(0)
PARAMS = models.init(MODEL, KEY)


def lengths(sequences, ids):
    del ids
    return jnp.sum(sequences.response, axis=-1, dtype=jnp.float32)


def which(sequences, ids):
    del sequences
    return ids


@pytest.mark.parametrize("batch_size", [4, 64])
def test_a_score_stands_beside_its_completion(batch_size):
    knobs = {"n": 3, "max_new": 30, "batch_size": batch_size}
    found = group(scored(MODEL, PARAMS, TOKENIZER, RECORDS, KEY, {"score": lengths, "id": which}, **knobs), 3)
    assert [c.record for c in found] == [0, 1, 2, 3, 4]
    for c in found:
        assert c.scores["score"].tolist() == [answer.length for answer in c.answers]
        assert c.scores["id"].tolist() == [c.record] * 3
    answers = [answer for c in found for answer in c.answers]
    assert answers == complete(MODEL, PARAMS, TOKENIZER, RECORDS, KEY, **knobs)


def test_best_of_n_is_the_highest_of_its_rewards():
    net = {"reward": MODEL}
    params = {"reward": models.init(MODEL, jax.random.key(1), heads=("score",))}
    for text in ("model()", "model() - 2 * length(target=9)", f"text(function='{__name__}:characters')"):
        reward = rewards.make(text, net, TOKENIZER, lambda: RECORDS)
        scorer = lambda sequences, ids, reward=reward: reward(params, sequences, ids)[0]
        found = best_of_n(MODEL, PARAMS, TOKENIZER, RECORDS, KEY, scorer, n=3, max_new=30)
        for answer, c in found:
            assert len(set(c.scores["score"])) > 1
            assert answer is c.answers[int(np.argmax(c.scores["score"]))]
    assert all(answer.text == max((a.text for a in c.answers), key=len) for answer, c in found)  # of the last reward


def characters(records, texts):
    assert len(records) == len(texts)
    return [len(text) for text in texts]


def nothing(sequences, ids):
    return jnp.where(ids == 1, jnp.nan, lengths(sequences, ids))


def test_a_prompt_without_any_score_is_an_error():
    with pytest.raises(DataError, match="record 1: none of its 3 completions has a score"):
        best_of_n(MODEL, PARAMS, TOKENIZER, RECORDS, KEY, nothing, n=3, max_new=30)


def candidates(*rows):
    answers = [Answer(0, text, len(text), stopped) for text, stopped, _ in rows]
    return Candidates(0, answers, {"score": np.array([score for *_, score in rows])})


def test_what_cannot_be_trained_on_is_left_out_and_counted():
    rows = [
        ("a", True, 1.0),
        ("b", False, 2.0),
        ("a", True, 1.0),
        ("c", True, np.nan),
        (" ", True, 3.0),
        ("d", True, 0),
    ]
    found, dropped = candidates(*rows), Counter()
    assert usable(found, dropped) == [0, 5]
    assert dropped == {
        "cut at max_new": 1,
        "identical to another of their prompt": 1,
        "without a score": 1,
        "blank": 1,
    }
    unknown = found._replace(scores=found.scores | {"gold": np.full(6, np.nan)})
    assert usable(unknown, Counter()) == [0, 5]  # what is only reported decides nothing
    assert usable(found, Counter(), cut=True) == [0, 1, 5]
    assert usable(found, Counter(), blank=True) == [0, 4, 5]


def test_the_first_of_equals_is_best():
    assert best(candidates(("a", True, 1.0), ("b", True, 2.0), ("c", True, 2.0)), [0, 2, 1]) == 2
