"""From the plain loop to the register tile: one step of an LSTM layer, and its weight gradient, written ever faster.

python bench/steps.py

docs/kernels.md walks through the steps. Every one computes the same numbers; the last ones are the package's own code.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from nbrnn.kernels import elementary, gemm
from nbrnn.kernels.abi import OPTIONS, njit
from nbrnn.kernels.activations import SIGMOID, TANH
from nbrnn.kernels.lstm import advance_row
from nbrnn.program import aligned

H, B, F, T = 256, 16, 128, 100
ROUNDS, LONG = 9, 0.02  # seconds of a round
jit = njit(**OPTIONS)


def textbook(C, A, W):
    """C = A W as it is written down: for every element a sum."""
    for m in range(C.shape[0]):
        for n in range(C.shape[1]):
            s = C.dtype.type(0)
            for k in range(W.shape[0]):
                s += A[m, k] * W[k, n]
            C[m, n] = s


def by_rows(C, A, W):
    """C = A W with the last two loops exchanged: the inner one runs along rows of W and C."""
    C[...] = 0
    for m in range(C.shape[0]):
        row = C[m]
        for k in range(W.shape[0]):
            a, line = A[m, k], W[k]
            for n in range(row.size):
                row[n] += a * line[n]


@jit
def tiles(C, A, W):
    """C = A W by register tiles, W as it stands."""
    for first in range(0, C.shape[1], 32):
        gemm.strip(C, first, 32, A, False, 0, W, first, A, 0, W, first, C[:0])


@jit
def panels(C, A, P):
    """C = A W by register tiles, W packed into panels."""
    for q in range(P.shape[0]):
        gemm.strip(C, q * 32, 32, A, False, 0, P[q], 0, A, 0, P[q], 0, C[:0])


@jit
def two_products(g, x, Px, h, Ph, b):
    """Two products, one after the other, and a pass for the bias."""
    panels(g, x, Px)
    for q in range(Ph.shape[0]):
        gemm.strip(g, q * 32, 32, h, False, 0, Ph[q], 0, h, 0, Ph[q], 0, g)
    for m in range(g.shape[0]):
        for n in range(g.shape[1]):
            g[m, n] += b[0, n]


@jit
def one_product(g, x, Px, h, Ph, b):
    """Both products into the same registers, which begin with the bias."""
    for q in range(Px.shape[0]):
        gemm.strip(g, q * 32, 32, x, False, 0, Px[q], 0, h, Ph[q].shape[0], Ph[q], 0, b)


def gates(sigmoid: Any, tanh: Any) -> Any:
    """Return the gates' arithmetic, a loop for every activation, with the given functions."""

    @jit
    def run(g, c, s, h):
        for k in range(h.shape[0]):
            row, units = g[k], h.shape[1]
            for j in range(2 * units):
                row[j] = sigmoid(row[j])
            for j in range(2 * units, 3 * units):
                row[j] = tanh(row[j])
            for j in range(3 * units, 4 * units):
                row[j] = sigmoid(row[j])
            for j in range(units):
                c[k, j] = row[units + j] * c[k, j] + row[j] * row[2 * units + j]
            for j in range(units):
                s[k, j] = tanh(c[k, j])
            for j in range(units):
                h[k, j] = row[3 * units + j] * s[k, j]

    return run


@jit
def library_sigmoid(a):
    one = np.float32(1)
    return one / (one + np.float32(math.exp(-a)))


@jit
def library_tanh(a):
    return np.float32(math.tanh(a))


@jit
def own_sigmoid(a):
    return elementary.sigmoid(a)


@jit
def own_tanh(a):
    return elementary.tanh(a)


@jit
def lanes(g, c, s, h):
    """The package's own: all of a unit's arithmetic at once, a register of units at a time."""
    for k in range(h.shape[0]):
        advance_row(g[k], c[k], c[k], s[k], h[k], g[k], False, 0, h.shape[1], TANH, SIGMOID, True)


@jit
def fused(g, x, Px, h, Ph, b, c, s, out):
    """The package's own: the gates of some units as soon as their products are there, still in the first cache."""
    units = out.shape[1]
    for first in range(0, units, 32):
        for k in range(4):
            q = (k * units + first) // 32
            gemm.strip(g, k * units + first, 32, x, False, 0, Px[q], 0, h, units, Ph[q], 0, b)
        for k in range(out.shape[0]):
            advance_row(g[k], c[k], c[k], s[k], out[k], g[k], False, first, first + 32, TANH, SIGMOID, True)


@jit
def gradient_by_step(x, da, dW):
    """dW += x^T da at every step."""
    for n in range(0, x.shape[0], B):
        for first in range(0, dW.shape[1], 32):
            begun = dW if n > 0 else dW[:0]
            gemm.strip(dW, first, 32, x[n : n + B], True, 0, da[n : n + B], first, x, 0, da, 0, begun)


