"""Batches: fixed shapes, masks from lengths, each row once an epoch, a pure function of the step."""

import numpy as np
import pytest

from prefjax.data.batches import batches, epoch, order
from prefjax.data.rows import Rows
from prefjax.errors import ConfigError
from prefjax.types import Demos, Pairs, Prompts, Rankings, Unpaired


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
    tokens, valid, response, _ = batch.sequences
    assert (tokens.shape, tokens.dtype, valid.dtype, response.dtype) == ((3, 2, 8), np.int32, bool, bool)
    assert tokens[1].tolist() == [[2] * 5 + [0] * 3, [2] * 6 + [0] * 2]  # prompt 2, responses 3 and 4
    np.testing.assert_array_equal(valid[1], tokens[1] != 0)
    np.testing.assert_array_equal(response[1], valid[1] & (np.arange(8) >= 2))
    assert (batch.weight.tolist(), batch.target.tolist(), batch.margin.tolist()) == ([1, 1, 1], [1, 0.5, 0], [1, 2, 3])
    assert batch.ref_logps is None


def test_a_candidate_that_a_ranking_lacks_has_no_response():
    table = rows(2, 3, ranks=np.array([[0, 1, 2], [0, 1, -1]], np.int32))
    table.offsets[1, -1] = table.offsets[1, -2]
    (batch,) = epoch(table, 2, 8)
    assert isinstance(batch, Rankings) and batch.sequences.tokens.shape == (2, 3, 8)
    np.testing.assert_array_equal(batch.ranks, table.ranks)
    assert batch.sequences.response.sum(-1).tolist() == [[2, 3, 4], [3, 4, 0]]
    assert batch.sequences.valid.sum(-1).tolist() == [[3, 4, 5], [5, 6, 2]]


def test_judged_responses_lie_beside_mismatched_ones_of_other_prompts():
    table = rows(6, 1, target=np.float32([1, 0, 1, 0, 1, 1]), prompts=np.uint64([7, 7, 8, 8, 7, 9]))
    first, last = epoch(table, 4, 8)
    assert isinstance(first, Unpaired) and first.target.tolist() == [1, 0, 1, 0]
    theirs = np.where(first.mismatched.response, first.mismatched.tokens, 0).max(-1)
    prompts = np.where(first.mismatched.response, 0, first.mismatched.tokens).max(-1)
    assert (prompts.tolist(), theirs.tolist()) == ([1, 2, 3, 4], [3, 4, 1, 2])
    assert first.mismatched.response.sum(-1).tolist() == [2, 3, 2, 3]
    assert (last.target.tolist(), last.weight.tolist()) == ([1, 1, 1, 1], [1, 1, 0, 0])
    together = table._replace(prompts=np.full(6, 7, np.uint64))
    assert not next(epoch(together, 4, 8)).mismatched.response.any(), "the response to the same prompt is no mismatch"


def test_a_mismatched_response_that_does_not_fit_is_left_out_not_cut():
    table = rows(2, 1, target=np.float32([1, 0]), prompts=np.uint64([1, 2]))  # prompts of 1 and 2, responses of 2 and 3
    (batch,) = epoch(table, 2, 5)
    assert batch.sequences.tokens.shape == batch.mismatched.tokens.shape == (2, 5)
    assert batch.mismatched.response.sum(-1).tolist() == [3, 2]
    longer = table._replace(offsets=np.array([[0, 1, 5], [5, 9, 10]]), tokens=np.repeat(np.int32([1, 2]), 5))
    (batch,) = epoch(longer, 2, 6)  # 4 + 4 tokens do not fit, 1 + 1 do
    assert batch.mismatched.response.sum(-1).tolist() == [1, 0]
    assert batch.mismatched.valid.sum(-1).tolist() == [2, 4]


