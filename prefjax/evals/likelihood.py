"""Log-probabilities of texts that are given, row by row."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from prefjax import models
from prefjax.data import load, rows
from prefjax.data.batches import epoch
from prefjax.errors import DataError
from prefjax.processes import fetch
from prefjax.types import Params, Setup

RIGHT, WRONG = "right", "wrong"  # of `facts`: lists of answers


def likelihoods(run: Setup, table: rows.Rows, batch_size: int) -> Callable[[Params], tuple[np.ndarray, np.ndarray]]:
    """params of the policy -> log-probability (nats) of each response given its prompt, and its tokens: `[rows]` each.

    The stop token is one of them: an answer has ended.
    """
    net = run.nets["policy"]
    batches: list[Any] = list(epoch(table, min(batch_size, table.size), run.config.data.max_length))
    tokens = (table.offsets[:, 2] - table.offsets[:, 1]).astype(np.int64)

    sums = jax.jit(lambda params, sequences: models.logps(net, params, sequences).sum(axis=-1))
    measure = run.shared.setdefault("likelihoods", sums)  # compiled once for all that ask in a program

    def measured(params):
        found = [fetch(measure(params, batch.sequences)) for batch in batches]
        return np.concatenate(found)[: table.size].astype(np.float64), tokens

    return measured


def choices(
    run: Setup, records: Sequence[dict[str, Any]], source: str, batch_size: int, name: str
) -> tuple[list[int], Callable[[Params], list[tuple[np.ndarray, np.ndarray, np.ndarray]]]]:
    """Records whose `facts` are {"right": [...], "wrong": [...]}, and the log-probabilities of their answers.

    A record with an answer that is too long is left out, which is logged, and counted in the record of the run.

    Args:
      run: the run.
      records: the first ones of the source.
      source: their call string.
      batch_size: answers at a time.
      name: of the evaluation, under which the run counts.

    Returns:
      The indices of the records that are left, and params -> for each of them the log-probability of each answer, its
      tokens, and whether it is right, `[answers]` each; the right ones first, in their order.

    Raises:
      DataError: a record without such facts, or none is left.
    """
    asked: list[dict[str, Any]] = []
    right: list[bool] = []
    owner: list[int] = []
    for index, record in enumerate(records):
        for text, holds in _answers(record, index, source):
            asked.append({"prompt": record["prompt"], "response": text})
            right.append(holds)
            owner.append(index)
    table, counts = rows.demos(asked, run.tokenizer, run.config.data.max_length)
    lost = set(np.delete(owner, table.records).tolist())
    load.warn(source, counts, run.config.data.max_length)
    run.facts.setdefault(name, {})[f"{source}[:{len(records)}]"] = counts | {"records left out": len(lost)}
    kept = [index for index in range(len(records)) if index not in lost]
    if not kept:
        raise DataError(f"{source}: every record has an answer over data.max_length = {run.config.data.max_length}")
    rows_of = {index: np.flatnonzero(np.array(owner)[table.records] == index) for index in kept}
    truth = np.asarray(right)[table.records]
    measured = likelihoods(run, table, batch_size)

    def scored(params):
        logps, tokens = measured(params)
        return [(logps[at], tokens[at], truth[at]) for at in rows_of.values()]

    return kept, scored


def answers(record: dict[str, Any]) -> list[str]:
    """The answers of a record in the order of their log-probabilities."""
    return [str(text) for name in (RIGHT, WRONG) for text in record["facts"][name]]


def _answers(record: dict[str, Any], index: int, source: str) -> list[tuple[str, bool]]:
    facts = record.get("facts")
    lists = [facts.get(name) for name in (RIGHT, WRONG)] if isinstance(facts, dict) else []
    if len(lists) != 2 or not all(isinstance(part, list) and part for part in lists):
        raise DataError(
            f"{source}: facts of record {index} should be {{'right': [answers], 'wrong': [answers]}}, as in "
            "truthfulqa(path=...)"
        )
    return [(str(text), holds) for part, holds in zip(lists, (True, False), strict=True) for text in part]
