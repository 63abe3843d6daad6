"""Signals that ask a run to stop. Programs install the handlers; a library has no right to them."""

import contextlib
import os
import signal
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from prefjax.errors import Interrupted

Result = TypeVar("Result")

_asked: int | None = None  # the signal that has arrived
_deferring = False


@contextlib.contextmanager
def handled(*more: int) -> Generator[None]:
    """Within, the first SIGTERM or SIGINT raises Interrupted, unless deferred; the second ends the process at once.

    Args:
      *more: signals that do the same.
    """
    global _asked

    def handle(number: int, frame: Any) -> None:
        global _asked
        del frame
        if _asked is not None:
            return os._exit(128 + number)
        _asked = number
        if not _deferring:
            raise Interrupted(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM, *more)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked = None


@contextlib.contextmanager
def deferred() -> Generator[Callable[[], int | None]]:
    """Within, a signal waits to be asked for: yields a function that returns its number, or None."""
    global _deferring
    _deferring = True
    try:
        yield lambda: _asked
    finally:
        _deferring = False


def attempt(work: Callable[..., Result], *args: Any) -> Result | None:
    """Inside `deferred`: does some work that may be dropped halfway, unless a signal has arrived, until one does.

    Returns:
      What the work returns; None if it was dropped.
    """
    global _deferring
    if _asked is not None:
        return None
    try:
        _deferring = False
        result = work(*args)
        _deferring = True
        return result
    except Interrupted:
        return None
    finally:
        _deferring = True
