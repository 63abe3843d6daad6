"""Whether what a model could do before it was tuned is still there: accuracy on a held-out task."""

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np

from prefjax.errors import ConfigError, DataError
from prefjax.evals.completions import completions, records_of
from prefjax.evals.factuality import aliases
from prefjax.evals.likelihood import answers, choices
from prefjax.evals.matching import normalise
from prefjax.evals.summary import head, told
from prefjax.resolve import resolve
from prefjax.types import Setup

WAYS = ("sum", "token")
Extract = Callable[[str], str | None]


def make(
    run: Setup,
    *,
    source: str,
    extract: str = "answer",
    by: str = "sum",
    limit: int = 256,
    max_new: int = 128,
    batch_size: int = 64,
) -> Callable[..., dict[str, Any]]:
    """`skill`, the share of tasks that are solved; every task is a row of `samples`.

    Where `facts` are {"right": [...], "wrong": [...]} a task is solved if the likeliest answer is a right one.
    Elsewhere `facts` are the answer, or its aliases, and the greedy completion has to say the same.

    Args:
      run: the run.
      source: call string of a data source whose records have prompts and facts.
      extract: call string of a function text -> the answer in it, or None, for completions and facts alike: "answer",
        the whole text; "final_number", that of a worked solution; or "my.module:letter".
      by: how choices of different length compare: "sum" of their log-probabilities, or the mean of a "token".
      limit: how many records are used.
      max_new: tokens of a completion.
      batch_size: completions or answers at a time.
    """
    if by not in WAYS:
        raise ConfigError(f"skill(by={by!r}): it should be 'sum' or 'token'")
    records = records_of(run, source, limit)
    if isinstance(records[0].get("facts"), dict):
        return _by_choice(run, source, records, by, batch_size)
    read: Extract = resolve(extract, __name__)
    wanted = [{read(text) for text in aliases(record, index, source)} - {None} for index, record in enumerate(records)]
    for index, texts in enumerate(wanted):
        if not texts:
            raise DataError(f"{source}: {extract!r} finds no answer in the facts of record {index}")
    knobs = {"limit": limit, "n": 1, "max_new": max_new, "temperature": 0.0, "batch_size": batch_size}
    written = completions(run, source, **knobs)

    def evaluate(state, frozen, key):
        found = written(state, key)
        rows = [c.row | {"skill": float(read(c.text) in wanted[c.index])} for c in found]
        return told(rows)

    return evaluate


def answer(text: str) -> str | None:
    """The whole text, normalised as in `prefjax.evals.matching`; None where that leaves nothing."""
    return normalise(text) or None


_NUMBER = r"-?\$?\d[\d,]*(?:\.\d+)?|-?\$?\.\d+"
_MARKED = re.compile(rf"(?:####|\banswer(?: is|:)|\\boxed\{{|^A:)[^\d\n$.-]*({_NUMBER})", re.I | re.M)


def final_number(text: str) -> str | None:
    r"""The number a solution ends in: after "####", "answer is", "A:" or in \boxed{}, else the last one there is.

    >>> final_number("She makes 9 * 2 = $18.\n#### 18"), final_number("So 1,250.50 dollars"), final_number("?")
    ('18', '1250.5', None)
    """
    found = _MARKED.findall(text) or re.findall(_NUMBER, text)
    if not found:
        return None
    try:
        number = Decimal(re.sub(r"[$,]", "", found[-1]))
    except InvalidOperation:
        return None
    return f"{number.normalize():f}"


def _by_choice(run, source, records, by, batch_size):
    kept, scored = choices(run, records, source, batch_size, "skill")

    def evaluate(state, frozen, key):
        found = []
        for index, (logps, tokens, right) in zip(kept, scored(state.params), strict=True):
            best = int(np.argmax(logps / tokens if by == "token" else logps))
            found.append(head(index, records[index], answers(records[index])[best]) | {"skill": float(right[best])})
        return told(found)

    return evaluate
