"""Rows as batches of a fixed shape: `[prompt | response | padding]`, masks from lengths."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from prefjax.data.rows import Rows
from prefjax.errors import ConfigError
from prefjax.types import Demos, Pairs, Prompts, Sequences

Batch = Pairs | Demos | Prompts


def batches(rows: Rows, batch_size: int, max_length: int, seed: int) -> Callable[[int], Batch]:
    """Endless training batches, as a pure function of the step: nothing to save, nothing to replay.

    Every epoch holds each row once, in an order of its own; a batch may hold the end of one epoch and the start of the
    next, so that no row is dropped.

    Args:
      rows: pairs become `Pairs`, demonstrations `Demos`, prompts `Prompts`.
      batch_size: B.
      max_length: T; at least that of the longest row.
      seed: of the order.

    Returns:
      `batch_at(step)`, a batch of numpy arrays.

    Raises:
      ConfigError: a row is longer than `max_length`, or `batch_size` is not positive.
    """
    import grain

    _check(rows, batch_size, max_length)
    order = grain.MapDataset.range(rows.size).seed(seed).shuffle().repeat()

    def batch_at(step: int) -> Batch:
        first = step * batch_size
        return collate(rows, np.array([order[i] for i in range(first, first + batch_size)]), max_length)

    return batch_at


def epoch(rows: Rows, batch_size: int, max_length: int) -> Iterator[Batch]:
    """Each row once, in order: an evaluation. The last batch is filled up with rows of weight 0 (prompts: of id -1)."""
    _check(rows, batch_size, max_length)
    for first in range(0, rows.size, batch_size):
        indices = np.arange(first, min(first + batch_size, rows.size))
        yield collate(rows, indices, max_length, batch_size)


def collate(rows: Rows, indices: np.ndarray, max_length: int, batch_size: int | None = None) -> Batch:
    """The batch of some rows, filled up to `batch_size` with copies of the last of them, of weight 0."""
    count, size = len(indices), batch_size or len(indices)
    indices = np.concatenate([indices, np.repeat(indices[-1:], size - count)])
    real = np.arange(size) < count
    weight: Any = real.astype(np.float32)
    sequences = _sequences(rows, indices, max_length)
    if rows.responses == 2:
        return Pairs(
            sequences,
            weight,
            margin=None if rows.margin is None else rows.margin[indices],
            target=None if rows.target is None else rows.target[indices],
        )
    alone = Sequences(*(array[:, 0] for array in sequences))
    if rows.responses == 1:
        return Demos(alone, weight)
    ids: Any = np.where(real, rows.records[indices], -1).astype(np.int32)
    return Prompts(alone.tokens, alone.valid, ids)


def _sequences(rows: Rows, indices: np.ndarray, max_length: int) -> Sequences:
    """Numpy arrays `[B, N, T]`; a prompt without responses is one candidate."""
    parts = np.diff(rows.offsets[indices])  # [B, 1 + responses]
    starts = parts[:, :1]  # [B, 1]
    ends = starts + parts[:, 1:] if rows.responses else starts  # [B, N]
    at = np.arange(max_length)
    valid: Any = at < ends[..., None]
    tokens: Any = np.zeros(valid.shape, np.int32)
    for i, row in enumerate(indices):
        tokens[i, :, : starts[i, 0]] = rows.part(row, 0)
        for j in range(rows.responses):
            tokens[i, j, starts[i, 0] : ends[i, j]] = rows.part(row, j + 1)
    return Sequences(tokens, valid, valid & (at >= starts[..., None]))


def _check(rows: Rows, batch_size: int, max_length: int) -> None:
    if batch_size < 1:
        raise ConfigError(f"batch_size: expected at least 1, got {batch_size}")
    parts = np.diff(rows.offsets)
    longest = int((parts[:, 0] + parts[:, 1:].max(axis=1, initial=0)).max())
    if longest > max_length:
        raise ConfigError(f"max_length: the longest row has {longest} tokens, got {max_length}")
