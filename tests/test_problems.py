"""Problems and recipes: what is decided before a training, and that nothing of the test rows gets into it."""

import json
from pathlib import Path

import numpy as np
import pytest
from forecast_models import wave

from nbrnn.csvfile import Table
from nbrnn.problems import Problem, make_problem
from nbrnn.recipes import Recipe, recipe_from_dict
from nbrnn.targets import cpu

needs_jit = pytest.mark.skipif(not cpu.JIT, reason="takes minutes in plain Python")
PARTS = {"training": slice(0, 50), "validation": slice(50, 64), "test": slice(64, 80)}
SMALL = Recipe(window=5, units=(3,), epochs=2, batch_size=8)


def small_problem(table=None, **changes):
    settings = {"targets": ("a",), "parts": PARTS, "season": 12} | changes
    return Problem(wave() if table is None else table, **settings)


def written(path, rows=60, header="day,Sales,Price"):
    rng = np.random.default_rng(0)
    numbers = rng.uniform(1, 9, (rows, 2))
    days = np.arange(np.datetime64("2001-01-01"), np.datetime64("2001-01-01") + rows)
    lines = [f"{day},{a:.3f},{b:.3f}" for day, (a, b) in zip(days, numbers, strict=True)]
    path.write_text("\n".join([header, *lines]) + "\n")
    return str(path)


