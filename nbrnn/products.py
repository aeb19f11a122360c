"""What layers add to a program for their products of matrices: packed weights, and the calls that give gradients."""

from __future__ import annotations

from collections.abc import Iterable

from .kernels.gemm import DEPTH, PANELS, TALL
from .kernels.tile import ROWS, VECTOR_BYTES
from .program import ALIGNMENT, Buffer, Program

FEW, SMALL_SIZE = 8, 64  # rows or columns, and numbers, up to which a matrix is read as it stands
PAGE_PART = 1024  # bytes: rows that are a multiple of it apart share a part of the first cache
PARTS = 4  # calls that pack one matrix
LARGE = 4096  # numbers from which packing costs less than walking over the rows of a wide matrix


def packed(
    p: Program, W: Buffer, rows: int, first: int = 0, each: int = 0, gates: int = 1, beside: int = 0
) -> Buffer | None:
    """Return columns of W packed into panels for products with so many rows; None where W is read as it stands.

    They begin at `first` and belong to `gates` gates of `each` columns (0: all of W's). A matrix `beside` it of so many
    numbers, which goes into the same sums, may make it worth while.
    """
    each = each or W.shape[1]
    few = rows < 2 * FEW and not p.options.streamed
    if p.options.device == "cuda":
        return None
    if max(W.size, beside) < LARGE or few or p.options.tape or p.dtype.kind == "c":
        return None
    L = columns_of_a_panel(p)
    name = f"{W.name} packed" + (f" from {first}" if first else "")
    return _panels(p, "pack", name, W, (gates * -(-each // L), W.shape[0], L), first=first, each=each)


def packed_transposed(p: Program, W: Buffer, first: int = 0, columns: int = 0) -> Buffer | None:
    """Return the transpose of columns of W packed into panels; None where the product with a small W reads W.

    They are `columns` from `first` on (0: all of them).
    """
    if p.options.device == "cuda":
        return None
    columns = columns or W.shape[1]
    size = W.shape[0] * columns
    if p.dtype.kind == "c" or (size <= SMALL_SIZE and not (columns == 1 and W.shape[0] >= FEW)):
        return None
    L = columns_of_a_panel(p)
    name = f"{W.name} transposed" + (f" from {first}" if first else "")
    return _panels(p, "pack_transposed", name, W, (-(-W.shape[0] // L), columns, L), first=first)


def _panels(p: Program, kernel: str, name: str, W: Buffer, shape: tuple[int, int, int], **places: int) -> Buffer:
    """Add the calls that pack a matrix, before all shards and once; several, so that threads can share the work."""
    P, new = p.prepared(name, *shape)
    if new:
        assert p.prepare is not None
        part = -(-shape[0] // PARTS)
        for start in range(0, shape[0], part):
            p.prepare.call(kernel, W=W, start=start, P=P[start : start + part], **places)
    return P


def columns_of_a_panel(p: Program) -> int:
    """Return how many columns a register tile has in the program's dtype."""
    return 2 * VECTOR_BYTES // p.dtype.itemsize


def padded(p: Program, columns: int) -> int:
    """Return the length of rows of so many columns: a line of memory more where they lie a power of two apart."""
    line, plain = ALIGNMENT // p.dtype.itemsize, p.options.tape or p.options.device == "cuda"
    return columns if plain or columns % (PAGE_PART // p.dtype.itemsize) else columns + line


def weight_gradient(
    p: Program,
    x: Buffer,
    da: Buffer,
    kernel: str | Buffer,
    bias: str | Buffer | None,
    add: bool = False,
    alive: Buffer | None = None,
    rows: Buffer | None = None,
) -> None:
    """Add the call that gives dW = x^T da, and db, or adds to them; weights are named, or their gradients given.

    With `alive` only so many rows count as it sums to, and `rows` holds those of x where they have gaps.
    """
    flat = x.reshape(-1, x.shape[-1]) if x.size else x.reshape(0, x.shape[-1])
    N, (dW, db) = flat.shape[0], (p[gradient(w)] if isinstance(w, str) else w for w in (kernel, bias))
    assert dW is not None
    add = add or (p.adding and dW.block == "grads")
    (F, O), room = dW.shape, {}
    if F * O >= LARGE and N >= 2 * FEW and p.dtype.kind != "c" and p.options.device != "cuda":
        L = columns_of_a_panel(p)
        room["room"] = p.scratch(f"room for {dW.name}", DEPTH * min(PANELS, -(-O // L)), L)
        room["tall"] = p.scratch(f"tall room for {dW.name}", DEPTH * max(1, min(TALL, F) // ROWS), ROWS)
    some = {} if alive is None else {"alive": alive, "packed": None if rows is None else rows.reshape(N, -1)}
    p.call("weight_gradient", x=flat, da=da.reshape(N, da.shape[-1]), dW=dW, add=int(add), db=db, **room, **some)


def input_gradient(p: Program, da: Buffer, W: Buffer, dx: Buffer, alive: Buffer | None = None) -> Buffer:
    """Add the call that gives dx = da W^T; with `alive` of so many rows as it sums to."""
    flat = dx.reshape(-1, dx.shape[-1])
    own = {"W": W, "PT": packed_transposed(p, W), "alive": alive}
    p.call("input_gradient", da=da.reshape(flat.shape[0], da.shape[-1]), **own, dx=flat)
    return dx


def gradient(name: str) -> str:
    """Return the name of a weight's gradient: simple_rnn/kernel has simple_rnn/dkernel."""
    layer, _, weight = name.rpartition("/")
    return f"{layer}/d{weight}"


def share_weights(p: Program, names: Iterable[str], owner: str, twin: str) -> None:
    """Let the twin of a layer read its owner's weights, whose full names are given, and add to their gradients."""
    for name in names:
        other = f"{twin}{name.removeprefix(owner)}"
        for own, called in ((name, other), (gradient(name), gradient(other))):
            if own in p.layout.buffers or own in p.aliases:
                p.aliases[called] = p[own]
