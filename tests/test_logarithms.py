"""log and log1p: error in ulp, edges, the complex step, the twins in Python, and the fit behind them."""

import cmath
from decimal import Decimal, getcontext

import numpy as np
import pytest
from test_elementary import F4, FUSED, JIT, KINDS, looped, numbers, reference, tool, ulp

from nbrnn.kernels import elementary

getcontext().prec = 40
NAMES = ("log", "log1p")
LOOPS = {name: looped(name) for name in NAMES}
BOUNDS = {"log": 0.93 if FUSED else 1.5, "log1p": 1.44 if FUSED else 2.5}  # by tools/ulp.py, over all inputs


def run(name, x):
    y = np.empty_like(x)
    LOOPS[name](x, y)
    return y


@pytest.mark.parametrize("name", NAMES)
def test_the_error_stays_below_the_bound(name):
    borders = np.exp2(np.arange(-149, 128) + 0.5)
    near = np.concatenate([F4(end) * (1 + np.arange(-20, 21) * 2.0**-23) for end in (1, 2**-126, *borders)])
    x = np.concatenate([numbers(1, 2_000_000 if JIT else 1_000), near.astype(F4), np.linspace(-1, 1, 999, dtype=F4)])
    worst, where, _, count, wrong = ulp.compare(run(name, x), reference(name, x))
    assert wrong == 0 and worst <= BOUNDS[name] and count > 500, (worst, x[where])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_edges_are_exact(kind):
    x = np.array([0, -1, 1, np.inf, np.nan, -2, -np.inf], kind)
    nan = np.nan
    for name, y in {"log": [-np.inf, nan, 0, np.inf, nan, nan, nan], "log1p": [0, -np.inf, *[nan] * 5]}.items():
        some = x if name == "log" else np.array([0, -1, nan, nan, nan, -2, -np.inf], kind)
        np.testing.assert_array_equal(run(name, some), y)
        np.testing.assert_array_equal([getattr(elementary, name)(v) for v in some], y)
    tiny = np.array([1e-45, -1e-39, 1e-20], kind)
    np.testing.assert_array_equal(run("log1p", tiny), tiny)
    assert run("log1p", np.array([np.inf], kind))[0] == np.inf


def test_the_coefficients_are_the_fits():
    names, ideal, final = tool("fit_elementary").fit_log()
    assert {name: float(getattr(elementary, name)) for name in names} == names
    assert ideal <= final < 1.2 * ideal < 2.0**-27


@pytest.mark.parametrize("name", NAMES)
def test_the_complex_step_gives_value_and_slope(name):
    a = np.concatenate([np.geomspace(1e-12, 1e12, 97), [0.999999, 1.0, 1.000001]])
    y, shift = run(name, a + 1e-30j), int(name == "log1p")
    values = [float((Decimal(float(v)) + shift).ln()) for v in a]
    np.testing.assert_allclose(y.real, values, rtol=2e-15)
    np.testing.assert_allclose(y.imag, 1e-30 / (a + shift), rtol=4e-16)
    np.testing.assert_allclose(y.real, run(name, a), rtol=2e-15)


@pytest.mark.parametrize("name", NAMES)
def test_the_complex_forms_are_the_functions_of_any_complex_number(name):
    random = np.random.default_rng(4)
    z = random.uniform(-0.9, 5, 200) + 1j * random.uniform(-1.5, 1.5, 200)
    np.testing.assert_allclose(run(name, z), [cmath.log(v + (name == "log1p")) for v in z], rtol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_the_twin_in_python_gives_the_same_type_and_numbers(name, kind):
    x = np.exp2(np.random.default_rng(5).uniform(-30, 30, 400)).astype(kind)
    twin = [getattr(elementary, name)(v) for v in x]
    assert {type(v) for v in twin} == {kind}
    native, twin = run(name, x), np.array(twin)
    if kind is np.float32:  # the twin rounds products that FMA does not
        assert (np.abs(native - twin) <= 2 * np.spacing(np.abs(twin))).all()
    else:
        np.testing.assert_allclose(native, twin, rtol=1e-15)