def test_the_test_rows_change_neither_the_scaler_nor_the_weights():
    changed = wave().values.copy()
    changed[64:] = 1000 * np.random.default_rng(1).normal(size=(16, 1))
    first = small_problem().fit(SMALL, verbose=0)
    second = small_problem(Table(changed, ("a",), wave().dates, "changed")).fit(SMALL, verbose=0)
    assert first.scaler.to_dict() == second.scaler.to_dict()
    for a, b in zip(first.model.get_weights(), second.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(first.tail.values, wave().values[59:64])


def test_the_validation_rows_decide_when_to_stop():
    recipe = Recipe(window=5, units=(4,), epochs=60, patience=3, learning_rate=0.05, batch_size=8)
    forecaster = small_problem().fit(recipe, verbose=0)
    losses = forecaster.model.history.history["val_loss"]
    assert len(losses) < 60 and int(np.argmin(losses)) == len(losses) - 4
    found = small_problem().backtest(forecaster, "validation")
    scale = float(forecaster.scaler.scale[0])
    assert (found.score("rmse") / scale) ** 2 == pytest.approx(min(losses), rel=1e-4)
    without = small_problem(parts={"training": slice(0, 64), "test": slice(64, 80)}).fit(SMALL, verbose=0)
    assert "val_loss" not in without.model.history.history


def test_every_part_has_all_its_rows_as_targets():
    problem = small_problem()
    forecaster = problem.fit(SMALL, verbose=0)
    rows = {name: problem.backtest(forecaster, name).rows.tolist() for name in problem.parts}
    assert rows == {"training": [*range(12, 50)], "validation": [*range(50, 64)], "test": [*range(64, 80)]}
    with pytest.raises(ValueError, match="there is no holdout part; the split made training, validation, test"):
        problem.backtest(forecaster, "holdout")


def test_a_recipe_makes_the_network_that_it_names():
    recipe = Recipe(9, 2, "gru", (6, 4), 0.2, loss="huber", optimizer="adamw", learning_rate=0.01, seed=5, seeds=2)
    forecaster = recipe.forecaster(3, ("a", "b"))
    first, second = forecaster.models
    assert [type(layer).__name__ for layer in first.layers] == ["GRU", "GRU", "Dense"]
    assert first.input_shape == (9, 3) and first.output_shape == (4,)
    assert (first.layers[0].dropout, first.layers[1].dropout, first.layers[1].recurrent_dropout) == (0.0, 0.2, 0.2)
    assert (first.seed, second.seed) == (5, 6) and first.optimizer.name == "adamw"
    assert first.optimizer.learning_rate == pytest.approx(0.01) and first.loss.name == "huber"
    assert recipe_from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_a_packaged_series_brings_its_target_season_and_unit():
    problem = make_problem("beijing")
    assert problem.targets == ("pm25",) and problem.season == 7 and problem.unit("pm25") == "ug/m3"
    assert problem.parts == {"training": slice(0, 1277), "validation": slice(1277, 1551), "test": slice(1551, 1825)}
    assert make_problem("beijing", target="temp", features=["temp", "pres"]).table.columns == ("temp", "pres")
    assert make_problem("beijing", target="all").targets == problem.table.columns


def test_dates_split_the_sunspots():
    problem = make_problem("sunspots", train_until="1965", validate_until="1975")
    first = [problem.table.dates[at.start] for at in problem.parts.values()]
    assert first == ["1749-01", "1966-01", "1976-01"]


def test_a_csv_file_of_one_column_needs_no_target(tmp_path):
    path = written(tmp_path / "x.csv", header="day,v,w")
    assert make_problem(path, features=["v"]).targets == ("v",)
    problem = make_problem(Path(path), target="w", known=["v"], split=0.8)
    assert problem.known == ("v",) and [*problem.parts] == ["training", "test"] and problem.judged == "test"


def test_the_description_says_what_is_done():
    problem = make_problem("sunspots")
    text = problem.describe(Recipe(), problem.forecaster(Recipe()))
    for words in ("1974 rows, 1749-01 to 1913-06", "they decide when to stop", "untouched, for nbrnn evaluate"):
        assert words in text
    assert "0 to 238.9 becomes 0 to 1, measured on the training rows only" in text
    assert max(map(len, text.splitlines())) < 80
    airline = make_problem("airline")
    recipe = Recipe(window=12, horizon=3, transform="log-difference", scale="standard")
    told = " ".join(airline.describe(recipe, airline.forecaster(recipe)).split())
    assert "outside the training rows' range" not in told + text
    raw = " ".join(airline.describe(Recipe(), airline.forecaster(Recipe())).split())
    values = airline.table.column(0)
    outside = np.mean(values[airline.parts["validation"]] > values[airline.parts["training"]].max())
    assert f"{100 * outside:.0f} % of the validation rows of Passengers lie outside" in raw and outside > 0.1
    assert "changes of the targets' logarithms" in told and "12 rows -> the 3 rows after them" in told


@pytest.mark.parametrize("order", ["turned round", "shuffled"])
def test_rows_in_the_wrong_order_are_refused(tmp_path, order):
    days = [f"{day},{day[-2:]}" for day in np.datetime_as_string(np.arange("2001-01-01", "2001-04-01", dtype="M8[D]"))]
    days = days[::-1] if order == "turned round" else [*days[1::2], *days[::2]]
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["day,v", *days]) + "\n")
    with pytest.raises(ValueError, match=r"the dates of x are not in order: .*(turn them round|1 row is out of order)"):
        make_problem(str(path))


def test_a_clock_that_is_put_back_is_no_disorder(tmp_path):
    halves = np.arange("2001-10-28", "2001-10-29", 30, dtype="M8[m]").tolist()
    hours = [*halves[:6], *halves[4:]]
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["time,v", *(f"{hour},{k % 7}" for k, hour in enumerate(hours))]) + "\n")
    assert "1 row is out of order" in make_problem(str(path)).remarks[0]


def test_what_is_seen_and_not_predicted_bounds_the_forecast_and_is_told_before(tmp_path):
    path = tmp_path / "x.csv"
    rows = np.random.default_rng(0).uniform(1, 9, (60, 3))
    np.savetxt(path, rows, delimiter=",", header="v,w,p", comments="")
    for more, words in (
        ({"known": ["p"]}, "3 rows ahead and no further, for w would have to be known"),
        ({"known": ["w", "p"]}, None),
        ({"features": ["v"]}, None),
    ):
        problem = make_problem(str(path), target="v", **more)
        recipe = Recipe(window=5, horizon=3)
        told = " ".join(problem.describe(recipe, problem.forecaster(recipe)).split())
        assert ("no further" in told) == (words is not None) and (words or "") in told


