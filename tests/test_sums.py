"""Sums of call strings: their terms, the paths of their numbers, and another number in one."""

import pytest

from prefjax.errors import ConfigError
from prefjax.sums import changed, is_calls, mixture, paths, terms

SUM = "dpo_loss(beta=0.1) + 0.2 * sft_loss(per='response')"


def test_terms():
    assert terms("a()") == {"a": (1.0, "a()")}
    assert terms("a(k=1) + 0.5 * b() - 2 * c()") == {"a": (1.0, "a(k=1)"), "b": (0.5, "b()"), "c": (-2.0, "c()")}
    assert terms("-2 * a() - -0.5 * a()") == {"a": (-2.0, "a()"), "a2": (0.5, "a()")}
    assert list(terms("a() + a3() + a() + a()")) == ["a", "a3", "a2", "a4"]
    assert terms("mine.module:a(k=1)") == {"a": (1.0, "mine.module:a(k=1)")}
    assert terms("a() + 0.5 * 'mine.module:b(k=1)'") == {"a": (1.0, "a()"), "b": (0.5, "mine.module:b(k=1)")}


def test_what_is_a_call_and_what_a_path():
    for text in ("model()", "model() + 0.1 * length(target=20)", "-2 * length()", "0.5 * 'my.module:make()'"):
        assert is_calls(text), text
    for text in ("runs/reward", "runs/reward@3", "hf:org/name", "a-b", "2 * a", "reward+1"):
        assert not is_calls(text), text


def test_a_keyword_of_one_term_alone_needs_no_name():
    assert paths("dpo_loss(beta=0.1)") == {"beta": ("dpo_loss", "beta")}
    dpo, sft = mixture(SUM, "prefjax.losses")
    assert dpo.numbers == {"beta": 0.1, "dpo_loss.weight": 1.0}
    assert sft.numbers == {"sft_loss.weight": 0.2} and sft.call.words == {"per": "response"}
    both = [term.numbers for term in mixture("dpo_loss(beta=0.1) + slic_loss(beta=1)", "prefjax.losses")]
    assert both[1] == {"slic_loss.beta": 1.0, "slic_loss.weight": 1.0} and "dpo_loss.beta" in both[0]


@pytest.mark.parametrize(
    ("text", "path", "after"),
    [
        ("dpo_loss()", "beta", "dpo_loss(beta=0.5)"),
        (SUM, "beta", "dpo_loss(beta=0.5) + 0.2 * sft_loss(per='response')"),
        (SUM, "dpo_loss.beta", "dpo_loss(beta=0.5) + 0.2 * sft_loss(per='response')"),
        (SUM, "sft_loss.weight", "dpo_loss(beta=0.1) + 0.5 * sft_loss(per='response')"),
        ("2 * 'my.loss:mine(tau=1)'", "tau", "2.0 * 'my.loss:mine(tau=0.5)'"),
        ("a() - b()", "b.k", "a() + -1.0 * b(k=0.5)"),
    ],
)
def test_another_number(text, path, after):
    assert changed(text, path, 0.5) == after
    assert terms(after) == terms(changed(after, path, 0.5))


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        (SUM, "bta", "has no 'bta'; did you mean 'beta'"),
        ("a(k=1) + b(k=2)", "k", r"has no 'k'; did you mean '[ab]\.k'"),
        ("a(k=1)", "b.k", "has no 'b.k'"),
    ],
)
def test_a_path_that_is_not_there(text, path, message):
    with pytest.raises(ConfigError, match=message):
        changed(text, path, 0.5)


def test_a_keyword_may_not_be_called_weight():
    with pytest.raises(ConfigError, match="'weight' is the factor before a call"):
        mixture("a(weight=1) + b()", "prefjax.losses")
