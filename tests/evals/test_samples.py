"""What samples measure, against the same numbers from whole logits; completions are sampled once for all who ask."""

import logging
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prefjax import mesh, models
from prefjax.evals import completions, samples
from prefjax.evals.stats import ratio
from prefjax.evals.summary import metrics, summarise
from prefjax.types import Setup
from prefjax.worlds import desk

TOKENIZER = desk.tokenizer()
NET = models.llama(vocab=TOKENIZER.vocab_size, width=16, layers=1, heads=2, tied=False)
SOURCE = "prefjax.worlds.desk:prompts(split='test')"
KNOBS = {"limit": 6, "n": 2, "max_new": 8, "batch_size": 8}  # 12 completions: the last batch has filler rows
KEY = jax.random.key(0)


def a_run(*names, reward=""):
    nets = {name: NET for name in ("policy", *names)}
    frozen = {name: spread(at + 1) for at, name in enumerate(names)}
    empty = {name: None for name in Setup._fields}
    beside = {"config": SimpleNamespace(reward=reward), "tokenizer": TOKENIZER, "parallel": mesh.single()}
    return Setup(**empty | beside | {"nets": nets, "frozen": frozen, "shared": {}})


def spread(seed):
    """Parameters whose distributions are not even."""
    return jax.tree.map(lambda x: 3 * x, models.init(NET, jax.random.key(seed)))


STATE = SimpleNamespace(params=spread(0), step=0)


@pytest.fixture(scope="module")
def evaluated():
    run = a_run("reference", reward="length(target=4)")
    return run, samples.make(run, source=SOURCE, judge="prefjax.worlds.desk:judge", **KNOBS)(STATE, run.frozen, KEY)


def test_kl_and_entropy_are_those_of_whole_distributions(evaluated):
    run, found = evaluated
    written = completions.completions(run, SOURCE, **KNOBS)(STATE, KEY)
    assert len(found["samples"]) == len(written) == 12
    for row, completion in zip(found["samples"], written, strict=True):
        tokens, mask = completion.sequences.tokens[None], np.flatnonzero(completion.sequences.response)
        policy, reference = (
            jax.nn.log_softmax(NET.apply(params, jnp.asarray(tokens)))[0, mask - 1]
            for params in (STATE.params, run.frozen["reference"])
        )
        kl = jnp.sum(jnp.exp(policy) * (policy - reference))
        gaps = (policy - reference)[np.arange(len(mask)), tokens[0, mask]]
        assert row["kl_exact"] == pytest.approx(float(kl), rel=1e-4)
        assert row["kl_k1"] == pytest.approx(float(gaps.sum()), rel=1e-3, abs=1e-4)
        assert row["kl"] == pytest.approx(float(jnp.sum(jnp.expm1(-gaps) + gaps)), rel=1e-3, abs=1e-4)
        entropy = -jnp.sum(jnp.exp(policy) * policy) / len(mask)
        assert row["entropy"] == pytest.approx(float(entropy), rel=1e-4)
        assert row["length"] == len(mask) and row["response"] == completion.text
    for name in ("kl_exact", "entropy", "length", "reward", "gold"):
        assert found[name] == pytest.approx(np.mean([row[name] for row in found["samples"]]))


def test_lengths_are_beside_those_of_the_references_own_completions(evaluated):
    run, found = evaluated
    usual = completions.of_reference(run, SOURCE, **KNOBS)(run.frozen, KEY)
    rows = found["samples"]
    for row in rows:
        assert row["length_reference"] == np.mean([c.length for c in usual if c.index == row["record"]])
    columns = ([row[name] for row in rows] for name in ("length", "length_reference", "record"))
    assert found["length_ratio"] == ratio(*columns)
    same = completions.completions(run, SOURCE, **KNOBS)(SimpleNamespace(params=run.frozen["reference"]), KEY)
    assert [c.text for c in same] == [c.text for c in usual]  # the same prompts and noise: of itself the ratio is 1


def test_a_slice_has_all_that_the_whole_has(evaluated):
    _, found = evaluated
    own = summarise({"e": found})["e"]["length_ratio"]
    for name, part in own["slices"].items():
        rows = [row for row in found["samples"] if row["slice"] == name]
        assert part["mean"] == sum(r["length"] for r in rows) / sum(r["length_reference"] for r in rows)


def odd(records, texts):
    """A judge whose word is no number now and then."""
    return {"worth": [(1.0, float("nan"), float("inf"), None)[at % 4] for at in range(len(texts))]}


def test_what_is_no_number_is_left_out_and_said(caplog):
    with caplog.at_level(logging.WARNING):
        found = samples.make(a_run(), source=SOURCE, judge="tests.evals.test_samples:odd", **KNOBS)(STATE, {}, KEY)
    assert found["worth"] == 1.0 and summarise({"e": found})["e"]["worth"]["n"] == 3
    assert [row["worth"] for row in found["samples"][:4]] == [1.0, None, None, None]
    assert "worth of 6 of 12 completions is not finite: they are left out" in caplog.text


def test_without_a_reference_there_is_no_kl_and_that_is_said(caplog):
    run = a_run()
    with caplog.at_level(logging.WARNING):
        found = samples.make(run, source=SOURCE, **KNOBS)(STATE, {}, KEY)
    assert "frozen.reference is not set: no KL and no length_ratio is measured" in caplog.text
    assert set(metrics(found)) == {"length", "stopped", "entropy"}


def test_who_asks_for_the_same_completions_shares_them(monkeypatch):
    run, calls = a_run("reference"), []
    sample = completions.sample
    monkeypatch.setattr(completions, "sample", lambda *a, **k: calls.append(1) or sample(*a, **k))
    first, second = (completions.completions(run, SOURCE, **KNOBS) for _ in range(2))
    usual = completions.of_reference(run, SOURCE, **KNOBS)
    assert first(STATE, KEY) is second(STATE, KEY) and len(calls) == 1
    assert usual(run.frozen, KEY) is usual(run.frozen, KEY) and len(calls) == 2
    assert first(SimpleNamespace(params=spread(7)), KEY) is not second(STATE, KEY) and len(calls) == 4
    assert first(STATE, jax.random.key(1))[0].text != second(STATE, KEY)[0].text


def test_batches_of_one_shape_with_filler_rows():
    run = a_run()
    found = completions.completions(run, SOURCE, **KNOBS)(STATE, KEY)
    parts = [(count, sequences.tokens.shape, ids.tolist()) for count, sequences, ids in completions.batched(found, 8)]
    width = len(found[0].sequences.tokens)
    assert parts == [(8, (8, width), [0, 0, 1, 1, 2, 2, 3, 3]), (4, (8, width), [4, 4, 5, 5, 5, 5, 5, 5])]
