"""Columns of numbers on disk: written as they come, then mapped, so that memory does not grow with their length."""

import mmap
import tempfile
from array import array
from collections.abc import Iterable

import numpy as np

from prefjax.errors import DataError

_BLOCK = 2**15  # numbers held in memory


class Column:
    """Numbers of one type in an unnamed temporary file, which is gone with the last array that maps it."""

    def __init__(self, code: str):
        """`code` is the type, as `array.array` has them."""
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  (closed by `close`)
        self._new = array(code)

    def extend(self, numbers: Iterable[float]) -> None:
        self._new.extend(numbers)
        if len(self._new) >= _BLOCK:
            self._write()

    def array(self) -> np.ndarray:
        """All numbers, read-only."""
        self._write()
        if not self._file.tell():
            return np.empty(0, self._new.typecode)
        return np.frombuffer(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ), self._new.typecode)

    def close(self) -> None:
        """Lets go of the file; arrays that map it stay as they are."""
        self._file.close()

    def _write(self) -> None:
        rest = self._new.tobytes()
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            where = f"{tempfile.gettempdir()}: token rows cannot be written there: {error.strerror}"
            raise DataError(f"{where}; TMPDIR names another folder") from None
        del self._new[:]
