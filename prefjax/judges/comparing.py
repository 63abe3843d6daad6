"""A judge from its call string, and what it says of two answers when it sees them in both orders."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from prefjax.errors import DataError
from prefjax.resolve import parse, resolve

VERDICTS = {"A": 1.0, "B": 0.0, "tie": 0.5, "invalid": None}
Judge = Callable[[Any, str, str], str]  # (prompt, a, b) -> a key of VERDICTS
Item = TypeVar("Item")
Found = TypeVar("Found")


class Comparison(NamedTuple):
    """What a judge says of answers a and b."""

    value: float | None  # 1: a is better, 0: b is, 1/2: a tie, None: invalid
    flipped: bool  # what it says depends on the order
    verdicts: tuple[str, str]  # of (a, b) and of (b, a)


def make(text: str, records: Sequence[dict[str, Any]] = ()) -> Judge:
    """The judge that a call string names.

    Args:
      text: "my.module:judge", a function (prompt, a, b) -> verdict; or a module of `prefjax.judges`.
      records: whose prompts are answered; a judge may look up what else they hold.

    Raises:
      ConfigError, DataError: there is no such judge, or it cannot work.
    """
    call = resolve(text, "prefjax.judges")
    return call if ":" in parse(text)[0] else call(records)


def compare(judge: Judge, prompt: Any, a: str, b: str) -> Comparison:
    """Asks a judge in both orders; equal answers tie without a question.

    A judge that changes its mind with the order has shown a bias for a position, not a preference: that is a tie.

    Raises:
      DataError: the judge said something else than a verdict.
    """
    if a == b:
        return Comparison(0.5, False, ("tie", "tie"))
    said = judge(prompt, a, b), judge(prompt, b, a)
    for verdict in said:
        if verdict not in VERDICTS:
            raise DataError(f"the judge said {verdict!r}; it should be one of {', '.join(VERDICTS)}")
    first, second = (VERDICTS[verdict] for verdict in said)
    if first is None or second is None:
        return Comparison(None, False, said)
    return Comparison(first, False, said) if first == 1 - second else Comparison(0.5, True, said)


def compare_all(judge: Judge, pairs: Iterable[tuple[Any, str, str]]) -> list[Comparison]:
    """`compare` for each (prompt, a, b), in their order."""
    return list(concurrently(judge, lambda pair: compare(judge, *pair), pairs))


def concurrently(judge: Judge | None, function: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[Found]:
    """What a function that asks a judge makes of each item, in their order.

    So many run at a time as the judge's attribute `concurrency` says; a judge without one is asked one by one, by the
    thread that is here.
    """
    workers = getattr(judge, "concurrency", 1)
    if workers == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(function, items)
