"""`nbrnn forecast`: the rows ahead are the Forecaster's, dates go on, the fan's coverage is counted, mistakes told."""

import csv
from pathlib import Path

import numpy as np
import pytest
from saved_models import ALONE, months, refused, run, sales, trained, write

from nbrnn import outlook
from nbrnn.csvfile import read_csv

KNOWN = "Month,Price,Promo"


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def dropping(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("dropping"), *ALONE, "--dropout", 0.3)


@pytest.fixture(scope="module")
def driven(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("driven"), "--target", "Sales", "--known", "Price,Promo")


def forecast_of(model, *options, out="out"):
    """Run nbrnn forecast; return what it printed, and forecast.csv's columns."""
    result = run("forecast", model, *options, "--out", out, "--no-plots")
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader((Path(out) / "forecast.csv").read_text().splitlines()))
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return result.output, {k: v if k == "date" else np.array(v, float) for k, v in columns.items()}


def test_the_rows_ahead_are_the_forecasters_and_the_dates_go_on(alone):
    model, forecaster, _ = alone
    printed, found = forecast_of(model, "--steps", 18)
    table = read_csv(model.parents[1] / "sales.csv", columns=["Sales"])
    assert found["date"] == months(18, 72) and found["step"].tolist() == list(range(1, 19))
    np.testing.assert_allclose(found["Sales mean"], forecaster.forecast(18, table)[:, 0], rtol=1e-6)
    values = table.column("Sales")
    np.testing.assert_allclose(found["Sales last value"], np.full(18, values[-1]))
    np.testing.assert_allclose(found["Sales seasonal-naive"], values[60 + np.arange(18) % 12])
    assert list(found) == ["step", "date", *(f"Sales {n}" for n in ("mean", "seasonal-naive", "last value"))]
    assert "Sales: 18 rows after 2020-12" in printed and "errors add up" in printed and "one path" in printed
    assert max(map(len, printed.splitlines())) <= 80


def test_commas_before_the_decimals_are_kept_in_mind(alone):
    rows = (alone[0].parents[1] / "sales.csv").read_text().splitlines()
    Path("werte.csv").write_text("\n".join(rows).replace(",", ";").replace(".", ",") + "\n")
    assert "--decimal" in refused("train", "werte.csv", "--target", "Sales", "--out", "comma")
    options = ("--target", "Sales", "--features", "Sales", "--window", 5, "--epochs", 1, "--units", 2, "--no-plots")
    found = []
    for file, more in (("werte.csv", ("--decimal", ",")), (alone[0].parents[1] / "sales.csv", ())):
        result = run("train", file, *options, *more, "--out", "comma")
        assert result.exit_code == 0, result.output
        found.append(forecast_of("comma", "--steps", 3)[1])
    np.testing.assert_array_equal(found[0]["Sales mean"], found[1]["Sales mean"])


def test_the_commands_that_look_into_a_model_take_its_folder(alone):
    folder = alone[0].parent
    for command in (("trace", folder, "--sequence", "1,2,3,2,1"), ("gradcheck", folder, "--samples", 1)):
        result = run(*command)
        assert result.exit_code == 0, result.output
    result = run("explore", folder, "--sequence", "1,2,3,2,1", "--out", "page.html")
    assert result.exit_code == 0 and Path("page.html").is_file(), result.output


def test_without_steps_a_season_is_forecast(alone):
    assert forecast_of(alone[0])[1]["date"] == months(12, 72)


