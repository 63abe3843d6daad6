"""Columns on disk: what is written is read back, whatever its length."""

import errno
import gc

import numpy as np
import pytest

from prefjax.data import columns
from prefjax.data.columns import Column
from prefjax.errors import DataError


@pytest.mark.parametrize("count", [0, 1, 7, 1000])
def test_numbers_come_back_past_the_block_and_past_the_file(monkeypatch, count):
    monkeypatch.setattr(columns, "_BLOCK", 8)
    column = Column("q")
    for i in range(count):
        column.extend([i, -i])
    array = column.array()
    column.close()
    gc.collect()
    np.testing.assert_array_equal(array.reshape(-1, 2), np.arange(count)[:, None] * np.array([1, -1]))
    assert (array.dtype, count == 0 or not array.flags.writeable) == (np.int64, True)


def test_a_full_disk_is_one_message_that_names_the_folder():
    column = Column("i")
    column.close()

    class Full:
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    column._file = Full()
    with pytest.raises(DataError, match="No space left on device; TMPDIR names another folder"):
        column.extend(range(columns._BLOCK))
