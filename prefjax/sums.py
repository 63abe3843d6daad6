"""Weighted sums of call strings: "dpo_loss(beta=0.1) + 0.2 * sft_loss()", of losses or of rewards.

Their weights and numbers have paths like those of a single call: below `loss` those of this sum are `beta`,
`dpo_loss.weight` and `sft_loss.weight`.
"""

import ast
import itertools
from collections.abc import Iterable
from typing import Any, NamedTuple

from prefjax.errors import ConfigError
from prefjax.resolve import Call, is_call, nearest, parse, resolve


class Term(NamedTuple):
    """One call of a sum: what it names, and where its numbers are found below the setting that holds the sum."""

    name: str
    weight: float
    call: Call
    paths: dict[str, str]  # keyword, or "weight" -> path

    @property
    def numbers(self) -> dict[str, float]:
        """The numbers that may be traced, under their paths."""
        found = {"weight": self.weight} | self.call.numbers
        return {path: found[k] for k, path in self.paths.items() if k in found}


def mixture(text: str, *homes: str) -> list[Term]:
    """The terms of a weighted sum of calls, or the one of a call alone.

    The keyword k of a term is found under `k` if no other term has it written, and under `term.k` otherwise; its weight
    under `term.weight`, in a sum.

    Raises:
      ConfigError: as `resolve`, or a call of a sum has a keyword `weight`.
    """
    places = paths(text)
    return [
        Term(name, weight, resolve(call, *homes), {k: path for path, (term, k) in places.items() if term == name})
        for name, (weight, call) in terms(text).items()
    ]


def is_calls(text: str) -> bool:
    """Whether a string is a call with brackets, or a sum of calls, and not a path."""
    if is_call(text):
        return True
    try:
        return isinstance(ast.parse(text.strip(), mode="eval").body, ast.BinOp | ast.UnaryOp) and all(
            is_call(call) for _, call in terms(text).values()
        )
    except (SyntaxError, ConfigError):
        return False


def terms(text: str) -> dict[str, tuple[float, str]]:
    """The terms of a sum by name, each its weight and its call string; a second one of a name ends in 2.

    A call of a module of one's own is quoted: "a() + 0.5 * 'mine.rewards:polite(strict=True)'".

    >>> terms("a() + 0.5 * b(k=2) - a()")
    {'a': (1.0, 'a()'), 'b': (0.5, 'b(k=2)'), 'a2': (-1.0, 'a()')}
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        tree = None  # one call, with a module
    parts = [(1.0, text)] if tree is None or isinstance(tree, ast.Call) else list(_terms(tree, 1.0))
    found: dict[str, tuple[float, str]] = {}
    for weight, call in parts:
        name = parse(call)[0].rpartition(":")[2]
        if name in found:
            name = next(other for k in itertools.count(2) if (other := f"{name}{k}") not in found)
        found[name] = weight, call
    return found


def paths(text: str) -> dict[str, tuple[str, str]]:
    """Where each keyword and weight of a sum is found, below its setting -> the term, and the keyword of it."""
    found = terms(text)
    written = {name: parse(call)[1] for name, (_, call) in found.items()}
    several = [k for keywords in written.values() for k in keywords]
    places = {k if several.count(k) == 1 else f"{name}.{k}": (name, k) for name, own in written.items() for k in own}
    if [weight for weight, _ in found.values()] == [1.0]:
        return places
    if "weight" in several:
        raise ConfigError(f"{text!r}: 'weight' is the factor before a call of a sum, and no keyword in it")
    return places | {f"{name}.weight": (name, "weight") for name in found}


def changed(text: str, path: str, value: Any) -> str:
    """A call string, or a sum of them, with another value of a keyword, or of a weight, at a path as in `mixture`.

    `term.keyword` is a path too where no other term has the keyword.

    >>> changed("a(k=1) + 0.5 * b()", "b.weight", 2.0)
    'a(k=1) + 2.0 * b()'

    Raises:
      ConfigError: there is no such path.
    """
    found = terms(text)
    if len(found) == 1 and "." not in path and next(iter(found.values()))[0] == 1:
        return _with_keyword(text, path, value)
    name, _, keyword = path.rpartition(".")
    name, keyword = (name, keyword) if name in found else paths(text).get(path, ("", ""))
    if not name:
        known = {*paths(text), *(f"{name}.{k}" for name, (_, call) in found.items() for k in parse(call)[1])}
        raise ConfigError(f"{text!r} has no {path!r}; {nearest(path, known)}")
    weight, call = found[name]
    found[name] = (value, call) if keyword == "weight" else (weight, _with_keyword(call, keyword, value))
    quoted = ((weight, repr(call) if ":" in call.partition("(")[0] else call) for weight, call in found.values())
    return " + ".join(call if weight == 1 else f"{weight!r} * {call}" for weight, call in quoted)


def _terms(node: ast.expr, sign: float) -> Iterable[tuple[float, str]]:
    match node:
        case ast.BinOp(left, ast.Add() | ast.Sub() as op, right):
            yield from _terms(left, sign)
            yield from _terms(right, sign if isinstance(op, ast.Add) else -sign)
        case ast.BinOp(ast.Constant(float() | int() as weight), ast.Mult(), term):
            yield from _terms(term, sign * weight)
        case ast.BinOp(ast.UnaryOp(ast.USub(), weight), ast.Mult(), term):  # Python reads -2 * x as (-2) * x
            yield from _terms(ast.BinOp(weight, ast.Mult(), term), -sign)
        case ast.UnaryOp(ast.USub(), term):
            yield from _terms(term, -sign)
        case ast.Constant(str() as text):
            yield sign, text
        case _:
            yield sign, ast.unparse(node)


def _with_keyword(text: str, keyword: str, value: Any) -> str:
    called, own = parse(text)
    inside = ", ".join(f"{k}={v!r}" for k, v in (own | {keyword: value}).items())
    return f"{called}({inside})"
