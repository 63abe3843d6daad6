"""What the labels say: the values they encode, how hard the pairs are, how far the annotators agree."""

from typing import Any

import numpy as np

from prefjax.audit.numbers import share, wins
from prefjax.audit.table import GRADELESS, Table
from prefjax.evals.agreement import LEVELS, alpha, shared

SURE = float(np.log(19))  # nats: the log-odds of 95 %
UNSURE = float(np.log(3))  # of 75 %
FEW = 30  # pairs of a slice
SHOWN = 20  # of the largest groups


def groups(table: Table, name: str, clusters: np.ndarray) -> dict[str, Any]:
    """The pairs by their "tag", "slice" or "annotator": the largest groups, and how many have few pairs."""
    ids, texts = table[name], list(table.names[name])
    sizes = np.bincount(ids, minlength=len(texts) + 1)
    longer = wins(table["decided"] * np.diff(-table["words"], axis=1)[:, 0])
    found = []
    for number in np.argsort(-sizes[1:], kind="stable")[:SHOWN] + 1:
        here = (ids == number) & (table["decided"] != 0)
        few = bool(sizes[number] < FEW)
        won = share(longer[here], clusters[here])
        found.append({"name": texts[number - 1], "pairs": int(sizes[number]), "few": few, "longer_wins": won})
    named = sizes[1:]
    return {"without": int(sizes[0]), "number": len(texts), "few": int(np.sum(named < FEW)), "largest": found}


def facts(table: Table, clusters: np.ndarray) -> dict[str, Any]:
    """Whether facts are given by which an answer can be judged apart from its label."""
    held = table["facts"]
    here = (held > 0) & (table["decided"] != 0)
    states = [(held[here] & bit > 0).astype(int) for bit in (2, 4)]
    told = wins((states[0] - states[1]) * table["decided"][here])
    differ = states[0] != states[1]
    return {"pairs": int(np.sum(held > 0)), "right_wins": share(told[differ], clusters[here][differ])}


def margins(table: Table) -> dict[str, Any]:
    """How far the sides of a pair are apart, by each scale the records carry; shares are of the pairs that carry it.

    A pair is opposed if the scale prefers the side that the label does not. Of votes only pairs with several tell how
    hard they are; of scores only pairs that the label decides.
    """
    result: dict[str, Any] = {}
    decided, grade = table["decided"].astype(int), table["grade"].astype(int)
    given = grade != GRADELESS
    if len(graded := grade[given]):
        counts = {str(level): int(np.sum(graded == level)) for level in range(-3, 4)}
        steps = np.abs(graded)
        opposed = graded * decided[given] < 0
        result["grades"] = {"counts": counts} | _shares(steps == 1, steps == 3, graded == 0, opposed)
    votes = table["votes"].astype(int)
    if len(voted := votes[votes.sum(1) > 1]):
        total, lead = voted.sum(1), np.abs(voted[:, 0] - voted[:, 1])
        never = np.zeros(len(voted), bool)  # they are the label
        result["votes"] = _shares((lead > 0) & (2 * lead < total), lead == total, lead == 0, never)
    gap = table["gap"] * decided
    if len(scored := gap[~np.isnan(gap) & (decided != 0)]):
        size = np.abs(scored)
        whole, typical = np.quantile(size, 0.99), np.median(size[size > 0]) if np.any(size) else 0.0
        obvious = (size > 0) & (size >= whole * 3 / 4)
        result["scores"] = _shares((size > 0) & (size <= whole / 4), obvious, size == 0, scored < 0)
        result["scores"] |= {"strongly_opposed": int(np.sum((scored < 0) & (size >= typical)))}
        result["scores"] |= {"quantiles": np.quantile(scored, [0, 0.1, 0.5, 0.9, 1]).tolist()}
    return result


def reward_margins(scores: np.ndarray, decided: np.ndarray) -> dict[str, Any]:
    """The same by a reward model, in nats of log-odds.

    Args:
      scores: of chosen and rejected, [n, 2]; NaN where the reward has none.
      decided: 1 where the label prefers chosen, -1 where rejected, [n].
    """
    known = np.isfinite(scores).all(1)
    margin = (scores[known, 0] - scores[known, 1]) * decided[known]
    result: dict[str, Any] = {"pairs": len(margin), "unscored": int(np.sum(~known))}
    if not len(margin):
        return result
    result |= _shares(np.abs(margin) < UNSURE, margin > SURE, margin == 0, margin < 0)
    quantiles = np.quantile(margin, [0, 0.1, 0.5, 0.9, 1]).tolist()
    return result | {"strongly_opposed": int(np.sum(margin < -SURE)), "quantiles": quantiles}


def _shares(hard: np.ndarray, obvious: np.ndarray, ties: np.ndarray, opposed: np.ndarray) -> dict[str, Any]:
    shares = {"hard": float(np.mean(hard)), "obvious": float(np.mean(obvious)), "ties": float(np.mean(ties))}
    return {"pairs": len(hard)} | shares | {"opposed": int(np.sum(opposed))}


def agreement(table: Table) -> dict[str, Any]:
    """Of the voters of one record, and of the annotators of records about the same pair; None where there are none.

    Values are given to the first answer, as `prefjax.evals.agreement.first` draws it: to the chosen one they would be
    biased, since the majority chose it.
    """
    votes = table["votes"].astype(int)
    several = votes.sum(1) > 1
    order = np.where(table["first"][several, None] > 0, [0, 2, 1], [1, 2, 0])  # first wins, tie, second wins
    counts, _ = shared(**table.judged)
    return {"votes": _alphas(np.take_along_axis(votes[several], order, axis=1)), "annotators": _alphas(counts)}


def _alphas(counts: np.ndarray) -> dict[str, Any] | None:
    """Alpha by level of measurement, the share of couples of judgements that agree, and how often one is wrong."""
    if not len(counts):
        return None
    result: dict[str, Any] = {"pairs": len(counts), "unanimous": float(np.mean(counts.max(1) == counts.sum(1)))}
    for level in LEVELS:
        found = alpha(counts, level)
        result[level] = None if found is None else dict(zip(("mean", "low", "high"), found, strict=True))
    result["agreeing"] = _agreeing(counts)
    middle = counts.shape[1] // 2
    sides = np.stack([counts[:, :middle].sum(1), counts[:, middle + 1 :].sum(1)], 1)  # without ties
    agreeing = _agreeing(sides)
    # If each judgement is wrong with probability e, two agree with (1 - e)^2 + e^2.
    known = agreeing is not None and agreeing > 0.5
    return result | {"error": (1 - (2 * agreeing - 1) ** 0.5) / 2 if known else None if agreeing is None else 0.5}


def _agreeing(counts: np.ndarray) -> float | None:
    couples = counts.sum(1) * (counts.sum(1) - 1)
    return float(np.sum(counts * (counts - 1)) / couples.sum()) if couples.sum() else None


def position(table: Table, clusters: np.ndarray) -> dict[str, Any] | None:
    """How often the answer wins that was shown first (`meta.order`: [0, 1] says it is chosen, [1, 0] rejected)."""
    here = (table["shown"] != 0) & (table["decided"] != 0)
    return share(wins(table["shown"] * table["decided"])[here], clusters[here]) if here.any() else None
