"""The judge that prefers what scores higher: the true worth in a world, or any function of texts."""

import functools
import math
from collections.abc import Sequence
from typing import Any

from prefjax.errors import ConfigError, DataError
from prefjax.judges.comparing import Judge
from prefjax.judges.lookup import by_prompt
from prefjax.judges.lookup import key as key_of
from prefjax.resolve import resolve


def make(records: Sequence[dict[str, Any]], *, function: str, key: str = "", tie: float = 0.0) -> Judge:
    """A judge by a score: "gold(function='prefjax.worlds.desk:judge', key='gold')".

    Args:
      records: whose prompts are judged; the function is given the record of a prompt.
      function: call string of a function (records, texts) -> a number for each text, or {name: such numbers}; where it
        is None or NaN, the verdict is invalid.
      key: which name, where there are several.
      tie: scores at most so far apart tie.

    Raises:
      ConfigError: no such function, or a tie band below 0.
      DataError: two different records have one prompt.
    """
    if not tie >= 0:
        raise ConfigError(f"gold(tie={tie}): it should be 0 or more")
    score, known = resolve(function), by_prompt(records)

    @functools.lru_cache(2**16)
    def worth(prompt: str, text: str) -> float:
        if prompt not in known:
            raise DataError(f"gold(function={function!r}): no record with the prompt {prompt!r}")
        found: Any = score([known[prompt]], [text])
        if isinstance(found, dict):
            if key not in found:
                raise ConfigError(f"gold(function={function!r}): key should be one of {', '.join(found)}; got {key!r}")
            found = found[key]
        return math.nan if found[0] is None else float(found[0])

    def judge(prompt: Any, a: str, b: str) -> str:
        gap = worth(key_of(prompt), a) - worth(key_of(prompt), b)
        if math.isnan(gap):
            return "invalid"
        return "tie" if abs(gap) <= tie else "A" if gap > 0 else "B"

    return judge
