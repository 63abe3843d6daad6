"""Whether a text keeps the numbers, dates and names of its source, and brings none of its own."""

import functools
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

from prefjax.errors import DataError
from prefjax.evals.completions import completions, records_of
from prefjax.evals.summary import told
from prefjax.types import Setup

_MONTHS = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?|oct(?:ober)?"
    "|nov(?:ember)?|dec(?:ember)?"
)
_MONTH = rf"(?P<month{{}}>{_MONTHS})\.?"
_DATE = re.compile(
    r"\b(?:(?P<iso>\d{4}-\d{2}-\d{2})"
    rf"|(?P<day1>\d{{1,2}})(?:st|nd|rd|th)?\.? (?:of )?{_MONTH.format(1)}(?:,? (?P<year1>\d{{4}}))?"
    rf"|{_MONTH.format(2)} (?P<day2>\d{{1,2}})(?:st|nd|rd|th)?\b(?:,? (?P<year2>\d{{4}}))?"
    rf"|{_MONTH.format(3)},? (?P<year3>\d{{4}}))\b",
    re.I,
)
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?!\d|\.\d|\w*[A-Za-z]\d)")
_WORD = r"(?:(?:[A-Z]\.){2,}|[A-Z][\w'’-]*)"  # capitalised, or U.S.
_NAME = re.compile(rf"\b{_WORD}(?: (?:(?:of|the|de|van|von|der) )*{_WORD})*")
_STARTS = re.compile(r"(?:^|(?<!\b[A-Z])(?<!\bDr)(?<!\bM[rs])(?<!\bMrs)(?<!\bSt)(?<!\bProf)[.!?:;]|[\n\"“(•*])\s*$")
_NO_NAME = re.compile(rf"(?:{_MONTHS}|(?:mon|tues|wednes|thurs|fri|satur|sun)day|i|i['’]\w+|mrs?|ms|dr)\.?", re.I)


class Facts(NamedTuple):
    """What can be checked in a text."""

    numbers: frozenset[str]
    dates: frozenset[str]  # year-month-day, with ? for what is not said
    names: frozenset[str]  # their words, in lower case


def make(
    run: Setup,
    *,
    source: str,
    limit: int = 64,
    n: int = 1,
    max_new: int = 128,
    temperature: float = 1.0,
    batch_size: int = 64,
) -> Callable[..., dict[str, Any]]:
    """Facts of the source in completions that retell it: summaries, rewrites, translations into plain words.

    Returns `facts_kept`, the mean share of the source's numbers, dates and names that a completion has, over sources
    that have any; and `facts_unsupported`, the mean share of a completion's that neither source nor prompt has, over
    completions that have any. Every completion is a row of `samples`.

    Args:
      run: the run.
      source: call string of a data source; the source text of a record is its `facts`, texts, or else its prompt.
      limit, n, max_new, temperature, batch_size: as in `samples`.

    Raises:
      DataError: no source has a number, date or name.
    """
    records = records_of(run, source, limit)
    given = [(_source(record), f"{_source(record)}\n{_prompt(record)}") for record in records]
    if not any(any(find(text)) for text, _ in given):
        raise DataError(f"{source}: no number, date or name in any record's facts or prompt: nothing can be kept")
    knobs = {"limit": limit, "n": n, "max_new": max_new, "temperature": temperature, "batch_size": batch_size}
    written = completions(run, source, **knobs)

    def evaluate(state, frozen, key):
        rows = []
        for c in written(state, key):
            text, allowed = given[c.index]
            rows.append(c.row | {"facts_kept": kept(text, c.text), "facts_unsupported": unsupported(allowed, c.text)})
        return told(rows)

    return evaluate


@functools.lru_cache(4096)  # sources are asked for again with every completion
def find(text: str) -> Facts:
    """The numbers, dates and names of a text.

    A name is a run of capitalised words; a single one that begins a sentence is one only if it is capitalised within
    another as well, or all in capitals. Number words are not read.

    >>> found = find("On 3 May 2021 Ada Lovelace paid $1,200.50 to IBM.")
    >>> sorted(found.numbers), sorted(found.dates), sorted(found.names)
    (['1200.5'], ['2021-05-03'], ['ada lovelace', 'ibm'])
    """
    dates = frozenset(map(_date, _DATE.finditer(text)))
    rest = _DATE.sub(lambda date: "#" * len(date[0]), text)
    numbers = frozenset(f"{Decimal(number.replace(',', '')).normalize():f}" for number in _NUMBER.findall(rest))
    inside, opening = set(), set()
    for match in _NAME.finditer(rest):
        name = re.sub(r"['’]s$", "", match[0])
        starts = _STARTS.search(rest[max(match.start() - 8, 0) : match.start()]) is not None
        sure = not starts or (name.isupper() and len(name) > 1)
        (inside if sure else opening).add(name)
    names = set(inside)
    for name in opening:  # the first word may be capitalised for its place alone
        first, _, others = name.partition(" ")
        names.add(name if first in inside or _is_name(first, inside) else others)
    bare = frozenset(_words(n).strip() for n in names if n and not _NO_NAME.fullmatch(n))
    return Facts(numbers, dates, bare)


def kept(source: str, text: str) -> float | None:
    """The share of the source's facts that a text has; None where it has none. Of a person the last name will do."""
    facts, has = find(source), find(text)
    said = _words(text)
    hits = [*(d in has.dates for d in facts.dates), *(x in has.numbers for x in facts.numbers)]
    last = lambda name: name.split()[-1]
    hits += [f" {name} " in said or (len(last(name)) > 1 and f" {last(name)} " in said) for name in facts.names]
    return sum(hits) / len(hits) if hits else None


def unsupported(source: str, text: str) -> float | None:
    """The share of a text's facts that its source has not; None where it has none."""
    facts, given = find(text), find(source)
    said = _words(source)
    lacks = [*(d not in given.dates for d in facts.dates), *(x not in given.numbers for x in facts.numbers)]
    lacks += [not all(f" {word} " in said for word in name.split()) for name in facts.names]
    return sum(lacks) / len(lacks) if lacks else None


def _is_name(first: str, inside: set[str]) -> bool:
    return any(first in name.split() for name in inside)


def _date(match: re.Match) -> str:
    if match["iso"]:
        return match["iso"]
    places = {"month": (1, 2, 3), "day": (1, 2), "year": (1, 2, 3)}
    found = {name: next(filter(None, (match[f"{name}{i}"] for i in at)), "") for name, at in places.items()}
    month = "janfebmaraprmayjunjulaugsepoctnovdec".index(found["month"][:3].lower()) // 3 + 1
    day = f"{int(found['day']):02}" if found["day"] else "?"
    return f"{found['year'] or '?'}-{month:02}-{day}"


@functools.lru_cache(4096)
def _words(text: str) -> str:
    return " " + " ".join(re.findall(r"\w+", re.sub(r"['’]s\b", "", text).casefold())) + " "


def _source(record: dict[str, Any]) -> str:
    facts = record.get("facts")
    if facts is None:
        return _prompt(record)
    return "\n".join(map(str, facts if isinstance(facts, list) else [facts]))


def _prompt(record: dict[str, Any]) -> str:
    prompt = record["prompt"]
    return prompt if isinstance(prompt, str) else "\n".join(turn["content"] for turn in prompt)