def test_log_probs_of_the_reference_lie_where_their_tokens_lie():
    table = rows(3, 2)
    (batch,) = epoch(table._replace(ref_logps=-table.tokens.astype(np.float32)), 4, 8)
    tokens, _, response, _ = batch.sequences
    np.testing.assert_array_equal(batch.ref_logps, np.where(response, -tokens, 0).astype(np.float32))
    assert (batch.ref_logps.shape, batch.ref_logps.dtype) == ((4, 2, 8), np.float32)


def test_a_last_batch_is_filled_with_rows_of_weight_zero():
    first, last = epoch(rows(5, 1), 3, 6)
    assert isinstance(last, Demos)
    assert (first.weight.tolist(), last.weight.tolist()) == ([1, 1, 1], [1, 1, 0])
    assert last.sequences.tokens.shape == first.sequences.tokens.shape == (3, 6)
    assert last.sequences.tokens[:, 0].tolist() == [4, 5, 5]
    assert last.sequences.response.any(axis=1).all()


def test_rows_are_as_long_as_the_longest_needs():
    shapes = [next(epoch(rows(2, 2), 2, length)).sequences.tokens.shape for length in (6, 7, 8, 4096)]
    assert shapes == [(2, 2, 6), (2, 2, 7), (2, 2, 8), (2, 2, 8)]


def test_packed_rows_hold_each_prompt_once():
    (batch,) = epoch(rows(64, 2), 64, 8)
    _, valid, response, packing = batch.sequences
    stream, copies = packing.stream[0], packing.copies[0]
    used = copies[:, 0] >= 0
    assert used.sum() == valid[:, 0].sum() + response[:, 1].sum() == 32 * (1 + 2 + 3) + 32 * (2 + 3 + 4)
    assert len(stream) % 64 == 0 and used.sum() <= len(stream) < valid.size
    index = np.arange(valid.size).reshape(valid.shape)
    index[:, 1] -= np.where(response[:, 1], 0, 8)  # the prompt of side 1 is read from side 0
    np.testing.assert_array_equal(stream[packing.place[valid]], index[valid])
    assert sorted(copies[copies >= 0]) == np.flatnonzero(valid).tolist()


def test_a_batch_that_does_not_fit_its_stream_is_not_packed():
    parts = np.tile([[1, 1, 1]], (2000, 1))
    parts[-16:] = 30  # the last batch is all of the longest
    ends = np.cumsum(parts).reshape(parts.shape)
    offsets = np.concatenate([ends[:, :1] - parts[:, :1], ends], axis=1)
    data = Rows(np.ones(ends[-1, -1], np.int32), offsets, np.arange(2000, dtype=np.int32))
    *first, last = epoch(data, 16, 64)
    assert last.sequences.packing is None and all(batch.sequences.packing for batch in first)
    assert last.sequences.tokens.shape == first[0].sequences.tokens.shape


def test_rows_without_padding_are_not_packed():
    (batch,) = epoch(rows(1, 1), 1, 8)
    assert batch.sequences.packing is None


def test_parts_of_a_batch_have_streams_of_their_own():
    data, size = rows(64, 2), 64
    (batch,) = epoch(data, size, 8, microbatches=2, shards=2)
    packing, flat = batch.sequences.packing, np.arange(size).reshape(2, -1, 2)  # [shards, rows, microbatches]
    assert len(packing.stream) == len(packing.copies) == 4
    for shard in range(2):
        for part in range(2):
            here = flat[shard, :, part]
            tokens, valid = batch.sequences.tokens[here].reshape(-1), batch.sequences.valid[here].reshape(-1)
            copies = packing.copies[2 * shard + part]
            assert sorted(copies[copies >= 0]) == np.flatnonzero(valid).tolist()
            stream = tokens[packing.stream[2 * shard + part]]
            np.testing.assert_array_equal(stream[packing.place[here].reshape(-1)][valid], tokens[valid])


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
    assert first_tokens(walked(5)) == steps[5] == [row + 1 for row in order(50, 4, 7)(5)]
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
