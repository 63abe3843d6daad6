"""From records to completions: batches of one shape, so that sampling compiles once."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from prefjax.errors import ConfigError
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
    max_new: int = 128,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    batch_size: int = 64,
) -> Iterator[Samples]:
    """Samples `n` completions of every record's prompt, in batches of one shape.

    Raises:
      ConfigError: a prompt leaves no room for `max_new` tokens in the model's positions.
    """
    prompts = [tokenizer.encode_prompt(record["prompt"]) for record in records]
    width = -(-max(map(len, prompts)) // 16) * 16
    longest = model.config.positions - max_new
    if max(map(len, prompts)) > longest:
        raise ConfigError(
            f"a prompt has {max(map(len, prompts))} tokens and max_new is {max_new}; "
            f"the model has {model.config.positions} positions"
        )
    width = min(width, longest)
    order = np.repeat(np.arange(len(prompts)), n)
    rows = min(batch_size, len(order))
    order = np.pad(order, (0, -len(order) % rows), constant_values=-1)
    knobs = {"max_new": max_new, "stop": tokenizer.eos_id, "temperature": temperature, "top_k": top_k, "top_p": top_p}
    for number, chosen in enumerate(order.reshape(-1, rows)):
        tokens, valid = np.zeros((rows, width), np.int32), np.zeros((rows, width), bool)
        for row, index in enumerate(chosen):
            ids = prompts[index]  # a filler row repeats the last prompt, and is dropped
            tokens[row, : len(ids)], valid[row, : len(ids)] = ids, True
        yield Samples(chosen, *generate(model, params, tokens, valid, jax.random.fold_in(key, number), **knobs))


def answers(samples: Samples, tokenizer: Any) -> list[Answer]:
    """The texts of a batch, filler rows left out."""
    tokens, response = jax.device_get((samples.sequences.tokens, samples.sequences.response))
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