@jit
def gradient_at_once(x, da, dW):
    """DW = x^T da over all steps."""
    for first in range(0, dW.shape[1], 32):
        gemm.strip(dW, first, 32, x, True, 0, da, first, x, 0, da, 0, dW[:0])


@jit
def gradient_in_blocks(x, da, dW, db, tall, room):
    """The package's own: blocks of x and da packed."""
    gemm.tiled_gradient(x, da, 0, dW, db, tall, room)


def seconds(work: Callable[[], object]) -> float:
    """Return the median time of a run."""
    work()
    start = time.perf_counter()
    work()
    count, times = max(1, int(LONG / max(time.perf_counter() - start, 1e-7))), []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(count):
            work()
        times.append((time.perf_counter() - start) / count)
    return statistics.median(times)


def arrays() -> dict[str, np.ndarray]:
    """Return random operands."""
    rng = np.random.default_rng(0)

    def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
        array = aligned(shape, np.float32)
        array[...] = rng.standard_normal(shape) * scale
        return array

    a = {"x": normal(B, F), "h": normal(B, H), "Wx": normal(F, 4 * H, scale=F**-0.5), "b": normal(1, 4 * H)}
    a |= {"Wh": normal(H, 4 * H, scale=H**-0.5), "g": normal(B, 4 * H), "c": normal(B, H), "s": normal(B, H)}
    a |= {"out": normal(B, H), "X": normal(T * B, H), "da": normal(T * B, 4 * H), "dW": normal(H, 4 * H)}
    a |= {"db": normal(4 * H), "tall": normal(gemm.DEPTH * H // gemm.ROWS, gemm.ROWS)}
    a |= {"room": normal(gemm.DEPTH * 4 * H // 32, 32)}
    for name in ("Wx", "Wh"):
        a["P" + name[1]] = np.ascontiguousarray(a[name].reshape(len(a[name]), -1, 32).swapaxes(0, 1))
    return a


def main() -> None:
    """Time every step and print the table."""
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    a = arrays()
    x, h, g, c, s, out = (a[k] for k in ("x", "h", "g", "c", "s", "out"))
    Wh, Ph = a["Wh"], a["Ph"]
    both = (x, a["Px"], h, a["Ph"], a["b"])
    X, da, dW = a["X"], a["da"], a["dW"]
    loops, rows = jit(textbook), jit(by_rows)
    library, own = gates(library_sigmoid, library_tanh), gates(own_sigmoid, own_tanh)
    state_flops, all_flops, weight_flops = 2 * B * H * 4 * H, 2 * B * (F + H) * 4 * H, 2 * T * B * H * 4 * H
    groups: list[tuple[str, int, list[tuple[str, Callable[[], object]]]]] = [
        (f"h Wh: ({B}, {H}) times ({H}, {4 * H})", state_flops, [
            ("plain Python", lambda: textbook(g[:1], h, Wh)),
            ("compiled, textbook order", lambda: loops(g, h, Wh)),
            ("compiled, along rows", lambda: rows(g, h, Wh)),
            ("NumPy's matmul", lambda: np.matmul(h, Wh, out=g)),
            ("register tile", lambda: tiles(g, h, Wh)),
            ("register tile, packed panels", lambda: panels(g, h, Ph)),
        ]),
        ("x Wx + h Wh + b", all_flops, [
            ("two products and a bias", lambda: two_products(g, *both)),
            ("one, in the same registers", lambda: one_product(g, *both)),
        ]),
        ("gates of all units", 0, [
            ("the C library's exp and tanh", lambda: library(g, c, s, out)),
            ("our own, a loop for each", lambda: own(g, c, s, out)),
            ("our own, in lanes, one pass", lambda: lanes(g, c, s, out)),
        ]),
        ("the whole step", all_flops, [
            ("products, then gates", lambda: (one_product(g, *both), lanes(g, c, s, out))),
            ("gates after each strip", lambda: fused(g, *both, c, s, out)),
        ]),
        (f"dWh = h^T da over {T} steps", weight_flops, [
            ("step by step", lambda: gradient_by_step(X, da, dW)),
            ("all steps at once", lambda: gradient_at_once(X, da, dW)),
            ("in packed blocks", lambda: gradient_in_blocks(X, da, dW, a["db"], a["tall"], a["room"])),
        ]),
    ]  # fmt: skip
    print(f"LSTM, H = {H}, {B} samples, F = {F}, float32, one thread; medians of {ROUNDS} rounds")
    for title, flops, works in groups:
        print(f"\n{title:<40}{'time':>12}{'GFLOP/s':>10}{'gain':>8}")
        before = None
        for name, work in works:
            taken = seconds(work) * (B if name == "plain Python" else 1)  # of one row
            rate = f"{flops / taken / 1e9:10.3g}" if flops else " " * 10
            print(f"  {name:<38}{taken * 1e6:9.2f} us{rate}" + (f"{before / taken:8.1f}" if before else ""))
            before = taken


if __name__ == "__main__":
    main()
