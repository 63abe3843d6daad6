"""Perplexity on held-out text."""

import numpy as np
import pytest

from prefjax.evals import held_out, perplexity
from prefjax.evals.summary import summarise, told

SOURCE = "prefjax.worlds.desk:demos(split='validation', n=12)"


def test_it_is_the_loss_of_the_same_rows(tiny):
    run, state = tiny
    found = perplexity.make(run, source=SOURCE, batch_size=5)(state, {}, None)
    loss = held_out.make(run, source=SOURCE, batch_size=8)(state, run.frozen, None)["loss"].item()
    assert found["nll"].mean == pytest.approx(loss, rel=1e-5)
    assert found["nll"].low < loss < found["nll"].high
    assert found["nll"].mean == pytest.approx(np.log(run.tokenizer.vocab_size), rel=0.05)  # random weights
    assert [row["record"] for row in found["samples"]] == list(range(12))
    assert run.facts["perplexity"][f"{SOURCE}[:12]"] == {"rows": 12}


def test_a_slice_is_measured_as_the_whole_is():
    rows = [{"record": at, "slice": "a", "nll": at + 1.0, "tokens": 10 * at + 1} for at in range(4)]
    rows += [{"record": 4, "slice": "b", "nll": 9.0, "tokens": 5}]
    own = summarise({"e": told(rows, perplexity.measures)})["e"]["nll"]
    part = own["slices"]["a"]
    assert part["mean"] == pytest.approx((1 * 1 + 2 * 11 + 3 * 21 + 4 * 31) / 64) != pytest.approx(2.5)
    assert part["low"] < part["mean"] < part["high"] and part["n"] == 4
    assert own["slices"]["b"] == {"n": 1, "mean": 9.0, "low": None, "high": None}


def test_texts_without_a_prompt(tiny, tmp_path):
    run, state = tiny
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "Stay calm."}\n{"text": "Run it once by hand before that."}\n')
    found = perplexity.make(run, source=f"demos(path={str(path)!r}, text='text')")(state, {}, None)
    assert [row["prompt"] for row in found["samples"]] == ["", ""]
    assert found["nll"].mean > 0
