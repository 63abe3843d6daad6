"""The metrics of training on rows that are not trained on."""

from collections.abc import Callable
from functools import reduce
from itertools import islice
from typing import Any

import jax
import numpy as np

from prefjax import reference
from prefjax.data import load
from prefjax.data.batches import epoch
from prefjax.data.lines import clean, quote
from prefjax.data.prompts import prompt_text
from prefjax.data.rows import Rows
from prefjax.errors import ConfigError, DataError
from prefjax.metrics import merge
from prefjax.types import Setup

OF_AN_UPDATE = ("grad_norm", "lr", "finite")


def make(
    run: Setup, *, source: str, rows: str = "", batch_size: int = 64, allow_overlap: bool = False
) -> Callable[..., dict[str, Any]]:
    """Loss and metrics of the algorithm over every row of `source`, once.

    They are those of its step, without the update: what an update alone needs is never computed, because nothing of
    it is returned.

    Args:
      run: the run.
      source: call string of a data source.
      rows: call string of the kind of rows; by default that of the training data.
      batch_size: rows at a time.
      allow_overlap: rows may have prompts that are trained on; the record of the run counts them.

    Raises:
      ConfigError: rows have other attributes than the model judges, or in another order.
      DataError: rows have prompts that are trained on, but for case, width and spacing.
    """
    c, judges = run.config.data, run.nets["policy"].config.attributes
    asked = "rows", source, rows or c.rows
    if asked not in run.shared:  # read once for all runs of a program
        run.shared[asked] = load.load(source, rows or c.rows, run.tokenizer, c.max_length)
    held_out, counts = run.shared[asked]
    if held_out.names != judges:
        raise ConfigError(
            f"held_out(rows={asked[2]!r}): attributes and their order should be those of config.data.rows {c.rows!r}"
        )
    seen = _trained_on(run, source, held_out, allow_overlap)
    run.facts.setdefault("held_out", {})[source] = counts | {"prompts trained on": seen}
    if run.config.reference == "cached":
        model = run.nets["reference"], run.frozen["reference"]
        held_out, _ = reference.cached(run.config, *model, run.parallel, run.tokenizer.digest, held_out)
    split = {"microbatches": run.config.optim.accumulate, "shards": run.parallel.shards}

    def of_batch(state, frozen, hparams, batch, key):
        _, metrics = run.algorithm.step(state, frozen, hparams, batch, key)
        return {name: mean for name, mean in metrics.items() if name not in OF_AN_UPDATE}

    metrics = run.shared.setdefault(
        "held_out", run.parallel.measure(of_batch)
    )  # compiled once for all runs of a program

    def evaluate(state, frozen, key):
        batches = epoch(held_out, batch_size, c.max_length, **split)
        parts = (metrics(state, frozen, run.hparams, run.parallel.deal(batch), key) for batch in batches)
        sums = reduce(merge, parts)
        return {name: mean.value for name, mean in jax.device_get(sums).items()}

    return evaluate


def _trained_on(run: Setup, source: str, held_out: Rows, allowed: bool) -> int:
    """How many of the rows have a prompt that is trained on."""
    seen = np.flatnonzero(np.isin(held_out.prompts, run.prompts))
    if len(seen) and not allowed:
        first = next(islice(load.stream(source), int(held_out.records[seen[0]]), None))
        raise DataError(
            f"{source}: {len(seen)} of {held_out.size} held-out rows have a prompt that is trained on, such as "
            f"{clean(quote(prompt_text(first)))}; take both parts of one source with split(...), or say "
            "allow_overlap=True in held_out(...)"
        )
    return len(seen)
