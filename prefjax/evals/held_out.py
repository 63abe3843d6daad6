"""The metrics of training on rows that are not trained on."""

from collections.abc import Callable
from functools import reduce
from typing import Any

import jax

from prefjax.data import load
from prefjax.data.batches import epoch
from prefjax.metrics import merge
from prefjax.types import Setup

OF_AN_UPDATE = ("grad_norm", "lr", "finite")


def make(run: Setup, *, source: str, rows: str = "", batch_size: int = 64) -> Callable[..., dict[str, Any]]:
    """Loss and metrics of the algorithm over every row of `source`, once.

    They are those of its step, without the update: what an update alone needs is never computed, because nothing of
    it is returned.

    Args:
      run: the run.
      source: call string of a data source.
      rows: call string of the kind of rows; by default that of the training data.
      batch_size: rows at a time.
    """
    c = run.config.data
    held_out, _ = load.load(source, rows or c.rows, run.tokenizer, c.max_length)
    split = {"microbatches": run.config.optim.accumulate, "shards": run.parallel.shards}

    @run.parallel.measure
    def metrics(state, frozen, hparams, batch, key):
        _, metrics = run.algorithm.step(state, frozen, hparams, batch, key)
        return {name: mean for name, mean in metrics.items() if name not in OF_AN_UPDATE}

    def evaluate(state, frozen, key):
        batches = epoch(held_out, batch_size, c.max_length, **split)
        parts = (metrics(state, frozen, run.hparams, run.parallel.deal(batch), key) for batch in batches)
        sums = reduce(merge, parts)
        return {name: mean.value for name, mean in jax.device_get(sums).items()}

    return evaluate
