"""Preference pairs from a policy's own completions, labelled by a reward or by a judge that compares two."""

import itertools
from collections import Counter
from typing import Any

import numpy as np

from prefjax.data.records import Record
from prefjax.judges import Judge, compare
from prefjax.sampling.candidates import Candidates, usable

KEPT = ("id", "prompt", "slice", "facts", "meta")  # of a record, in what is made from it


def make(
    found: Candidates,
    record: Record,
    counts: Counter[str],
    *,
    origin: dict[str, Any],
    judge: Judge | None = None,
    ranking: bool = False,
    cut: bool = False,
) -> Record | None:
    """The pair, best against worst, or the ranking of the completions of a prompt; None where there is none.

    Args:
      found: with scores named "score", unless there is a judge.
      record: that they answer.
      counts: reason -> how many completions or prompts were left out, added to.
      origin: where they come from; with the scores, best first, it becomes `meta["sampled"]`.
      judge: compares two completions; then a score is the share of the comparisons that a completion wins.
      ranking: all of them, best first, those of one score side by side.
      cut: keep completions that the limit cut.
    """
    kept = usable(found, counts, cut=cut)
    texts = [found.answers[at].text for at in kept]
    if len(texts) < 2:
        counts["prompts with fewer than two completions left"] += 1
        return None
    scores = found.scores["score"][kept] if judge is None else win_rates(judge, record["prompt"], texts)
    if scores is None:
        counts["prompts with an invalid verdict"] += 1
        return None
    order = np.argsort(-scores, kind="stable")
    best, worst = order[0], order[-1]
    if scores[best] == scores[worst]:
        counts["prompts with a tie"] += 1
        return None
    base = {field: record[field] for field in KEPT if field in record}
    base["meta"] = base.get("meta", {}) | {"sampled": origin | {"scores": scores[order].tolist()}}
    if ranking:
        ranks = [[texts[at] for at in same] for _, same in itertools.groupby(order, key=lambda at: scores[at])]
        return base | {"ranking": [rank[0] if len(rank) == 1 else rank for rank in ranks]}
    return base | {
        "chosen": texts[best],
        "rejected": texts[worst],
        "score_chosen": float(scores[best]),
        "score_rejected": float(scores[worst]),
    }


def win_rates(judge: Judge, prompt: Any, texts: list[str]) -> np.ndarray | None:
    """The share of its comparisons with the others that each text wins, ties counting half; None if one is invalid."""
    wins = np.zeros(len(texts))
    for a, b in itertools.combinations(range(len(texts)), 2):
        won = compare(judge, prompt, texts[a], texts[b]).value
        if won is None:
            return None
        wins[[a, b]] += won, 1 - won
    return wins / (len(texts) - 1)
