"""The Forecaster: nothing leaks, and what it says in raw units is what loops over windows give."""

import numpy as np
import pytest
from forecast_models import fitted, small_model, wave

import nbrnn
from nbrnn.csvfile import Table
from nbrnn.forecasting import Forecaster

TRANSFORMS = ("none", "log", "difference", "log-difference")


def naive_paths(forecaster, table, steps, origin, future=None):
    """Return one model's forecast (S, T) after a row, step by step on lists, from its own definition."""
    model, kind, targets = forecaster.models[0], forecaster.transform.kind, list(forecaster.target_columns)
    low, scale = forecaster.scaler.shift, forecaster.scaler.scale
    raw = [row.copy() for row in table.values[: origin + 1]]

    def inside(rows):
        rows = np.array(rows)
        turned = rows.copy()
        if "log" in kind:
            turned[:, targets] = np.log(turned[:, targets])
        if "difference" in kind:
            turned[1:, targets] = np.diff(turned[:, targets], axis=0)
            turned = turned[1:]
        return (turned - low) / scale

    found = []
    while len(found) < steps:
        window = inside(raw)[-forecaster.window :]
        outputs = model.predict(window[None])[0].reshape(-1, len(targets))
        for out in outputs[: steps - len(found)]:
            values = out * scale[targets] + low[targets]
            if "difference" in kind:
                before = raw[-1][targets]
                values = np.log(before) + values if "log" in kind else before + values
            values = np.exp(values) if "log" in kind else values
            row = raw[-1].copy() if future is None else future[len(found)].copy()
            row[targets] = values
            raw.append(row)
            found.append(values)
    return np.array(found[:steps])


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize(("columns", "target", "horizon"), [(1, None, 1), (1, None, 3), (3, None, 2), (2, 1, 2)])
def test_every_forecast_is_what_loops_over_rows_give(transform, columns, target, horizon):
    outputs = horizon * (columns if target is None else 1)
    known = [] if target is None else [0]
    forecaster, table = fitted(columns, outputs, target=target, transform=transform, known=known)
    assert forecaster.horizon == horizon and forecaster.past == 5 + ("difference" in transform)
    steps = 7
    future = None
    if target is not None:
        future = np.column_stack([np.random.default_rng(1).uniform(40, 60, steps), np.full(steps, np.nan)])
    given = None if future is None else future[:, :1]
    found = forecaster.forecast(steps, future=given)
    np.testing.assert_allclose(found, naive_paths(forecaster, table, steps, 79, future), rtol=1e-9)
    # from every origin within the series
    rolled = forecaster.predict(table, steps=steps)
    assert rolled.shape == (80 - forecaster.past - steps + 1, steps * len(forecaster.targets))
    for n in (0, 11, len(rolled) - 1):
        origin = forecaster.past - 1 + n
        expected = naive_paths(forecaster, table, steps, origin, table.values[origin + 1 :])
        np.testing.assert_allclose(rolled[n].reshape(steps, -1), expected, rtol=1e-9)


