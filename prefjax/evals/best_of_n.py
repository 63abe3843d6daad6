"""What the best of n is worth, for every n up to the number of completions that were sampled."""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from prefjax.evals.stats import Interval, interval
from prefjax.sampling.best_of_n import expected_gold, kl_bound


class Point(NamedTuple):
    """The best of n."""

    n: int
    kl_bound: float  # nats, at most this far from the policy
    values: dict[str, Interval]  # of the best by the first score: "score", "gold"
    tokens: float  # written for a prompt
    longest: float  # tokens of the longest completion: what has to be waited for


def sizes(most: int) -> list[int]:
    """1, 2, 4, ... and `most`."""
    return sorted({2**power for power in range(most.bit_length())} | {most})


def curve(scores: Mapping[str, np.ndarray], lengths: np.ndarray, prompts: Sequence[Hashable]) -> list[Point]:
    """A point for each of `sizes(N)`, with the unbiased estimator over all subsets and intervals by prompt.

    Args:
      scores: name -> `[P, N]`, finite; the best is chosen by "score".
      lengths: `[P, N]` tokens.
      prompts: of each row: rows of one prompt are not independent.
    """
    ns = sizes(lengths.shape[1])
    values = {name: expected_gold(scores["score"], value, ns) for name, value in scores.items()}
    longest = expected_gold(lengths, lengths, ns).mean(axis=0)
    return [
        Point(
            n,
            kl_bound(n),
            {name: interval(value[:, at].tolist(), prompts) for name, value in values.items()},
            float(n * lengths.mean()),
            float(longest[at]),
        )
        for at, n in enumerate(ns)
    ]


def table(points: Sequence[Point], seconds: Mapping[int, float] | None = None) -> str:
    """The points as a person reads them; `seconds` of a query by n is one more column."""
    names, seconds = list(points[0].values), seconds or {}
    heads = ["n", "KL at most", *(f"{name} [95 %]" for name in names), "tokens", "longest"]
    heads += ["seconds"] if seconds else []
    rows = [
        [
            str(p.n),
            f"{p.kl_bound:.2f}",
            *(f"{i.mean:.3f} [{i.low:.3f}, {i.high:.3f}]" for i in p.values.values()),
            f"{p.tokens:.1f}",
            f"{p.longest:.1f}",
            *([f"{seconds[p.n]:.3f}"] if seconds else []),
        ]
        for p in points
    ]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return "\n".join("  ".join(f"{cell:>{w}}" for cell, w in zip(row, widths, strict=True)) for row in (heads, *rows))
