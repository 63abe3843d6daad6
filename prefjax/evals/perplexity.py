"""How well a policy still predicts text that it is not tuned on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prefjax.data import load, rows
from prefjax.evals.completions import records_of
from prefjax.evals.likelihood import likelihoods
from prefjax.evals.stats import ratio
from prefjax.evals.summary import head, told
from prefjax.types import Setup


def make(run: Setup, *, source: str, limit: int = 256, batch_size: int = 32) -> Callable[..., dict[str, Any]]:
    """Negative log-likelihood of held-out texts, or of responses given their prompts.

    Returns `nll`, nats a token: of all tokens together, so that long texts count for more, with an interval by text;
    its exponential is the perplexity. The rows of `samples` have that of each text.

    Args:
      run: the run.
      source: call string of a source of demonstrations or texts: `demos(path='held.jsonl', text='text')`.
      limit: how many records are used; those over `data.max_length` are left out, and counted in the record of the run.
      batch_size: texts at a time.
    """
    records = records_of(run, source, limit)
    table, counts = rows.demos(records, run.tokenizer, run.config.data.max_length)
    load.warn(source, counts, run.config.data.max_length)
    run.facts.setdefault("perplexity", {})[f"{source}[:{len(records)}]"] = counts
    measured = likelihoods(run, table, batch_size)
    kept = [int(index) for index in table.records]

    def evaluate(state, frozen, key):
        logps, tokens = measured(state.params)
        found = [
            head(index, records[index], records[index]["response"])
            | {"nll": float(-logp / count), "tokens": int(count)}
            for index, logp, count in zip(kept, logps, tokens, strict=True)
        ]
        return told(found, measures)

    return evaluate


def measures(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`nll` of all tokens of some rows together."""
    totals, tokens = [row["nll"] * row["tokens"] for row in found], [row["tokens"] for row in found]
    return {"nll": ratio(totals, tokens, [row["record"] for row in found])}
