"""What comes twice: pairs, prompts, and prompts of another set; and labels that cannot all be right."""

import json
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np

from prefjax.audit.near import Near
from prefjax.audit.numbers import mixed
from prefjax.audit.table import Table
from prefjax.data.prompts import digest, prompt_key, prompt_text
from prefjax.data.records import Record, Row

NEAR = 20_000  # prompts of the other set that near ones are sought for
_SHOWN = 5


def repeats(table: Table) -> dict[str, Any]:
    """Duplicates, equal sides and contradictions; texts are compared in any case, width or spacing.

    "exact" counts the pairs that an earlier one equals, "normalised" those beyond that equal one after normalising, of
    the same annotator each. "contradictions" counts couples of answers of which one annotator, or an unnamed one,
    preferred both.
    """
    answers, who = table["answer"], table["annotator"]
    low, high = np.sort(answers, axis=1).T
    first = answers[:, 0] == low
    unit = mixed(table["prompt"], low, high, who)
    same = len(unit) - len(np.unique(mixed(unit, first)))
    exact = len(unit) - len(np.unique(mixed(table["exact"], who)))
    clear = (table["decided"] != 0) & (low != high)
    units, at, ids = np.unique(unit[clear], return_index=True, return_inverse=True)
    to_low = np.bincount(ids, (first[clear] == (table["decided"][clear] > 0)), minlength=len(units))
    opposed = (to_low > 0) & (to_low < np.bincount(ids, minlength=len(units)))
    places = table["place"][clear][np.sort(at[opposed])[:_SHOWN]]
    return {
        "exact": exact,
        "normalised": same - exact,
        "equal_sides": int(np.sum(low == high)),
        "contradictions": int(np.sum(opposed)),
        "contradictions_at": [table.place(place) for place in places],
    }


def prompts(table: Table, clusters: np.ndarray) -> dict[str, Any]:
    """How pairs share prompts, and how many a random tenth of the pairs would share with the rest.

    A pair of a prompt with m pairs meets one of the others in the rest with probability 1 - .1^(m - 1).
    """
    sizes = np.bincount(clusters)
    expected = float(np.sum(sizes * (1 - 0.1 ** (sizes - 1))) / len(clusters))
    return {"number": len(sizes), "most_pairs": int(sizes.max()), "shared_by_random_tenth": expected}


def cycles(table: Table) -> dict[str, Any]:
    """Groups of rows with which no order of the answers agrees."""
    found = list(table.cycles.found())
    places = [[table.place(row) for row in rows[:_SHOWN]] for rows in found[:_SHOWN]]
    return {"number": len(found), "rows": len(set(chain.from_iterable(found))), "at": places}


class Leaks:
    """Which prompts of an evaluation are met among the records that are trained on."""

    def __init__(self, rows: Iterable[Row]):
        """Reads the evaluation, as `prefjax.data.records.scan` yields it."""
        self.pairs: Counter[int] = Counter()  # key of each prompt of the evaluation -> its records
        self.raw: set[int] = set()
        self.problems: Counter[str] = Counter()  # why rows were refused
        self.shown: list[str] = []  # the first refused
        sought: dict[int, str] = {}  # key of a prompt -> its text
        for row in rows:
            for problem in row.problems:
                if problem.kind == "refused":
                    self.problems[problem.message] += 1
                    self.shown += [str(problem)] if len(self.shown) < _SHOWN else []
            if row.record is not None:
                key = prompt_key(row.record)
                self.raw.add(_raw(row.record))
                self.pairs[key] += 1
                if key in sought or len(sought) < NEAR:
                    sought[key] = prompt_text(row.record)
        self.keys, self.near = [*sought], Near(sought.values())
        self.exact, self.normalised, self.alike = set(), set(), set()
        self.trained = 0
        self.last: tuple[int, bool] = (-1, False)

    def see(self, record: Record) -> None:
        """Looks at a record that is trained on."""
        key = prompt_key(record)
        if key in self.pairs:
            (self.exact if _raw(record) in self.raw else self.normalised).add(key)
            self.trained += 1
        elif key != self.last[0]:
            alike = {self.keys[number] for number in self.near.like(prompt_text(record))}
            self.alike |= alike
            self.last = key, bool(alike)
            self.trained += bool(alike)
        else:
            self.trained += self.last[1]

    def result(self) -> dict[str, Any]:
        """Numbers of prompts of the evaluation, each counted as the closest it is met; and of records on both sides."""
        self.normalised -= self.exact
        self.alike -= self.exact | self.normalised
        met = self.exact | self.normalised | self.alike
        return {
            "records": self.pairs.total(),
            "refused": dict(self.problems),
            "prompts": len(self.pairs),
            "sought_near": len(self.keys),
            "exact": len(self.exact),
            "normalised": len(self.normalised),
            "near": len(self.alike),
            "records_met": sum(self.pairs[key] for key in met),
            "trained_on": self.trained,
        }


def _raw(record: Record) -> int:
    """A key of the prompt as it is; a single message of the user is the same as its text."""
    prompt = record["prompt"]
    if isinstance(prompt, list) and [turn["role"] for turn in prompt] == ["user"]:
        prompt = prompt[0]["content"]
    return digest(json.dumps(prompt))
