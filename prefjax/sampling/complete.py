"""From records to completions: batches of one shape, so that sampling compiles once."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from prefjax.errors import ConfigError
from prefjax.processes import fetch
from prefjax.sampling.generate import generate
from prefjax.types import Params, Sequences


class Samples(NamedTuple):
    """A batch of completions."""

    records: np.ndarray  # [B] index of the record each row answers; -1 on filler rows
    sequences: Sequences  # [B, T]
    logps: jax.Array  # [B, T], under the distribution that sampled them


class Answer(NamedTuple):
    """A completion as text."""

    record: int  # index of the record it answers
    text: str
    length: int  # tokens, the stop token included
    stopped: bool  # ended by its stop token rather than by the limit


def sample(
    model: Any,
    params: Params,
    tokenizer: Any,
    records: Sequence[dict[str, Any]],
    key: jax.Array,
    *,
    n: int = 1,
    max_new: int | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    batch_size: int = 64,
) -> Iterator[Samples]:
    """Samples `n` completions of every record's prompt, in batches of one shape.

    Args:
      model, params, tokenizer: as everywhere.
      records: with a `prompt` each.
      key: a new one for each call.
      n: completions of each record, one after the other.
      max_new: tokens of a completion at most; by default as many as all prompts leave room for, up to 128.
      temperature, top_k, top_p: as in `prefjax.sampling.generate.generate`.
      batch_size: completions at a time.

    Raises:
      ConfigError: a prompt leaves no room for `max_new` tokens in the model's positions, or a setting is out of range.
    """
    prompts = [tokenizer.encode_prompt(record["prompt"]) for record in records]
    longest, positions = max(map(len, prompts)), model.config.positions
    max_new = max(1, min(128, positions - longest)) if max_new is None else max_new
    for name, value, least in (("n", n, 1), ("max_new", max_new, 1), ("temperature", temperature, 0)):
        if not value >= least:
            raise ConfigError(f"{name} is {value}; it should be {least} or more")
    if longest > positions - max_new:
        raise ConfigError(
            f"a prompt has {longest} tokens and max_new is {max_new}; the model has {positions} positions"
        )
    width = min(-(-longest // 16) * 16, positions - max_new)
    share = max(d for d in range(1, min(n, batch_size) + 1) if n % d == 0)  # completions that share a prefill
    order = np.repeat(np.arange(len(prompts)), n // share)
    rows = min(max(batch_size // share, 1), len(order))
    order = np.pad(order, (0, -len(order) % rows), constant_values=-1)
    knobs = {"max_new": max_new, "stop": tokenizer.eos_id, "temperature": temperature, "top_k": top_k, "top_p": top_p}
    knobs["n"] = share
    for number, chosen in enumerate(order.reshape(-1, rows)):
        tokens, valid = np.zeros((rows, width), np.int32), np.zeros((rows, width), bool)
        for row, index in enumerate(chosen):
            ids = prompts[index]  # a filler row repeats the last prompt, and is dropped
            tokens[row, : len(ids)], valid[row, : len(ids)] = ids, True
        yield Samples(
            np.repeat(chosen, share), *generate(model, params, tokens, valid, jax.random.fold_in(key, number), **knobs)
        )


def answers(samples: Samples, tokenizer: Any) -> list[Answer]:
    """The texts of a batch, filler rows left out."""
    tokens, response = fetch((samples.sequences.tokens, samples.sequences.response))
    texts = []
    for index, row, written in zip(samples.records, tokens, response, strict=True):
        if index >= 0:
            ids = row[written].tolist()
            texts.append(Answer(int(index), tokenizer.decode(ids), len(ids), ids[-1] == tokenizer.eos_id))
    return texts


def complete(
    model: Any, params: Params, tokenizer: Any, records: Sequence[dict[str, Any]], key: jax.Array, **knobs: Any
):
    """All completions of the records as texts, `n` in a row for each; arguments as in `sample`."""
    batches = sample(model, params, tokenizer, records, key, **knobs)
    return [answer for batch in batches for answer in answers(batch, tokenizer)]
