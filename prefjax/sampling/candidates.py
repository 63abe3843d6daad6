"""Several completions of each prompt and what each is worth: for best-of-n, rejection sampling and pairs."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from prefjax.errors import DataError
from prefjax.sampling.complete import Answer, answers, sample
from prefjax.types import Params, Sequences

# (rows [B, T], index of the record that each row answers [B]) -> scores [B], NaN where a row has none
Scorer = Callable[[Sequences, jax.Array], jax.Array]
Scored = tuple[Answer, dict[str, float]]


class Candidates(NamedTuple):
    """The completions of one prompt."""

    record: int  # index of the record they answer
    answers: list[Answer]  # N
    scores: dict[str, np.ndarray]  # name of the scorer -> [N], NaN where a completion has no score


def scored(
    model: Any,
    params: Params,
    tokenizer: Any,
    records: Sequence[dict[str, Any]],
    key: jax.Array,
    scorers: Mapping[str, Scorer],
    **knobs: Any,
) -> Iterator[list[Scored]]:
    """Batches of completions with their scores; arguments as in `prefjax.sampling.complete.sample`.

    The completions of a prompt share its prefill, up to `batch_size` of them.
    """
    for batch in sample(model, params, tokenizer, records, key, **knobs):
        rows = np.flatnonzero(batch.records >= 0)  # without the filler
        ids = jnp.asarray(batch.records, jnp.int32)
        found = {name: np.asarray(scorer(batch.sequences, ids), np.float64) for name, scorer in scorers.items()}
        scores = ({name: float(values[row]) for name, values in found.items()} for row in rows)
        yield list(zip(answers(batch, tokenizer), scores, strict=True))


def group(batches: Iterable[list[Scored]], n: int) -> list[Candidates]:
    """Completions that stand `n` in a row for each prompt, by prompt."""
    flat = [row for batch in batches for row in batch]
    groups = [flat[at : at + n] for at in range(0, len(flat), n)]
    return [
        Candidates(
            rows[0][0].record,
            [answer for answer, _ in rows],
            {name: np.array([scores[name] for _, scores in rows]) for name in rows[0][1]},
        )
        for rows in groups
    ]


def usable(found: Candidates, dropped: Counter[str], *, cut: bool = False, blank: bool = False) -> list[int]:
    """Indices of the completions to choose from: each text once, and with its score; `dropped` counts the others.

    Args:
      found: the completions.
      dropped: reason -> how many, added to.
      cut: keep those that the limit cut; a model trained on one would learn to end there.
      blank: keep those without text.
    """
    kept: dict[str, int] = {}
    scores = found.scores.get("score", np.zeros(len(found.answers)))  # none yet, where a judge is to compare
    for at, answer in enumerate(found.answers):
        if not (cut or answer.stopped):
            dropped["cut at max_new"] += 1
        elif not (blank or answer.text.strip()):
            dropped["blank"] += 1
        elif math.isnan(scores[at]):
            dropped["without a score"] += 1
        elif answer.text in kept:
            dropped["identical to another of their prompt"] += 1
        else:
            kept[answer.text] = at
    return list(kept.values())


def best(found: Candidates, among: Sequence[int]) -> int:
    """The index, of those given, with the highest score; the first of equals."""
    return max(among, key=lambda at: found.scores["score"][at])


def best_of_n(
    model: Any,
    params: Params,
    tokenizer: Any,
    records: Sequence[dict[str, Any]],
    key: jax.Array,
    scorer: Scorer,
    *,
    n: int,
    **knobs: Any,
) -> list[tuple[Answer, Candidates]]:
    """For each record the best of `n` completions, and all of them with their scores, named "score".

    Args:
      model, params, tokenizer, records, key: as in `prefjax.sampling.complete.sample`.
      scorer: what is best.
      n: completions of each record.
      **knobs: of `sample`.

    Raises:
      DataError: no completion of a record has a score.
    """
    groups = group(scored(model, params, tokenizer, records, key, {"score": scorer}, n=n, **knobs), n)
    chosen = []
    for found in groups:
        among = usable(found, Counter(), cut=True, blank=True)
        if not among:
            raise DataError(f"record {found.record}: none of its {n} completions has a score")
        chosen.append((found.answers[best(found, among)], found))
    return chosen
