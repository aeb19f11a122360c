"""Who has the GPU: processes that share cases out compile all at once, and measure one after the other.

A process holds the lock of NBRNN_BENCH_TURNS=FILE with others while it compiles, and alone while it measures, so
nothing is measured before all have compiled. A process that hangs must not keep the others waiting for ever: after
NBRNN_BENCH_PATIENCE seconds they measure all the same, and say so.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

try:
    import fcntl
except ImportError:  # on Windows each process has the GPU for itself
    fcntl = None  # type: ignore[assignment]

FILE, SECONDS, PATIENCE = "NBRNN_BENCH_TURNS", "NBRNN_BENCH_PATIENCE", 150.0
BEGUN = time.monotonic()


def shared() -> bool:
    """Return whether other processes have cases, too."""
    return bool(os.environ.get(FILE)) and fcntl is not None


@contextmanager
def turn(alone: bool) -> Iterator[bool]:
    """Wait for a turn, alone or with others; yield whether it came."""
    if not shared():
        yield True
        return
    with open(os.environ[FILE], "a") as file:
        came = _locked(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield came  # closing the file ends the turn


def _locked(file: object, kind: int) -> bool:
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)  # type: ignore[call-overload]
            return True
        except OSError:
            if time.monotonic() - BEGUN > float(os.environ.get(SECONDS, PATIENCE)):
                return False
            time.sleep(0.05)
