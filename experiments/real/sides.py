"""Parts of real data by prompt, majority labels of votes, and what a model says of both sides of a pair."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from prefjax import models
from prefjax.data import load
from prefjax.data.batches import epoch
from prefjax.data.prompts import digest, prompt_text
from prefjax.data.records import Record
from prefjax.evals.completions import records_of
from prefjax.evals.summary import head, told
from prefjax.processes import fetch
from prefjax.types import Setup

NAMES = ("chosen", "rejected")


def fold(source: str, part: str, *, at: int, of: int) -> Iterator[Record]:
    """A source without one of its `of` parts by prompt (part="train"), or that part alone ("held_out").

    As `prefjax.data.readers.split`, a hash of the normalised prompt decides; here every prompt is held out once.
    """
    for record in load.stream(source):
        if (digest(prompt_text(record)) % of == at) == (part == "held_out"):
            yield record


def majority(source: str, *, ties: bool = True) -> Iterator[Record]:
    """Pairs of three votes with what two of them say in place of the votes: the better side first, or a tie.

    Args:
      source: call string of a source of pairs with `votes`.
      ties: keeps those on which two votes say "tie", as grade 0.
    """
    for record in load.stream(source):
        for_chosen, _, for_tie = record["votes"]
        left = {field: value for field, value in record.items() if field != "votes"}
        if for_chosen > for_tie:
            yield left | {"grade": 1}
        elif ties:
            yield left | {"grade": 0}


def make(run: Setup, *, source: str, batch_size: int = 32) -> Callable[..., dict[str, Any]]:
    """An evaluation: a row of `samples` for every pair of `source`, rankings taken apart into theirs.

    A row has `target`, the probability that the first side wins; the tokens of both sides, `tokens_chosen` and
    `tokens_rejected`; and what the model says of them, `chosen` and `rejected`: the score of a reward model, or the
    log-probability (nats) of a policy, that of its reference in `reference_chosen` and `reference_rejected`.
    """
    c, net = run.config, run.nets["policy"]
    records = records_of(run, source)
    table, counts = load.load(source, "pairs(expand_rankings=True)", run.tokenizer, c.data.max_length)
    run.facts.setdefault("sides", {})[source] = counts
    batches: list[Any] = list(epoch(table, batch_size, c.data.max_length))
    sizes = np.diff(table.offsets, axis=1)[:, 1:]
    target = np.ones(table.size) if table.target is None else table.target.astype(np.float64)

    def of_batch(params, s):
        if c.algorithm == "reward":
            return net.apply(params, s.tokens, s.valid, s.packing, method="score")
        return models.logps(net, params, s).sum(axis=-1)

    said = run.shared.setdefault("sides", jax.jit(of_batch))

    def columns(params, prefix=""):
        found = np.concatenate([fetch(said(params, batch.sequences)) for batch in batches])[: table.size]
        return {f"{prefix}{name}": found[:, side].astype(np.float64).tolist() for side, name in enumerate(NAMES)}

    def evaluate(state, frozen, key):
        found = {"target": target.tolist()} | {f"tokens_{n}": sizes[:, side].tolist() for side, n in enumerate(NAMES)}
        found |= columns(state.params)
        found |= columns(frozen["reference"], "reference_") if "reference" in frozen else {}
        rows = zip(*found.values(), strict=True)
        heads = (head(index, records[index], "") for index in table.records.tolist())
        return told([start | dict(zip(found, row, strict=True)) for start, row in zip(heads, rows, strict=True)])

    return evaluate
