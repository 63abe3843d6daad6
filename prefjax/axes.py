"""Axes of a sweep: which values a setting takes.

loss.beta=0.05,0.1,1       three values: of a setting, or of a number in a call string
seed=0..3                  whole numbers, both ends included
optim.lr=log(1e-6,1e-4)    drawn, logarithmically or by uniform(a,b): with `draws`
"""

import ast
import itertools
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from prefjax.errors import ConfigError


class Axis(NamedTuple):
    """What a setting takes in a sweep: one value after another, or one drawn from a range."""

    path: str
    values: tuple[Any, ...] = ()
    law: str = ""  # "log" or "uniform"
    range: tuple[float, float] = (0.0, 0.0)


def axis(text: str) -> Axis:
    """Reads an axis, `PATH=VALUES` as above; raises ConfigError for what is none."""
    path, _, values = text.partition("=")
    if not path or not values:
        raise ConfigError(f"--axis {text!r}: expected PATH=VALUES, such as loss.beta=0.1,0.5")
    if match := re.fullmatch(r"(-?\d+)\.\.(-?\d+)", values):
        first, last = map(int, match.groups())
        if first > last:
            raise ConfigError(f"--axis {text!r}: the range is empty; it should go up")
        return Axis(path, tuple(range(first, last + 1)))
    if match := re.fullmatch(r"(log|uniform)\(([^,]+),([^,]+)\)", values):
        low, high = (_literal(part) for part in match.groups()[1:])
        ends = all(isinstance(x, int | float) for x in (low, high))
        if not ends or low >= high or (match[1] == "log" and low <= 0):
            raise ConfigError(f"--axis {text!r}: expected {match[1]}(LOW,HIGH) with LOW < HIGH, and LOW > 0 for log")
        return Axis(path, law=match[1], range=(float(low), float(high)))
    parts = _split(values)
    if not all(part.strip() for part in parts):
        raise ConfigError(f"--axis {text!r}: there is no value beside a comma; an empty text is ''")
    return Axis(path, tuple(_literal(part) for part in parts))


def read(path: str | Path) -> list[Axis]:
    """The axes in a file, a line each; `#` begins a comment.

    Raises:
      ConfigError: the file cannot be read, or a line of it is no axis; the message gives file and line.
    """
    try:
        lines = Path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--axes={path}: {getattr(error, 'strerror', None) or error}") from None
    found = []
    for number, line in enumerate(lines, 1):
        if text := re.sub(r"(^|\s)#.*", "", line).strip():
            try:
                found.append(axis(text))
            except ConfigError as error:
                raise ConfigError(f"{path}:{number}: {str(error).removeprefix('--axis ')}") from None
    return found


def points(axes: Sequence[Axis], *, zipped: bool = False, draws: int = 0, seed: int = 0) -> list[dict[str, Any]]:
    """The points that axes span, {path: value} each.

    Args:
      axes: of the sweep.
      zipped: the first values of all axes together, then the second ones, ...; by default every combination.
      draws: how many points are drawn, with axes of values drawn from as well; 0: none.
      seed: of the draws.

    Raises:
      ConfigError: the axes do not fit together.
    """
    paths = [axis.path for axis in axes]
    if len(set(paths)) < len(paths):
        raise ConfigError(f"--axis {next(path for path in paths if paths.count(path) > 1)} is given twice")
    drawn = [axis.path for axis in axes if axis.law]
    if drawn and not draws:
        raise ConfigError(f"--axis {drawn[0]} is a range to draw from; say how many points with --draws=N")
    if draws:
        rng = np.random.default_rng(seed)
        found = [[_draw(rng, axis) for axis in axes] for _ in range(draws)]
    elif zipped:
        counts = {axis.path: len(axis.values) for axis in axes}
        if len(set(counts.values())) > 1:
            raise ConfigError(f"--zip takes axes of one length; they have {counts}")
        found = zip(*(axis.values for axis in axes), strict=True)
    else:
        found = itertools.product(*(axis.values for axis in axes))
    return [dict(zip(paths, point, strict=True)) for point in found]


def _draw(rng: np.random.Generator, axis: Axis) -> Any:
    low, high = axis.range
    if axis.law == "log":
        return float(f"{math.exp(rng.uniform(math.log(low), math.log(high))):.6g}")
    return float(f"{rng.uniform(low, high):.6g}") if axis.law else axis.values[rng.integers(len(axis.values))]


def _split(text: str) -> list[str]:
    """The parts between commas that stand in no bracket and no quotes."""
    bracketed = r"\([^)]*\)|\[[^\]]*\]|'[^']*'|\"[^\"]*\""
    return re.findall(rf"((?:{bracketed}|[^,])*),", f"{text},")


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return text.strip()
