"""Diversity: against sacrebleu's figures and by hand."""

import math
import random

import numpy as np
import pytest

from prefjax.errors import ConfigError
from prefjax.evals import diversity
from prefjax.evals.diversity import distinct, self_bleu, unigram_entropy, words


def letters(count=30):
    rng = random.Random(0)
    return [[rng.choice("abcde") for _ in range(rng.randint(1, 12))] for _ in range(count)]


@pytest.mark.parametrize(
    ("texts", "expected"),
    # Means of sacrebleu 2.6.0's BLEU(effective_order=True, tokenize="none", smooth_method="exp").sentence_score of
    # each text against the others, over 100.
    [
        (["a b c d e", "a b c d f", "a b x y", "q"], 0.39657132622884483),
        (["the cat sat on the mat", "the cat sat on the mat", "a dog sat on the log today"], 0.7481538370724837),
        (["a a a a b", "a a c", "b b b b b b"], 0.1857627476794371),
        (["x y", "z w v u t", "p q r s"], 0.0),
        ([" ".join(text) for text in letters()], 0.6413679036368448),
    ],
)
def test_self_bleu_is_that_of_sacrebleu(texts, expected):
    assert self_bleu([text.split() for text in texts]) == pytest.approx(expected, abs=1e-12)


def test_the_extremes():
    same, apart = [list("abcdef")] * 5, [list("abcdef"), list("ghijkl")]
    assert (self_bleu(same), self_bleu(apart)) == (1, 0)
    assert (distinct(same, 2), distinct(apart, 2)) == (1 / 5, 1)
    assert unigram_entropy(apart) == pytest.approx(math.log(12))
    assert (distinct([[], []], 1), unigram_entropy([[]]), self_bleu([[], []])) == (0, 0, 0)


def test_distinct_counts_over_all_texts_and_within_each():
    assert distinct([list("aab"), list("ab")], 1) == 2 / 5
    assert distinct([list("aab"), list("ab")], 2) == 2 / 3  # no pair across texts


def test_words_are_alike_in_any_case_and_spacing():
    assert words("Hello,  WORLD!\n") == ["hello", ",", "world", "!"]


def test_all_four_with_intervals_by_prompt(writes):
    texts = [f"{a} two {b}" for a in ("one", "six") for b in ("three", "four five", "two", "one six", "six", "ten")]
    writes("diversity", texts, n=2)
    found = diversity.make(None, source="tests.evals.conftest:desk(n=3)", n=2)(None, {}, None)
    assert sorted(found) == ["distinct_1", "distinct_2", "self_bleu", "unigram_entropy"]
    tokens = [words(text) for text in texts]
    assert found["distinct_2"].mean == distinct(tokens, 2)
    assert all(low < mean < high for mean, low, high in found.values())


def test_one_completion_is_too_few():
    with pytest.raises(ConfigError, match="limit or n should be 2 or more"):
        diversity.make(None, source="tests.evals.conftest:desk(n=3)", limit=1)


def test_intervals_cover_what_other_prompts_would_give():
    rng = np.random.default_rng(0)
    often = 1 / np.arange(1, 101)

    def drawn():
        probs = [np.roll(often, rng.integers(100)) / often.sum() for _ in range(40)]
        return [rng.choice(100, 8, p=p).tolist() for p in probs for _ in range(2)]

    owners = np.repeat(np.arange(40), 2).tolist()
    truth = np.mean([distinct(drawn(), 2) for _ in range(100)])
    intervals = [diversity.jackknife(lambda some: distinct(some, 2), drawn(), owners) for _ in range(100)]
    assert np.mean([low <= truth <= high for _, low, high in intervals]) >= 0.93
