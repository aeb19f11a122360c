"""Products of matrices on the device, as the forms of kernels ask for them.

    product               Y  (+)= X W + b
    product_turned        Y  (+)= X W^T
    products_of_columns   dW (+)= X^T dA, db (+)= the sums of dA's columns
    neurons               Y     = act(X Wx + H Wh + b)

How many rows are at work may be known on the device only: `alive` is then an array of int64 on the device and an index
into it. Nothing is read back, and the sums are made in an order that shapes alone decide.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import config, cuda

from ...kernels.activations import LINEAR, slope
from .launching import launch
from .precision import dropped_bits
from .tiles import COLUMNS, PLAIN, TURNED, Tile, tiled

Alive = tuple[Any, int] | None
LOW_ROWS = 16  # up to here a product is one step's of a small batch, and made by as many blocks as columns allow
PART_ROWS, PART_BLOCKS = 256, 256  # a weight gradient goes in parts of so many rows or more, while blocks are fewer
TILES = {
    "wide": Tile(64, 64, 16, 4, 4),
    "low": Tile(16, 32, 64, 4, 4, 8),
    "low, float64": Tile(16, 32, 32, 4, 4, 4),
}
if config.ENABLE_CUDASIM:  # the same code with few threads
    LOW_ROWS, PART_ROWS, PART_BLOCKS = 4, 8, 8
    TILES = {"wide": Tile(16, 16, 8, 8, 8)} | dict.fromkeys(("low", "low, float64"), Tile(4, 16, 8, 4, 8, 2))


@cache
def nothing(kind: str, dimensions: int) -> Any:
    """Return an empty array of the device."""
    return cuda.device_array((1,) * dimensions, kind)[:0]


@cache
def room(purpose: str, size: int, kind: str) -> Any:
    """Return the device's room for results in between: made when it is first asked for, then always the same."""
    return cuda.device_array(size, kind)


def _tile(rows: int, dtype: Any) -> Tile:
    """Return the tile for a result of so many rows."""
    if rows > LOW_ROWS:
        return TILES["wide"]
    return TILES["low, float64"] if np.dtype(dtype) == np.float64 else TILES["low"]


