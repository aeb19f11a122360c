"""Products of matrices on the device, as the forms of kernels ask for them.

    product               Y  (+)= X W + b
    product_turned        Y  (+)= X W^T
    products_of_columns   dW (+)= X^T dA, db (+)= the sums of dA's columns
    neurons               Y     = act(X Wx + H Wh + b)

How many rows are at work may be known on the device only: `alive` is then an array of int64 on the device and an index
into it. Nothing is read back, and the sums are made in an order that shapes alone decide.

`by_library` says what goes to cuBLAS; the rest, and what knows its rows on the device only, goes to tiles of our own.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import config, cuda

from ...kernels.activations import LINEAR, act, slope
from . import measured
from .cublas import fits, gemm_of, library
from .device import chip, gpu_name
from .launching import Queue, launch, room, shadow
from .precision import DROPPED, dropped_bits, precision_of, rounded, upper_half
from .tiles import COLUMNS, PLAIN, TURNED, Tile, tiled

Alive = tuple[Any, int] | None
DROPPED_BY_BFLOAT16 = DROPPED["bfloat16"]
LOW_ROWS = 16  # up to here a product is one step's of a small batch, and made by as many blocks as columns allow
WIDE_BLOCKS = 128  # large tiles are taken where they make so many blocks
LIBRARY_FROM = {"float64": 2**22, "float32": 2**22, "tf32": 2**22, "bfloat16": 2**26}  # multiply-adds; an estimate
PART_ROWS, PART_BLOCKS = 256, 256  # a weight gradient goes in parts of so many rows or more, while blocks are fewer
TILES = {
    "wide": Tile(128, 128, 8, 8, 8),
    "middle": Tile(64, 64, 16, 4, 4),
    "low": Tile(16, 32, 64, 4, 4, 8),
    "low, float64": Tile(16, 32, 32, 4, 4, 4),
}
if config.ENABLE_CUDASIM:  # the same code with few threads
    LOW_ROWS, WIDE_BLOCKS, PART_ROWS, PART_BLOCKS = 4, 4, 8, 8
    TILES = dict.fromkeys(TILES, Tile(4, 16, 8, 4, 8, 2)) | dict.fromkeys(("wide", "middle"), Tile(16, 16, 8, 8, 8))


def nothing(kind: str, dimensions: int) -> Any:
    """Return an empty array of the device."""
    return _nothing(kind, dimensions) if Queue.counted is None else shadow((0,) * dimensions, kind)


@cache
def _nothing(kind: str, dimensions: int) -> Any:
    return cuda.device_array((1,) * dimensions, kind)[:0]


def by_library(rows: int, columns: int, depth: int, precision: str, bounded: bool = False) -> bool:
    """Return whether cuBLAS makes a product: the large ones of more than LOW_ROWS rows, all of which are at work.

    Parameters
    ----------
    rows, columns, depth : int
        Of the result, and what is summed over.
    precision : str
        One of PRECISIONS (designs.py).
    bounded : bool, default False
        Whether the device alone knows how many rows are at work.
    """
    large = rows > LOW_ROWS and rows * columns * depth >= library_from(precision)
    there = large and not bounded and library()[0] is not None
    return there and (precision not in DROPPED or chip().capability >= (8, 0))  # older chips' tensor cores know neither


def library_from(precision: str) -> int:
    """Return from how many multiply-adds on cuBLAS makes a product: as measured on this GPU, or as estimated."""
    return measured.library_from(gpu_name(), precision, LIBRARY_FROM[precision])


def describe() -> str:
    """Return what `nbrnn info` says of products."""
    cublas, reason = library()
    if cublas is None:
        return f"own tiles; {reason}"
    sizes = ", ".join(f"{precision} {library_from(precision):,}" for precision in LIBRARY_FROM)
    try:
        version = cublas.version
    except ValueError as error:  # to say so is what `info` is for
        return str(error)
    return f"cuBLAS {version} from so many multiply-adds on: {sizes}; own tiles below"


def tile_for(rows: int, columns: int, dtype: Any, parts: int = 1) -> Tile:
    """Return the tile for a result of a shape; where the depth goes in parts, there are so many times its blocks."""
    wide, double = TILES["wide"], np.dtype(dtype) == np.float64
    if rows <= LOW_ROWS:
        return TILES["low, float64" if double else "low"]
    large = not double and blocks_of(wide, rows, columns) * parts >= WIDE_BLOCKS and min(rows, columns) >= wide.rows
    return wide if large else TILES["middle"]


def blocks_of(tile: Tile, rows: int, columns: int) -> int:
    """Return how many tiles a result takes."""
    return -(-rows // tile.rows) * -(-columns // tile.columns)


def _launch(
    form: str, C: Any, A: Any, B: Any, *, rows: int, tile: Tile, A2: Any = None, B2: Any = None, b: Any = None,
    kept: Any = None, alive: Alive = None, depths: Any = None, features: int = 0, add: Any = False,
    code: int = LINEAR, parts: int = 1,
) -> None:  # fmt: skip
    """Launch the tiles of a product."""
    if rows == 0 or C.shape[1] == 0:
        return
    kind, dropped, joint = str(C.dtype), dropped_bits(C.dtype), A2 is not None
    kernel = tiled(form, tile, C.dtype, joint, code != LINEAR or kept is not None, dropped > 0)
    at, index = alive or (nothing("int64", 1), 0)
    launch(
        kernel, C, nothing(kind, 2) if kept is None else kept, A, B, A2 if joint else A, B2 if joint else B,
        nothing(kind, 1) if b is None else b, at, index, nothing("int64", 1) if depths is None else depths,
        features, int(bool(add)), code, dropped,
        grid=((blocks_of(tile, rows, C.shape[1]), parts), tile.threads),
    )  # fmt: skip


def _rows_product(form: str, Y: Any, X: Any, W: Any, depth: int, b: Any, add: Any, alive: Alive) -> None:
    """Make a product of all rows of its result, by the library or by tiles."""
    rows, columns = Y.shape
    if by_library(rows, columns, depth, precision_of(Y.dtype), alive is not None) and fits(Y, X, W):
        begun = b is not None and b.size > 0
        if begun:
            launch(begin_rows, b, int(bool(add)), Y, count=Y.size)
        _by_library(form, Y, X, W, add or begun)
    else:
        _launch(form, Y, X, W, rows=rows, tile=tile_for(rows, columns, Y.dtype), b=b, add=add, alive=alive)


def _by_library(form: str, C: Any, A: Any, B: Any, add: Any) -> None:
    """Launch a product of the library's; where tensor cores want bfloat16 numbers, these are made first."""
    precision = precision_of(C.dtype)
    if precision == "bfloat16":
        depth = B.shape[1] if form == TURNED else B.shape[0]
        A = _as_bfloat16("first factor", A, A.shape[1] if form == COLUMNS else depth)
        B = _as_bfloat16("second factor", B, C.shape[1] if form == COLUMNS else B.shape[1])
    library()[0].gemm(gemm_of(form, C, A, B, bool(add)), precision)


