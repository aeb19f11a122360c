"""Forecaster, problems, comparison and the lesson: nothing leaks, and the scores are what naive loops give."""

import numpy as np
import pytest

import nbrnn
from nbrnn.csvfile import Table
from nbrnn.datasets import load_dataset
from nbrnn.forecasting import NETWORK, Comparison, Forecaster, Part
from nbrnn.lesson import (
    BATCH_SIZE,
    EPOCHS,
    lesson_model,
    lesson_problem,
    lesson_remarks,
    lesson_scores,
    strongest_period,
)
from nbrnn.problems import Problem, make_model, make_problem
from nbrnn.saving import load_extra
from nbrnn.targets import cpu

needs_jit = pytest.mark.skipif(not cpu.JIT, reason="takes minutes in plain Python")


def wave(rows=80, columns=1, name="wave"):
    t = np.arange(rows)[:, None]
    values = 50 + 30 * np.sin(2 * np.pi * t / 12 + np.arange(columns)) + np.random.default_rng(0).normal(size=(rows, 1))
    return Table(
        values, tuple("abcdef"[:columns]), tuple(f"{2000 + k // 12}-{k % 12 + 1:02d}" for k in range(rows)), name
    )


def small_problem(columns=1, **changes):
    settings = {"target": "a", "window": 5, "split": 60, "season": 12, "unit": "m", "title": "wave"} | changes
    return Problem(wave(columns=columns), **settings)


def trained(problem, epochs=2, seed=0):
    forecaster = problem.forecaster(make_model(problem, units=3, learning_rate=0.01, seed=seed))
    problem.fit(forecaster, epochs=epochs, batch_size=8, verbose=0)
    return forecaster


# ---------------------------------------------------------------- Forecaster


def test_the_forecaster_fits_its_scaler_on_what_it_is_given_and_answers_in_raw_units():
    series = wave(60, 2).values
    model = nbrnn.Sequential([nbrnn.SimpleRNN(3), nbrnn.Dense(1)], input_shape=(5, 2), seed=0)
    model.compile("adam")
    forecaster = Forecaster(model, window=5, scaler=nbrnn.MinMaxScaler(), target=1).fit(series, epochs=1, verbose=0)
    own = nbrnn.MinMaxScaler().fit(series)
    scaled = own.transform(series)
    windows = np.stack([scaled[k : k + 5] for k in range(55)])
    expected = model.predict(windows)[:, 0] * (series[:, 1].max() - series[:, 1].min()) + series[:, 1].min()
    np.testing.assert_allclose(forecaster.predict(series)[:, 0], expected, rtol=1e-6)


def test_a_scaler_that_is_fitted_already_stays_as_it_is():
    scaler = nbrnn.MinMaxScaler().fit([0.0, 1000.0])
    model = nbrnn.Sequential([nbrnn.SimpleRNN(2), nbrnn.Dense(1)], input_shape=(5, 1), seed=0)
    model.compile("adam")
    Forecaster(model, 5, scaler).fit(wave().values, epochs=1, verbose=0)
    assert (scaler.shift, scaler.scale) == (0.0, 1000.0)


def test_without_a_scaler_the_numbers_are_raw():
    model = nbrnn.Sequential([nbrnn.SimpleRNN(2), nbrnn.Dense(1)], input_shape=(3, 1), seed=0)
    model.compile("adam")
    series = np.sin(np.arange(30.0))
    forecaster = Forecaster(model, 3).fit(series, epochs=1, verbose=0)
    windows = np.stack([series[k : k + 3, None] for k in range(27)])
    np.testing.assert_array_equal(forecaster.predict(series), model.predict(windows).astype(np.float64))


@pytest.mark.parametrize("wrong", [{"window": 0}, {"window": 2.5}, {"window": 3, "stride": 0}])
def test_the_forecaster_refuses_wrong_sizes(wrong):
    model = nbrnn.Sequential([nbrnn.Dense(1)], input_shape=(3,), seed=0)
    with pytest.raises(ValueError, match="must be a whole number of at least 1"):
        Forecaster(model, **wrong)


def test_a_saved_model_file_is_enough_to_predict_in_raw_units(tmp_path):
    problem = small_problem(columns=2, target="b")
    forecaster = trained(problem)
    forecaster.save(tmp_path / "m.safetensors", **problem.notes())
    extra = load_extra(tmp_path / "m.safetensors")
    assert extra["columns"] == ["a", "b"] and extra["target_name"] == "b" and extra["unit"] == "m"
    assert extra["split"] == 60 and extra["split_date"] == "2005-01" and extra["season"] == 12
    scaler = nbrnn.data.scaler_from_dict(extra["scaler"])
    again = Forecaster(
        nbrnn.load_model(tmp_path / "m.safetensors"), extra["window"], scaler, extra["target"], extra["stride"]
    )
    np.testing.assert_array_equal(again.predict(problem.table), forecaster.predict(problem.table))


