"""Design "persistent": a block keeps its sequences and all of Wh on chip over all steps; one launch a layer's pass.

Blocks do not wait for one another. What has no order in time stays outside: x Wx + b of many steps is one product
before the launch, and weight gradients come from dL/da after it. How it lies on the chip: persistent_layout.py.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numba import config, cuda

from ...kernels import KERNELS
from ...kernels.abi import inlined
from ...kernels.activations import LINEAR, squash, steepness
from ...kernels.gru import blend, step_after, step_reset_back, step_unmix
from ...kernels.lstm import step, step_back
from .designs import DESIGNS, Design, Site
from .launching import launch
from .persistent_cells import CELLS
from .persistent_layout import DROPPED, Layout, fitting
from .persistent_memory import allow_shared, high_half, low_half, pair, peek, peek4, poke, poke4
from .persistent_text import text_of
from .precision import rounded

ROOM = 32 * 2**20  # bytes of x Wx + b at once where no buffer of the program holds all steps
FEW_SAMPLES = 4096  # ... no more than this many steps at once


@inlined
def weight(W, i, o, inputs, outputs, dropped):  # type: ignore[no-untyped-def]
    """Return the weight from an input to an output, zero beyond the last of either."""
    if i < inputs and o < outputs:
        return rounded(peek(W, i * outputs + o), dropped)
    return W.dtype.type(0)


@inlined
def turned_weight(W, i, o, inputs, outputs, dropped):  # type: ignore[no-untyped-def]
    """Return a weight of the transpose."""
    if i < inputs and o < outputs:
        return rounded(peek(W, o * inputs + i), dropped)
    return W.dtype.type(0)


def compiled(layout: Layout, words: frozenset[str], activation: int, gate: int) -> Any:
    """Return the CUDA kernel of a layout.

    Parameters
    ----------
    layout : Layout
    words : frozenset of str
        What holds of the call; see persistent_cells.py.
    activation, gate : int
        Codes of the activations.
    """
    scope = {
        "cuda": cuda, "REAL": np.float64 if layout.precision == "float64" else np.float32,
        "DROPPED": DROPPED[layout.precision], "ACT": activation, "GATE": gate, "rounded": rounded,
        "weight": weight, "turned_weight": turned_weight, "pair": pair, "low_half": low_half, "high_half": high_half,
        "peek": peek, "poke": poke, "peek4": peek4, "poke4": poke4, "squash": squash, "steepness": steepness,
        "step": step, "step_back": step_back, "blend": blend, "step_after": step_after, "step_unmix": step_unmix,
        "step_reset_back": step_reset_back, "min": min,
    }  # fmt: skip
    exec(text_of(CELLS[layout.kernel], layout, words), scope)
    return cuda.jit(**({} if config.ENABLE_CUDASIM else {"launch_bounds": layout.threads}))(scope["persistent"])
