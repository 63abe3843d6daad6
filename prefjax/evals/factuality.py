"""Closed-book question answering: whether a policy knows, and whether it tries."""

import re
from collections.abc import Callable
from typing import Any

from prefjax.data.prompts import last_turn
from prefjax.errors import ConfigError, DataError
from prefjax.evals.completions import completions, records_of
from prefjax.evals.matching import normalise, right
from prefjax.evals.refusal import classify
from prefjax.evals.summary import told
from prefjax.types import Setup

MATCHES = ("exact", "contains")
_UNSURE = re.compile(
    r"(?:(?:i am|i'm|we are) )?(?:sorry,? )?(?:but )?(?:i|we) (?:really )?(?:do not|don't|can't|cannot)"
    r" (?:know|recall|remember|say)\b|(?:i have )?no idea\b|(?:i am|i'm) not (?:sure|certain)[.!]?$|unknown[.!]?$"
)


def make(
    run: Setup,
    *,
    source: str,
    match: str = "exact",
    limit: int = 256,
    max_new: int = 32,
    batch_size: int = 64,
) -> Callable[..., dict[str, Any]]:
    """Greedy answers against all aliases of the right one; nothing but the question is given.

    Returns `factuality`, the share of all questions that are answered right, and `answered`, the share that are
    answered at all: a policy that declines where it does not know loses the second, not the first. Every question is a
    row of `samples`.

    Args:
      run: the run.
      source: call string of a data source whose `facts` are the answer or a list of its aliases.
      match: "exact", the normalised answer is an alias (SQuAD, TriviaQA); "contains", one of its runs of words is, for
        policies that answer in sentences: it forgives an answer that names several things.
      limit: how many records are used.
      max_new: tokens of an answer.
      batch_size: completions at a time.
    """
    if match not in MATCHES:
        raise ConfigError(f"factuality(match={match!r}): it should be 'exact' or 'contains'")
    records = records_of(run, source, limit)
    known = [aliases(record, index, source) for index, record in enumerate(records)]
    for index, texts in enumerate(known):
        if not any(map(normalise, texts)):
            raise DataError(f"{source}: nothing is left of the facts of record {index} but articles and punctuation")
    knobs = {"limit": limit, "n": 1, "max_new": max_new, "temperature": 0.0, "batch_size": batch_size}
    written = completions(run, source, **knobs)

    def evaluate(state, frozen, key):
        rows = []
        for c in written(state, key):
            holds = right(c.text, known[c.index], match)
            tried = holds or answered(c.text, last_turn(c.record["prompt"]))  # "No." may be what is asked for
            rows.append(c.row | {"factuality": float(holds), "answered": float(tried)})
        return told(rows)

    return evaluate


def answered(text: str, prompt: str | None = None) -> bool:
    """Whether a text tries: it is not blank, does not refuse, and does not say that it does not know."""
    plain = " ".join(text.replace("’", "'").lower().split())
    return bool(plain) and not _UNSURE.match(plain) and classify(text, prompt) != "full"


def aliases(record: dict[str, Any], index: int, source: str) -> list[str]:
    """The answers that count as right: the record's `facts`, a text, a number, or a list of them.

    Raises:
      DataError: the record has none.
    """
    facts = record.get("facts")
    found = facts if isinstance(facts, list) else [facts]
    if not found or not all(isinstance(fact, str | int | float) and str(fact).strip() for fact in found):
        raise DataError(f"{source}: record {index} has no facts: give the answer or its aliases, as in facts='answer'")
    return [str(fact) for fact in found]
