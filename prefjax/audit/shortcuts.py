"""What tells the chosen answer from the rejected one without being its worth: length, format, wording."""

from typing import Any

import numpy as np
from scipy import sparse

from prefjax.audit import classify
from prefjax.audit.labels import SURE
from prefjax.audit.numbers import auc, mean, share, sign_test, wins
from prefjax.audit.surface import EDGES, FLAGS
from prefjax.audit.table import Sampled, Table
from prefjax.data.prompts import last_turn
from prefjax.evals.stats import holm

UNITS = ("characters", "words", "tokens")
_COMMON, _LEAST = 20, 10  # first and last words tested: the most common, of those that so many answers have
_FOLDS, _ENOUGH = 5, 50  # pairs, below which nothing is fitted
_QUOTED = 200  # characters of an answer shown


def length(table: Table, clusters: np.ndarray) -> dict[str, Any]:
    """How often the longer answer wins, ties half, and how well lengths alone tell answers apart across all pairs."""
    decided, found = table["decided"], {}
    here = decided != 0
    for unit in UNITS if table.tokenizer is not None else UNITS[:2]:
        first, second = table[unit][here].astype(float).T
        won, lost = (np.where(decided[here] > 0, *sides) for sides in ((first, second), (second, first)))
        longer = share(wins(won - lost), clusters[here])
        median = {"won": float(np.median(won)), "lost": float(np.median(lost))} if len(won) else None
        found[unit] = {"longer_wins": longer, "auc": auc(won, lost), "median": median}
    return found


def artifacts(table: Table, clusters: np.ndarray) -> list[dict[str, Any]]:
    """Marks of format and wording by how unevenly the sides bear them, the least likely by chance first.

    "odds" is the matched odds ratio: prompts where the winner has the mark more often by those where the loser has;
    None where the latter are none. "p" is that of the sign test over prompts, corrected for their number by Holm.
    """
    here = table["decided"] != 0
    decided, clusters = table["decided"][here].astype(int), clusters[here]
    marks = {}
    for bit, name in enumerate(FLAGS):
        marks[name] = (table["flags"][here] >> bit & 1).astype(bool)
    edges = table["edges"][here].reshape(-1, 2, len(EDGES))
    for place, edge in enumerate(EDGES):
        counts = np.bincount(edges[:, :, place].ravel())
        texts = {number: text for text, (number, _) in table.edges[place % 2].seen.items() if number < len(counts)}
        for number in sorted(texts, key=lambda number: (-counts[number], number))[:_COMMON]:
            if counts[number] >= _LEAST:
                marks[f"{edge}: {texts[number]}"] = edges[:, :, place] == number
    found: list[dict[str, Any]] = []
    for name, mark in marks.items():
        if not mark.any():
            continue
        won, lost = (np.where(decided > 0, mark[:, i], mark[:, 1 - i]) for i in (0, 1))
        more, less, p = sign_test(won.astype(int) - lost.astype(int), clusters)
        rates = {"won": float(won.mean()), "lost": float(lost.mean())}
        found.append({"mark": name, **rates, "more": more, "less": less, "odds": more / less if less else None, "p": p})
    for row, p in zip(found, holm([row["p"] for row in found]), strict=True):
        row["p"] = p
    return sorted(found, key=lambda row: (row["p"], -abs(row["more"] - row["less"])))


def classifiers(table: Table, seed: int = 0) -> dict[str, Any] | None:
    """Cross-validated accuracy of cheap classifiers with folds of prompts and with folds of pairs, on sampled pairs.

    "inflation" is what the second has over the first: a held-out set of random pairs overrates a ranker by as much.
    Also the pairs whose label the words and marks of other prompts oppose, at 19 to 1 or more: "flips".
    None where the sample has too few pairs or prompts.
    """
    pairs = [pair for group in table.sample.pairs.values() for pair in group if table["decided"][pair.row]]
    pairs.sort(key=lambda pair: pair.row)
    rows = np.array([pair.row for pair in pairs], np.int64)
    prompts = table["prompt"][rows]
    if len(rows) < _ENOUGH or len(np.unique(prompts)) < 2 * _FOLDS:
        return None
    found, margins = {}, np.zeros(len(rows))
    for name, x in _features(table, pairs, rows).items():
        x = sparse.csr_array(x)
        by_prompt, by_pair = [], []
        for again in range(3 if len(rows) < 3000 else 1):
            by_prompt.append(classify.held_out(x, classify.folds(prompts, _FOLDS, seed + again)))
            by_pair.append(classify.held_out(x, classify.folds(np.arange(len(rows)), _FOLDS, seed + again)))
        told, inflated = (np.mean([wins(m) for m in split], axis=0) for split in (by_prompt, by_pair))
        found[name] = {"by_prompt": share(told, prompts), "random": share(inflated, prompts)}
        found[name]["inflation"] = mean(inflated - told, prompts)
        margins = np.mean(by_prompt, axis=0)
    flips = classify.calibrated(margins)  # of words and marks, which come last
    against = np.flatnonzero(flips < -SURE)
    worst = against[np.argsort(flips[against], kind="stable")]
    examples = [_example(table, pairs[i], float(flips[i])) for i in worst[:3]]
    at = [table.place(table["place"][rows[i]]) for i in worst]
    return {"pairs": len(rows), "of": table.size, "models": found, "flips": {"number": len(at), "at": at[:100]}} | {
        "examples": examples
    }


def _features(table: Table, pairs: list[Sampled], rows: np.ndarray) -> dict[str, Any]:
    """Differences of features, winner less loser: lengths, these and marks, words, and all of them."""
    sign = table["decided"][rows].astype(float)[:, None]
    sizes = [np.log1p(table[unit][rows].astype(float)) @ [1, -1] for unit in UNITS[:2]]
    bits = table["flags"][rows].astype(np.int64)[:, :, None] >> np.arange(len(FLAGS)) & 1
    lengths = classify.scaled(np.stack(sizes, 1)) * sign
    marks = np.concatenate([lengths, classify.scaled((bits[:, 0] - bits[:, 1]).astype(float)) * sign], axis=1)
    words = classify.words([pair.chosen for pair in pairs], [pair.rejected for pair in pairs]) * sign
    both = sparse.hstack([sparse.csr_array(marks), words], format="csr")
    return {"length": lengths, "marks": marks, "words": words, "words and marks": both}


def _example(table: Table, pair: Sampled, margin: float) -> dict[str, Any]:
    texts = {"prompt": last_turn(pair.record["prompt"]), "chosen": pair.chosen, "rejected": pair.rejected}
    quoted = {name: text if len(text) <= _QUOTED else text[:_QUOTED] + "…" for name, text in texts.items()}
    return {"at": table.place(table["place"][pair.row]), "log_odds": round(margin, 2)} | quoted
