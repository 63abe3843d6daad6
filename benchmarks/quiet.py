"""Measurements that other processes of the machine did not disturb. Linux only: it reads /proc/stat."""

import os
import time
from collections.abc import Callable
from typing import Any

BUSY = 0.1  # share of the machine that others may take meanwhile


def measured(run: Callable[[], dict[str, Any]], tries: int = 3, patience: float = 60) -> dict[str, Any]:
    """What `run` found, once the machine is idle; again, where `others` says that it was not undisturbed.

    The first undisturbed run counts, else the one that was disturbed least: never the fastest.

    Args:
      run: starts a process; gives figures, of which `others` is the share of the machine that other processes took.
      tries: runs at most.
      patience: seconds to wait for an idle machine before each.
    """
    found = []
    while len(found) < tries and (not found or found[-1]["others"] > BUSY):
        end = time.monotonic() + patience
        while busy() > BUSY and time.monotonic() < end:
            pass
        found.append(run())
    return min(found, key=lambda one: one["others"]) if found[-1]["others"] > BUSY else found[-1]


def busy(seconds: float = 1.0) -> float:
    """Share of the machine that is in use."""
    before = _used()
    time.sleep(seconds)
    return (_used() - before) / seconds / (os.cpu_count() or 1)


def _used() -> float:
    with open("/proc/stat") as file:
        user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
