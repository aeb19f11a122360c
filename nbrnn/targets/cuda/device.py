"""The GPU: whether there is one, what it is, and what is said where there is none.

numba.cuda is imported when it is asked for and not before, so that this module can be read on any machine.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numba import config

DRIVERS = {12: "525", 13: "580"}  # the oldest NVIDIA driver for a CUDA toolkit, by its first number
OLDEST = (7, 0)  # compute capability that all kernels are compiled for
CPU = 'or stay on the CPU: model.to("cpu")'


@dataclass(frozen=True)
class Chip:
    """What a choice among designs needs to know of a GPU."""

    name: str
    capability: tuple[int, int]
    processors: int  # streaming multiprocessors
    shared: int  # bytes of shared memory that one block may have
    registers: int  # 32-bit ones of a processor
    memory: int  # bytes


CHIPS = {  # for what is compiled, or shown, without a GPU; from NVIDIA's tuning guides and data sheets
    "A100": Chip("NVIDIA A100", (8, 0), 108, 163 * 1024, 65536, 40 * 2**30),
    "H200": Chip("NVIDIA H200", (9, 0), 132, 227 * 1024, 65536, 141 * 10**9),
    "B200": Chip("NVIDIA B200", (10, 0), 148, 227 * 1024, 65536, 180 * 10**9),
}
SIMULATED = Chip("Numba's simulator", (9, 0), 4, 48 * 1024, 65536, 2**30)


@dataclass(frozen=True)
class Found:
    """What a machine has of all that a CUDA program needs."""

    implementation: str = ""  # of numba.cuda; nothing where numba-cuda is not installed
    toolkit: int = 0  # the first number of the CUDA that numba-cuda was installed for; 0: none
    driver: tuple[int, int] | None = None  # the newest CUDA that the driver knows; None: no driver
    state: int = 0  # what the driver said when it was started; 0: it works
    devices: int = 0
    visible: str | None = None  # CUDA_VISIBLE_DEVICES
    disabled: bool = False  # NUMBA_DISABLE_CUDA


def missing(found: Found) -> str:
    """Return one sentence that says what a machine lacks and what to type; nothing if it lacks nothing.

    Parameters
    ----------
    found : Found
    """
    newest = max(DRIVERS) if found.driver is None or found.driver[0] >= max(DRIVERS) else min(DRIVERS)
    if found.driver is None:
        install = f"pip install 'nbrnn[cuda{newest}]'"
        also = "" if found.implementation == "NVIDIA" and found.toolkit else f" (and type {install})"
        return (
            "no NVIDIA driver is found (libcuda cannot be loaded): install the driver of your GPU, or start the "
            f"container with its GPUs{also}, {CPU}."
        )
    if not found.implementation or not found.toolkit:
        what = "numba-cuda" if not found.implementation else "the CUDA toolkit of numba-cuda"
        return (
            f"{what} is not installed (Numba's built-in CUDA target is deprecated and is not used): type "
            f"pip install 'nbrnn[cuda{newest}]', {CPU}."
        )
    if found.implementation != "NVIDIA":
        return (
            f"numba-cuda is installed, but numba.cuda is Numba's {found.implementation} target, which is deprecated "
            "and is not used: look for NUMBA_CUDA_USE_NVIDIA_BINDING or a redirector that is switched off, type "
            f"pip install --force-reinstall numba-cuda, {CPU}."
        )
    if found.driver[0] < found.toolkit:
        older = f", type pip install 'nbrnn[cuda{found.driver[0]}]'" if found.driver[0] in DRIVERS else ""
        return (
            f"the NVIDIA driver knows CUDA {found.driver[0]}.{found.driver[1]} at most, which is too old for the CUDA "
            f"{found.toolkit} toolkit that is installed: update the driver to {DRIVERS.get(found.toolkit, 'a newer')}"
            f" or later{older}, {CPU}."
        )
    if found.disabled:
        return f"NUMBA_DISABLE_CUDA switches CUDA off: unset it, {CPU}."
    if not found.devices:
        if found.visible is not None and found.visible.strip() in ("", "-1"):
            return f"CUDA_VISIBLE_DEVICES={found.visible!r} hides every GPU: unset it, or set it to 0, {CPU}."
        hidden = "" if found.visible is None else f" that CUDA_VISIBLE_DEVICES={found.visible!r} shows"
        if found.state in (0, 100):  # CUDA_ERROR_NO_DEVICE
            return f"the NVIDIA driver finds no GPU{hidden}: type nvidia-smi to see what there is, {CPU}."
        return (
            f"the NVIDIA driver does not start (error {found.state} of cuInit): type nvidia-smi to see why; after an "
            f"update of the driver the machine has to be started again, {CPU}."
        )
    return ""


def look() -> Found:
    """Return what this machine has; the driver is started for it."""
    implementation, toolkit = "", 0
    with suppress(PackageNotFoundError):
        version("numba-cuda")
        from numba import cuda

        implementation = str(getattr(cuda, "implementation", "built-in"))
    with suppress(PackageNotFoundError):
        toolkit = int(version("cuda-bindings").partition(".")[0])
    driver, state, devices = _driver()
    disabled = bool(config.DISABLE_CUDA) if hasattr(config, "DISABLE_CUDA") else False
    return Found(implementation, toolkit, driver, state, devices, os.environ.get("CUDA_VISIBLE_DEVICES"), disabled)


def _driver() -> tuple[tuple[int, int] | None, int, int]:
    """Return the driver's CUDA version, what cuInit says, and the number of GPUs."""
    try:
        library = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None, 0, 0
    number, count = ctypes.c_int(), ctypes.c_int()
    _Began.pid = _Began.pid or os.getpid()
    library.cuDriverGetVersion(ctypes.byref(number))
    known = number.value // 1000, number.value % 1000 // 10
    state = int(library.cuInit(0))
    if state == 0:
        library.cuDeviceGetCount(ctypes.byref(count))
    return known, state, count.value


