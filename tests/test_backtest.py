"""Rolling-origin evaluation: every figure is what naive loops over origins and steps give."""

import numpy as np
import pytest
from forecast_models import fitted

from nbrnn import scores
from nbrnn.backtest import METRICS, NETWORK, Backtest, backtest, score_text
from nbrnn.csvfile import Table


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("stride", [1, 3])
def test_the_forecasts_are_those_of_naive_loops(steps, stride):
    forecaster, table = fitted(3, 1, target="b", known=["a", "c"])
    part, training = slice(60, 80), slice(0, 45)
    found = backtest(forecaster, table, part, training, steps, season=12, stride=stride)
    x = table.values
    origins = [*range(60, 80 - steps + 1, stride)]
    assert found.rows.tolist() == origins
    ahead = range(steps)
    np.testing.assert_array_equal(found.actual[..., 0], [[x[r + s, 1] for s in ahead] for r in origins])
    design = np.array([np.concatenate([[1.0], x[r - 5 : r].ravel()]) for r in range(5, 45 - steps + 1)])
    weights = [np.linalg.lstsq(design, x[5 + s : 45 - steps + 1 + s, 1])[0] for s in ahead]
    places = [x[:45, 1][k::12].mean() for k in range(12)]
    naive = {
        "last value": lambda r, s: x[r - 1, 1],
        "drift": lambda r, s: x[r - 1, 1] + (s + 1) * (x[r - 1, 1] - x[0, 1]) / (r - 1),
        "seasonal-naive (12 rows)": lambda r, s: x[r + s - 12 * (1 + s // 12), 1],
        "season's mean (12 rows)": lambda r, s: places[(r + s) % 12],
        "least-squares AR(5)": lambda r, s: np.concatenate([[1.0], x[r - 5 : r].ravel()]) @ weights[s],
        NETWORK: lambda r, s: forecaster.forecast(s + 1, x[:r], x[r : r + s + 1][:, [0, 2]])[s, 0],
    }
    assert found.predicted.keys() == naive.keys()
    for name, rule in naive.items():
        expected = [[rule(r, s) for s in ahead] for r in origins]
        np.testing.assert_allclose(found.predicted[name][..., 0], expected, rtol=1e-9, err_msg=name)


def test_the_training_part_begins_where_every_baseline_knows_a_value():
    forecaster, table = fitted()
    found = backtest(forecaster, table, slice(0, 60), slice(0, 60), season=12, name="training")
    assert found.rows[0] == 12 and found.rows[-1] == 59 and len(found.known()) == 5
    assert backtest(forecaster, table, slice(0, 60), slice(0, 60)).rows[0] == 5


def test_a_forecaster_evaluates_its_last_rows():
    forecaster, table = fitted()
    found = forecaster.evaluate(table, 0.25, steps=2, season=12)
    other = backtest(forecaster, table, slice(60, 80), slice(0, 60), 2, 12)
    assert [*found.records()] == [*other.records()] and found.rows[0] == 60
    with pytest.raises(ValueError, match="rows=80 leaves none of the 80 rows"):
        forecaster.evaluate(table.values, 80)


def made(actual, **predicted):
    arrays = {name: np.asarray(values, float).reshape(np.shape(actual)) for name, values in predicted.items()}
    actual = np.asarray(actual, float)
    return Backtest(np.arange(len(actual)), actual, arrays, ("y",), np.array([2.0]))


def test_the_scores_leave_out_what_is_missing():
    actual = np.array([[[1.0], [2.0]], [[3.0], [np.nan]], [[4.0], [7.0]]])
    network = np.array([[[2.0], [2.5]], [[3.0], [9.0]], [[5.0], [6.0]]])
    found = made(actual, network=network, naive=np.where(actual == 7, np.nan, 1.0))
    a, p = np.array([1.0, 2, 3, 4, 7]), np.array([2.0, 2.5, 3, 5, 6])
    for metric in ("rmse", "mae", "smape", "r2"):
        assert found.score(metric) == pytest.approx(getattr(scores, metric)(a, p))
    assert found.score("mase") == pytest.approx(np.abs(a - p).mean() / 2)
    assert found.score("rmse", step=2) == pytest.approx(np.sqrt((0.5**2 + 1) / 2))
    assert np.isnan(found.score("rmse", "naive")) and found.known() == []
    assert found.score("mae", "naive", step=1) == pytest.approx(np.mean([0, 2, 3]))


def test_the_mase_is_that_of_the_training_rows():
    forecaster, table = fitted()
    for season, lag in ((None, 1), (12, 12)):
        found = backtest(forecaster, table, slice(60, 80), slice(0, 60), season=season)
        expected = scores.mase(
            found.actual[:, 0, 0], found.predicted[NETWORK][:, 0, 0], table.values[:60, 0], season=lag
        )
        assert found.score("mase") == pytest.approx(expected, rel=1e-12)


def test_a_baseline_goes_on_from_the_last_value_that_is_there():
    forecaster, table = fitted(missing="mask")
    values = table.values.copy()
    values[[0, 63, 64]] = np.nan
    holes = Table(values, table.columns, table.dates, "holes")
    found = backtest(forecaster, holes, slice(60, 80), slice(0, 60))
    assert np.isnan(found.actual[[3, 4], 0, 0]).all() and np.isfinite(found.score("rmse"))
    assert found.predicted["last value"][5, 0, 0] == values[62, 0]


def test_records_hold_every_figure():
    forecaster, table = fitted(2, 4)
    found = backtest(forecaster, table, slice(60, 80), slice(0, 60), 2, 12)
    records = [*found.records()]
    assert len(records) == 2 * 6 * 3 and {record["step"] for record in records} == {1, 2, "all"}
    one = next(r for r in records if r["target"] == "b" and r["forecast"] == "drift" and r["step"] == 2)
    assert one["mae"] == found.score("mae", "drift", 2, 1) and set(METRICS) < one.keys()


def test_the_verdict_says_what_is_beaten_at_which_steps():
    actual = np.zeros((4, 3, 1))
    level = np.ones((4, 3, 1))
    rising = level * np.array([0.5, 1.0, 2.0])[:, None]
    found = made(actual, network=level, worse=2 * level, better=0.5 * level, some=rising, unknown=level * np.nan)
    assert found.wins("some") == [3] and found.wins("worse") == [1, 2, 3]
    assert found.verdict() == (
        "On the test rows the network's RMSE is 1: it beats worse and some at 3 steps; it does NOT beat better and "
        "some at 1 to 2 steps."
    )
    one = made(actual[:, :1], network=level[:, :1], tie=level[:, :1])
    assert one.verdict() == "On the test rows the network's RMSE is 1: it does NOT beat tie."


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.01234567, "0.01235"),
        (9999.4, "9999"),
        (10162.4, "10162"),
        (-10162.4, "-10162"),
        (1.5e7, "1.5e+07"),
        (np.nan, "-"),
        (np.inf, "-"),
    ],
)
def test_large_figures_have_no_exponent_where_there_is_room(value, text):
    assert score_text(value) == text and len(text) <= 8


def test_the_tables_fit_80_columns():
    forecaster, table = fitted(2, 4)
    text = str(backtest(forecaster, table, slice(60, 80), slice(0, 60), 12, 12))
    assert max(map(len, text.splitlines())) < 80
    assert "RMSE by steps ahead" in text and text.count("network") == 4
    assert "12" in text.splitlines()[text.splitlines().index("") + 1]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f, t: backtest(f, t, slice(78, 80), slice(0, 60), 3), "test part has 2 rows, of which 2 can"),
        (lambda f, t: backtest(f, t, slice(60, 80), slice(0, 60), 0), "steps must be a whole number"),
        (lambda f, t: backtest(f, t, slice(60, 80), slice(0, 60)).score("mse"), "metric 'mse' is unknown"),
        (lambda f, t: backtest(f, t, slice(60, 80), slice(0, 60)).score("mae", "ar"), "forecast 'ar' is unknown"),
        (lambda f, t: backtest(f, t, slice(60, 80), slice(0, 60)).score("mae", step=2), "step must be from 1 to 1"),
    ],
)
def test_what_cannot_be_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call(*fitted())