# ---------------------------------------------------------------- what is trained on, what is judged


def test_every_test_row_is_a_target_and_no_test_row_is_trained_on():
    problem = small_problem()
    comparison = problem.compare(trained(problem))
    assert comparison.test.rows.tolist() == list(range(60, 80))
    assert comparison.train.rows.tolist() == list(range(12, 60))  # a season earlier every baseline knows a value
    values = problem.table.column("a")
    for part in (comparison.train, comparison.test):
        np.testing.assert_array_equal(part.actual, values[part.rows])


def test_the_test_rows_change_neither_the_scaler_nor_the_weights():
    problem = small_problem()
    changed = problem.table.values.copy()
    changed[60:] = 1000 * np.random.default_rng(1).normal(size=(20, 1))
    other = small_problem()
    other = Problem(Table(changed, ("a",), None, "changed"), "a", 5, 60, 12)
    first, second = trained(problem), trained(other)
    assert first.scaler.to_dict() == second.scaler.to_dict()
    for a, b in zip(first.model.get_weights(), second.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_scores_are_those_of_naive_loops():
    problem = small_problem(columns=3, target="b")
    forecaster = trained(problem)
    comparison = problem.compare(forecaster)
    x = problem.table.values
    design = [np.concatenate([[1.0], x[r - 5 : r].ravel()]) for r in range(5, 60)]
    weights = np.linalg.lstsq(np.array(design), x[5:60, 1])[0]
    for part in (comparison.train, comparison.test):
        naive = {
            "last value": [x[r - 1, 1] for r in part.rows],
            "seasonal-naive (12 rows)": [x[r - 12, 1] for r in part.rows],
            "least-squares AR(5)": [np.concatenate([[1.0], x[r - 5 : r].ravel()]) @ weights for r in part.rows],
            NETWORK: forecaster.predict(x)[part.rows - 5, 0],
        }
        assert naive.keys() == part.predicted.keys()
        for name, predicted in naive.items():
            np.testing.assert_allclose(part.predicted[name], predicted, rtol=1e-6, err_msg=name)
            assert part.rmse(name) == pytest.approx(np.sqrt(np.mean((x[part.rows, 1] - predicted) ** 2)), rel=1e-6)
    low, high = x[:60, 1].min(), x[:60, 1].max()
    train_scaled, train_raw, test_scaled, test_raw = comparison.rmse("last value")
    assert train_scaled == pytest.approx(train_raw / (high - low))
    assert test_scaled == pytest.approx(test_raw / (high - low))


def test_without_a_season_there_is_no_seasonal_baseline():
    problem = small_problem(season=None)
    comparison = problem.compare(trained(problem))
    assert [*comparison.test.predicted] == [NETWORK, "last value", "least-squares AR(5)"]
    assert comparison.train.rows[0] == 5


def made_comparison(**scores):
    """Return a comparison whose forecasts have these test RMSEs."""
    part = Part(np.arange(4), np.zeros(4), {name: np.full(4, score) for name, score in scores.items()})
    return Comparison(part, part, 2.0)


def test_the_verdict_says_what_is_beaten_and_what_is_not():
    both = made_comparison(**{NETWORK: 2.0, "last value": 3.0, "AR": 1.0, "seasonal": np.nan})
    assert both.beaten() == {"last value": True, "AR": False}
    assert both.verdict() == (
        "On the test rows the network's RMSE is 2: it beats last value (3); it does NOT beat AR (1)."
    )
    assert "NOT" not in made_comparison(**{NETWORK: 0.5, "last value": 3.0, "AR": 1.0}).verdict()
    worst = made_comparison(**{NETWORK: 5.0, "last value": 3.0, "AR": 1.0, "x": 2.0}).verdict()
    assert worst.endswith("it does NOT beat last value (3), AR (1) and x (2).")
    assert made_comparison(**{NETWORK: 2.0, "AR": 2.0}).beaten() == {"AR": False}  # a tie is no win


def test_the_table_shows_scaled_and_raw_and_a_dash_for_what_is_unknown():
    lines = str(made_comparison(**{NETWORK: 2.0, "seasonal": np.nan})).splitlines()
    assert lines[2].split() == ["network", "1.0000", "2", "1.0000", "2"]
    assert lines[3].split() == ["seasonal", "-", "-", "-", "-"]
    assert max(map(len, lines)) < 80


# ---------------------------------------------------------------- problems


def test_a_packaged_series_brings_its_target_season_and_unit():
    problem = make_problem("beijing")
    assert problem.target == "pm25" and problem.season == 7 and problem.unit == "ug/m3" and problem.split == 1460
    assert len(problem.table.columns) == 8 and problem.column == 0
    assert make_problem("beijing", target="temp", features=["temp", "pres"]).table.columns == ("temp", "pres")


def test_a_csv_file_of_one_column_needs_no_target(tmp_path):
    (tmp_path / "x.csv").write_text("day,v\n" + "".join(f"2000-01-{k:02d},{k}\n" for k in range(1, 31)))
    problem = make_problem(str(tmp_path / "x.csv"), window=3)
    assert problem.target == "v" and problem.split == 24 and problem.season is None
    assert "training  24 rows, 2000-01-01 to 2000-01-24" in str(problem)


def test_the_description_says_what_is_done():
    text = str(make_problem("sunspots"))
    for words in ("2256 rows, 1749-01 to 1936-12", "564 rows, 1937-01 to 1983-12", "0 to 238.9", "training rows only"):
        assert words in text
    assert "2232 to train on, 564 to test on" in " ".join(text.split())
    assert max(map(len, text.splitlines())) < 80


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"window": 0}, "window must be a whole number of at least 1, not 0"),
        ({"window": 60}, "60 training rows .80 in all., but a window of 60 needs at least 61"),
        ({"season": 0}, "season must be a whole number"),
        ({"season": 60}, "a season of 60 needs at least 61"),
    ],
)
def test_a_problem_that_cannot_be_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        small_problem(**changes)


