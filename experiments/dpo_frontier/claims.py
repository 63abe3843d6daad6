"""What the study claims, with its numbers: envelopes of the points, how far apart they are, and the verdict.

The envelope of a method at k is the gold reward of its best point whose KL is at most k. Which point is best is seen on
one half of the prompts, and what it is worth on the other, both ways round: a method with more points is not better for
having had more draws.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.dpo_frontier.points import Points
from prefjax.evals.stats import Interval

FARTHEST = 10.0  # nats
GRID = np.linspace(0, FARTHEST, 101)
RESAMPLES = 1000


class Claim(NamedTuple):
    """A number, what it should be, and whether it is."""

    what: str
    should: str
    got: Interval | float
    passes: bool | None  # None: it is told, not judged


class Draws(NamedTuple):
    """Prompts drawn with replacement in each half, `[R, P]` how often each; the first row is the data themselves."""

    prompts: np.ndarray
    half: np.ndarray  # [P] bool


def draws(prompts: int, resamples: int = RESAMPLES, seed: int = 0) -> Draws:
    """Of the bootstrap, the same for all methods, so that differences are paired by prompt."""
    rng, half = np.random.default_rng(seed), np.arange(prompts) % 2 == 0
    weights = np.ones((resamples + 1, prompts))
    for part in (half, ~half):
        size = part.sum()
        weights[1:, part] = rng.multinomial(size, np.full(size, 1 / size), resamples)
    return Draws(weights, half)


def envelope(points: Points, drawn: Draws, grid: np.ndarray = GRID, seed: int = 0) -> np.ndarray:
    """The envelope `[R, G]` in every resample of prompts and, of each method for itself, of seeds."""
    seeds = points.values["kl"].shape[1]
    rng = np.random.default_rng(seed)
    weights = np.ones((len(drawn.prompts), seeds))
    weights[1:] = rng.multinomial(seeds, np.full(seeds, 1 / seeds), len(weights) - 1)
    found = np.zeros((len(weights), len(grid)))
    for seen, held in ((drawn.half, ~drawn.half), (~drawn.half, drawn.half)):
        kl, gold = (_means(points.values[name], weights, drawn.prompts * seen) for name in ("kl", "gold"))
        worth = _means(points.values["gold"], weights, drawn.prompts * held)
        for at, most in enumerate(grid):
            best = np.argmax(np.where(kl <= most, gold, -np.inf), axis=1)
            found[:, at] += np.take_along_axis(worth, best[:, None], axis=1)[:, 0] / 2
    return found


def _means(values: np.ndarray, seeds: np.ndarray, prompts: np.ndarray) -> np.ndarray:
    """Weighted means `[R, K]` of values `[K, S, P]`, by weights `[R, S]` and `[R, P]`."""
    total = np.einsum("ksr,rs->rk", values @ prompts.T, seeds)
    return total / (seeds.sum(axis=1) * prompts.sum(axis=1))[:, None]


def interval(values: np.ndarray) -> Interval:
    """The first value, of the data, and the 95 % percentile interval of the others."""
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return Interval(float(values[0]), float(low), float(high))


def claims(found: Mapping[str, Points], excess: float | None) -> list[Claim]:
    """All of them; one about a method that is not there is left out.

    Args:
      found: points by method.
      excess: how far the worst policy of the enumerable world is above its closed form, in standard errors.
    """
    drawn = draws(next(iter(found.values())).values["kl"].shape[2])
    curves = {method: envelope(points, drawn, seed=at) for at, (method, points) in enumerate(found.items())}
    told = [Claim(f"{name}: mean gold within KL 0 to 10", "", _mean(curve), None) for name, curve in curves.items()]
    dpo = curves.pop("DPO", None)
    if dpo is not None:
        for name, curve in curves.items():
            apart = _mean(dpo - curve)
            gates = name in ("Preferred-FT", "Unlikelihood")
            verdict = apart.low > 0 if gates else None
            told.append(Claim(f"DPO less {name}: the same", "> 0, 95 %" if gates else "", apart, verdict))
        if "Preferred-FT" in curves:
            told.append(_everywhere(dpo - curves["Preferred-FT"]))
        told.append(_monotone(found["DPO"]))
    if excess is not None:
        what = "DPO in the enumerable world: farthest above the closed form, in standard errors"
        told.append(Claim(what, "<= 2", excess, bool(excess <= 2)))
    return told


def _mean(curve: np.ndarray) -> Interval:
    """Of a curve `[R, G]` over the grid: its area, divided by the KL it spans."""
    return interval(curve.mean(axis=1))


def _everywhere(apart: np.ndarray) -> Claim:
    worst = int(np.argmin(apart[0]))
    what = f"DPO less Preferred-FT: least difference of the envelopes, at KL {GRID[worst]:.1f}"
    return Claim(what, ">= 0", interval(apart[:, worst]), bool(apart[0, worst] >= 0))


def _monotone(points: Points) -> Claim:
    last = final_kl(points)
    falls = [before - after for (_, before), (_, after) in itertools.pairwise(last)]
    betas = ", ".join(f"{kl:.2f} at {beta:g}" for beta, kl in last)
    what = f"DPO: by how much the final KL falls from a beta to the next ({betas}), at least"
    least = float(min(falls, default=np.nan))
    return Claim(what, "> 0", least, least > 0)


def final_kl(points: Points) -> list[tuple[float, float]]:
    """(setting, mean KL at its last step), by setting; a method without settings has none."""
    last = {s: kl for (s, _), kl in zip(points.where, points.mean("kl"), strict=True) if s is not None}  # steps rise
    return sorted((setting, float(kl)) for setting, kl in last.items())


def table(told: Sequence[Claim]) -> str:
    """The claims as Markdown."""
    rows = ["| claim | should be | is | 95 % | |", "|---|---|---|---|---|"]
    for claim in told:
        got, spread = claim.got, ""
        if isinstance(got, Interval):
            got, spread = got.mean, f"{got.low:.3f} to {got.high:.3f}"
        verdict = {True: "ok", False: "**MISS**", None: ""}[claim.passes]
        rows.append(f"| {claim.what} | {claim.should} | {got:.3f} | {spread} | {verdict} |")
    return "\n".join(rows) + "\n"