def test_the_fan_of_seeds_is_their_paths_and_its_coverage_is_counted_on_the_validation_rows(ensemble):
    model, forecaster, notes = ensemble
    printed, found = forecast_of(model, "--steps", 4, "--level", 0.5)
    table = read_csv(model.parents[1] / "sales.csv", columns=["Sales"])
    paths = []
    for one in forecaster.models:
        rows = list(table.column("Sales"))
        for _ in range(4):
            window = (np.array(rows[-5:]) - forecaster.scaler.shift[0]) / forecaster.scaler.scale[0]
            inside = one.predict(window[None, :, None])[0, 0]
            rows.append(inside * forecaster.scaler.scale[0] + forecaster.scaler.shift[0])
        paths.append(rows[-4:])
    np.testing.assert_allclose(found["Sales mean"], np.mean(paths, axis=0), rtol=1e-5)
    for name, share in (("low", 0.25), ("high", 0.75)):
        np.testing.assert_allclose(found[f"Sales {name}"], np.quantile(paths, share, axis=0), rtol=1e-5)

    start, stop = notes["parts"]["validation"]
    held = []
    for first in range(start, stop - 4 + 1):
        fan = forecaster.fan(4, table[:first])
        low, high = fan.band(0.5)
        actual = table.column("Sales")[first : first + 4]
        held += ((low[:, 0] <= actual) & (actual <= high[:, 0])).tolist()
    assert f"The 50 % band held {100 * np.mean(held):.0f} % of the validation values (1 to 4 steps ahead)" in printed


def test_missing_values_count_neither_as_held_nor_as_missed(tmp_path):
    lines = [line if k not in (52, 57) else line.split(",")[0] + ",,1,1" for k, line in enumerate(sales())]
    model, forecaster, notes = trained(tmp_path, *ALONE, "--missing", "mask", "--seeds", 2, lines=lines)
    table = read_csv("sales.csv", columns=["Sales"], missing="keep")
    held = []
    for first in range(*notes["parts"]["validation"]):
        low, high = forecaster.fan(1, table[:first]).band(1.0)
        actual = table.column("Sales")[first]
        held += [] if np.isnan(actual) else [low[0, 0] <= actual <= high[0, 0]]
    assert len(held) == 9
    told = f"The 100 % band held {100 * np.mean(held):.0f} % of the validation values (1 step ahead)"
    assert told in forecast_of(model, "--steps", 1, "--level", 1)[0].replace("\n", " ")


def test_dropout_draws_as_many_paths_as_asked_for_the_same_for_one_seed(dropping):
    asked = ("--steps", 3, "--samples", 7, "--seed")
    drawn = {out: forecast_of(dropping[0], *asked, seed, out=out)[1] for out, seed in (("a", 0), ("b", 0), ("c", 1))}
    a, b, c = drawn.values()
    assert all(np.array_equal(a[name], b[name]) for name in a if name != "date")
    assert not np.array_equal(a["Sales low"], c["Sales low"])
    assert (a["Sales low"] < a["Sales high"]).all()
    printed, single = forecast_of(dropping[0], "--samples", 0)
    assert "Sales low" not in single and "one path" in printed


def test_another_file_is_gone_on_from_in_its_own_columns_order(alone, ensemble):
    lines = [f"{cells[2]},{cells[1]},{cells[0]}" for cells in (line.split(",") for line in sales(90, seed=5))]
    write("new.csv", lines, "Price,Sales,Month")
    printed, found = forecast_of(alone[0], "new.csv", "--steps", 2)
    table = read_csv("new.csv", columns=["Sales"])
    assert found["date"] == months(2, 90) and "after 2022-06" in printed
    np.testing.assert_allclose(found["Sales mean"], alone[1].forecast(2, table)[:, 0], rtol=1e-6)
    write("late.csv", sales(90, first=85))
    printed, found = forecast_of(ensemble[0], "late.csv", "--steps", 2)  # no longer than the window
    assert found["date"] == months(2, 90) and "There are no validation rows" in printed


def test_known_columns_come_from_another_file_where_the_series_ends(driven):
    model, forecaster, _ = driven
    assert len(forecast_of(model)[1]["date"]) == 1 and "--future FILE" in forecast_of(model)[0]
    plans = [f"{m},{price},{promo}" for m, _, price, promo in (line.split(",") for line in sales(78))]
    write("plans.csv", plans, KNOWN)
    _, found = forecast_of(model, "--future", "plans.csv", "--steps", 6)
    table = read_csv(model.parents[1] / "sales.csv")
    future = read_csv("plans.csv").values[72:]
    np.testing.assert_allclose(found["Sales mean"], forecaster.forecast(6, table, future)[:, 0], rtol=1e-6)
    assert len(forecast_of(model, "--future", "plans.csv")[1]["date"]) == 5  # a window; six rows would do for seven
    write("gap.csv", [line for line in plans if "2021-01" not in line], KNOWN)
    assert "must go on with 2021-01, in order, but after 2020-12 comes 2021-02" in refused(
        "forecast", model, "--future", "gap.csv"
    )
    write("past.csv", plans[:20], KNOWN)
    assert "after 2020-12 comes nothing" in refused("forecast", model, "--future", "past.csv")
    write("few.csv", ["2021-01,10"], "Month,Prices")
    assert "has no column 'Price' (did you mean 'Prices'?)" in refused("forecast", model, "--future", "few.csv")
    assert "needs the future values of Price, Promo for 5 rows" in refused("forecast", model, "--steps", 6)


