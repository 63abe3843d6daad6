"""Log-probabilities of given texts, against the model itself."""

import numpy as np
import pytest

from prefjax.data import rows
from prefjax.errors import DataError
from prefjax.evals.likelihood import choices, likelihoods
from prefjax.worlds import desk

LONG = "Please ask an expert if in doubt. " * 40


def test_they_are_those_of_the_model(tiny):
    run, state = tiny
    records = desk.demos(n=5)
    table, _ = rows.demos(records, run.tokenizer, 80)
    logps, tokens = likelihoods(run, table, 2)(state.params)
    for row, record in enumerate(records):
        prompt, response = table.part(row, 0), table.part(row, 1)
        logits = run.nets["policy"].apply(state.params, np.concatenate([prompt, response])[None])[0]
        told = np.asarray(logits - np.log(np.exp(logits).sum(-1, keepdims=True)))[len(prompt) - 1 : -1]
        assert logps[row] == pytest.approx(told[np.arange(len(response)), response].sum(), rel=1e-4)
        assert tokens[row] == len(run.tokenizer.encode_response(record["prompt"], record["response"]).response)


def test_choices_that_are_too_long_take_their_record_with_them(tiny, caplog):
    run, state = tiny
    good = {"prompt": "Why?", "facts": {"wrong": ["No."], "right": ["Yes.", "Good."]}}
    bad = {"prompt": "Why?", "facts": {"right": ["Yes."], "wrong": [LONG, "No."]}}
    kept, scored = choices(run, [bad, good], "some()", 64, "mine")
    assert kept == [1]
    assert run.facts["mine"]["some()[:2]"]["records left out"] == 1
    assert "some(): 5 rows, and 1 dropped" in caplog.text
    ((logps, tokens, right),) = scored(state.params)
    assert right.tolist() == [True, True, False]  # the right ones first, whatever the order of the facts
    assert (logps < 0).all() and (tokens >= 2).all()


def test_what_is_wrong_is_said(tiny):
    run, _ = tiny
    for facts in (None, "Yes.", {"right": ["Yes."]}, {"right": [], "wrong": ["No."]}):
        with pytest.raises(DataError, match="facts of record 0 should be {'right': "):
            choices(run, [{"prompt": "Why?", "facts": facts}], "some()", 64, "mine")
    with pytest.raises(DataError, match="over data.max_length = 80"):
        choices(run, [{"prompt": "Why?", "facts": {"right": ["Yes."], "wrong": [LONG]}}], "some()", 64, "mine")