# ---------------------------------------------------------------- the main job, and the lesson


@needs_jit
def test_the_defaults_beat_the_last_value_on_sunspots():
    problem = make_problem("sunspots")
    scores = []
    for seed in range(5):
        forecaster = problem.forecaster(make_model(problem, units=16, learning_rate=0.001, seed=seed))
        problem.fit(forecaster, epochs=50, batch_size=16, verbose=0)
        comparison = problem.compare(forecaster)
        scores.append(comparison.rmse()[3])
    assert comparison.rmse("last value")[3] == pytest.approx(20.0907, abs=1e-4)
    assert np.median(scores) < 19.5 and sum(score < 20.09 for score in scores) >= 4


def test_the_lesson_has_its_windows_and_its_leaky_scaler():
    problem = lesson_problem()
    X, y = problem.forecaster(lesson_model(0)).windows(problem.table[: problem.split])
    assert X.shape == (187, 12, 1) and y[0, 0] == pytest.approx(0.2888100867, abs=1e-10)
    assert len(load_dataset("sunspots")) - problem.split == 564
    assert problem.scaler().scale == 253.8  # the largest of ALL rows
    assert lesson_model(0).count_params() == 19


@needs_jit
def test_the_lesson_scores_as_the_reference_says():
    problem = lesson_problem()
    train, test = np.median(lesson_scores(problem, range(20)), axis=0)
    assert 0.057 <= train <= 0.066 and 0.080 <= test <= 0.105


def test_the_lessons_baselines_and_remarks():
    problem = lesson_problem()
    forecaster = problem.forecaster(lesson_model(0))
    problem.fit(forecaster, epochs=EPOCHS if cpu.JIT else 1, batch_size=BATCH_SIZE, verbose=0)
    comparison = problem.compare(forecaster)
    assert len(comparison.train.rows) == 187 and len(comparison.test.rows) == 46
    assert comparison.rmse("last value")[::2] == pytest.approx((0.0629, 0.0796), abs=5e-5)
    assert comparison.rmse("least-squares AR(12)")[::2] == pytest.approx((0.0514, 0.0781), abs=5e-5)
    scores = np.array([[0.057, 0.081], [0.06, 0.09], [0.07, 0.17]])
    text = " ".join(lesson_remarks(problem, forecaster, comparison, scores).split())
    for words in ("train 0.058, test 0.077", "0.060 (0.057 to 0.070)", "253.8 in 1957-10", "is 134 months", "tanh"):
        assert words in text


def test_the_strongest_period_of_sunspots_is_the_solar_cycle():
    assert strongest_period(load_dataset("sunspots").column("Sunspots")) == 134
