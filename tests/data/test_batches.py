"""Batches: fixed shapes, masks from lengths, each row once an epoch, a pure function of the step."""

import numpy as np
import pytest

from prefjax.data.batches import batches, epoch
from prefjax.data.rows import Rows
from prefjax.errors import ConfigError
from prefjax.types import Demos, Pairs, Prompts


def rows(n, responses, **more):
    """Row i is i + 1 in every token, its part j of length j + 1 + i % 2."""
    parts = [[j + 1 + i % 2 for j in range(responses + 1)] for i in range(n)]
    ends = np.cumsum(parts).reshape(n, -1)
    offsets = np.concatenate([np.concatenate([[0], ends[:-1, -1]])[:, None], ends], axis=1)
    tokens = np.repeat(np.arange(1, n + 1, dtype=np.int32), offsets[:, -1] - offsets[:, 0])
    return Rows(tokens, offsets, np.arange(n, dtype=np.int32) * 10, **more)


def first_tokens(batch):
    return batch.sequences.tokens[:, 0, 0].tolist()


def test_pairs_are_prompt_response_padding_with_masks_from_lengths():
    more = {"target": np.float32([1, 0.5, 0]), "margin": np.float32([1, 2, 3])}
    (batch,) = epoch(rows(3, 2, **more), 3, 8)
    assert isinstance(batch, Pairs)
    tokens, valid, response = batch.sequences
    assert (tokens.shape, tokens.dtype, valid.dtype, response.dtype) == ((3, 2, 8), np.int32, bool, bool)
    assert tokens[1].tolist() == [[2] * 5 + [0] * 3, [2] * 6 + [0] * 2]  # prompt 2, responses 3 and 4
    np.testing.assert_array_equal(valid[1], tokens[1] != 0)
    np.testing.assert_array_equal(response[1], valid[1] & (np.arange(8) >= 2))
    assert (batch.weight.tolist(), batch.target.tolist(), batch.margin.tolist()) == ([1, 1, 1], [1, 0.5, 0], [1, 2, 3])
    assert batch.ref_logps is None


def test_a_last_batch_is_filled_with_rows_of_weight_zero():
    first, last = epoch(rows(5, 1), 3, 6)
    assert isinstance(last, Demos)
    assert (first.weight.tolist(), last.weight.tolist()) == ([1, 1, 1], [1, 1, 0])
    assert last.sequences.tokens.shape == first.sequences.tokens.shape == (3, 6)
    assert last.sequences.tokens[:, 0].tolist() == [4, 5, 5]
    assert last.sequences.response.any(axis=1).all()


def test_prompts_name_their_records_and_filler_none():
    *_, last = epoch(rows(4, 0), 3, 2)
    assert isinstance(last, Prompts)
    assert last.tokens.tolist() == [[4, 4]] * 3
    assert (last.ids.tolist(), last.ids.dtype) == ([30, -1, -1], np.int32)


def test_an_epoch_of_training_holds_each_row_once_and_the_next_another_order():
    batch_at = batches(rows(12, 2), 4, 8, seed=3)
    epochs = [[t for step in range(start, start + 3) for t in first_tokens(batch_at(step))] for start in (0, 3)]
    assert [sorted(order) for order in epochs] == [list(range(1, 13))] * 2
    assert epochs[0] != epochs[1]


def test_a_batch_across_epochs_drops_no_row():
    batch_at = batches(rows(5, 2), 4, 8, seed=0)
    seen = [t for step in range(5) for t in first_tokens(batch_at(step))]
    assert [sorted(seen[i : i + 5]) for i in range(0, 20, 5)] == [[1, 2, 3, 4, 5]] * 4


def test_a_batch_depends_on_seed_and_step_alone():
    data = rows(50, 2)
    walked = batches(data, 4, 8, seed=7)
    steps = [first_tokens(walked(step)) for step in range(40)]
    assert first_tokens(batches(data, 4, 8, seed=7)(39)) == steps[39]
    assert first_tokens(walked(5)) == steps[5]
    assert first_tokens(batches(data, 4, 8, seed=8)(5)) != steps[5]


def test_one_row_makes_batches_of_any_size():
    assert first_tokens(batches(rows(1, 2), 3, 8, seed=0)(10)) == [1, 1, 1]


@pytest.mark.parametrize(
    ("size", "length", "message"), [(0, 8, "batch_size"), (2, 5, "longest row has 6 tokens, got 5")]
)
def test_sizes_that_do_not_fit_are_told_before_the_first_batch(size, length, message):
    for make in (lambda: batches(rows(2, 2), size, length, 0), lambda: next(epoch(rows(2, 2), size, length))):
        with pytest.raises(ConfigError, match=message):
            make()
