"""Lanes against NumPy, operation by operation: a register of float32, float64, complex128, and plain Python."""

import subprocess
import sys

import numba
import numpy as np
import pytest
from numba.core.errors import TypingError

from nbrnn.kernels import lanes
from nbrnn.kernels.abi import OPTIONS
from nbrnn.kernels.lanes import constant, load, muladd, pick, power, real, store, width
from nbrnn.targets import cpu

JIT = pytest.mark.skipif(not cpu.JIT, reason="plain Python has no lanes")
WIDTHS = {"float32": lanes.WIDTH if cpu.JIT else 1, "float64": 1, "complex128": 1}
DTYPES = ("float32", "float64", "complex128")
SIZES = sorted({1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 2 * lanes.WIDTH + 1})
WHERE = f"vectors of {lanes.VECTOR_BYTES} bytes"


def arithmetic(a, b, s, out):
    """Write every operation on numbers of any dtype into a row of its own; s is a number, no lanes."""
    w = width(a)
    for j in range(0, a.size, w):
        n = min(w, a.size - j)
        x, y = load(a, j, n), load(b, j, n)
        results = (
            x + y, x + s, s + x, x - y, x - s, s - x, x * y, x * s, s * x, x / y, x / s, s / x,
            -x, constant(x, 0.0) + abs(x), constant(x, 1.25), x,
            pick(real(x) > real(y), x, y), pick(real(x) > s.real, x, y), pick(s.real > real(x), x, y),
            pick(real(x) < real(y), x, y), pick(real(x) < s.real, x, y), pick(s.real < real(x), x, y),
            pick(real(x) >= real(y), x, y), pick(real(x) >= s.real, x, y), pick(s.real >= real(x), x, y),
            pick((real(x) > real(y)) | (real(x) < s.real), x, y), pick(real(x) > real(y), s, y),
            pick(real(x) > real(y), x, s),
        )  # fmt: skip
        row = 0
        for value in numba.literal_unroll(results):
            store(out[row], j, n, value)
            row += 1  # noqa: SIM113 (enumerate of it cannot be compiled)


def expected(a, b, s):
    """Return what NumPy makes of the same, row by row."""
    where, x, y, z = np.where, a.real, b.real, s.real
    return [
        a + b, a + s, s + a, a - b, a - s, s - a, a * b, a * s, s * a, a / b, a / s, s / a, -a, 0 + abs(a),
        np.full_like(a, 1.25), a,
        where(x > y, a, b), where(x > z, a, b), where(z > x, a, b),
        where(x < y, a, b), where(x < z, a, b), where(z < x, a, b),
        where(x >= y, a, b), where(x >= z, a, b), where(z >= x, a, b),
        where((x > y) | (x < z), a, b), where(x > y, s, b),
        where(x > y, a, s),
    ]  # fmt: skip


def draw(dtype, size, seed):
    """Return random numbers, none of them zero, some of them equal to their neighbours of another seed."""
    rng = np.random.default_rng(seed)
    values = rng.choice([-1, 1], size) * np.round(rng.uniform(0.25, 4.0, size), 3)
    values[::3] = np.random.default_rng(0).uniform(0.25, 4.0, size)[::3]
    return (values + 1j * rng.normal(size=size) if dtype == "complex128" else values).astype(dtype)


def compiled(function):
    return numba.njit(**OPTIONS)(function)


NATIVE = compiled(arithmetic)


