"""Persistent kernels compiled without a GPU, and what the assembler says of them. As a script: a table of all sizes.

python tests/cuda_persistent_compiled.py [sm_80 sm_90 sm_100]
"""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from nbrnn.targets.cuda import persistent
from nbrnn.targets.cuda.device import CHIPS
from nbrnn.targets.cuda.persistent_cells import CELLS
from nbrnn.targets.cuda.persistent_layout import fitting

SCALARS = {"G", "A", "E", "base", "initial", "add", "begun", "batch", "t0", "t1"}
TRAINING = frozenset({"tape", "whole_h", "whole_c", "every", "biased"})
EVERYTHING = TRAINING | {"masked", "limited", "taped", "ends"}
CAPABILITIES = {"sm_80": "A100", "sm_90": "H200", "sm_100": "B200"}


@dataclass(frozen=True)
class Report:
    """What the assembler uses for a kernel: registers of a thread, bytes of local memory."""

    registers: int
    stack: int
    stores: int
    loads: int
    ptx: str


def assembler():
    """Return ptxas and None, or None and what is missing."""
    try:
        import numba_cuda  # noqa: F401
        import nvidia.cuda_nvcc
    except ImportError as error:
        return None, f"{error.name} is not installed"
    path = Path(next(iter(nvidia.cuda_nvcc.__path__))) / "bin" / "ptxas"
    return (path, None) if path.exists() else (None, "there is no ptxas")


def assembled(layout, words, architecture):
    """Compile a layout's kernel to machine code."""
    from numba import cuda, types
    from numba.cuda import dispatcher

    capability = CHIPS[CAPABILITIES[architecture]].capability
    dispatcher.get_current_device = lambda: type("Device", (), {"compute_capability": capability})
    number, cell = types.float64 if layout.precision == "float64" else types.float32, CELLS[layout.kernel]
    kinds = [
        types.int64 if name in SCALARS else types.Array(types.int64 if name == "alive" else number, 1, "C")
        for name in [*cell.arguments.split(", "), "batch", "t0", "t1"]
    ]
    kernel = persistent.compiled(layout, words, 1, 2)
    ptx, _ = cuda.compile_ptx(kernel.py_func, tuple(kinds), cc=capability, launch_bounds=layout.threads)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.ptx"
        file.write_text(ptx)
        command = [assembler()[0], "-v", f"-arch={architecture}", file, "-o", file.with_suffix(".cubin")]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    stack, stores, loads = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill s\w+, (\d+) bytes", said).groups()
    used = re.search(r"Used (\d+) registers", said)
    return Report(int(used[1]), int(stack), int(stores), int(loads), ptx)


def table(architectures):
    """Print what every kernel uses, at all sizes."""
    sizes = [("float32", h) for h in (16, 32, 64, 96, 128)] + [("bfloat16", h) for h in (128, 160, 192)]
    for architecture in architectures:
        for name in CELLS:
            for precision, units in [*sizes, ("float64", 64)]:
                for samples, words in ((64, TRAINING), (64, EVERYTHING), (1024, TRAINING)):
                    layout = fitting(name, units, samples, precision, CHIPS[CAPABILITIES[architecture]])
                    if layout is None:
                        print(architecture, name, precision, units, samples, "does not fit", flush=True)
                        continue
                    r = assembled(layout, words, architecture)
                    weights = f"{layout.registers} weights of {r.registers} registers"
                    spills = f"stack {r.stack} spills {r.stores + r.loads}"
                    block = f"{layout.threads} threads {layout.rows} rows {layout.shared} bytes shared"
                    kind = "all options" if words is EVERYTHING else "training"
                    print(architecture, name, precision, units, samples, kind, "|", weights, spills, block, end=" ")
                    print(f"{layout.clocks:.0f} clocks", flush=True)


if __name__ == "__main__":
    table(sys.argv[1:] or CAPABILITIES)
