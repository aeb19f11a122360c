"""Elementary functions of one number: float32, float64 and complex128 (the complex step), each with a native twin.

The float32 forms are straight-line arithmetic (multiply-add, division, pick): they take one number or lanes of them
(lanes.py), LLVM vectorises a loop over them, and CUDA compiles them as they stand. Their errors are the largest over
all 2^32 inputs, by `tools/ulp.py`; their coefficients are the output of `tools/fit_elementary.py`. The float64 forms
are the C library's. The complex forms are written out, so that an imaginary part of 1e-30 comes back as the derivative
times 1e-30 to full relative accuracy.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import from_dtype, types

from .abi import overloaded, shared
from .lanes import muladd, numbers, pick, power


def _single(*values: float) -> tuple[np.float32, ...]:
    return tuple(np.float32(v) for v in values)


# float32 to the last constant: a bare 1.0 would promote the arithmetic to float64.
ZERO, HALF, ONE, TWO, INF = _single(0, 0.5, 1, 2, np.inf)
P1, P2, Q1, Q2, Q3 = _single(0.029776506, 0.000114313574, 0.22621961, 0.0024136675, 2.4605934e-06)
C2, C3, C4, C5, C6 = _single(0.49999994, 0.16666517, 0.041668296, 0.008369095, 0.0013818492)
TANH_END, SIGMOID_END, EXP_START, EXP_END, EXPM1_START = _single(9.04, 20, -104, 89, -30)  # constant beyond
LOG2_E, LN2_HIGH, LN2_LOW = _single(1.44269504, 0.693145752, 1.42860677e-06)  # k * LN2_HIGH is exact for |k| < 512
MAGIC = np.float32(1.5 * 2**23 + 127)  # MAGIC + k ends in the bits of the integer k + 127
SHIFTED_MAGIC, SHIFTED_ONE = _single(1.5 * 2**23 + 127 - 24, 2.0**-24)
EXP_LAST = 709.782712893384  # float64: the last finite exponential; beyond it Python's own raises


@shared
def _reduce(x, magic):
    """Return t = magic + k, k, and e^r - 1 for x = k ln 2 + r, |r| <= ln(2) / 2."""
    t = muladd(x, LOG2_E, magic)
    k = t - magic
    r = muladd(k, -LN2_LOW, muladd(k, -LN2_HIGH, x))
    r2 = r * r
    low, high = muladd(r2, muladd(r, C3, C2), r), muladd(r2, C6, muladd(r, C5, C4))
    return t, k, muladd(r2 * r2, high, low)


@shared
def _halves(k):
    """Return 2^i, 2^-i and 2^j with i + j = k: normal numbers where 2^k may not be."""
    t = muladd(k, HALF, MAGIC)
    i = t - MAGIC
    return power(t), power(MAGIC - i), power(MAGIC + (k - i))


def _tanh_f4(x):
    z = x * x
    n = muladd(x * z, muladd(z, P2, P1), x)
    d = muladd(z, muladd(z * z, Q3, muladd(z, Q2, Q1)), TWO)
    sine, cosine = (n + n) * d, muladd(d, d, n * n)
    y = sine / cosine
    return pick((abs(x) > TANH_END) | (abs(sine) >= cosine), pick(x > ZERO, ONE, -ONE), y)


def _tanh_f8(x):
    return math.tanh(x)


def _tanh_c16(x):  # t = tanh(a), u = tan(b): (t + i u) / (1 + i t u), where 1 - t^2 = 4 e / (1 + e)^2
    t, u, e = math.tanh(x.real), math.tan(x.imag), math.exp(-2.0 * abs(x.real))
    scale = 1.0 + (t * u) ** 2
    return complex(t * (1.0 + u * u) / scale, u * (4.0 * e / (1.0 + e) ** 2) / scale)


def _sigmoid_f4(x):
    t, _, s = _reduce(-x, SHIFTED_MAGIC)
    scale = power(t)
    y = SHIFTED_ONE / muladd(scale, s, scale + SHIFTED_ONE)
    return pick(x < EXP_START, ZERO, pick(x > SIGMOID_END, ONE, y))


def _sigmoid_f8(x):
    e = math.exp(-abs(x))
    return (1.0 if x >= 0.0 else e) / (1.0 + e)


def _sigmoid_c16(x):  # the form of float64, times the conjugate of its denominator above and below
    e, cosine = math.exp(-abs(x.real)), math.cos(x.imag)
    scale = 1.0 + e * (2.0 * cosine + e)
    real = 1.0 + e * cosine if x.real >= 0.0 else e * (cosine + e)
    return complex(real / scale, e * math.sin(x.imag) / scale)


def _exp_f4(x):
    _, k, s = _reduce(x, MAGIC)
    scale, _, rest = _halves(k)
    y = muladd(rest, s, rest) * scale
    return pick(x < EXP_START, ZERO, pick(x > EXP_END, INF, y))


@shared
def _exp_f8(x):
    return math.inf if x > EXP_LAST else math.exp(x)


def _exp_c16(x):
    e = _exp_f8(x.real)
    return complex(e * math.cos(x.imag), e * math.sin(x.imag))


def _expm1_f4(x):
    _, k, s = _reduce(x, MAGIC)
    scale, inverse, rest = _halves(k)
    y = muladd(rest, s, rest - inverse) * scale
    return pick(x < EXPM1_START, -ONE, pick(x > EXP_END, INF, y))


@shared
def _expm1_f8(x):
    return math.inf if x > EXP_LAST else math.expm1(x)


def _expm1_c16(x):
    half = math.sin(0.5 * x.imag)
    return complex(_expm1_f8(x.real) * math.cos(x.imag) - 2.0 * half * half, _exp_f8(x.real) * math.sin(x.imag))


def _magnitude_real(x):
    return abs(x)


def _magnitude_c16(x):
    return x if x.real >= 0.0 else -x


def tanh(x: Any) -> Any:
    """Hyperbolic tangent.

    In float32 tanh(x) = 2 n d / (d^2 + n^2) where n / d, odd and rational, is close to tanh(x / 2): the doubling damps
    the error of n / d as tanh nears 1. At most 4.0 ulp (4.7 without FMA); odd, never above 1, tanh(x) = x when tiny.
    """
    return _plainly(tanh, x)


def sigmoid(x: Any) -> Any:
    """Logistic function, 1 / (1 + e^-x), accurate relative to its value in both tails.

    In float32 e^-x is that of `exp`, scaled so that it cannot overflow. At most 2.5 ulp, denormal results included.
    """
    return _plainly(sigmoid, x)


def exp(x: Any) -> Any:
    """Exponential function.

    In float32 e^x = 2^k e^r with x = k ln 2 + r (ln 2 in two parts: Cody and Waite, Software Manual for the Elementary
    Functions, 1980), and a polynomial for e^r. At most 1.3 ulp, denormal results included.
    """
    return _plainly(exp, x)


def expm1(x: Any) -> Any:
    """Exponential function minus one, accurate relative to its value near 0 too.

    In float32 e^x - 1 = (2^k - 1) + 2^k (e^r - 1), reduced as for `exp`. At most 2.5 ulp.
    """
    return _plainly(expm1, x)


def magnitude(x: Any) -> Any:
    """Absolute value; for a complex number x or -x, by the sign of its real part, so that the complex step holds."""
    return _plainly(magnitude, x)


FORMS: dict[Callable[[Any], Any], dict[type, Callable[[Any], Any]]] = {
    tanh: {np.float32: _tanh_f4, np.float64: _tanh_f8, np.complex128: _tanh_c16},
    sigmoid: {np.float32: _sigmoid_f4, np.float64: _sigmoid_f8, np.complex128: _sigmoid_c16},
    exp: {np.float32: _exp_f4, np.float64: _exp_f8, np.complex128: _exp_c16},
    expm1: {np.float32: _expm1_f4, np.float64: _expm1_f8, np.complex128: _expm1_c16},
    magnitude: {np.float32: _magnitude_real, np.float64: _magnitude_real, np.complex128: _magnitude_c16},
}


def _plainly(function: Callable[[Any], Any], x: Any) -> Any:
    """Run a function's form for the type of x in plain Python, silent about overflow as native code is."""
    kind = np.float32 if isinstance(x, np.float32) else np.complex128 if isinstance(x, complex) else np.float64
    with np.errstate(all="ignore"):
        return kind(FORMS[function][kind](x))


def _register(function: Callable[[Any], Any]) -> None:
    """Make the same forms a function's native twin."""
    forms = {from_dtype(np.dtype(kind)): form for kind, form in FORMS[function].items()}
    forms[numbers] = forms[types.float32]
    overloaded(function)(lambda x: forms.get(x))


for _function in FORMS:
    _register(_function)
