"""Persistent kernels compiled without a GPU, and what the assembler says of them."""

from cuda_compiling import array, compiled
from numba import types

from nbrnn.targets.cuda import persistent
from nbrnn.targets.cuda.device import CHIPS
from nbrnn.targets.cuda.persistent_cells import CELLS

SCALARS = {"G", "A", "E", "base", "add", "batch", "t0", "t1"}
TRAINING = frozenset({"tape", "whole_h", "whole_c", "every", "biased"})
EVERYTHING = TRAINING | {"masked", "limited", "taped", "ends"}


def assembled(layout, words, chip, folder):
    """Compile a layout's kernel to machine code."""
    number = "float64" if layout.precision == "float64" else "float32"
    kinds = {name: array(number, 1) for name in [*CELLS[layout.kernel].arguments.split(", "), "batch", "t0", "t1"]}
    kinds |= dict.fromkeys(SCALARS & kinds.keys(), types.int64)
    kinds |= dict.fromkeys({"begun"} & kinds.keys(), types.boolean)
    kinds["alive"] = array("int64", 1)
    kernel = persistent.compiled(layout, words, 1, 2)
    return compiled(kernel, tuple(kinds.values()), CHIPS[chip].capability, folder)