def _launch(form: str, C: Any, A: Any, B: Any, *, rows: int, tile: Tile, A2: Any = None, B2: Any = None, b: Any = None,
            kept: Any = None, alive: Alive = None, depths: Any = None, add: Any = False, code: int = LINEAR,
            parts: int = 1) -> None:  # fmt: skip
    """Launch the tiles of a product."""
    columns = C.shape[1]
    if rows == 0 or columns == 0:
        return
    joint, acting, kind, dropped = (
        A2 is not None,
        code != LINEAR or kept is not None,
        str(C.dtype),
        dropped_bits(C.dtype),
    )
    kernel = tiled(form, tile, C.dtype, joint, acting, dropped > 0)
    at, index = alive or (nothing("int64", 1), 0)
    blocks = -(-rows // tile.rows) * -(-columns // tile.columns)
    launch(
        kernel, C, nothing(kind, 2) if kept is None else kept, A, B, A2 if joint else A, B2 if joint else B,
        nothing(kind, 1) if b is None else b, at, index, nothing("int64", 1) if depths is None else depths,
        int(bool(add)), code, dropped, grid=((blocks, parts), tile.threads),
    )  # fmt: skip


def product(Y: Any, X: Any, W: Any, bias: Any = None, add: Any = False, alive: Alive = None) -> None:
    """Set Y to X W + bias, or add that to it.

    Parameters
    ----------
    Y : device array, (N, O)
    X : device array, (N, F) or wider
        Columns beyond W's rows do not count.
    W : device array, (F, O)
    bias : device array, (O,), optional
        None, or an empty one: none.
    add : bool, default False
    alive : (device array of int64, int), optional
        Rows at or beyond that number of the array are left as they are.
    """
    _launch(PLAIN, Y, X, W, rows=Y.shape[0], tile=_tile(Y.shape[0], Y.dtype), b=bias, add=add, alive=alive)


def product_turned(Y: Any, X: Any, W: Any, add: Any = False, alive: Alive = None) -> None:
    """Set Y to X W^T, or add that to it.

    Parameters
    ----------
    Y : device array, (N, F)
    X : device array, (N, O) or wider
    W : device array, (F, O)
    add : bool, default False
    alive : (device array of int64, int), optional
        As in `product`.
    """
    _launch(TURNED, Y, X, W, rows=Y.shape[0], tile=_tile(Y.shape[0], Y.dtype), add=add, alive=alive)


def products_of_columns(x: Any, da: Any, add: Any, dW: Any, db: Any, depths: Any = None, packed: Any = None) -> None:
    """dW (+)= x^T da, and db as if x had one more column, of ones.

    Parameters
    ----------
    x : device array, (N, F)
    da : device array, (N, O) or wider
    add : bool
    dW : device array, (F, O)
    db : device array, (O,)
        Empty: none.
    depths : device array of int64, (2,), optional
        How many rows of x count, and then how many of `packed`; see `count_rows`. None: all of x.
    packed : device array, (N, F), optional
    """
    (depth, features), units = x.shape, dW.shape[1]
    tile, rows, gapped = TILES["wide"], features + (db.size > 0), packed is not None and packed.size > 0
    blocks = -(-rows // tile.rows) * -(-units // tile.columns)
    parts = max(1, min(PART_BLOCKS // blocks, depth // PART_ROWS))
    more = dict(A2=packed, B2=da) if gapped else {}
    if parts == 1:
        _launch(COLUMNS, dW, x, da, rows=rows, tile=tile, b=db, add=add, depths=depths, **more)
        return
    sums = room("parts", parts * rows * units, str(dW.dtype))
    _launch(
        COLUMNS,
        sums.reshape((parts * rows, units)),
        x,
        da,
        rows=rows,
        tile=tile,
        b=db,
        depths=depths,
        parts=parts,
        **more,
    )
    launch(add_parts, sums, parts, int(bool(add)), dW, db)


@cuda.jit
def add_parts(sums, parts, add, dW, db):  # type: ignore[no-untyped-def]
    """Set dW, and db after its last row, to the sums over all parts, or add these to them."""
    features, units = dW.shape
    each = sums.size // parts
    for i in range(cuda.grid(1), each, cuda.gridsize(1)):
        k, j = i // units, i % units
        total = sums[i]
        for p in range(1, parts):
            total += sums[p * each + i]
        if k < features:
            dW[k, j] = dW[k, j] + total if add else total
        else:
            db[j] = db[j] + total if add else total


@cuda.jit
def count_rows(alive, each, gapped, depths):  # type: ignore[no-untyped-def]
    """Set depths[0] to how many rows are at work in all, depths[1] to 0; where they have gaps, the other way round.

    A step has `each` rows; a row stands before a gap if it is not its step's last one, and a later step has rows.
    """
    if cuda.grid(1) == 0:
        total, gaps = 0, 0
        for t in range(alive.size):
            gaps += 1 if alive[t] > 0 and total < t * each else 0
            total += alive[t]
        packed = gapped and gaps > 0
        depths[0] = 0 if packed else total
        depths[1] = total if packed else 0


def neurons(
    Y: Any, A: Any, X: Any, Wx: Any, Px: Any, H: Any, states: int, Wh: Any, Ph: Any, b: Any, code: int,
    alive: Alive = None,
) -> None:  # fmt: skip
    """Y = act(X Wx + H Wh + b), with the first `states` columns of H (all or none).

    A, if it is there, keeps what act is taken of. The panels Px and Ph are not needed: neighbouring threads read
    neighbours in the weights as they stand.
    """
    second = dict(A2=H, B2=Wh) if states else {}
    rows, kept = Y.shape[0], A if A.size else None
    _launch(PLAIN, Y, X, Wx, rows=rows, tile=_tile(rows, Y.dtype), b=b, kept=kept, alive=alive, code=code, **second)


def back_product(dX: Any, dA: Any, W: Any, PT: Any, accumulate: Any, alive: Alive = None) -> None:
    """dX (+)= dA W^T; the packed transpose PT is not needed."""
    product_turned(dX, dA, W, accumulate, alive)


@cuda.jit
def descend(dA, dY, Y, first, stop, code):  # type: ignore[no-untyped-def]
    """Set columns of dA to dY * act'(A), from the output Y = act(A)."""
    rows, columns = Y.shape[0], stop - first
    for i in range(cuda.grid(1), rows * columns, cuda.gridsize(1)):
        n, j = i // columns, first + i % columns
        dA[n, j] = dY[n, j] * slope(Y[n, j], code)


@cuda.jit
def pack(W, first, each, start, P):  # type: ignore[no-untyped-def]
    """Copy columns of W into panels of L columns, gate by gate, the last of each filled up with zeros."""
    rows, L = P.shape[1], P.shape[2]
    panels = (each + L - 1) // L
    for i in range(cuda.grid(1), P.size, cuda.gridsize(1)):
        q, k, j = i // (rows * L), i // L % rows, i % L
        place = (start + q) % panels * L + j
        inside = place < each
        P[q, k, j] = W[k, first + (start + q) // panels * each + place] if inside else P.dtype.type(0)


@cuda.jit
def pack_transposed(W, first, start, P):  # type: ignore[no-untyped-def]
    """Copy columns of W into panels of L of its rows, the last one filled up with zeros."""
    rows, L = P.shape[1], P.shape[2]
    for i in range(cuda.grid(1), P.size, cuda.gridsize(1)):
        q, k, j = i // (rows * L), i // L % rows, i % L
        row = (start + q) * L + j
        P[q, k, j] = W[row, first + k] if row < W.shape[0] else P.dtype.type(0)
