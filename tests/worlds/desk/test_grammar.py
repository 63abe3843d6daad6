import numpy as np
import pytest

from prefjax.worlds.desk import facts, grammar


@pytest.mark.parametrize("style", [grammar.PLAIN, grammar.POLITE])
def test_answers_keep_their_length(style):
    rng = np.random.default_rng(0)
    prompts = [prompt for split in facts.SPLITS for prompt in facts.all_prompts(split)]
    lengths = [len(grammar.tokenize(grammar.write(rng, prompt, style))) for prompt in prompts for _ in range(5)]
    assert min(lengths) >= 4
    assert max(lengths) <= grammar.MAX_LENGTH
    assert 15 < np.mean(lengths) < 35
    rendered = 4 + grammar.MAX_LENGTH + max(len(grammar.tokenize(prompt.text)) for prompt in prompts)
    assert rendered <= 80


def test_an_answer_is_made_of_the_sentences_of_its_entity():
    prompt = next(p for p in facts.all_prompts("train") if p.entity.name == "latency")
    roles = grammar.sentences(prompt.entity)
    assert roles["That is because the cache starts cold."] == ("C", "the cache starts cold")
    assert roles["In short, latency rose because the cache starts cold."] == ("C", "the cache starts cold")
    assert roles["To fix it, warm the cache first."] == ("D", "the cache starts cold")
    assert roles["Sorry, I cannot help with that."] == ("R", "")
    assert "In short, retries rose because the cache starts cold." not in roles
    assert not {"A", "X", "Y", "T", "F", "U"} & {role for role, _ in roles.values()}


def test_politer_answers_have_more_caveats_by_the_odds_of_the_style():
    rng = np.random.default_rng(0)
    style = grammar.PLAIN._replace(caveats=(0.0, 0.0, 0.0, 1.0), warmth=0.0, hedge=0.0, tip=0.0)
    prompt = next(p for p in facts.all_prompts("train") if p.entity.name == "latency")
    caveats = {f"{c[0].upper()}{c[1:]}." for c in grammar.CAVEATS["incident"] + grammar.CAVEATS["unsafe"]}
    for _ in range(20):
        sentences = grammar.write(rng, prompt, style).split(". ")
        assert sum(f"{s.rstrip('.')}." in caveats for s in sentences) == 3


def test_tokens_are_words_and_marks():
    assert grammar.tokenize("No, my partner's  pan.") == ["No", ",", "my", "partner's", "pan", "."]
