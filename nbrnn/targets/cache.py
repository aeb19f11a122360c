"""Where compiled kernels are kept, so that a stale one can never be loaded.

Numba's own cache looks at one file's time stamp: an edited helper in another file, a killed process or two processes at
once can leave wrong code behind. Here a folder's name is a hash of everything that the machine code depends on: the
sources, Numba, llvmlite, Python, and the processor with its features. A folder is never valid for anything else.
"""

import contextlib
import hashlib
import os
import platform
import shutil
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import llvmlite
import numba
from llvmlite import binding
from numba import config

from ..kernels.tile import VECTOR_BYTES

KEEP_DAYS = 30
HERE = Path(__file__).parent
SOURCES = (*sorted(HERE.parent.glob("kernels/*.py")), HERE / "compiling.py", HERE / "runner.py")


@cache
def key() -> str:
    """Return the hash of everything that the machine code depends on."""
    parts = [path.name.encode() + path.read_bytes() for path in SOURCES]
    parts += [
        text.encode()
        for text in (
            numba.__version__,
            llvmlite.__version__,
            sys.version,
            platform.machine(),
            config.CPU_NAME or binding.get_host_cpu_name(),
            config.CPU_FEATURES or binding.get_host_cpu_features().flatten(),
            str(config.OPT),
            str(VECTOR_BYTES),
            str(HERE),  # by which Numba tells copies of the package apart
        )
    ]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _homes() -> Iterator[Path]:
    """Yield the places to try, best first: the user's choice, the home folder, the temporary folder."""
    chosen = os.environ.get("NBRNN_CACHE_DIR") or os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        yield Path(chosen)
    with contextlib.suppress(RuntimeError):
        if sys.platform == "darwin":
            yield Path.home() / "Library" / "Caches" / "nbrnn"
        elif sys.platform == "win32":
            yield Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "nbrnn"
        else:
            yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nbrnn"
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    yield Path(tempfile.gettempdir()) / f"nbrnn-{user}"


def _usable(path: Path) -> bool:
    """Make the folder and try to write into it; it must belong to this user, since code is loaded from it."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if hasattr(os, "getuid") and path.stat().st_uid != os.getuid():
            return False
        probe = path / f".probe-{uuid.uuid4().hex}"
        probe.touch()
        probe.unlink()
    except OSError:
        return False
    return True


@cache
def folder(title: str = "") -> Path | None:
    """Return the folder of this machine's code, or of other code's title, made if need be.

    None, with a warning, if nothing can be written.
    """
    for home in _homes():
        path = home / f"kernels-{title or key()}"
        if _usable(path):
            os.utime(path)
            _prune(path)
            return path
    warnings.warn(
        "no cache folder can be written, so kernels are compiled again in every process; "
        "set NBRNN_CACHE_DIR to a folder that can be.",
        RuntimeWarning,
        stacklevel=2,
    )
    return None


def _prune(current: Path) -> None:
    """Remove folders of other versions that nobody has used for a month."""
    for other in current.parent.glob("kernels-*"):
        with contextlib.suppress(OSError):
            if other != current and time.time() - other.stat().st_mtime > KEEP_DAYS * 86400:
                shutil.rmtree(other, ignore_errors=True)


_held: set[str] = set()


def holds(name: str) -> bool:
    """Return whether the folder holds compiled code of a function of this name."""
    path = folder()
    if path is not None and name not in _held:
        _held.update(found.name.split("-")[0].rsplit(".")[-1] for found in path.rglob("*.nbi"))
    return path is not None and name in _held


@contextlib.contextmanager
def location() -> Iterator[bool]:
    """Point Numba at the folder while one of our functions is decorated; yields whether to cache."""
    path, before = folder(), config.CACHE_DIR
    if path is None:
        yield False
        return
    config.CACHE_DIR = str(path)
    try:
        yield True
    finally:
        config.CACHE_DIR = before
