"""How well a policy still predicts text that it is not tuned on."""

from collections.abc import Callable
from typing import Any

from prefjax.data import load, rows
from prefjax.evals.likelihood import likelihoods
from prefjax.evals.stats import ratio
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
    records = load.records(source, limit)
    table, counts = rows.demos(records, run.tokenizer, run.config.data.max_length)
    run.facts.setdefault("perplexity", {})[source] = counts
    measured = likelihoods(run, table, batch_size)
    kept = [int(index) for index in table.records]

    def evaluate(state, frozen, key):
        logps, tokens = measured(state.params)
        found = [
            {
                "record": index,
                "slice": records[index].get("slice"),
                "prompt": records[index].get("prompt", ""),
                "response": records[index]["response"],
                "nll": float(-logp / count),
            }
            for index, logp, count in zip(kept, logps, tokens, strict=True)
        ]
        return {"nll": ratio((-logps).tolist(), tokens.tolist(), kept), "samples": found}

    return evaluate
