"""Call strings: what they name, which of their keywords are traced, and what is said of mistakes."""

import pytest

from prefjax.errors import ConfigError
from prefjax.losses import dpo_loss, ipo_loss
from prefjax.resolve import is_call, keywords, parse, resolve


def test_a_loss_by_name():
    call = resolve("dpo_loss(beta=0.5)", "prefjax.losses")
    assert call.function is dpo_loss
    assert call.kwargs == {"beta": 0.5}


def test_a_module_stands_for_its_make():
    from prefjax.algorithms import dpo

    assert resolve("dpo", "prefjax.algorithms").function is dpo.make


def test_a_name_with_a_colon_comes_from_anywhere():
    assert resolve("prefjax.losses:ipo_loss(tau=1)").function is ipo_loss


def test_numbers_are_traced_and_words_are_static():
    call = resolve("ipo_loss(tau=1, reduction='mean')", "prefjax.losses")
    assert call.numbers == {"tau": 1.0}
    assert call.words == {"reduction": "mean"}
    schedule = resolve("cosine(warmup=10, final=0.1)", "prefjax.optim")
    assert schedule.numbers == {"final": 0.1}
    assert schedule.words == {"warmup": 10}  # annotated as an integer: it gives shapes
    optimizer = resolve("adamw(b2=0.95, nesterov=True)", "optax")
    assert optimizer.numbers == {"b2": 0.95}
    assert optimizer.words == {"nesterov": True}


def as_strings(x, *, count: "int", size: "int | None" = None, rate: "float | Unknown" = 0.0, both: "int | float" = 0):  # noqa: F821
    return count


def test_annotations_may_be_strings():
    call = resolve(f"{__name__}:as_strings(count=1, size=2, rate=3, both=4)")
    assert call.words == {"count": 1, "size": 2}
    assert call.numbers == {"rate": 3.0, "both": 4.0}


@pytest.mark.parametrize(
    ("given", "message"),
    [({}, r"'llama\(width=96, layers=3\)': missing .*'heads'"), ({"heads": 4, "depth": 1}, r"layers=3\)': .*'depth'")],
)
def test_a_call_that_does_not_bind_is_named_with_its_keyword(given, message):
    with pytest.raises(ConfigError, match=message):
        resolve("llama(width=96, layers=3)", "prefjax.models")(vocab=8, **given)


def test_an_unknown_algorithm_is_answered_with_those_there_are():
    with pytest.raises(ConfigError, match="did you mean 'reward'"):
        resolve("rewards", "prefjax.algorithms")


def test_a_module_without_make_is_no_answer_and_none_of_those_there_are():
    with pytest.raises(ConfigError, match=r"'stats\(\)': prefjax.evals.stats has no make\(...\); did you mean"):
        resolve("stats()", "prefjax.evals")
    with pytest.raises(ConfigError, match="no 'zzz' in prefjax.evals; it has ") as raised:
        resolve("zzz()", "prefjax.evals")
    known = str(raised.value).partition("it has ")[2].split(", ")
    assert {"perplexity", "skill", "win_rate"} < set(known) and not {"stats", "summary", "history"} & set(known)


FALSY = 0  # a module of yours may hold what is no function


def test_an_unknown_name_with_a_colon_is_answered_too():
    with pytest.raises(ConfigError, match="no 'as_string' in .*; did you mean 'as_strings'"):
        resolve(f"{__name__}:as_string()")
    with pytest.raises(ConfigError, match="no 'judg' in prefjax.worlds.desk; did you mean 'judge'"):
        resolve("prefjax.worlds.desk:judg()")
    with pytest.raises(ConfigError, match="no 'zzz' in .*; it has ") as raised:
        resolve(f"{__name__}:zzz()")
    assert "FALSY" not in str(raised.value)


def test_a_call_calls_with_its_keywords():
    schedule = resolve("constant(warmup=3)", "prefjax.optim")(100)
    assert [float(schedule(step)) for step in (0, 1, 2, 3, 99)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_keywords_of_a_path():
    hparams = {"loss.beta": 0.1, "loss.label_smoothing": 0.0, "optim.lr": 1.0}
    assert keywords(hparams, "loss") == {"beta": 0.1, "label_smoothing": 0.0}


def test_a_path_is_no_call():
    assert is_call("llama(width=64)")
    assert is_call("my.module:net(width=64)")
    assert is_call("prefjax.worlds.desk:tokenizer()")
    assert not is_call("runs/sft@100")
    assert not is_call("/models/tiny (copy)")


def test_literals_of_all_kinds():
    assert parse("f(a=1, b='x', c=(1, 2), d=None, e=-0.5)")[1] == {"a": 1, "b": "x", "c": (1, 2), "d": None, "e": -0.5}
    assert parse("a.b:f") == ("a.b:f", {})
    assert parse("jsonl(path='a:b.jsonl')") == ("jsonl", {"path": "a:b.jsonl"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dpo_los(beta=0.1)", "no 'dpo_los' in prefjax.losses; did you mean 'dpo_loss'"),
        ("dpo_loss(bta=0.1)", "dpo_loss takes no keyword 'bta'; did you mean 'beta'"),
        ("dpo_loss(0.1)", "arguments are given by keyword"),
        ("dpo_loss(beta=)", "is not a call string"),
        ("dpo_loss(beta=x)", "is not a call string"),
        ("nowhere.to.be:found()", "no module 'nowhere.to.be'"),
        ("", "is not a call string"),
    ],
)
def test_mistakes_are_named(text, message):
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        resolve(text, "prefjax.losses")