def test_the_scaler_sees_the_training_rows_only():
    table = wave(60, 2)
    changed = Table(np.vstack([table.values[:45], 1e4 * table.values[45:]]), table.columns, table.dates)
    for series in (table, changed):
        forecaster = Forecaster(small_model(columns=2), 5, nbrnn.MinMaxScaler(), target="b")
        forecaster.fit(series, validation=15, epochs=2, verbose=0)
        own = nbrnn.MinMaxScaler().fit(table.values[:45])
        np.testing.assert_array_equal(forecaster.scaler.scale, own.scale)
        if series is table:
            weights = forecaster.model.get_weights()
    for a, b in zip(weights, forecaster.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert forecaster.model.history.history["val_loss"][-1] > 1e4


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_the_validation_is_what_predict_scores_on_its_rows(transform):
    table = wave(60)
    forecaster = Forecaster(small_model(), 5, nbrnn.StandardScaler(), transform=transform)
    forecaster.fit(table, validation=0.25, epochs=1, verbose=0)
    X, y = forecaster.windows(table[45 - forecaster.past :])
    assert len(y) == 15
    loss = float(np.mean((forecaster.model.predict(X) - y) ** 2))
    assert forecaster.model.history.history["val_loss"][-1] == pytest.approx(loss, rel=1e-5)


def test_a_scaler_that_is_fitted_already_stays_as_it_is():
    scaler = nbrnn.MinMaxScaler().fit([0.0, 1000.0])
    Forecaster(small_model(), 5, scaler).fit(wave(), epochs=1, verbose=0)
    assert (scaler.shift, scaler.scale) == (0.0, 1000.0)


def test_without_a_scaler_the_numbers_are_raw():
    model, series = small_model(3), np.sin(np.arange(30.0))
    forecaster = Forecaster(model, 3).fit(series, epochs=1, verbose=0)
    windows = np.stack([series[k : k + 3, None] for k in range(27)]).astype(np.float32)
    np.testing.assert_array_equal(forecaster.predict(series), model.predict(windows).astype(np.float64))


def test_an_ensemble_forecasts_the_mean_of_its_models_closed_loops():
    forecaster, table = fitted(seeds=(0, 1, 2))
    single = []
    for model in forecaster.models:
        one = Forecaster(model, 5, forecaster.scaler)
        one.meet(table)
        one.tail = forecaster.tail
        single.append(one.forecast(6))
    np.testing.assert_allclose(forecaster.forecast(6), np.mean(single, axis=0), rtol=1e-12)
    np.testing.assert_allclose(forecaster.fan(6).paths, single, rtol=1e-12)


def test_missing_rows_are_skipped_by_the_model_and_are_no_targets():
    table = wave(60)
    values = table.values.copy()
    values[[10, 11, 30]] = np.nan
    holes = Table(values, table.columns, table.dates, "holes")
    forecaster = Forecaster(small_model(dtype="float64"), 5, nbrnn.MinMaxScaler(), missing="mask")
    forecaster.fit(holes, epochs=1, verbose=0)
    # by hand: a masked step of a SimpleRNN is no step
    inside = (values - np.nanmin(values)) / (np.nanmax(values) - np.nanmin(values))
    for origin in (12, 31, 59):
        window = inside[origin - 4 : origin + 1]
        window = window[~np.isnan(window[:, 0])]
        kernel, recurrent, bias, head, last = forecaster.model.get_weights()
        h = np.zeros(3)
        for row in window:
            h = np.tanh(row @ kernel + h @ recurrent + bias)
        expected = (h @ head + last) * (np.nanmax(values) - np.nanmin(values)) + np.nanmin(values)
        if origin < 59:
            np.testing.assert_allclose(forecaster.predict(holes)[origin - 4], expected, rtol=1e-9)
        else:
            np.testing.assert_allclose(forecaster.forecast(1)[0], expected, rtol=1e-9)
    with pytest.raises(ValueError, match=r"holes misses a value of a in row 10 \(2000-11\); fill it"):
        Forecaster(small_model(), 5).fit(holes, verbose=0)


def test_the_masked_fit_is_that_of_the_windows_whose_targets_are_there():
    values = wave(40).values.copy()
    values[[7, 20]] = np.nan
    one = Forecaster(small_model(), 5, missing="mask").fit(values, epochs=3, verbose=0)
    other = small_model()
    rows = np.where(np.isnan(values), 0, values).astype(np.float32)
    keep = [n for n in range(35) if not np.isnan(values[n + 5, 0])]
    x, y = np.stack([rows[n : n + 5] for n in keep]), np.stack([rows[n + 5] for n in keep])
    mask = np.stack([~np.isnan(values[n : n + 5, 0]) for n in keep])
    other.fit(x, y, mask=mask, epochs=3, verbose=0)
    for a, b in zip(one.model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("seeds", [(0,), (3, 4)])
def test_a_saved_file_is_enough_to_go_on(tmp_path, seeds):
    forecaster, table = fitted(2, 2, target=["b"], transform="difference", known=["a"], seeds=seeds)
    forecaster.save(tmp_path / "m", unit="m")
    again = Forecaster.load(tmp_path / "m")
    future = np.arange(9.0)
    np.testing.assert_array_equal(again.forecast(9, future=future), forecaster.forecast(9, future=future))
    np.testing.assert_array_equal(again.predict(table), forecaster.predict(table))
    assert [model.seed for model in again.models] == list(seeds)
    assert nbrnn.load_model(tmp_path / "m").get_weights()[0].shape == (2, 3)
    again.fit(table, epochs=1, verbose=0)


def test_a_model_without_a_forecaster_is_refused_by_name(tmp_path):
    small_model().save(tmp_path / "plain")
    with pytest.raises(ValueError, match="holds a model, but not the window, columns and units"):
        Forecaster.load(tmp_path / "plain")


# ---------------------------------------------------------------- bad input


def unfitted():
    return Forecaster(small_model(), 5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Forecaster("m", 5), "model must be a Sequential or a Model"),
        (lambda: Forecaster(small_model(), 0), "window must be a whole number of at least 1"),
        (lambda: Forecaster(small_model(), 5, stride=0), "stride must be a whole number"),
        (lambda: Forecaster(small_model(), 5, transform="logs"), "transform 'logs' is unknown .did you mean 'log'"),
        (lambda: Forecaster(small_model(), 5, missing="drop"), "missing 'drop' is unknown"),
        (lambda: Forecaster(small_model(), 5, transform="difference", missing="mask"), "needs every row"),
        (lambda: unfitted().forecast(1), "has not seen a series yet; call fit first"),
        (lambda: unfitted().predict(wave()), "has not seen a series yet; call fit first"),
        (lambda: unfitted().save("x"), "has not seen a series yet; call fit first"),
        (lambda: Forecaster(small_model(), 6).fit(wave()), "takes inputs of shape .5, 1., but a window of 6 rows"),
        (lambda: Forecaster(small_model(columns=2), 5).fit(wave(columns=2)), "1 outputs, no multiple of 2 targets"),
        (lambda: Forecaster(small_model(), 5, target="sale").fit(wave()), "no column 'sale'"),
        (lambda: Forecaster(small_model(), 5, target=["a", "a"]).fit(wave()), "named twice"),
        (lambda: Forecaster(small_model(), 5, known="a").fit(wave()), "a is to be predicted, so its future cannot"),
        (lambda: unfitted().fit(wave(), validation=80), "validation=80 leaves none of the 80 rows"),
        (lambda: unfitted().fit(wave(), validation=1.5), "validation must be a number of at least 0 and below 1"),
        (lambda: Forecaster(small_model(), 5, transform="log").fit(wave().values - 50), "must be above 0 everywhere"),
        (lambda: fitted()[0].forecast(0), "steps must be a whole number of at least 1"),
        (lambda: fitted()[0].forecast(1, series=wave(4)), "series has 4 rows, but the forecast looks back on 5"),
        (lambda: fitted()[0].forecast(1, series=wave(9, 2)[:]), None),
        (lambda: fitted()[0].forecast(2, future=[1.0]), "no column was named whose future is known"),
        (lambda: fitted()[0].fan(2, samples=5), "the model has no dropout"),
        (lambda: Forecaster(small_model(), 5, nbrnn.MinMaxScaler), "scaler must be one such as"),
        (lambda: Forecaster(small_model(), 5, "minmax"), "or None, not 'minmax'"),
        (
            lambda: unfitted().fit(np.arange(40.0), verbose=0).forecast(2, np.ones((40, 2))),
            "column1, but it has colu",
        ),
        (lambda: fitted(2, 1, target=0)[0].forecast(2), "must be given b, which it sees but does not predict"),
        (lambda: fitted(2, 1, target=0, known=1)[0].forecast(3), "needs the future values of b for 2 rows"),
        (lambda: fitted(2, 1, target=0, known=1)[0].forecast(3, future=[1.0]), "future has 1 rows, but .* needs 2"),
        (lambda: fitted(2, 2)[0].forecast(1, series=Table(wave().values, ("c",))), "must have the columns .* a, b"),
        (lambda: fitted()[0].forecast(1, series=Table(wave().values, ("price",))), "must have the columns .* a, but"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(call, words):
    if words is None:  # a table with more columns than were fitted gives those that are wanted
        assert call().shape == (1, 1)
        return
    with pytest.raises(ValueError, match=words):
        call()
