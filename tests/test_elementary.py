"""Elementary functions: error in ulp, edges, symmetry, the complex step, the Python twins, and the fit behind them."""

import cmath
import importlib.util
import re
from decimal import Decimal, getcontext
from pathlib import Path

import numpy as np
import pytest
from numba import config, njit
from numba.core.errors import TypingError

from nbrnn.kernels import elementary

getcontext().prec = 40
JIT = not config.DISABLE_JIT
NAMES = ("tanh", "sigmoid", "exp", "expm1")
F4 = np.float32
KINDS = (np.float32, np.float64, np.complex128)


def tool(name):
    """Import a script of tools/."""
    path = Path(__file__).parents[1] / "tools" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ulp = tool("ulp")


def looped(name):
    function = getattr(elementary, name)

    @njit
    def apply(x, y):
        for i in range(x.size):
            y[i] = function(x[i])

    return apply


LOOPS = {name: looped(name) for name in (*NAMES, "magnitude")}


def run(name, x):
    """Apply a function to each number: natively, or its twin without the JIT."""
    y = np.empty_like(x)
    LOOPS[name](x, y)
    return y


def reference(name, x):
    with np.errstate(all="ignore"):
        return ulp.FUNCTIONS[name](x.astype(np.float64))


def errors(name, x):
    """Return the largest error in ulp, where, and the number of wrong infinities and NaNs."""
    with np.errstate(over="ignore"):
        worst, where, _, _, wrong = ulp.compare(run(name, x), reference(name, x))
    return worst, x[where], wrong


def numbers(seed, size):
    """Return float32 of every kind: random bit patterns, and numbers where the functions do their work."""
    random = np.random.default_rng(seed)
    bits = random.integers(0, 2**32, size).astype(np.uint32).view(F4)
    scales = np.exp2(random.uniform(-12, 6.7, size))
    return np.concatenate([bits, (random.choice([-1, 1], size) * scales).astype(F4)])


@njit
def _muladd(a, b, c):
    return elementary.muladd(a, b, c)


ROOT = F4(1 + 2**-12)
FUSED = _muladd(ROOT, ROOT, -(ROOT * ROOT)) != 0  # the rounding error of the square, where there is only one rounding
BOUNDS = {"tanh": 4.0 if FUSED else 4.7, "sigmoid": 2.5, "exp": 1.3, "expm1": 2.5}  # by tools/ulp.py, over all inputs

# ---------------------------------------------------------------- float32


@pytest.mark.parametrize("name", NAMES)
def test_the_error_stays_below_the_bound(name):
    worst, where, wrong = errors(name, numbers(1, 2_000_000 if JIT else 1_000))
    assert wrong == 0 and worst <= BOUNDS[name], (worst, where)


@pytest.mark.parametrize("name", NAMES)
def test_the_error_stays_below_the_bound_at_the_borders(name):
    ends = [9.011, elementary.TANH_END, elementary.SIGMOID_END, elementary.EXP_START, elementary.EXP_END]
    ends += [elementary.EXPM1_START, 88.72284, -87.33655, -103.97208, *(np.log(2) * (np.arange(-150, 128) + 0.5))]
    x = np.concatenate([F4(end) * (1 + np.arange(-20, 21) * 2.0**-23) for end in [*ends, *np.negative(ends[:9])]])
    worst, where, wrong = errors(name, x.astype(F4))
    assert wrong == 0 and worst <= BOUNDS[name], (worst, where)


