"""Cycles of preference: answers to one prompt, each better than the next, and the last better than the first.

No reward can agree with all of the rows that say so.
"""

import hashlib
from array import array
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from prefjax.data.prompts import prompt_key
from prefjax.data.records import lead, ranks


class Cycles:
    """What is preferred to what, in 24 bytes a pair."""

    def __init__(self):
        self.rows, self.better, self.worse = array("q"), array("Q"), array("Q")

    def add(self, row: int, record: dict[str, Any]) -> None:
        """Takes note of a record that has `chosen` and `rejected`, or a `ranking`."""
        ranking = record.get("ranking") or [record[side] for side in ("chosen", "rejected") if side in record]
        better = lead(record)
        if better <= 0:
            ranking = ranking[::-1] if better else []
        prompt = prompt_key(record).to_bytes(8, "big")
        for high, low in pairwise([[_answer(prompt, text) for text in rank] for rank in ranks(ranking)]):
            for better in high:
                for worse in low:
                    self.rows.append(row)
                    self.better.append(better)
                    self.worse.append(worse)

    def found(self) -> Iterator[list[int]]:
        """The rows of each cycle of three answers or more, those of its first row first."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        answers, ids = np.unique(np.array([self.better, self.worse], np.uint64), return_inverse=True)
        better, worse = ids.reshape(2, -1)
        graph = coo_array((np.ones(len(better), bool), (better, worse)), shape=(len(answers), len(answers)))
        _, group = connected_components(graph, connection="strong")
        inside = (group[better] == group[worse]) & (np.bincount(group)[group[better]] > 2)
        rows: dict[int, list[int]] = {}
        for at in np.flatnonzero(inside):
            rows.setdefault(int(group[better[at]]), []).append(self.rows[at])
        for found in rows.values():
            yield list(dict.fromkeys(found))


def _answer(prompt: bytes, text: str) -> int:
    return int.from_bytes(hashlib.blake2b(prompt + text.encode(), digest_size=8).digest(), "big")
