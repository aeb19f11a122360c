"""Keeps compiled CUDA kernels in the folder of the CPU's, for other processes.

numba-cuda's own cache cannot: it takes kernels that are made of texts, or within functions, for one another (of a
function it looks at bytecode and closure, but not at constants and globals) and does not see a helper that was edited
in another file. Here a folder's name is a hash of all sources and versions, and a file's one of all that a kernel's
code is made of (fingerprints.py) and of its types. A file holds machine code and its checksum: reading it executes
nothing on the host.
"""

import hashlib
import json
import os
import sys
import uuid
import warnings
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from numba import types

from .. import cache as code_cache
from .. import compiling
from ..fingerprints import fingerprint

HERE = Path(__file__).parent
SOURCES = (*code_cache.SOURCES, *sorted(HERE.glob("*.py")))
PACKAGES = (
    "numba", "llvmlite", "numpy", "numba-cuda", "cuda-core", "cuda-bindings",
    "nvidia-cuda-nvcc-cu12", "nvidia-cuda-nvcc", "nvidia-nvvm", "nvidia-nvjitlink-cu12", "nvidia-nvjitlink",
)  # fmt: skip


class Kept:
    """A kernel's cache as numba-cuda asks for it: compiled forms by the types of arguments.

    Parameters
    ----------
    function : function
        What the kernel is made of.
    options : dict
        How it is compiled.
    """

    def __init__(self, function: Any, options: dict[str, Any]) -> None:
        self.name, print_ = function.__name__, fingerprint(function)
        told = sorted((key, repr(value)) for key, value in options.items())
        self.key = None if print_ is None else f"{print_} {told}"

    def path(self, signature: Any) -> Path | None:
        """Return a form's file; None if it is not kept."""
        place = folder(capability()) if self.key is not None else None
        code = hashlib.sha256(f"{self.key} {signature}".encode()).hexdigest()[:24]
        return None if place is None else place / f"{self.name}-{code}.cubin"

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Return a form, or None if it has to be compiled."""
        path = self.path(signature)
        read = _read(path) if path is not None else None
        if read is None:
            tell()
            return None
        try:
            return _kernel(signature, *read)
        except (TypeError, AttributeError, KeyError) as error:
            _unknown_version(error)
            return None

    def save_overload(self, signature: Any, kernel: Any) -> None:
        """Write a form that was compiled."""
        path = self.path(signature)
        if path is None:
            return
        try:
            library = kernel._codelibrary
            code = bytes(library.get_cubin().code)
            head = {"entry": kernel.entry_name, "library": library.name, "cooperative": bool(kernel.cooperative)}
        except (TypeError, AttributeError) as error:
            _unknown_version(error)
            return
        if kernel.debug or library._setup_functions or library._teardown_functions:
            return
        head |= {"bytes": len(code), "sha256": hashlib.sha256(code).hexdigest()}
        beside = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        with suppress(OSError):  # a full disk: it is compiled again next time
            try:
                beside.write_bytes(json.dumps(head).encode() + b"\n" + code)
                os.replace(beside, path)
            finally:
                beside.unlink(missing_ok=True)


def keep(kernel: Any) -> None:
    """Let a kernel's compiled forms be kept, and looked for before it is compiled.

    Parameters
    ----------
    kernel : numba.cuda dispatcher
    """
    if not isinstance(kernel._cache, Kept):
        kernel._cache = Kept(kernel.py_func, kernel.targetoptions)


def capability() -> str:
    """Return what code of the GPU is compiled for, such as 90a."""
    from numba import cuda

    major, minor = cuda.get_current_device().compute_capability[:2]
    return f"{major}{minor}"


@cache
def folder(architecture: str) -> Path | None:
    """Return the folder for kernels of an architecture; None, with a warning, if nothing can be written."""
    from numba.cuda.cudadrv import driver, nvvm

    parts = [path.name.encode() + path.read_bytes() for path in SOURCES]
    parts += [f"{name} {_version(name)}".encode() for name in PACKAGES]
    settings = sorted((name, value) for name, value in os.environ.items() if name.startswith("NUMBA_CUDA_"))
    compilers = nvvm.NVVM().get_version(), driver.driver.cuDriverGetVersion()
    parts += [text.encode() for text in (sys.version, str(settings), str(compilers), str(HERE))]
    return code_cache.folder(f"cuda{architecture}-{hashlib.sha256(b'/'.join(parts)).hexdigest()[:16]}")


def _version(package: str) -> str:
    with suppress(PackageNotFoundError):
        return version(package)
    return "none"


def _read(path: Path) -> tuple[dict[str, Any], bytes] | None:
    """Return a file's head and code; None if there is none, or it is not whole."""
    try:
        first, _, code = path.read_bytes().partition(b"\n")
        head = json.loads(first)
        whole = head["bytes"] == len(code) and head["sha256"] == hashlib.sha256(code).hexdigest()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (head, code) if whole else None


def _kernel(signature: Any, head: dict[str, Any], code: bytes) -> Any:
    """Return a form as numba-cuda would have made it."""
    from cuda.core import ObjectCode
    from numba.cuda import typing
    from numba.cuda.codegen import CUDACodeLibrary
    from numba.cuda.dispatcher import _Kernel

    library = CUDACodeLibrary._rebuild(
        codegen=None, name=head["library"], entry_name=head["entry"], llvm_strs=[], ptx_cache={}, cubin_cache={},
        linkerinfo_cache={}, max_registers=None, nvvm_options={}, needs_cudadevrt=False, nrt=False,
        use_cooperative=head["cooperative"], lto=False,
    )  # fmt: skip
    library._cubin_cache[library._ensure_cc(None)] = ObjectCode.from_cubin(code, name=head["library"])
    return _Kernel._rebuild(
        cooperative=head["cooperative"], name=head["entry"], signature=typing.signature(types.void, *signature),
        codelibrary=library, debug=False, lineinfo=False, call_helper=None, extensions=[],
    )  # fmt: skip


@cache
def _unknown_version(error: Exception) -> None:
    warnings.warn(
        f"this numba-cuda keeps compiled kernels in a way that is not known here ({error}): they are compiled in every "
        "process.",
        RuntimeWarning,
        stacklevel=2,
    )


@cache
def tell() -> None:
    """Announce, the first time, that kernels are compiled."""
    if compiling.announce is not None:
        compiling.announce("compiling kernels that are new to this machine's GPU; this takes a while ...")
