"""Scalers: there and back, through JSON, and what cannot be scaled."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbrnn.csvfile import Table
from nbrnn.data import (
    MaxScaler,
    MinMaxScaler,
    StandardScaler,
    chronological_split,
    scaler_from_dict,
    sliding_windows,
)
from nbrnn.datasets import load_dataset

SCALERS = [MinMaxScaler, lambda: MinMaxScaler((-1.0, 0.5)), StandardScaler, MaxScaler]


def draw_series(seed, rows, columns):
    return np.random.default_rng(seed).normal(size=(rows, columns))


@pytest.mark.parametrize("make", SCALERS)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(2, 50), columns=st.integers(1, 4), exponent=st.integers(-3, 6))
def test_scaling_there_and_back(make, seed, rows, columns, exponent):
    series = draw_series(seed, rows, columns) * 10.0**exponent + 3.0
    scaler = make()
    scaled = scaler.fit_transform(series)
    assert scaled.dtype == np.float64
    again = scaler_from_dict(json.loads(json.dumps(scaler.to_dict())))
    np.testing.assert_array_equal(again.transform(series), scaled)
    assert repr(again) == repr(scaler)
    np.testing.assert_allclose(scaler.inverse_transform(scaled), series, rtol=1e-12, atol=1e-12 * abs(series).max())


def test_what_each_scaler_makes_of_a_column():
    series = draw_series(5, 60, 3)
    low_high = MinMaxScaler((-1, 3)).fit_transform(series)
    np.testing.assert_allclose([low_high.min(0), low_high.max(0)], [[-1] * 3, [3] * 3])
    unit = MinMaxScaler().fit_transform(series)
    assert unit.min() == 0.0 and unit.max() == 1.0  # exactly
    standard = StandardScaler().fit_transform(series)
    np.testing.assert_allclose([standard.mean(0), standard.std(0)], [[0] * 3, [1] * 3], atol=1e-14)
    np.testing.assert_array_equal(MaxScaler().fit_transform(series), series / abs(series).max(0))


def test_a_scaler_keeps_what_it_saw_when_it_was_fitted():
    past, future = chronological_split(load_dataset("airline").values, share=0.8)
    scaler = MinMaxScaler().fit(past)
    assert scaler.transform(future).max() > 1.0
    np.testing.assert_allclose(scaler.inverse_transform(scaler.transform(future)), future)


@pytest.mark.parametrize("make", SCALERS)
@pytest.mark.parametrize("target", [None, 2, [1], [2, 0]])
def test_predictions_of_some_columns_go_back_to_their_units(make, target):
    series = draw_series(6, 40, 3) * [1.0, 10.0, 100.0] + [5.0, 0.0, -7.0]
    scaler = make().fit(series)
    _, scaled = sliding_windows(scaler.transform(series), 6, horizon=4, target=target)
    _, raw = sliding_windows(series, 6, horizon=4, target=target)
    np.testing.assert_allclose(scaler.inverse_transform(scaled, columns=target), raw, rtol=1e-10, atol=1e-12)
    windows, _ = sliding_windows(series, 6)
    np.testing.assert_allclose(scaler.inverse_transform(scaler.transform(windows)), windows, rtol=1e-10, atol=1e-12)


def test_one_column_takes_any_shape_back():
    scaler = MinMaxScaler().fit(draw_series(7, 30, 1)[:, 0])
    values = draw_series(8, 30, 5)
    one_by_one = np.stack([scaler.inverse_transform(column) for column in values.T], axis=1)
    np.testing.assert_array_equal(scaler.inverse_transform(values), one_by_one)
    np.testing.assert_array_equal(scaler.transform(values[:, 0]), scaler.transform(values[:, :1])[:, 0])


@pytest.mark.parametrize("make", SCALERS)
def test_scalers_refuse(make):
    scaler, series = make(), draw_series(9, 12, 3)
    for call in (scaler.transform, scaler.inverse_transform, lambda _: scaler.to_dict()):
        with pytest.raises(ValueError, match="call fit first"):
            call(series)
    flat = series.copy()
    flat[:, 1] = 0.0
    with pytest.raises(
        ValueError, match=r"column 1 \(counted from 0\) of series cannot be scaled, for every row holds 0"
    ):
        scaler.fit(flat)
    with pytest.raises(ValueError, match="column 'snow' of series cannot be scaled"):
        scaler.fit(Table(flat, ("sun", "snow", "rain")))
    assert scaler.scale is None
    flat[3, 2] = np.nan
    with pytest.raises(ValueError, match=r"row 3, column 2 .* nan"):
        scaler.fit(flat)
    scaler.fit(series)
    for wrong in (series[:, :2], series[:, 0], 3.0):
        with pytest.raises(ValueError, match="fitted on 3 columns"):
            scaler.transform(wrong)
    with pytest.raises(ValueError, match="3 columns do not fit"):
        scaler.inverse_transform(series[:, :2])
    with pytest.raises(ValueError, match="columns must name columns from 0 to 2, not 3"):
        scaler.inverse_transform(series, columns=3)
    with pytest.raises(ValueError, match="real numbers only"):
        scaler.transform(["a"])


@pytest.mark.parametrize("constant", [0.1, 3.3, 1e300, -7.0])
def test_a_constant_that_rounding_makes_vary_is_refused(constant):
    for scaler in (StandardScaler(), MinMaxScaler()):
        with pytest.raises(ValueError, match="every row holds"):
            scaler.fit(np.full(7, constant))
    assert set(MaxScaler().fit_transform(np.full(7, constant))) == {np.sign(constant)}
    with pytest.raises(ValueError, match=r"it runs from -1.7e.308 to 1.7e.308"):
        MinMaxScaler().fit([-1.7e308, 1.7e308])


@pytest.mark.parametrize("feature_range", [(1, 0), (0, 0), (0, np.inf), (0,), 3, ("a", "b"), (np.nan, 1)])
def test_min_max_scaler_refuses_ranges(feature_range):
    with pytest.raises(ValueError, match="feature_range must be two finite numbers"):
        MinMaxScaler(feature_range)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "minmx"}, "did you mean 'minmax'"),
        ({"shift": None}, "cannot be read|no usable"),
        ({"scale": [0.0]}, "no usable"),
        ({"scale": [1.0, 2.0]}, "no usable"),
        ({"shift": ["a"]}, "cannot be read"),
        ({"feature_range": [1, 0]}, "cannot be read"),
        ({"wings": [2]}, "cannot be read"),
    ],
)
def test_a_damaged_description_is_refused(change, words):
    good = MinMaxScaler().fit([1.0, 2.0]).to_dict()
    with pytest.raises(ValueError, match=words):
        scaler_from_dict(good | change)
