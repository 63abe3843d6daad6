"""Settings of the process that speed up computation on a CPU; for programs, not for imports."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8  # malloc.h of glibc


def keep_memory() -> None:
    """Lets malloc keep what it got from the kernel: large temporaries, made anew each step, cost page faults else.

    Has to come before the first thread. Resident memory stays at its peak. Does nothing where malloc is not glibc's.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in (
            (_M_MMAP_MAX, 0),
            (_M_TRIM_THRESHOLD, 2**31 - 1),
            (_M_ARENA_MAX, 1),
            (_M_TOP_PAD, 2**26),
        ):
            mallopt(parameter, value)
