"""Scores against loops and against scikit-learn's values, and what they say of zeros and of constant series."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbrnn import baselines, scores
from nbrnn.baselines import seasonal_naive
from nbrnn.data import sliding_windows
from nbrnn.scores import coverage, mae, mase, pinball, r2, rmse, smape

NAN = float("nan")
Y, F = [3.0, -0.5, 2.0, 7.0], [2.5, 0.0, 2.0, 8.0]  # the example in scikit-learn's documentation


def test_the_values_of_scikit_learn():
    assert mae(Y, F) == 0.5  # mean_absolute_error
    assert rmse(Y, F) == pytest.approx(math.sqrt(0.375))  # mean_squared_error
    assert r2(Y, F) == pytest.approx(0.9486081370449679)  # r2_score
    assert r2([1, 2, 3], [1, 2, 3]) == 1.0 and r2([1, 2, 3], [2, 2, 2]) == 0.0 and r2([1, 2, 3], [3, 2, 1]) == -3.0
    assert r2([-2, -2, -2], [-2, -2, -2]) == 1.0 and r2([-2, -2, -2], [-2, -2, -2 + 1e-8]) == 0.0
    assert pinball([1, 2, 3], [0, 2, 3], 0.1) == pytest.approx(0.1 / 3)  # mean_pinball_loss
    assert pinball([1, 2, 3], [1, 2, 4], 0.1) == pytest.approx(0.3)
    assert pinball([1, 2, 3], [0, 2, 3], 0.9) == pytest.approx(0.3)
    assert pinball([1, 2, 3], [1, 2, 4], 0.9) == pytest.approx(0.1 / 3)


NAIVE = {
    "mae": lambda y, f: sum(abs(a - b) for a, b in zip(y, f, strict=True)) / len(y),
    "rmse": lambda y, f: math.sqrt(sum((a - b) ** 2 for a, b in zip(y, f, strict=True)) / len(y)),
    "smape": lambda y, f: 100 / len(y) * sum(
        abs(a - b) / ((abs(a) + abs(b)) / 2) if (a, b) != (0, 0) else 0 for a, b in zip(y, f, strict=True)
    ),
    "r2": lambda y, f: 1 - sum((a - b) ** 2 for a, b in zip(y, f, strict=True)) / sum(
        (a - sum(y) / len(y)) ** 2 for a in y
    ),
    "pinball": lambda y, f: sum(0.3 * (a - b) if a > b else 0.7 * (b - a) for a, b in zip(y, f, strict=True)) / len(y),
}  # fmt: skip


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(2, 30), name=st.sampled_from(sorted(NAIVE)))
def test_scores_equal_loops(seed, rows, name):
    rng = np.random.default_rng(seed)
    y, f = rng.normal(size=(2, rows, 2)).round(1)
    y[0, 0] += 0.05  # not all equal
    more = [0.3] * (name == "pinball")
    found = getattr(scores, name)(y, f, *more)
    assert found == pytest.approx(NAIVE[name](y.ravel().tolist(), f.ravel().tolist()))
    assert math.isnan(getattr(scores, name)(np.where(y == y[0, 0], NAN, y), f, *more))
    assert math.isnan(getattr(scores, name)(y, np.where(f == f[0, 0], NAN, f), *more))


@given(seed=st.integers(0, 2**32 - 1), season=st.integers(1, 12))
def test_mase_is_the_mae_over_that_of_the_seasonal_naive_forecast(seed, season):
    rng = np.random.default_rng(seed)
    x, y, f = rng.normal(size=40), rng.normal(size=9), rng.normal(size=9)
    scale = sum(abs(x[t] - x[t - season]) for t in range(season, 40)) / (40 - season)
    assert mase(y, f, x, season) == pytest.approx(mae(y, f) / scale)
    _, targets = sliding_windows(x, season)
    assert mase(targets, seasonal_naive(x, season, season), x[:, None], season) == pytest.approx(1.0)


@given(seed=st.integers(0, 2**32 - 1))
def test_coverage_equals_a_loop(seed):
    rng = np.random.default_rng(seed)
    y, (low, high) = rng.integers(0, 9, 20), np.sort(rng.integers(0, 9, (2, 20)), axis=0)
    assert coverage(low, high, y) == sum(a <= c <= b for a, b, c in zip(low, high, y, strict=True)) / 20


def test_pinball_is_smallest_at_the_quantile():
    y = np.random.default_rng(3).normal(size=4001)
    forecasts = np.linspace(-2, 2, 401)
    for q in (0.1, 0.5, 0.9):
        losses = [pinball(y, np.full(4001, f), q) for f in forecasts]
        assert forecasts[np.argmin(losses)] == pytest.approx(np.quantile(y, q), abs=0.02)
    assert pinball(Y, F, 0.5) == mae(Y, F) / 2


def test_zeros_and_constant_series():
    assert smape([0, 0], [0, 0]) == 0.0 and smape([0, 0], [0, 1e-9]) == 100.0 and smape([1], [-1]) == 200.0
    assert math.isnan(mase(Y, F, [2, 2, 2])) and math.isnan(mase(Y, F, [1, 2, 1, 2, 1], season=2))
    assert mase(Y, Y, [1, 2]) == 0.0
    assert r2([0.1] * 3, [0.1] * 3) == 1.0 and r2([0.1] * 3, [0.1, 0.1, 0.2]) == 0.0
    assert math.isnan(r2([0.1] * 3, [0.1, 0.1, NAN])) and math.isnan(coverage([0.0], [NAN], [1.0]))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mae([1, 2], [[1, 2]]), r"mae needs arrays of one shape that are not empty, not \(2,\) and \(1, 2\)"),
        (lambda: smape([], []), "smape needs arrays of one shape that are not empty"),
        (lambda: r2(["a"], [1]), "real numbers only"),
        (lambda: coverage([1, 1], [2, 2], [1]), r"coverage needs .*, not \(1,\) and \(2,\)"),
        (lambda: coverage([1, 3], [2, 2.5], [1, 1]), r"interval 1 \(counted from 0\) runs from 3 to 2.5"),
        (lambda: pinball(Y, F, 1), "quantile must be below 1, not 1"),
        (lambda: pinball(Y, F, 0), "quantile must be a number above 0"),
        (lambda: mase(Y, F, [1, 2, 3], 3), r"one column of more than 3 rows, a season, not of shape \(3, 1\)"),
        (lambda: mase(Y, F, np.eye(3)), r"not of shape \(3, 3\)"),
        (lambda: mase(Y, F, [1, NAN]), "training must hold finite numbers only, but row 1"),
        (lambda: mase(Y, F, [1, 2], 0), "season must be a whole number of at least 1, not 0"),
    ],
)
def test_scores_refuse(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_baselines_hand_on_rmse():
    assert baselines.rmse is rmse
