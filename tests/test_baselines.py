"""Baselines against loops, against the lesson's figures and against series that they must predict exactly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbrnn import baselines
from nbrnn.baselines import LeastSquaresAR, drift, last_value, rmse, seasonal_mean, seasonal_naive
from nbrnn.data import MinMaxScaler, StandardScaler, chronological_split, sliding_windows
from nbrnn.datasets import DATASETS, load_dataset

windows = {
    "seed": st.integers(0, 2**32 - 1),
    "length": st.integers(1, 6),
    "horizon": st.integers(1, 5),
    "stride": st.integers(1, 4),
    "target": st.sampled_from([None, 1, [2, 0]]),
}


def series_of(seed, rows=40, columns=3):
    return np.random.default_rng(seed).normal(size=(rows, columns))


def targets_of(target):
    return [0, 1, 2] if target is None else np.atleast_1d(target).tolist()


def test_the_figures_of_the_sunspots_lesson():
    scaled = MinMaxScaler().fit_transform(load_dataset("sunspots").values)
    past, future = chronological_split(scaled, share=0.8)
    ar = LeastSquaresAR(12).fit(past, stride=12)  # the windows that the lesson's network trains on
    figures = []
    for part in (past, future):
        _, y = sliding_windows(part, 12, stride=12)
        figures.append((rmse(last_value(part, 12, stride=12), y), rmse(ar.predict(part, stride=12), y)))
    np.testing.assert_allclose(figures, [[0.0629, 0.0514], [0.0796, 0.0781]], atol=5e-5)


def test_beijing_at_one_day_last_value_is_better_than_the_season():
    season = DATASETS["beijing"].season
    past, future = chronological_split(load_dataset("beijing").select("pm25"), share=0.8)
    _, y = sliding_windows(future, season)
    assert rmse(last_value(future, season), y) == pytest.approx(76, abs=0.5)
    assert rmse(seasonal_naive(future, season, season, history=past), y) == pytest.approx(112, abs=0.5)


@given(**windows)
def test_last_value_equals_a_loop(seed, length, horizon, stride, target):
    series = series_of(seed)
    X, y = sliding_windows(series, length, horizon, stride, target)
    naive = [[x[-1][c] for _ in range(horizon) for c in targets_of(target)] for x in X]
    found = last_value(series, length, horizon, stride, target)
    assert found.shape == y.shape
    np.testing.assert_array_equal(found, naive)


@given(season=st.integers(1, 30), past=st.integers(0, 20), **windows)
def test_seasonal_naive_equals_a_loop(season, past, seed, length, horizon, stride, target):
    everything = series_of(seed)
    series, history = everything[past:], everything[:past] if past else None
    _, y = sliding_windows(series, length, horizon, stride, target)
    naive = np.full(y.shape, np.nan)
    for n in range(len(y)):
        row = past + n * stride + length  # the first that is not known yet
        for k in range(horizon):
            source = row + k
            while source >= row:
                source -= season
            for j, c in enumerate(targets_of(target)):
                if source >= 0:
                    naive[n, k * len(targets_of(target)) + j] = everything[source, c]
    found = seasonal_naive(series, season, length, horizon, stride, target, history)
    np.testing.assert_array_equal(found, naive)


def test_a_season_is_predicted_exactly():
    season = series_of(3, 12, 2)
    series = np.tile(season, (6, 1))
    _, y = sliding_windows(series[24:], 5, horizon=30)
    np.testing.assert_array_equal(seasonal_naive(series[24:], 12, 5, horizon=30, history=series[:24]), y)


@given(season=st.integers(1, 30), past=st.integers(0, 20), given_training=st.booleans(), **windows)
def test_seasonal_mean_equals_a_loop(season, past, given_training, seed, length, horizon, stride, target):
    everything = series_of(seed)
    if not past:
        given_training = True
    seen = everything[: past + 9] if given_training else everything[:past]
    series, history = everything[past:], everything[:past] if past else None
    _, y = sliding_windows(series, length, horizon, stride, target)
    naive = np.full(y.shape, np.nan)
    for n in range(len(y)):
        for k in range(horizon):
            place = (past + n * stride + length + k) % season
            for j, c in enumerate(targets_of(target)):
                same = [row[c] for t, row in enumerate(seen) if t % season == place]
                if same:
                    naive[n, k * len(targets_of(target)) + j] = sum(same) / len(same)
    training = seen if given_training else None
    found = seasonal_mean(series, season, length, horizon, stride, target, history, training)
    np.testing.assert_allclose(found, naive)


@given(past=st.integers(0, 20), **windows)
def test_drift_equals_a_loop(past, seed, length, horizon, stride, target):
    everything = series_of(seed)
    series, history = everything[past:], everything[:past] if past else None
    _, y = sliding_windows(series, length, horizon, stride, target)
    naive = np.empty(y.shape)
    for n in range(len(y)):
        last = past + n * stride + length - 1
        for k in range(horizon):
            for j, c in enumerate(targets_of(target)):
                steps = [everything[t, c] - everything[t - 1, c] for t in range(1, last + 1)]
                mean = sum(steps) / len(steps) if steps else 0
                naive[n, k * len(targets_of(target)) + j] = everything[last, c] + (k + 1) * mean
    np.testing.assert_allclose(drift(series, length, horizon, stride, target, history), naive, atol=1e-12)


def test_lines_and_seasons_are_predicted_exactly():
    line = 3 - 0.5 * np.arange(30)
    _, y = sliding_windows(line, 4, horizon=7)
    np.testing.assert_allclose(drift(line, 4, horizon=7), y)
    season = series_of(6, 12, 2)
    series = np.tile(season, (6, 1))
    _, y = sliding_windows(series[24:], 5, horizon=30)
    np.testing.assert_allclose(seasonal_mean(series[24:], 12, 5, horizon=30, history=series[:24]), y)


def test_the_mean_of_the_day_of_the_year_tells_next_weeks_temperature_best():
    past, future = chronological_split(load_dataset("temperatures"), share=0.8)
    _, y = sliding_windows(future, 7, horizon=7)
    found = {
        "last": last_value(future, 7, horizon=7),
        "mean": seasonal_mean(future, 365, 7, horizon=7, history=past),
        "naive": seasonal_naive(future, 365, 7, horizon=7, history=past),
    }
    by_step = {name: [rmse(predicted[:, k], y[:, k]) for k in (0, 6)] for name, predicted in found.items()}
    np.testing.assert_allclose(by_step["mean"], 2.68, atol=0.02)  # however far ahead
    assert by_step["last"][0] < by_step["mean"][0] < by_step["naive"][0]  # tomorrow is as today
    assert by_step["mean"][1] < by_step["last"][1]


@given(order=st.integers(1, 3), extra=st.integers(0, 3), **{k: v for k, v in windows.items() if k != "length"})
def test_least_squares_equals_lstsq_over_all_windows(order, extra, seed, horizon, stride, target):
    series = series_of(seed, 90)
    past, future = series[:60], series[60:]
    X, y = sliding_windows(past, order, horizon, stride, target)
    design = np.column_stack([np.ones(len(X)), X.reshape(len(X), -1)])
    weights = np.linalg.lstsq(design, y)[0]
    Z, _ = sliding_windows(future, order + extra, horizon, stride, target)
    wanted = np.column_stack([np.ones(len(Z)), Z[:, extra:].reshape(len(Z), -1)]) @ weights
    ar = LeastSquaresAR(order, horizon, target).fit(past, stride)
    np.testing.assert_allclose(ar.predict(future, order + extra, stride), wanted, atol=1e-9)
    assert ar.weights.shape == (order, 3, y.shape[1]) and ar.intercept.shape == (y.shape[1],)


def test_least_squares_finds_the_rule_that_made_a_series_chunk_by_chunk(monkeypatch):
    monkeypatch.setattr(baselines, "CHUNK", 7)
    x = list(series_of(4, 2, 1)[:, 0])
    for _ in range(100):
        x.append(0.5 + 1.6 * x[-1] - 0.8 * x[-2])
    ar = LeastSquaresAR(2).fit(x)
    np.testing.assert_allclose([ar.intercept[0], ar.weights[1, 0, 0], ar.weights[0, 0, 0]], [0.5, 1.6, -0.8])
    _, y = sliding_windows(x, 2)
    np.testing.assert_allclose(ar.predict(x), y)
    sine = np.sin(0.04 * np.arange(2501))  # 50 lags, of which 2 suffice
    _, y = sliding_windows(sine, 50)
    assert rmse(LeastSquaresAR(50).fit(sine).predict(sine), y) < 1e-12


def test_scores_do_not_depend_on_the_scale():
    raw = load_dataset("airline").values
    scaler = StandardScaler().fit(raw)
    scaled = scaler.transform(raw)
    for predict in (lambda s: last_value(s, 12), lambda s: LeastSquaresAR(12).fit(s).predict(s)):
        _, y = sliding_windows(raw, 12)
        _, scaled_y = sliding_windows(scaled, 12)
        assert rmse(predict(raw), y) == pytest.approx(rmse(predict(scaled), scaled_y) * scaler.scale[0])


def test_rmse_and_baselines_refuse():
    series = series_of(5)
    assert rmse([[3.0]], [[7.0]]) == 4.0
    with pytest.raises(ValueError, match=r"rmse needs arrays of one shape that are not empty, not \(3, 1\)"):
        rmse(np.ones((3, 1)), np.ones(3))
    with pytest.raises(ValueError, match="not empty"):
        rmse([], [])
    for call in (
        lambda: last_value(series, 5, horizon=0),
        lambda: seasonal_naive(series, 5, 5, horizon=0),
        lambda: LeastSquaresAR(5, horizon=0),
        lambda: seasonal_mean(series, 5, 5, horizon=0, history=series),
        lambda: drift(series, 5, horizon=0),
    ):
        with pytest.raises(ValueError, match="horizon must be a whole number of at least 1, not 0"):
            call()
    with pytest.raises(ValueError, match="season must be a whole number"):
        seasonal_naive(series, 0, 5)
    with pytest.raises(ValueError, match="history has 2 columns, but series has 3"):
        seasonal_naive(series, 5, 5, history=series[:, :2])
    with pytest.raises(ValueError, match="needs the rows to take means of: training or history"):
        seasonal_mean(series, 5, 5)
    with pytest.raises(ValueError, match="training has 1 columns, but series has 3"):
        seasonal_mean(series, 5, 5, training=series[:, 0])
    with pytest.raises(ValueError, match="history has 2 columns, but series has 3"):
        drift(series, 5, history=series[:, :2])
    with pytest.raises(ValueError, match="order must be a whole number"):
        LeastSquaresAR(0)
    with pytest.raises(ValueError, match="call fit first"):
        LeastSquaresAR(3).predict(series)
    ar = LeastSquaresAR(3).fit(series)
    with pytest.raises(ValueError, match="length must be a whole number of at least 3, not 2"):
        ar.predict(series, length=2)
    with pytest.raises(ValueError, match="series has 2 columns, but the fit saw 3"):
        ar.predict(series[:, :2])
    with pytest.raises(ValueError, match="holds 40 rows, but a window of 40"):
        last_value(series, 40)
