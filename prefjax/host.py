"""Settings of the process that speed up computation on a CPU; for programs, not for imports."""

import ctypes
import functools
import re
import sys
from pathlib import Path

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # malloc.h of glibc


def keep_memory() -> None:
    """Lets malloc keep what it got from the kernel: large temporaries, made anew each step, cost page faults else.

    Has to come before the first thread. Resident memory stays at its peak, but for `give_back`. Does nothing where
    malloc is not glibc's.
    """
    mallopt = _glibc("mallopt")
    if mallopt is not None:
        for parameter, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 2**26)):
            mallopt(parameter, value)


def give_back() -> None:
    """Returns to the kernel what malloc holds and nobody uses: after what is done once, since it costs page faults."""
    trim = _glibc("malloc_trim")
    if trim is not None:
        trim(0)


@functools.cache
def give_back_after_compiling() -> None:
    """From now on, what the compiler needed for a large program is returned before the program first runs."""
    import jax

    def compiled(event: str, duration_secs: float, **_: str | int) -> None:
        if event.endswith("backend_compile_duration") and duration_secs > 1:
            give_back()

    jax.monitoring.register_event_duration_secs_listener(compiled)


def resident() -> tuple[int, int]:
    """Bytes of memory that this process holds, and the most it ever held; 0 where Linux does not tell."""
    status = Path("/proc/self/status")
    told = dict(re.findall(r"(VmRSS|VmHWM):\s+(\d+) kB", status.read_text())) if status.exists() else {}
    return int(told.get("VmRSS", 0)) * 1024, int(told.get("VmHWM", 0)) * 1024


def _glibc(name: str):
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