def test_a_closed_loop_that_runs_out_to_a_constant_is_named(tmp_path):
    _, forecaster, notes = trained(tmp_path, *ALONE)
    kernel, recurrent, bias, head, last = forecaster.model.get_weights()
    rng = np.random.default_rng(0)
    shrunk = [rng.normal(0, 0.1, w.shape) for w in (kernel, recurrent, bias, head)]
    forecaster.model.set_weights([*shrunk, np.full_like(last, 0.4)])
    forecaster.save(tmp_path / "flat.safetensors", **notes)
    printed, found = forecast_of(tmp_path / "flat.safetensors", "--steps", 40)
    values, history = found["Sales mean"], read_csv("sales.csv", columns=["Sales"]).column("Sales")
    first = next(k for k in range(40) if np.ptp(values[k:]) < 0.01 * np.ptp(history))
    told = f"From step {first + 1} ({found['date'][first]}) on the closed loop of Sales stays at"
    assert told in " ".join(printed.split())
    assert "run out" not in forecast_of(tmp_path / "flat.safetensors", "--steps", 11)[0]  # less than a season


def test_a_cell_that_does_not_parse_a_step_that_differs_and_no_dates_are_refused(alone):
    model = alone[0]
    write("bad.csv", [*sales(30), "Smarch 2017,1,2,3"])
    assert "dates of bad cannot be read: dates row 30 (counted from 0) holds 'Smarch 2017'" in refused(
        "forecast", model, "bad.csv"
    )
    write("daily.csv", [f"2021-01-{k:02d},{k}" for k in range(1, 29)], "Day,Sales")
    told = "daily has a row a day, but the model was trained on a row a month"
    assert told in refused("forecast", model, "daily.csv")
    write("quarters.csv", sales(72)[::3])
    assert "a row a quarter, but the model was trained on a row a month" in refused("forecast", model, "quarters.csv")
    write("bare.csv", [line.split(",")[1] for line in sales()], "Sales")
    assert "bare has no column of dates, but the model's rows have dates, such as 20" in refused(
        "forecast", model, "bare.csv"
    )
    write("back.csv", sales()[::-1])
    assert "not in order: the rows run from the latest date" in refused("forecast", model, "back.csv")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--steps", 0], "steps must be a whole number of at least 1, not 0"),
        (["--steps", -3], "steps must be a whole number of at least 1, not -3"),
        (["--level", 0], "level must be a number above 0 and at most 1, not 0.0"),
        (["--level", 1.5], "level must be"),
        (["--samples", 5], "asks for dropout masks, but the model has no dropout"),
        (["--samples", -1], "samples must be a whole number of at least 0"),
        (["--future", "plans.csv"], "no column whose future is known"),
        (["nowhere.csv"], "there is no file nowhere.csv"),
        (["airline"], "airline has no column 'Sales'"),
        (["--missing", "guess"], "how 'guess' is unknown"),
    ],
)
def test_a_bad_option_is_refused_in_one_sentence(alone, options, words):
    assert words in refused("forecast", alone[0], *options)


def test_a_column_that_is_missing_is_refused_with_the_nearest(alone):
    write("new.csv", sales(), "Month,Sale,Price,Promo")
    assert "has no column 'Sales' (did you mean 'Sale'?)" in refused("forecast", alone[0], "new.csv")
    write("short.csv", sales(72, first=69))
    assert "has 3 rows, but the forecast looks back on 5" in refused("forecast", alone[0], "short.csv")


