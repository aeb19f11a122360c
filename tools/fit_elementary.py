"""Fits the coefficients of nbrnn/kernels/elementary.py and prints them; they depend on nothing but this file.

Three minimax fits by the Remez exchange, in 50-digit decimal arithmetic (no packages needed):

- tanh(x) = 2 N D / (D^2 + N^2), where N / D approximates tanh(x / 2) for 0 < x <= 9.04,
  N = x (1 + P1 x^2 + P2 x^4) and D = 2 + Q1 x^2 + Q2 x^4 + Q3 x^6. The doubling damps the error of N / D by sech(x),
  so the fit weighs it by that: a low degree is enough.
- exp(r) = 1 + r + r^2 (C2 + C3 r + C4 r^2 + C5 r^3 + C6 r^4) for |r| <= ln(2) / 2, by the relative error.
- log(1 + f) = f (1 - f / 2 + L2 f^2 + ... + L9 f^9) for sqrt(1/2) <= 1 + f <= sqrt(2), by the relative error.

One coefficient after another is rounded to float32, and those still free are fitted again around it.

    python tools/fit_elementary.py
"""

import math
import struct
from collections.abc import Callable, Sequence
from decimal import Decimal, getcontext

getcontext().prec = 50
ONE = Decimal(1)
SATURATION = Decimal("9.04")  # tanh rounds to 1 from 9.011 on
HALF_LN2 = Decimal("0.34662")  # ln(2) / 2, and a little for the rounding of x / ln(2)
GRID = 600

Function = Callable[[Decimal], Decimal]
Polynomial = dict[int, Decimal]  # power: coefficient


def solve(rows: list[list[Decimal]]) -> list[Decimal]:
    """Solve the linear system [A | b] by elimination with pivoting."""
    n = len(rows)
    for k in range(n):
        pivot = max(range(k, n), key=lambda i: abs(rows[i][k]))
        rows[k], rows[pivot] = rows[pivot], rows[k]
        for i in range(k + 1, n):
            factor = rows[i][k] / rows[k][k]
            rows[i] = [u - factor * v for u, v in zip(rows[i], rows[k], strict=True)]
    x = [Decimal(0)] * n
    for k in reversed(range(n)):
        x[k] = (rows[k][n] - sum(rows[k][j] * x[j] for j in range(k + 1, n))) / rows[k][k]
    return x


def value(polynomial: Polynomial, x: Decimal) -> Decimal:
    """Evaluate a polynomial."""
    return sum((c * x**power for power, c in polynomial.items()), Decimal(0))


def extrema(grid: Sequence[Decimal], error: Sequence[Decimal], count: int) -> list[Decimal]:
    """Return `count` neighbours of alternating error, the largest there are."""
    peaks: list[tuple[Decimal, Decimal]] = []
    for x, e in zip(grid, error, strict=True):
        if peaks and (peaks[-1][1] > 0) == (e > 0):
            if abs(e) > abs(peaks[-1][1]):
                peaks[-1] = (x, e)
        else:
            peaks.append((x, e))
    while len(peaks) > count + 1:
        weakest = min(range(len(peaks) - 1), key=lambda i: max(abs(peaks[i][1]), abs(peaks[i + 1][1])))
        del peaks[weakest : weakest + 2]
    if len(peaks) > count:
        del peaks[0 if abs(peaks[0][1]) < abs(peaks[-1][1]) else -1]
    if len(peaks) < count:
        raise ArithmeticError("the error does not alternate often enough")
    return [x for x, _ in peaks]


