"""Persistent kernels compiled without a GPU, and what the assembler says of them. As a script: a table of all sizes.

python tests/cuda_persistent_compiled.py [A100 H200 B200]
"""

import sys
from tempfile import TemporaryDirectory

from cuda_compiling import array, compiled
from numba import types

from nbrnn.targets.cuda import persistent
from nbrnn.targets.cuda.device import CHIPS
from nbrnn.targets.cuda.persistent_cells import CELLS
from nbrnn.targets.cuda.persistent_layout import fitting

SCALARS = {"G", "A", "E", "base", "add", "batch", "t0", "t1"}
TRAINING = frozenset({"tape", "whole_h", "whole_c", "every", "biased"})
EVERYTHING = TRAINING | {"masked", "limited", "taped", "ends"}
SIZES = [*(("float32", h) for h in (16, 32, 64, 96, 128)), *(("bfloat16", h) for h in (128, 160, 192)), ("float64", 64)]


def assembled(layout, words, chip, folder):
    """Compile a layout's kernel to machine code."""
    number = "float64" if layout.precision == "float64" else "float32"
    kinds = {name: array(number, 1) for name in [*CELLS[layout.kernel].arguments.split(", "), "batch", "t0", "t1"]}
    kinds |= dict.fromkeys(SCALARS & kinds.keys(), types.int64)
    kinds |= dict.fromkeys({"begun"} & kinds.keys(), types.boolean)
    kinds["alive"] = array("int64", 1)
    kernel = persistent.compiled(layout, words, 1, 2)
    return compiled(kernel, tuple(kinds.values()), CHIPS[chip].capability, folder)


def table(chips):
    """Print what every kernel uses, at all sizes."""
    with TemporaryDirectory() as folder:
        for chip in chips:
            for name in CELLS:
                for precision, units in SIZES:
                    for samples, words in ((64, TRAINING), (64, EVERYTHING), (1024, TRAINING)):
                        layout = fitting(name, units, samples, precision, CHIPS[chip])
                        print(chip, name, precision, units, samples, "all options" * (words is EVERYTHING), end=" | ")
                        if layout is None:
                            print("does not fit", flush=True)
                            continue
                        made = assembled(layout, words, chip, folder)
                        print(
                            f"{layout.registers} of {made.registers} registers hold weights, spills {made.spills}",
                            end="",
                        )
                        print(f" stack {made.stack}, {layout.threads} threads, {layout.rows} rows", end="")
                        print(f", {layout.shared} bytes shared, {layout.clocks:.0f} clocks", flush=True)


if __name__ == "__main__":
    table(sys.argv[1:] or CHIPS)
