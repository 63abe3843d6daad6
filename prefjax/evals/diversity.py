"""Whether a policy still says different things: distinct-n, self-BLEU and the entropy of its words."""

import math
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

from prefjax.data.warn import normalised
from prefjax.errors import ConfigError
from prefjax.evals.completions import completions
from prefjax.evals.stats import Interval, jackknife
from prefjax.types import Setup

Tokens = Sequence[Hashable]
_ORDER = 4  # of BLEU
_TOKEN = re.compile(r"\w+|[^\w\s]")


def make(
    run: Setup,
    *,
    source: str,
    limit: int = 64,
    n: int = 1,
    max_new: int = 64,
    temperature: float = 1.0,
    batch_size: int = 64,
) -> Callable[..., dict[str, Any]]:
    """Diversity of all completions together, with intervals by prompt.

    Returns `distinct_1`, `distinct_2`, `self_bleu` and `unigram_entropy` (nats a word). All of them depend on how many
    completions there are and how long: compare them at the same `limit` and `n`, and beside the length.

    Args:
      run: the run.
      source: call string of a data source whose records have prompts.
      limit, n, max_new, temperature, batch_size: as in `samples`.
    """
    if limit * n < 2:
        raise ConfigError("diversity: one completion cannot differ from others; limit or n should be 2 or more")
    knobs = {"limit": limit, "n": n, "max_new": max_new, "temperature": temperature, "batch_size": batch_size}
    written = completions(run, source, **knobs)

    def evaluate(state, frozen, key):
        found = written(state, key)
        return measure([c.text for c in found], [c.index for c in found])

    return evaluate


def measure(texts: Sequence[str], prompts: Sequence[Hashable]) -> dict[str, Interval]:
    """The four measures of texts, each with its jackknife interval over prompts."""
    tokens = [words(text) for text in texts]
    statistics: dict[str, Callable[[Sequence[Tokens]], float]] = {
        "distinct_1": lambda some: distinct(some, 1),
        "distinct_2": lambda some: distinct(some, 2),
        "self_bleu": self_bleu,
        "unigram_entropy": unigram_entropy,
    }
    found = {name: jackknife(statistic, tokens, prompts) for name, statistic in statistics.items()}
    most = {"unigram_entropy": math.inf}  # the others are shares
    return {name: Interval(i.mean, max(i.low, 0.0), min(i.high, most.get(name, 1.0))) for name, i in found.items()}


def words(text: str) -> list[str]:
    """Words and single marks, in any case, width or spacing."""
    return _TOKEN.findall(normalised(text))


def distinct(texts: Sequence[Tokens], n: int) -> float:
    """Different n-grams over all n-grams (Li et al. 2016, https://arxiv.org/abs/1510.03055); 0 where there are none.

    >>> distinct(["a b a b".split()], 2)
    0.6666666666666666
    """
    found = [gram for text in texts for gram in _ngrams(text, n)]
    return len(set(found)) / len(found) if found else 0.0


def unigram_entropy(texts: Sequence[Tokens]) -> float:
    """Entropy of the distribution of words, in nats a word; too low by about (different words) / (2 words).

    >>> unigram_entropy(["a b".split()]) == math.log(2)
    True
    """
    counts = Counter(token for text in texts for token in text)
    total = counts.total()
    return -math.fsum(count / total * math.log(count / total) for count in counts.values())


def self_bleu(texts: Sequence[Tokens]) -> float:
    """Mean BLEU-4 of each text against all the others: 1 where all are alike (Zhu et al. 2018, https://arxiv.org/abs/1802.01886).

    BLEU is that of a sentence, as sacrebleu has it: orders up to the length of the text; the k-th order without a match
    counts as 1 / 2^k of a match (Chen & Cherry 2014, method 3); 0 without a common word. In time linear in the number
    of n-grams: of each only its two largest counts matter.
    """
    lengths = sorted(map(len, texts))
    matched = [_clipped(texts, n) for n in range(1, _ORDER + 1)]
    return math.fsum(_bleu(len(text), at, matched, lengths) for at, text in enumerate(texts)) / len(texts)


def _ngrams(text: Tokens, n: int) -> Iterator[tuple[Hashable, ...]]:
    return zip(*(text[i:] for i in range(n)), strict=False)


def _clipped(texts: Sequence[Tokens], n: int) -> list[int]:
    """For each text, how many of its n-grams some other text has as well, as often."""
    counts = [Counter(_ngrams(text, n)) for text in texts]
    largest: dict[tuple[Hashable, ...], tuple[int, int]] = {}  # the two largest counts
    for count in counts:
        for gram, times in count.items():
            first, second = largest.get(gram, (0, 0))
            largest[gram] = (times, first) if times > first else (first, max(second, times))
    found = []
    for count in counts:
        others = ((times, largest[gram]) for gram, times in count.items())
        found.append(sum(min(times, second if times == first else first) for times, (first, second) in others))
    return found


def _bleu(length: int, at: int, matched: list[list[int]], lengths: list[int]) -> float:
    """BLEU of a text of that length, the one at `at`, against all others."""
    if not length or not matched[0][at]:
        return 0.0
    orders, missed, total = min(_ORDER, length), 0, 0.0
    for n in range(1, orders + 1):
        grams, hits = length - n + 1, matched[n - 1][at]
        missed += hits == 0
        total += math.log(hits / grams if hits else 1 / (2**missed * grams))
    closest = _closest(lengths, length)
    brevity = min(0.0, 1 - closest / length)
    return math.exp(brevity + total / orders)


def _closest(lengths: list[int], length: int) -> int:
    """The length closest to `length` among the sorted `lengths` once it is taken out; the shorter of two."""
    place = bisect_left(lengths, length)
    around = lengths[max(place - 1, 0) : place] + lengths[place + 1 : place + 2]
    return min(around, key=lambda other: (abs(other - length), other))
