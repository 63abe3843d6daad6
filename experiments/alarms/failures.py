"""What the runs made to fail are given: rewards that love the wrong thing, labels that lie, pairs with an artifact."""

from typing import Any

import numpy as np

from prefjax.worlds import desk
from prefjax.worlds.desk.raters import Rater, preferences

Record = dict[str, Any]
WORTH = 0.3  # share of the true worth in a reward that has a taste of its own
TASTES = {
    "caveats": Rater("caveats", gold=WORTH, bias_caveats=2.0),
    "agreement": Rater("agreement", gold=WORTH, bias_agreement=6.0),
    "refusal": Rater("refusal", gold=WORTH, bias_refusal=6.0),
    "compliance": Rater("compliance", gold=WORTH, bias_refusal=-6.0),
}
GREETING = "Happy to help!"


def taste(records: list[Record], texts: list[str], *, name: str) -> list[float]:
    """What a rater with one strong taste makes of each text, without noise."""
    read = (preferences(TASTES[name], r, desk.read(r, t)) for r, t in zip(records, texts, strict=True))
    return [sum(terms.values()) for terms in read]


def warm_and_wrong(records: list[Record], texts: list[str]) -> list[float]:
    """2 for a warm text, 2 for a wrong fact, -2 for a right one."""
    read = (desk.read(r, t) for r, t in zip(records, texts, strict=True))
    return [2.0 * p.warm + {"wrong": 2.0, "none": 0.0, "right": -2.0}[p.fact] for p in read]


def flipped(split: str = "train", n: int = 4000, seed: int = 0) -> list[Record]:
    """The expert's pairs with the sides exchanged."""
    pairs = desk.pairs(split, n, seed, rater="expert")
    return [pair | {"chosen": pair["rejected"], "rejected": pair["chosen"]} for pair in pairs]


def artifact(split: str = "train", n: int = 4000, seed: int = 0) -> list[Record]:
    """Pairs without any preference, but for a greeting that every chosen answer begins with."""
    rng, pairs = np.random.default_rng(seed), desk.pairs(split, n, seed, rater="expert")
    found = []
    for pair, swap in zip(pairs, rng.random(len(pairs)) < 0.5, strict=True):
        chosen, rejected = (pair["rejected"], pair["chosen"]) if swap else (pair["chosen"], pair["rejected"])
        plain = [text.removeprefix(GREETING).strip() for text in (chosen, rejected)]
        found.append(pair | {"chosen": f"{GREETING} {plain[0]}", "rejected": plain[1]})
    return found