def test_a_file_that_is_no_model_and_one_without_a_series_are_refused(alone, tmp_path):
    write("x.csv", sales())
    assert "x.csv" in refused("forecast", "x.csv")
    assert "nothing.safetensors" in refused("forecast", "nothing.safetensors")
    assert refused("forecast", tmp_path)
    alone[1].model.save("plain.safetensors")
    assert "holds a model, but not the window" in refused("forecast", "plain.safetensors")
    alone[1].save("bare.safetensors")
    assert "does not say which series it was trained on" in refused("forecast", "bare.safetensors")
    alone[1].save("moved.safetensors", source="gone/sales.csv")
    assert "there is no file gone/sales.csv, on which the model was trained; name the file" in refused(
        "forecast", "moved.safetensors"
    )
    assert forecast_of("bare.safetensors", "x.csv", "--steps", 2)[1]["date"] == months(2, 72)


def test_ctrl_c_leaves_the_forecast_that_was_made(ensemble, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(outlook, "validation_coverage", stop)
    result = run("forecast", ensemble[0], "--steps", 3, "--out", "out")
    assert result.exit_code == 130 and [p.name for p in Path("out").iterdir()] == ["forecast.csv"]


def test_a_model_is_named_by_its_folder_too(alone):
    model = alone[0]
    _, found = forecast_of(model.parent, "--steps", 3)
    assert all(np.array_equal(found[name], forecast_of(model, "--steps", 3)[1][name]) for name in found)
    Path("empty").mkdir()
    assert "the folder empty holds no model.safetensors" in refused("forecast", "empty")


def test_several_targets_are_forecast_together_direct_and_on(tmp_path):
    model, forecaster, _ = trained(tmp_path, "--target", "all", "--horizon", 2, "--seeds", 2)
    printed, found = forecast_of(model, "--steps", 5)
    table = read_csv("sales.csv")
    said = forecaster.forecast(5, table)
    for k, name in enumerate(("Sales", "Price", "Promo")):
        np.testing.assert_allclose(found[f"{name} mean"], said[:, k], rtol=1e-5, atol=1e-6)
        assert (found[f"{name} low"] <= found[f"{name} high"]).all() and f"{name}: 5 rows after 2020-12" in printed
    assert "gives 2 steps at a time" in printed
    assert "errors add up" not in forecast_of(model, "--steps", 2)[0]
    result = run("forecast", model, "--out", "drawn")
    assert result.exit_code == 0, result.output
    assert {f"forecast-{k}.png" for k in (1, 2, 3)} <= {p.name for p in Path("drawn").iterdir()}


def test_columns_that_are_neither_predicted_nor_known_allow_the_horizon_only(tmp_path):
    model, _, _ = trained(tmp_path, "--target", "Sales", "--horizon", 3)
    assert len(forecast_of(model)[1]["date"]) == 3
    assert "it sees but does not predict" in refused("forecast", model, "--steps", 4)


def test_the_lessons_model_goes_on_and_is_judged_on_the_rows_after_its_training():
    from nbrnn.lesson import lesson_forecaster, lesson_parts

    forecaster = lesson_forecaster(0, epochs=1)
    forecaster.save("lesson.safetensors", source="sunspots", lesson=True)
    assert forecast_of("lesson.safetensors", "--steps", 2)[1]["date"] == ["1984-01", "1984-02"]
    result = run("evaluate", "lesson.safetensors", "--stride", 12, "--out", "out", "--no-plots")
    assert result.exit_code == 0 and "seasonal-naive (134 rows)" in result.output
    rows = list(csv.DictReader(Path("out/errors.csv").read_text().splitlines()))
    assert rows[0]["date"] == "1937-01" and len(rows) == 47 == len(lesson_parts(forecaster)[1].rows) + 1


def test_pictures_stand_beside_the_table(alone):
    result = run("forecast", alone[0], "--out", "out")
    assert result.exit_code == 0, result.output
    assert {p.name for p in Path("out").iterdir()} == {"forecast.csv", "forecast.png", "forecast.svg"}