@pytest.mark.parametrize("dtype", DTYPES)
def test_arithmetic_is_numpys(dtype):
    for size in SIZES:
        a, b = draw(dtype, size, 1), draw(dtype, size, 2)
        for s in (np.dtype(dtype).type(0.75), a[size // 2]):
            wanted = expected(a, b, s)
            found = np.zeros((len(wanted), size + 1), dtype)
            plain = found.copy()
            NATIVE(a, b, s, found[:, :size])
            arithmetic(a, b, s, plain[:, :size])
            assert (found[:, size] == 0).all() and (plain[:, size] == 0).all()
            for k, row in enumerate(wanted):
                what = f"row {k} of {size} numbers, {WHERE}"
                if dtype == "complex128":  # a product of complex numbers may be rounded otherwise
                    np.testing.assert_allclose(found[k, :size], row, rtol=1e-14, err_msg=what)
                    np.testing.assert_allclose(plain[k, :size], row, rtol=1e-14, err_msg=what)
                else:
                    np.testing.assert_array_equal(found[k, :size], row, err_msg=what)
                    np.testing.assert_array_equal(plain[k, :size], row, err_msg=what)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_muladd_rounds_once_or_twice_and_knows_its_operands(dtype):
    def run(a, b, s, out):
        w = width(a)
        for j in range(0, a.size, w):
            n = min(w, a.size - j)
            x, y, z = load(a, j, n), load(b, j, n), load(b, a.size - n, n)
            store(out[0], j, n, muladd(x, y, z))
            store(out[1], j, n, muladd(s, y, x))
            store(out[2], j, n, muladd(x, s, y))
            store(out[3], j, n, muladd(x, y, s))

    native = compiled(run)
    for size in SIZES:
        a, b, s = draw(dtype, size, 1), draw(dtype, size, 2), np.dtype(dtype).type(1.7)
        last = np.concatenate([b[size - n :] for n in pieces(size, dtype)])
        exact = np.longdouble if dtype == "float64" else np.float64
        found, plain = np.zeros((2, 4, size), dtype)
        native(a, b, s, found)
        run(a, b, s, plain)
        last_plain = np.full(size, b[-1])
        for rows, end in ((found, last), (plain, last_plain)):
            operands = ((a, b, end), (np.full_like(a, s), b, a), (a, np.full_like(a, s), b), (a, b, np.full_like(a, s)))
            for row, (x, y, z) in zip(rows, operands, strict=True):
                once = (x.astype(exact) * y.astype(exact) + z.astype(exact)).astype(dtype)
                assert ((row == once) | (row == x * y + z)).all(), WHERE
        assert (plain[0] == a * b + last_plain).all()


def pieces(size, dtype):
    """Return how many numbers are taken at a time."""
    w = WIDTHS[dtype]
    return [min(w, size - j) for j in range(0, size, w)]


def test_power_puts_a_whole_number_into_the_exponent():
    def run(a, out):
        w = width(a)
        for j in range(0, a.size, w):
            n = min(w, a.size - j)
            store(out, j, n, power(load(a, j, n)))

    k = np.arange(-126, 128)
    bits = np.float32(1.5 * 2**23 + 127) + k.astype(np.float32)  # the last bits are those of k + 127
    for function in (run, compiled(run)):
        out = np.zeros(k.size, np.float32)
        with np.errstate(over="ignore"):
            function(bits, out)
        assert (out == np.exp2(k.astype(np.float64))).all(), WHERE


# ---------------------------------------------------------------- reading and writing


def move(source, at, into, to, n, room):
    """Move n numbers from place to place, and show in `room` what a whole register of them holds."""
    value = load(source, at, n)
    store(into, to, n, value)
    store(room, 0, width(source), value)


def fill(into, to, n, s):
    """Write one number into n places."""
    store(into, to, n, s)


@pytest.mark.parametrize("dtype", DTYPES)
def test_n_numbers_are_read_and_written_and_none_beside_them(dtype):
    w = WIDTHS[dtype]
    native_move, native_fill = compiled(move), compiled(fill)
    source = draw(dtype, 3 * w + 2, 1)
    for n in range(1, w + 1):
        for at, to in ((0, 0), (1, 2), (w + 1, w), (2 * w + 2, 2 * w)):
            for one, other, most in ((native_move, native_fill, w), (move, fill, 1)):
                if n > most:  # plain Python takes one at a time
                    continue
                into, room = np.full(3 * w + 2, np.nan, dtype), np.full(most, np.nan, dtype)
                around = np.full(3 * w + 2, np.nan, dtype)
                around[at : at + n] = source[at : at + n]
                one(around, at, into, to, n, room)  # what it must not read is not a number
                wanted = np.full_like(into, np.nan)
                wanted[to : to + n] = source[at : at + n]
                np.testing.assert_array_equal(into, wanted, err_msg=WHERE)
                np.testing.assert_array_equal(room, np.r_[source[at : at + n], np.zeros(most - n)], err_msg=WHERE)
                s = np.dtype(dtype).type(2.5)
                other(into, to, n, s)
                wanted[to : to + n] = s
                np.testing.assert_array_equal(into, wanted, err_msg=WHERE)


def test_a_width_is_that_of_a_register_of_float32_and_one_elsewhere():
    native = compiled(lambda V: width(V))
    for dtype in DTYPES:
        V = np.zeros(3, dtype)
        assert native(V) == WIDTHS[dtype] and width(V) == 1


@JIT
def test_lanes_do_not_mix_with_float64():
    """A constant of another dtype would widen the arithmetic, or lose digits, without a sign."""

    def wide(V):
        store(V, 0, 1, load(V, 0, 1) + 1.5)

    def multiplied(V):
        store(V, 0, 1, muladd(load(V, 0, 1), 1.5, load(V, 0, 1)))

    for function in (wide, multiplied):
        with pytest.raises(TypingError):
            compiled(function)(np.zeros(3, np.float32))


# ---------------------------------------------------------------- registers of another width

OTHERS = [w for w in (16, 32, 64) if w != lanes.VECTOR_BYTES]


@JIT
@pytest.mark.parametrize("other", OTHERS)
def test_lanes_of_another_width(other, environment):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "not another_width"]
    done = subprocess.run(
        command, env=environment(NBRNN_VECTOR_BYTES=other), check=False, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0 and "passed" in done.stdout, done.stdout