def test_missing_values_and_gaps_in_the_dates_are_told(tmp_path):
    path = tmp_path / "x.csv"
    written(path)
    lines = path.read_text().splitlines()
    lines[9] = lines[9].split(",")[0] + ",,1.0"
    del lines[30]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match="line 10"):
        make_problem(str(path), target="Sales")
    filled = make_problem(str(path), target="Sales", missing="interpolate")
    assert not filled.masked and "filled by straight lines" in filled.remarks[0] and "2001-01-2" in filled.remarks[1]
    masked = make_problem(str(path), target="Sales", missing="mask")
    forecaster = masked.fit(Recipe(window=5, epochs=1, missing="mask"), verbose=0)
    assert masked.masked and np.isfinite(masked.backtest(forecaster, "validation").score("rmse"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"window": 50}, "50 training rows .80 in all., but a window of 50 needs at least 51"),
        ({"window": 45, "horizon": 6}, "a window of 45 with horizon 6 needs at least 51"),
        ({"horizon": 15, "window": 5}, "the validation part has 14 rows, but a horizon of 15"),
    ],
)
def test_a_recipe_that_does_not_fit_a_series_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        small_problem().check(Recipe(**changes))
    with pytest.raises(ValueError, match="a season of 50 needs at least 51"):
        small_problem(season=50).check(SMALL)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Recipe(window=0), "window must be a whole number of at least 1, not 0"),
        (lambda: Recipe(batch_size=0), "batch-size must be a whole number"),
        (lambda: Recipe(units=8), r"units must be a tuple with a number for each layer, such as .8,., not 8"),
        (lambda: Recipe(units=()), "units must name at least one layer"),
        (lambda: Recipe(units=(3, 0)), "units must be a whole number"),
        (lambda: Recipe(dropout=1.0), "dropout must be a number of at least 0 and below 1"),
        (lambda: Recipe(cell="gruu"), "cell 'gruu' is unknown .did you mean 'gru'"),
        (lambda: Recipe(loss="msse"), "'msse' is unknown"),
        (lambda: Recipe(optimizer="adm"), "optimizer 'adm' is unknown .did you mean 'adam'"),
        (lambda: Recipe(learning_rate=0.0), "learning-rate must be a number above 0"),
        (lambda: Recipe(scale="z"), "scale 'z' is unknown"),
        (lambda: Recipe(transform="diff"), "transform 'diff' is unknown"),
        (lambda: recipe_from_dict({"wndow": 3}), "a recipe has no wndow"),
        (lambda: small_problem(targets=("b",)), "no column 'b'"),
        (lambda: small_problem(known=("a",)), "a is to be predicted, so its future cannot be known"),
        (lambda: small_problem(season=0), "season must be a whole number"),
        (lambda: make_problem("italy-power"), "labelled sequences"),
        (lambda: make_problem("beijing", target=["pm25", "tmp"]), "no column 'tmp' .did you mean 'temp'"),
        (lambda: make_problem("airline", split=0.7, train_until="1955"), "not by both"),
        (lambda: make_problem("airline", validate_until="1955"), "validate-until needs --train-until"),
        (lambda: make_problem("airline", split=(0.5, 0.5, 0.5)), "share"),
        (lambda: make_problem("airline", train_until="1999"), "part without rows"),
        (lambda: make_problem(wave()), "name of a packaged series or of a CSV file, not a Table; a Forecaster takes"),
        (lambda: make_problem(np.ones(90)), "not a ndarray; a Forecaster takes"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(call, words):
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


@needs_jit
def test_the_defaults_beat_the_last_value_on_sunspots():
    problem = make_problem("sunspots")
    scores = []
    for seed in range(5):
        forecaster = problem.fit(Recipe(seed=seed), verbose=0)
        found = problem.backtest(forecaster, "validation")
        scores.append(found.score("rmse"))
    assert found.score("rmse", "last value") == pytest.approx(17.142, abs=1e-3)
    assert max(scores) < 17.1