EDGES = {
    "tanh": {0: 0, 1e-45: 1e-45, 1e-39: 1e-39, 1e30: 1, -1e30: -1, np.inf: 1, -np.inf: -1},
    "sigmoid": {0: 0.5, 1e-45: 0.5, 1e30: 1, -1e30: 0, np.inf: 1, -np.inf: 0},
    "exp": {0: 1, 1e-45: 1, 1e30: np.inf, -1e30: 0, np.inf: np.inf, -np.inf: 0},
    "expm1": {0: 0, 1e-45: 1e-45, 1e-39: 1e-39, 1e30: np.inf, -1e30: -1, np.inf: np.inf, -np.inf: -1},
    "magnitude": {0: 0, -1e-45: 1e-45, 1e30: 1e30, -1e30: 1e30, -np.inf: np.inf},
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", EDGES)
def test_the_edges_are_exact(name):
    x, y = np.array(list(EDGES[name].items()), F4).T.copy()
    np.testing.assert_array_equal(run(name, x), y)
    assert [getattr(elementary, name)(v) for v in x] == list(y)
    assert np.isnan(run(name, np.array([np.nan], F4)))[0] and np.isnan(getattr(elementary, name)(F4(np.nan)))


def test_tanh_is_odd_bounded_and_x_where_x_is_tiny():
    x = numbers(2, 1_000_000 if JIT else 1_000)
    x = np.concatenate([x[~np.isnan(x)], np.array([0.0, 8.5, 9.0, 9.02], F4)])
    y = run("tanh", x)
    np.testing.assert_array_equal(run("tanh", -x).view(np.uint32), (-y).view(np.uint32))  # the sign of 0 too
    assert np.abs(y).max() == 1
    tiny = np.abs(x) < 1e-4
    assert tiny.sum() > 100
    np.testing.assert_array_equal(y[tiny], x[tiny])


@pytest.mark.parametrize("name", NAMES)
def test_a_larger_number_never_gives_a_result_smaller_by_more_than_rounding(name):
    x = np.sort(numbers(3, 500_000 if JIT else 500))
    y = run(name, x[~np.isnan(x)]).astype(np.float64)
    y = y[y < np.inf]
    peak = np.maximum.accumulate(y)
    assert (peak - y <= np.abs(peak) * 2.0**-21).all()


def test_sigmoid_keeps_its_relative_accuracy_in_the_negative_tail():
    x = np.linspace(-87, -10, 2000 if JIT else 200).astype(F4)
    np.testing.assert_allclose(run("sigmoid", x), np.exp(x.astype(np.float64)), rtol=5e-5)
    np.testing.assert_allclose(run("sigmoid", x), reference("sigmoid", x), rtol=3e-7)


@pytest.mark.skipif(not JIT, reason="reads compiled code")
@pytest.mark.parametrize("name", NAMES)
def test_a_float32_loop_is_vectorised_and_holds_no_float64(name):
    run(name, np.zeros(1, F4))
    code = next(text for signature, text in LOOPS[name].inspect_llvm().items() if "float32" in str(signature))
    assert re.search(r"fmuladd\.v\d+f32", code)
    assert not re.search(r"\bdouble\b|fpext", code)


# ---------------------------------------------------------------- the fit


def test_the_coefficients_are_the_fits():
    fit = tool("fit_elementary")
    for names, ideal, final in (fit.fit_tanh(), fit.fit_exp()):
        assert {name: float(getattr(elementary, name)) for name in names} == names
        assert ideal <= final < 1.2 * ideal


def test_the_formulas_are_as_close_as_the_fit_says():
    e = elementary
    p1, p2, q1, q2, q3, c2, c3, c4, c5, c6 = map(float, (e.P1, e.P2, e.Q1, e.Q2, e.Q3, e.C2, e.C3, e.C4, e.C5, e.C6))
    x = np.linspace(1e-3, float(e.TANH_END), 20_001)
    n, d = x * (1 + x**2 * (p1 + x**2 * p2)), 2 + x**2 * (q1 + x**2 * (q2 + x**2 * q3))
    assert np.abs(2 * n * d / (d * d + n * n) / np.tanh(x) - 1).max() < 2.0**-26.8  # the fit's 2^-27, to first order
    r = np.linspace(-np.log(2) / 2, np.log(2) / 2, 20_001)
    assert np.abs((1 + r + r**2 * (c2 + r * (c3 + r * (c4 + r * (c5 + r * c6))))) / np.exp(r) - 1).max() < 2.0**-28.0


# ---------------------------------------------------------------- float64 and complex128


def exact(name, a):
    """Return value and slope at a, as decimals."""
    a = Decimal(float(a))
    e = a.exp()
    if name == "tanh":
        square = e * e
        return (square - 1) / (square + 1), 4 * square / (square + 1) ** 2
    if name == "sigmoid":
        return e / (1 + e), e / (1 + e) ** 2
    return (e - 1 if name == "expm1" else e), e


@pytest.mark.parametrize("name", NAMES)
def test_the_complex_step_gives_value_and_slope(name):
    a = np.concatenate([np.linspace(-40, 40, 161), [1e-9, -1e-9, 0.3, -0.3]])
    y = run(name, a + 1e-30j)
    values, slopes = zip(*(exact(name, v) for v in a), strict=True)
    np.testing.assert_allclose(y.imag, np.array(slopes, float) * 1e-30, rtol=1e-15, atol=0)
    np.testing.assert_allclose(y.real, np.array(values, float), rtol=1e-15, atol=1e-60)
    np.testing.assert_allclose(y.real, run(name, a), rtol=1e-15, atol=1e-60)


@pytest.mark.parametrize("name", NAMES)
def test_the_complex_forms_are_the_functions_of_any_complex_number(name):
    random = np.random.default_rng(4)
    z = random.uniform(-5, 5, 200) + 1j * random.uniform(-1.5, 1.5, 200)
    plain = {
        "tanh": cmath.tanh,
        "sigmoid": lambda v: 1 / (1 + cmath.exp(-v)),
        "exp": cmath.exp,
        "expm1": lambda v: cmath.exp(v) - 1,
    }
    np.testing.assert_allclose(run(name, z), [plain[name](v) for v in z], rtol=1e-13)


@pytest.mark.filterwarnings("error")
def test_float64_is_accurate_in_both_tails_and_silent():
    x = np.array([-700.0, -200.0, -37.5, -1.0, -1e-9, 0.0, 1e-9, 1.0, 37.5, 700.0])
    for name in NAMES:
        np.testing.assert_allclose(run(name, x), [float(exact(name, v)[0]) for v in x], rtol=4e-16)
    far = np.array([-np.inf, -1e308, 1e308, np.inf, np.nan])
    for name, ends in {"tanh": [-1, 1], "sigmoid": [0, 1], "exp": [0, np.inf], "expm1": [-1, np.inf]}.items():
        for y in (run(name, far), [getattr(elementary, name)(v) for v in far]):
            np.testing.assert_array_equal(y, [ends[0], ends[0], ends[1], ends[1], np.nan])


def test_magnitude_has_the_slope_of_the_absolute_value():
    z = np.array([3 + 1e-30j, -3 + 1e-30j, 0.5 - 2e-30j])
    np.testing.assert_array_equal(run("magnitude", z), [3 + 1e-30j, 3 - 1e-30j, 0.5 - 2e-30j])
    np.testing.assert_array_equal(run("magnitude", z.real.copy()), np.abs(z.real))


# ---------------------------------------------------------------- the twins


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", (*NAMES, "magnitude"))
def test_the_twin_in_python_gives_the_same_type_and_numbers(name, kind):
    random = np.random.default_rng(5)
    x = (random.uniform(-12, 12, 400) * np.exp2(random.uniform(-12, 0, 400))).astype(kind)
    if kind is np.complex128:
        x += 1e-30j
    twin = [getattr(elementary, name)(v) for v in x]
    assert {type(v) for v in twin} == {kind}
    native, twin = run(name, x), np.array(twin)
    if kind is np.float32:
        allowed = 4 if name == "tanh" else 2  # ulp: the twin rounds products that FMA does not
        assert (np.abs(native - twin) <= allowed * np.spacing(np.abs(twin))).all()
    else:
        np.testing.assert_allclose(native, twin, rtol=1e-15)
        np.testing.assert_allclose(native.imag, twin.imag, rtol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_muladd_is_a_product_and_a_sum_in_every_dtype(kind):
    a, b, c = np.array([1.5, -0.7, 0.3]).astype(kind)
    for value in (_muladd(a, b, c), elementary.muladd(a, b, c)):
        np.testing.assert_allclose(value, a * b + c, rtol=2 * np.finfo(kind).eps)
    assert isinstance(elementary.muladd(a, b, c), kind)


@pytest.mark.skipif(not JIT, reason="the compiler's refusal")
def test_an_integer_is_refused():
    with pytest.raises(TypingError):
        run("tanh", np.arange(3))