def simulating() -> bool:
    """Return whether Numba's simulator stands for a GPU."""
    return bool(config.ENABLE_CUDASIM)


def require_device() -> None:
    """Make sure that there is a GPU, or that the simulator is on.

    Raises
    ------
    ValueError
        Otherwise; the sentence says what is missing and what to type.
    """
    if simulating() != bool(config.DISABLE_JIT):
        raise ValueError(
            "the CUDA target needs NUMBA_ENABLE_CUDASIM=1 and NUMBA_DISABLE_JIT=1 together (Numba's simulator) or "
            "neither of them (a GPU)."
        )
    if simulating():
        return
    problem = _missing_here() or _forked() or _unusable()
    if problem:
        raise ValueError(problem)
    config.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # kernels of one thread, which move a counter, are meant to be small


@cache
def _missing_here() -> str:
    return missing(look())


class _Began:
    """The process in which the driver was started."""

    pid = 0


def _forked() -> str:
    """Return a sentence if the driver was started before this process was forked: there it works no more."""
    if _Began.pid in (0, os.getpid()):
        return ""
    return (
        "this process was forked from one that had started the NVIDIA driver, which does not work then: start it by "
        f"multiprocessing's 'spawn', {CPU}."
    )


def _unusable() -> str:
    """Return a sentence if the GPU that is there cannot be used; nothing if it can."""
    try:
        now = chip()
    except Exception as error:  # of cuda-core, of numba-cuda, or of the driver's bindings
        return (
            f"the GPU does not start ({first_line(error)}): type nvidia-smi to see whether another process holds it "
            f"for itself (compute mode) or all of its memory, {CPU}."
        )
    if now.capability < OLDEST:
        had, wanted = (".".join(map(str, c)) for c in (now.capability, OLDEST))
        return f"{now.name} has compute capability {had}, but the kernels need {wanted} or later: take another, {CPU}."
    return ""


def first_line(error: Exception) -> str:
    """Return the first sentence of what an error says, without its stop; its type's name if it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].partition(". ")[0].strip().rstrip(".:") if lines else type(error).__name__


@cache
def chip() -> Chip:
    """Return the GPU that numba.cuda uses, or the simulator's stand-in for one."""
    if simulating():
        return SIMULATED
    from numba import cuda

    now = cuda.get_current_device()
    shared = getattr(now, "MAX_SHARED_MEMORY_PER_BLOCK_OPTIN", 0) or now.MAX_SHARED_MEMORY_PER_BLOCK
    name = now.name.decode() if isinstance(now.name, bytes) else str(now.name)
    registers = int(now.MAX_REGISTERS_PER_MULTIPROCESSOR)
    memory = int(cuda.current_context().get_memory_info()[1])
    major, minor = now.compute_capability[:2]
    return Chip(name, (major, minor), int(now.MULTIPROCESSOR_COUNT), int(shared), registers, memory)


def gpu_name() -> str:
    """Return the GPU's name; nothing where there is none, and kernels are only compiled."""
    try:
        return chip().name
    except Exception:  # numba.cuda's two implementations have errors of their own
        return ""


def memory_left() -> int | None:
    """Return the bytes of the GPU that are free now; nothing is known of the simulator's."""
    if simulating():
        return None
    from numba import cuda

    context: Any = cuda.current_context()
    getattr(context.memory_manager, "deallocations", context.deallocations).clear()  # freed, but not given back yet
    return int(context.get_memory_info()[0])


def usable() -> bool:
    """Return whether the device still does anything: after an illegal address, say, it refuses all of this process."""
    from numba import cuda

    try:
        cuda.synchronize()
    except Exception:  # whatever it is, nothing more can be done there
        return False
    return True


def on_device(array: np.ndarray) -> Any:
    """Return a copy of an array in the GPU's memory."""
    from numba import cuda

    return cuda.to_device(array)


def describe() -> dict[str, str]:
    """Return what `nbrnn info` prints about this target: the GPU, or the sentence that says what is missing."""
    from ...memory import in_words

    if simulating():
        return {"GPU": "none; Numba's simulator stands for one (NUMBA_ENABLE_CUDASIM=1)"}
    found = look()
    problem = missing(found)
    if problem:
        return {"GPU": f"none: {problem}"}
    problem = _unusable()
    if problem:
        return {"GPU": f"none: {problem}"}
    from .measured import describe as crossover
    from .products import describe as products

    now, left = chip(), memory_left() or 0
    packages = {}
    for package in ("numba-cuda", "cuda-core", f"cupy-cuda{found.toolkit}x"):
        with suppress(PackageNotFoundError):
            packages[package] = version(package)
    assert found.driver is not None
    return {
        "GPU": f"{now.name}, compute capability {now.capability[0]}.{now.capability[1]}, {now.processors} processors",
        "GPU memory": f"{in_words(left)} free of {in_words(now.memory)}",
        "CUDA": f"driver for {found.driver[0]}.{found.driver[1]}, toolkit {found.toolkit}, numba.cuda of "
        f"{found.implementation}",
        "CUDA packages": ", ".join(f"{name} {number}" for name, number in packages.items()),
        "products": products(),
        "CPU or GPU": crossover(now.name),
        "on the GPU": 'models after model.to("cuda"); all others run on the CPU',
    }