def _as_bfloat16(purpose: str, V: Any, columns: int) -> Any:
    """Return a matrix's first columns as bfloat16, two bytes a number."""
    size = V.shape[0] * columns
    into = room(purpose, 1 << (size - 1).bit_length(), "uint16")[:size].reshape((V.shape[0], columns))
    launch(to_bfloat16, V, into, count=size)
    return into


@cuda.jit
def to_bfloat16(V, into):  # type: ignore[no-untyped-def]
    """Round the first columns of a matrix to bfloat16."""
    columns, dropped = into.shape[1], DROPPED_BY_BFLOAT16
    for i in range(cuda.grid(1), into.size, cuda.gridsize(1)):
        n, j = i // columns, i % columns
        into[n, j] = upper_half(rounded(V[n, j], dropped))


@cuda.jit
def begin_rows(b, add, Y):  # type: ignore[no-untyped-def]
    """Set every row of Y to b, or add b to it."""
    units = Y.shape[1]
    for i in range(cuda.grid(1), Y.size, cuda.gridsize(1)):
        n, j = i // units, i % units
        Y[n, j] = Y[n, j] + b[j] if add else b[j]


@cuda.jit
def activate(A, Y, code):  # type: ignore[no-untyped-def]
    """Take act of Y in place; A, if it is there, keeps what it is taken of."""
    units = Y.shape[1]
    for i in range(cuda.grid(1), Y.size, cuda.gridsize(1)):
        n, j = i // units, i % units
        if A.size > 0:
            A[n, j] = Y[n, j]
        Y[n, j] = act(Y[n, j], code)


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
    _rows_product(PLAIN, Y, X, W, W.shape[0], bias, add, alive)


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
    _rows_product(TURNED, Y, X, W, W.shape[1], None, add, alive)


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
    (features, units), biased = dW.shape, db.size > 0
    if by_library(features, units, x.shape[0], precision_of(dW.dtype), depths is not None) and fits(dW, x, da):
        _by_library(COLUMNS, dW, x, da, add)
        if biased:
            _columns_launch(x, da, add, dW, db, 0, tile_for(1, units, dW.dtype), {})
        return
    tile = tile_for(features, units, dW.dtype, PART_BLOCKS)
    options = {"depths": depths} | (dict(A2=packed, B2=da) if packed is not None and packed.size > 0 else {})
    if biased and features % tile.rows == 0:  # one row more would make a row of tiles more
        _columns_launch(x, da, add, dW, db, 0, tile_for(1, units, dW.dtype), options)
        biased = False
    _columns_launch(x, da, add, dW, db if biased else None, features, tile, options)


def _columns_launch(x: Any, da: Any, add: Any, dW: Any, db: Any, features: int, tile: Tile, options: Any) -> None:
    """Launch a product of so many columns of x, in parts of its depth if its tiles are few."""
    units, rows = dW.shape[1], features + (db is not None)
    parts = max(1, min(PART_BLOCKS // blocks_of(tile, rows, units), x.shape[0] // PART_ROWS))
    options = dict(rows=rows, tile=tile, b=db, features=features, **options)
    if parts == 1:
        _launch(COLUMNS, dW, x, da, add=add, **options)
    else:
        sums = room("parts", parts * rows * units, str(dW.dtype))
        _launch(COLUMNS, sums.reshape((parts * rows, units)), x, da, parts=parts, **options)
        launch(add_parts, sums, parts, features, int(bool(add)), dW, dW[0] if db is None else db, count=rows * units)


@cuda.jit
def add_parts(sums, parts, features, add, dW, db):  # type: ignore[no-untyped-def]
    """Set `features` rows of dW, and db after them, to the sums over all parts, or add these to them."""
    units = dW.shape[1]
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
    (rows, units), depth = Y.shape, Wx.shape[0] + (Wh.shape[0] if states else 0)
    if by_library(rows, units, depth, precision_of(Y.dtype), alive is not None):
        product(Y, X, Wx, b)
        if states:
            product(Y, H, Wh, None, True)
        if code != LINEAR or A.size:
            launch(activate, A, Y, code, count=Y.size)
        return
    second = dict(A2=H, B2=Wh) if states else {}
    tile, kept = tile_for(rows, units, Y.dtype), A if A.size else None
    _launch(PLAIN, Y, X, Wx, rows=rows, tile=tile, b=b, kept=kept, alive=alive, code=code, **second)


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
