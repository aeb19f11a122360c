"""Which code path each kernel call takes: how its products of matrices are made.

Kernels choose by what they are given (panels, rooms, few columns) and by the dtype; the same rules stand here for
readers, and tests/test_paths.py compares them with what the kernels do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .kernels.activations import SMALL, TANH
from .kernels.tile import ROWS, VECTOR_BYTES

if TYPE_CHECKING:
    from .program import Call

LOOPS, FUSED, TILES, PACKED, BLOCKED = "plain loops", "fused loop", "tiles", "packed tiles", "blocked, packed tiles"
VECTORS = 2  # of columns in a tile


def tile(dtype: np.dtype | str) -> str:
    """Return the size of a register tile in words; complex numbers take plain loops."""
    dtype = np.dtype(dtype)
    if dtype.kind == "c":
        return "no tile: complex numbers take plain loops"
    return f"tile of {ROWS} rows x {VECTORS} vectors x {VECTOR_BYTES // dtype.itemsize} lanes"


def registers() -> dict[str, str]:
    """Return the vectors' width and each real dtype's tile, in words."""
    tiles = {dtype: tile(dtype) for dtype in ("float32", "float64")}
    return {"vectors": f"{VECTOR_BYTES} bytes ({8 * VECTOR_BYTES} bits)", **tiles}


def paths(call: Call, dtype: np.dtype) -> list[str]:
    """Return the ways in which a call makes its products, in their order; none if it makes none.

    Parameters
    ----------
    call : Call
    dtype : numpy.dtype
        The program's.
    """
    rule = RULES.get(call.kernel)
    return list(dict.fromkeys(rule(call, dtype.kind == "c"))) if rule else []


def _gradient(call: Call, complex_: bool) -> str:
    """Return the path of a weight gradient."""
    if _given(call, "room"):
        return BLOCKED
    if call.dims["F"] < SMALL and call.dims["O"] < 2 * SMALL:
        return FUSED
    return LOOPS if complex_ else TILES


def _given(call: Call, name: str) -> bool:
    """Return whether an optional array is there: kernels look at its size."""
    return bool(getattr(call.arguments.get(name), "size", 0))


def _strips(call: Call, complex_: bool, panels: str) -> str:
    """Return the path of `gemm.joint_strip`."""
    return LOOPS if complex_ else PACKED if _given(call, panels) else TILES


def _back(call: Call, complex_: bool, panels: str = "PT") -> str:
    """Return the path of `gemm.back_product`."""
    return PACKED if _given(call, panels) and not complex_ else LOOPS


def _neurons(units: str, panels: str) -> Callable[[Call, bool], list[str]]:
    """Return the rule of kernels that call `gemm.neurons`, for so many units."""

    def rule(call: Call, complex_: bool) -> list[str]:
        few = call.dims[units] < SMALL and call.arguments["activation"] == TANH
        fused = few and _given(call, "b") and not _given(call, "a")
        return [FUSED if fused else _strips(call, complex_, panels)]

    return rule


def _forward(call: Call, complex_: bool) -> list[str]:
    return [_strips(call, complex_, "Px")]


def _through_time(call: Call, complex_: bool) -> list[str]:
    """Return the path back through the steps: there is a product before the first step only if dL/dh_0 is wanted."""
    return [_back(call, complex_)] if call.dims["T"] > 1 or _given(call, "dh0") else []


def _gru_before_backward(call: Call, complex_: bool) -> list[str]:
    gates = call.dims["T"] > 1 or _given(call, "dh0")
    return [_back(call, complex_, "PnT"), *([_back(call, complex_, "PgT")] if gates else [])]


RULES: dict[str, Callable[[Call, bool], list[str]]] = {
    "simple_rnn_forward": _neurons("H", "Px"),
    "dense_forward": _neurons("O", "P"),
    "lstm_forward": _forward,
    "gru_after_forward": _forward,
    "gru_before_forward": _forward,
    "simple_rnn_backward": _through_time,
    "lstm_backward": _through_time,
    "gru_after_backward": _through_time,
    "gru_before_backward": _gru_before_backward,
    "input_gradient": lambda call, complex_: [_back(call, complex_)],
    "weight_gradient": lambda call, complex_: [_gradient(call, complex_)],
}
