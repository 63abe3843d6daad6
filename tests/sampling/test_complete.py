"""From records to completions."""

import jax
import numpy as np
import pytest

from prefjax import models
from prefjax.errors import ConfigError
from prefjax.sampling.complete import answers, complete, sample
from prefjax.worlds import desk

TOKENIZER = desk.tokenizer()
MODEL = models.llama(vocab=TOKENIZER.vocab_size, width=16, layers=1, heads=2, positions=64)
RECORDS = desk.prompts("test")[:5]
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def params():
    return models.init(MODEL, KEY)


def test_every_record_is_answered_n_times_in_order(params):
    found = complete(MODEL, params, TOKENIZER, RECORDS, KEY, n=3, max_new=6, batch_size=4)
    assert [answer.record for answer in found] == [i for i in range(5) for _ in range(3)]
    assert all(1 <= answer.length <= 6 for answer in found)
    assert len({answer.text for answer in found}) > 5  # each with noise of its own


def test_batches_have_one_shape_and_filler_rows_no_answer(params):
    batches = list(sample(MODEL, params, TOKENIZER, RECORDS, KEY, max_new=4, batch_size=4))
    assert len({batch.sequences.tokens.shape for batch in batches}) == 1
    assert [list(batch.records) for batch in batches] == [[0, 1, 2, 3], [4, -1, -1, -1]]
    assert [len(answers(batch, TOKENIZER)) for batch in batches] == [4, 1]


def test_a_response_holds_what_was_sampled_after_the_prompt(params):
    (batch,) = sample(MODEL, params, TOKENIZER, RECORDS[:1], KEY, max_new=4)
    prompt = TOKENIZER.encode_prompt(RECORDS[0]["prompt"])
    tokens, response = np.asarray(batch.sequences.tokens[0]), np.asarray(batch.sequences.response[0])
    assert tokens[: len(prompt)].tolist() == prompt
    assert np.flatnonzero(response)[0] == len(prompt)
    assert np.all((np.asarray(batch.logps[0]) < 0) == response)


def test_completions_are_as_long_as_fits_unless_said(params):
    longest = max(len(TOKENIZER.encode_prompt(record["prompt"])) for record in RECORDS)
    (batch,) = sample(MODEL, params, TOKENIZER, RECORDS, KEY)
    assert batch.sequences.tokens.shape[1] == MODEL.config.positions
    found = complete(MODEL, params, TOKENIZER, RECORDS, KEY)
    assert max(answer.length for answer in found) <= MODEL.config.positions - longest


@pytest.mark.parametrize(("name", "value", "least"), [("n", 0, 1), ("max_new", 0, 1), ("temperature", -0.5, 0)])
def test_settings_out_of_range_are_named(params, name, value, least):
    with pytest.raises(ConfigError, match=f"{name} is {value}; it should be {least} or more"):
        complete(MODEL, params, TOKENIZER, RECORDS, KEY, **{name: value})


def test_no_room_to_answer_is_an_error_of_the_setting(params):
    with pytest.raises(ConfigError, match=r"a prompt has \d+ tokens and max_new is 60; the model has 64 positions"):
        complete(MODEL, params, TOKENIZER, RECORDS, KEY, max_new=60)
