"""Rows as batches of a fixed shape: `[prompt | response | padding]`, masks from lengths."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from prefjax.data.rows import Rows
from prefjax.errors import ConfigError
from prefjax.types import Demos, Packing, Pairs, Prompts, Rankings, Sequences, Steps, Unpaired

Batch = Pairs | Rankings | Unpaired | Steps | Demos | Prompts

_WORTH_PACKING = 0.9  # of the tokens of rows with their padding: packing has a price of its own


def batches(
    rows: Rows, batch_size: int, max_length: int, seed: int, *, microbatches: int = 1, shards: int = 1
) -> Callable[[int], Batch]:
    """Endless training batches, as a pure function of the step: nothing to save, nothing to replay.

    Every epoch holds each row once, in an order of its own; a batch may hold the end of one epoch and the start of the
    next, so that no row is dropped.

    Args:
      rows: pairs become `Pairs`, rankings `Rankings`, judged responses `Unpaired`, judged steps `Steps`, demonstrations
        `Demos`, prompts `Prompts`.
      batch_size: B.
      max_length: the largest T, at least that of the longest row; T is not larger than the rows need.
      seed: of the order.
      microbatches: parts in which a step takes a batch: part m has the rows m, m + microbatches, ...
      shards: devices over which the rows are dealt, in blocks.

    Returns:
      `batch_at(step)`, a batch of numpy arrays.

    Raises:
      ConfigError: a row is longer than `max_length`, or `batch_size` is not positive or not that of equal parts.
    """
    plan, rows_at = _plan(rows, batch_size, max_length, microbatches, shards), order(rows.size, batch_size, seed)
    return lambda step: _collate(rows, rows_at(step), plan)


def order(count: int, batch_size: int, seed: int) -> Callable[[int], np.ndarray]:
    """Which of `count` rows the batch of a step holds: step -> indices `[B]`."""
    import grain

    shuffled = grain.MapDataset.range(count).seed(seed).shuffle().repeat()
    return lambda step: np.array([shuffled[i] for i in range(step * batch_size, (step + 1) * batch_size)])


def epoch(rows: Rows, batch_size: int, max_length: int, *, microbatches: int = 1, shards: int = 1) -> Iterator[Batch]:
    """Each row once, in order: an evaluation. The last batch is filled up with rows of weight 0 (prompts: of id -1)."""
    plan = _plan(rows, batch_size, max_length, microbatches, shards)
    for first in range(0, rows.size, batch_size):
        yield _collate(rows, np.arange(first, min(first + batch_size, rows.size)), plan)


class _Plan(NamedTuple):
    """What the batches of a run share, so that they are one compiled program."""

    length: int  # T
    crossed: int  # T of the longest prompt with the longest response, as far as rows may be that long
    groups: np.ndarray  # [G, B / G]: the rows of a batch that share a stream, first by shard, then by microbatch
    places: int  # in a stream; 0 where rows are not packed


def _plan(rows: Rows, batch_size: int, max_length: int, microbatches: int, shards: int) -> _Plan:
    if batch_size < 1 or batch_size % (microbatches * shards):
        raise ConfigError(f"batch_size: expected a positive multiple of {microbatches * shards}, got {batch_size}")
    prompt = rows.offsets[:, 1] - rows.offsets[:, 0]
    responses = [rows.offsets[:, j + 1] - rows.offsets[:, j] for j in range(1, rows.responses + 1)]
    longest = int(max((prompt + response).max() for response in responses) if responses else prompt.max())
    if longest > max_length:
        raise ConfigError(f"max_length: the longest row has {longest} tokens, got {max_length}")
    length = min(max_length, _round_up(longest, 8))
    crossed = min(max_length, _round_up(prompt.max() + max((r.max() for r in responses), default=0), 8))
    groups = np.arange(batch_size).reshape(shards, -1, microbatches).swapaxes(1, 2).reshape(shards * microbatches, -1)
    count, tokens = groups.shape[1], rows.offsets[:, -1] - rows.offsets[:, 0]
    usual = count * tokens.mean() + 4 * np.sqrt(count) * tokens.std()  # of ten thousand batches one has more
    places = _round_up(min(usual, count * tokens.max()), 64)
    worth = places <= _WORTH_PACKING * count * rows.responses * length
    return _Plan(length, crossed, groups, places if worth else 0)


def _round_up(x: float, multiple: int) -> int:
    return int(np.ceil(x / multiple)) * multiple


def _collate(rows: Rows, indices: np.ndarray, plan: _Plan) -> Batch:
    """The batch of some rows, filled up with copies of the last of them, of weight 0."""
    real = np.arange(plan.groups.size) < len(indices)
    others = _filled(np.roll(indices, len(indices) // 2), len(real))  # in order, the sides of a pair are neighbours
    indices = _filled(indices, len(real))
    weight: Any = real.astype(np.float32)
    sequences = _sequences(rows, indices, plan)
    ref_logps = None if rows.ref_logps is None else _of_responses(rows, rows.ref_logps, indices, sequences.response)
    if rows.ranks is not None:
        ranks: Any = rows.ranks[indices]
        return Rankings(sequences, weight, ranks, ref_logps)
    if rows.responses == 2:
        return Pairs(
            sequences,
            weight,
            ref_logps=ref_logps,
            margin=None if rows.margin is None else rows.margin[indices],
            target=None if rows.target is None else rows.target[indices],
            grade=None if rows.grade is None else rows.grade[indices],
            attributes=None if rows.attributes is None else rows.attributes[indices],
        )
    if rows.responses == 1 and rows.target is not None:
        mismatched = _sequences(rows, indices, plan._replace(length=plan.crossed), others)
        return Unpaired(sequences, mismatched, weight, rows.target[indices], ref_logps)
    if rows.steps is not None:
        labels = _of_responses(rows, rows.steps, indices, sequences.response, -1)
        return Steps(sequences, weight, labels >= 0, labels)
    if rows.responses == 1:
        return Demos(sequences, weight)
    ids: Any = np.where(real, rows.records[indices], -1).astype(np.int32)
    return Prompts(sequences.tokens, sequences.valid, ids)


def _filled(indices: np.ndarray, count: int) -> np.ndarray:
    return np.concatenate([indices, np.repeat(indices[-1:], count - len(indices))])


def _sequences(rows: Rows, indices: np.ndarray, plan: _Plan, others: np.ndarray | None = None) -> Sequences:
    """Numpy arrays `[B, N, T]`, or `[B, T]` if a row has one response or none.

    With `others` each prompt is followed by the response of another row, or by none where that answers the same prompt
    or does not fit.
    """
    parts = np.diff(rows.offsets[indices])  # [B, 1 + responses]
    if others is not None:
        parts[:, 1:] = np.diff(rows.offsets[others])[:, 1:]
        parts[(rows.prompts[indices] == rows.prompts[others]) | (parts.sum(axis=1) > plan.length), 1:] = 0
    starts = parts[:, :1]  # [B, 1]
    ends = starts + parts[:, 1:] if rows.responses else starts  # [B, N]
    at = np.arange(plan.length)
    valid: Any = at < ends[..., None]
    tokens: Any = np.zeros(valid.shape, np.int32)
    for i, row in enumerate(indices):
        tokens[i, :, : starts[i, 0]] = rows.part(row, 0)
        for j in range(rows.responses):
            response = rows.part(row if others is None else others[i], j + 1)
            tokens[i, j, starts[i, 0] : ends[i, j]] = response[: parts[i, j + 1]]
    arrays = tokens, valid, valid & (at >= starts[..., None])
    if rows.responses < 2:
        arrays = (array[:, 0] for array in arrays)
    return Sequences(*arrays, _packing(parts, plan))


def _of_responses(rows: Rows, column: np.ndarray, indices: np.ndarray, response: Any, outside: float = 0.0) -> Any:
    """A column of all tokens, float32 `[B, N, T]` or `[B, T]`, `outside` where there is no response."""
    found = np.full(response.shape, outside, np.float32)
    found[response] = np.concatenate([column[rows.offsets[row, 1] : rows.offsets[row, -1]] for row in indices])
    return found


def _packing(parts: np.ndarray, plan: _Plan) -> Packing | None:
    """The packing of rows whose prompts and responses have lengths `parts`; None if a group does not fit."""
    parts = parts[plan.groups]  # [G, R, 1 + N]
    if parts.sum(axis=(1, 2)).max() > plan.places:
        return None
    streams, copies, places = zip(*(_pack(group, plan) for group in parts), strict=True)
    stream: Any = np.stack(streams)
    copy: Any = np.stack(copies)
    place: Any = np.empty((plan.groups.size, *places[0].shape[1:]), np.int32)
    for rows, there in zip(plan.groups, places, strict=True):
        place[rows] = there
    return Packing(stream, place, copy)


def _pack(parts: np.ndarray, plan: _Plan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`stream`, `copies` and `place` of one group: in the stream a row is its prompt, then its responses."""
    count, candidates, lengths = len(parts), parts.shape[1] - 1, parts.ravel()
    rows = np.arange(count * candidates).reshape(count, -1) * plan.length
    starts = np.concatenate([rows[:, :1], rows + parts[:, :1]], axis=1)  # index of the first token of each part
    before = np.cumsum(lengths) - lengths
    held = np.repeat(starts.ravel() - before, lengths) + np.arange(lengths.sum())
    of_prompt = np.repeat(np.arange(parts.size) % (candidates + 1) == 0, lengths)
    copies = np.full((plan.places, candidates), -1, np.int32)
    copies[: len(held)] = held[:, None] + plan.length * np.arange(candidates)
    copies[: len(held), 1:][~of_prompt] = -1
    place = np.zeros(rows.size * plan.length, np.int32)
    where, copy = np.nonzero(copies >= 0)
    place[copies[where, copy]] = where
    shape = (count, candidates, plan.length) if candidates > 1 else (count, plan.length)
    return np.maximum(copies[:, 0], 0), copies, place.reshape(shape)
