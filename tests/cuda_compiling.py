"""Compiles CUDA kernels for GPUs that are not there: to PTX by numba-cuda, and that to machine code by ptxas."""

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from numba import config, cuda, types

ARCHITECTURES = [(8, 0), (9, 0), (10, 0)]


def missing():
    """Return why nothing can be compiled, or nothing."""
    if config.ENABLE_CUDASIM:
        return "the simulator compiles nothing"
    if getattr(cuda, "implementation", "") != "NVIDIA":
        return "numba-cuda is not installed"
    return "" if ptxas() else "ptxas is not installed (nvidia-cuda-nvcc-cu12)"


def ptxas():
    """Return where ptxas is."""
    spec = importlib.util.find_spec("nvidia")
    folders = [Path(p) for p in spec.submodule_search_locations] if spec else []
    found = [p for folder in folders for p in folder.glob("*/bin/ptxas")]
    return str(found[0]) if found else shutil.which("ptxas")


needs_compiler = [pytest.mark.cuda_compile, pytest.mark.skipif(bool(missing()), reason=missing())]


@dataclass
class Compiled:
    """What became of a kernel."""

    ptx: str
    registers: int
    stack: int
    spills: int
    shared: int


def compiled(kernel, signature, architecture, folder):
    """Compile a kernel, and return what ptxas says of it."""
    from numba.cuda import dispatcher

    class Device:
        compute_capability = architecture

    before, dispatcher.get_current_device = dispatcher.get_current_device, lambda: Device
    bounds = getattr(kernel, "targetoptions", {}).get("launch_bounds")
    try:
        plain = getattr(kernel, "py_func", kernel)
        ptx, _ = cuda.compile_ptx(plain, signature, cc=architecture, launch_bounds=bounds)
    finally:
        dispatcher.get_current_device = before
    path = Path(folder) / "kernel.ptx"
    path.write_text(ptx)
    name = f"-arch=sm_{architecture[0]}{architecture[1]}"
    said = subprocess.run(
        [ptxas(), "-v", name, path, "-o", "/dev/null"], capture_output=True, text=True, check=True
    ).stderr
    number = lambda pattern: sum(int(found) for found in re.findall(pattern, said))
    return Compiled(
        ptx,
        number(r"Used (\d+) registers"),
        number(r"(\d+) bytes stack frame"),
        number(r"(\d+) bytes spill"),
        number(r"(\d+) bytes smem"),
    )


def array(dtype, dimensions, layout="C"):
    """Return the type of an array."""
    return types.Array(getattr(types, dtype), dimensions, layout)
