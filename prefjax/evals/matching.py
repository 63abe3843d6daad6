"""Whether a text gives an answer that is known: the comparison of closed-book question answering."""

import re
import string
import unicodedata
from collections.abc import Sequence


def normalise(text: str) -> str:
    """Lower case, without punctuation, articles and extra spaces (the official script of SQuAD: Rajpurkar et al. 2016).

    Accents and width are folded too, as TriviaQA's aliases need.

    >>> normalise("The  Eiffel-Tower!"), normalise("Beyoncé")
    ('eiffeltower', 'beyonce')
    """
    folded = unicodedata.normalize("NFKD", text).casefold()
    bare = "".join(c for c in folded if not unicodedata.combining(c) and c not in _PUNCTUATION)
    return " ".join(re.sub(r"\b(?:a|an|the)\b", " ", bare).split())


_PUNCTUATION = frozenset(string.punctuation + "‘’´`“”–—")


def right(text: str, known: Sequence[str], match: str = "exact") -> bool:
    """Whether an answer is one of the aliases, or contains one; what normalises to nothing is none."""
    said, wanted = normalise(text), [alias for alias in map(normalise, known) if alias]
    if match == "exact":
        return said in wanted
    return any(f" {alias} " in f" {said} " for alias in wanted)