def remez(
    f: Function,
    weight: Function,
    numerator: Polynomial,
    denominator: Polynomial,
    free: Sequence[tuple[str, int]],
    interval: tuple[Decimal, Decimal],
) -> tuple[Polynomial, Polynomial, Decimal]:
    """Minimise max weight |N / D - f|, where the coefficients in `free`, ("N" or "D", power), may move; weight > 0."""
    numerator, denominator = dict(numerator), dict(denominator)
    low, high = interval
    middle, radius = (low + high) / 2, (high - low) / 2
    grid = [middle - radius * Decimal(math.cos(math.pi * k / GRID)) for k in range(GRID + 1)]
    grid = [x for x in grid if abs(x) > radius / 10**6]  # N / D - f has a zero at 0, where the weight has a pole
    table = {x: (f(x), weight(x)) for x in grid}
    points = [grid[(len(grid) - 1) * k // len(free)] for k in range(len(free) + 1)]
    level = Decimal(0)
    for _ in range(40):
        for _ in range(30):  # Newton: the product of level and denominator is linearised
            rows = []
            for k, x in enumerate(points):
                sign = (-1) ** k / table[x][1]
                target = table[x][0] + sign * level
                row = [x**power if part == "N" else -target * x**power for part, power in free]
                rest_n = value({p: c for p, c in numerator.items() if ("N", p) not in free}, x)
                rest_d = value({p: c for p, c in denominator.items() if ("D", p) not in free}, x)
                rows.append([*row, -sign * value(denominator, x), target * rest_d - rest_n])
            *moved, step = solve(rows)
            for (part, power), c in zip(free, moved, strict=True):
                (numerator if part == "N" else denominator)[power] = c
            level += step
            if abs(step) <= abs(level) / 10**12:
                break
        error = [table[x][1] * (value(numerator, x) / value(denominator, x) - table[x][0]) for x in grid]
        worst = max(abs(e) for e in error)
        if worst <= abs(level) * Decimal("1.0001"):
            break
        points = extrema(grid, error, len(points))
    return numerator, denominator, worst


def single(x: Decimal) -> Decimal:
    """Round to the nearest float32."""
    return Decimal(struct.unpack("f", struct.pack("f", float(x)))[0])


def fit(
    f: Function,
    weight: Function,
    numerator: Polynomial,
    denominator: Polynomial,
    order: Sequence[tuple[str, int]],
    interval: tuple[Decimal, Decimal],
) -> tuple[Polynomial, Polynomial, Decimal, Decimal]:
    """Fit, then round the coefficients in `order`, refitting the others; return N, D, the ideal and the final error."""
    ideal = None
    for k, (part, power) in enumerate(order):
        numerator, denominator, worst = remez(f, weight, numerator, denominator, order[k:], interval)
        ideal = ideal or worst
        chosen = numerator if part == "N" else denominator
        chosen[power] = single(chosen[power])
    low, high = interval
    final = Decimal(0)
    for k in range(2001):
        x = low + (high - low) * k / 2000
        if abs(x) > (high - low) / 10**6:
            final = max(final, abs(weight(x) * (value(numerator, x) / value(denominator, x) - f(x))))
    return numerator, denominator, ideal or final, final


def tanh_half(x: Decimal) -> Decimal:
    """Compute tanh(x / 2)."""
    e = x.exp()
    return (e - 1) / (e + 1)


def fit_tanh() -> tuple[dict[str, float], float, float]:
    """Return the coefficients P and Q, and the largest relative error of tanh before and after rounding them."""

    def weight(x: Decimal) -> Decimal:  # relative to tanh(x / 2), times sech(x)
        return 2 / (x.exp() + (-x).exp()) / tanh_half(x)

    order = [("D", 2), ("N", 3), ("D", 4), ("N", 5), ("D", 6)]
    n, d, ideal, final = fit(tanh_half, weight, {1: ONE}, {0: 2 * ONE}, order, (Decimal(0), SATURATION))
    names = {"P1": n[3], "P2": n[5], "Q1": d[2], "Q2": d[4], "Q3": d[6]}
    return {name: float(c) for name, c in names.items()}, float(ideal), float(final)


def fit_exp() -> tuple[dict[str, float], float, float]:
    """Return the coefficients C, and the largest relative error of exp before and after rounding them."""
    order = [("N", power) for power in range(2, 7)]
    interval = (-HALF_LN2, HALF_LN2)
    n, _, ideal, final = fit(Decimal.exp, lambda r: (-r).exp(), {0: ONE, 1: ONE}, {0: ONE}, order, interval)
    return {f"C{power}": float(n[power]) for power in range(2, 7)}, float(ideal), float(final)


def fit_log() -> tuple[dict[str, float], float, float]:
    """Return the coefficients L, and the largest relative error of ln(1 + f) before and after rounding them."""

    def log_over(f: Decimal) -> Decimal:
        return (ONE + f).ln() / f

    half = ONE / 2
    order = [("N", power) for power in range(2, 10)]
    interval = (half.sqrt() - 1, Decimal(2).sqrt() - 1)
    n, _, ideal, final = fit(log_over, lambda f: 1 / log_over(f), {0: ONE, 1: -half}, {0: ONE}, order, interval)
    return {f"L{power}": float(n[power]) for power in range(2, 10)}, float(ideal), float(final)


def shortest(x: float) -> str:
    """Write a float32 with the fewest digits that read back as the same float32."""
    return next(s for s in (f"{x:.{k}g}" for k in range(1, 10)) if float(single(Decimal(s))) == x)


def main() -> None:
    """Print the coefficients as they stand in elementary.py."""
    for title, (names, ideal, final) in (("tanh", fit_tanh()), ("exp", fit_exp()), ("log", fit_log())):
        print(f"# {title}: largest relative error 2^{math.log2(ideal):.2f}, 2^{math.log2(final):.2f} once rounded")
        print(f"{', '.join(names)} = _single({', '.join(map(shortest, names.values()))})")


if __name__ == "__main__":
    main()
