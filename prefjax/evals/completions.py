"""Completions of a source's prompts, sampled once for all the evaluations of a run that ask for the same."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from prefjax.data import load
from prefjax.evals.summary import head
from prefjax.processes import fetch
from prefjax.sampling.complete import answers, sample
from prefjax.types import Params, Sequences, Setup


class Completion(NamedTuple):
    """What a model wrote for one record."""

    index: int  # of the record in the source
    record: dict[str, Any]
    text: str
    length: int  # tokens, the stop token included
    stopped: bool  # ended by its stop token rather than by the limit
    sequences: Sequences  # one row `[T]` of numpy arrays

    @property
    def row(self) -> dict[str, Any]:
        """How a row of samples begins; its evaluation adds the numbers."""
        return head(self.index, self.record, self.text)


def records_of(run: Setup, source: str, limit: int | None = None) -> list[dict[str, Any]]:
    """The first records of a source, read once for all the evaluations of a program."""
    asked = "records", source, limit
    if asked not in run.shared:
        run.shared[asked] = load.records(source, limit)
    return run.shared[asked]


def completions(run: Setup, source: str, **knobs: Any) -> Callable[[Any, jax.Array], list[Completion]]:
    """(state, key) -> the policy's completions of the prompts of `source`, record by record.

    Evaluations that name the same source and knobs share one sampling of a state: the key that they are given is the
    same, so sharing changes nothing.

    Args:
      run: the run.
      source: call string of a data source whose records have prompts.
      **knobs: limit (records used), n (completions of each), max_new, temperature, batch_size, as in
        `prefjax.sampling.complete.sample`.
    """
    written = _writer(run, "policy", source, **knobs)
    return lambda state, key: written(state.params, key)


def of_reference(run: Setup, source: str, **knobs: Any) -> Callable[[Any, jax.Array], list[Completion]]:
    """(frozen, key) -> the completions of the original reference, which are sampled once; arguments as above."""
    written = _writer(run, "reference", source, **knobs)
    return lambda frozen, key: written(frozen["reference"], key)


def _writer(
    run: Setup,
    name: str,
    source: str,
    *,
    limit: int = 64,
    n: int = 1,
    max_new: int = 64,
    temperature: float = 1.0,
    batch_size: int = 64,
) -> Callable[[Params, jax.Array], list[Completion]]:
    """(params, key) -> completions of the model of that name; the last ones are kept for who asks again."""
    asked = (name, source, limit, n, max_new, temperature, batch_size)
    if asked in run.shared:
        return run.shared[asked]
    records = records_of(run, source, limit)
    knobs: dict[str, Any] = {"n": n, "max_new": max_new, "temperature": temperature, "batch_size": batch_size}
    last: tuple[Any, bytes, list[Completion]] | None = None

    def written(params: Params, key: jax.Array) -> list[Completion]:
        nonlocal last
        noise = np.asarray(jax.random.key_data(key)).tobytes()
        if last is None or last[0] is not params or last[1] != noise:
            last = params, noise, _write(run.nets[name], params, run.tokenizer, records, key, knobs)
        return last[2]

    run.shared[asked] = written
    return written


def _write(net, params, tokenizer, records, key, knobs) -> list[Completion]:
    found = []
    for batch in sample(net, params, tokenizer, records, key, **knobs):
        batch = batch._replace(sequences=fetch(batch.sequences))
        places = (place for place, index in enumerate(batch.records) if index >= 0)  # not those of filler rows
        for place, answer in zip(places, answers(batch, tokenizer), strict=True):
            row = jax.tree.map(lambda x, place=place: x[place], batch.sequences)
            text, length, stopped = answer.text, answer.length, answer.stopped
            found.append(Completion(answer.record, records[answer.record], text, length, stopped, row))
    return found


def batched(found: list[Completion], size: int):
    """(how many rows are not filler, sequences `[B, T]`, indices of their records `[B]`) of one shape."""
    for first in range(0, len(found), size):
        part = found[first : first + size]
        rows = [*part, *[part[-1]] * (min(size, len(found)) - len(part))]
        sequences: Any = jax.tree.map(lambda *x: np.stack(x), *(c.sequences for c in rows))
        yield len(part), sequences, np.array([c.index for c in rows], np.int32)
