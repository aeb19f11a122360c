"""A saved forecaster's problem made again: each row falls into the part that it was in, whatever the file."""

import numpy as np
import pytest
from saved_models import months, run, sales, trained, write

from nbrnn.forecastfile import load_forecaster
from nbrnn.reopening import reopen_problem

ALONE = ("--target", "Sales", "--features", "Sales")


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def dated(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("dated"), *ALONE, "--season", 12)


@pytest.fixture(scope="module")
def undated(tmp_path_factory):
    lines = [line.split(",")[1] for line in sales()]
    return trained(tmp_path_factory.mktemp("undated"), lines=lines, header="Sales")


def sizes(problem):
    return {name: at.stop - at.start for name, at in problem.parts.items()}


def test_the_series_of_the_training_gives_its_problem_again(dated):
    _, forecaster, notes = dated
    found = reopen_problem(forecaster, notes)
    assert sizes(found) == {"training": 50, "validation": 11, "test": 11} and found.season == 12
    assert found.targets == ("Sales",) and found.table.columns == ("Sales",)
    again = {k: v for k, v in notes.items() if k not in ("title", "recipe", "stopped")}
    assert {k: v for k, v in found.notes().items() if k != "title"} == again


@pytest.mark.parametrize(
    ("first", "rows", "parts"),
    [
        (0, 72, {"training": 50, "validation": 11, "test": 11}),
        (0, 90, {"training": 50, "validation": 11, "test": 29}),
        (0, 55, {"training": 50, "validation": 5}),
        (0, 50, {"training": 50}),
        (20, 90, {"training": 30, "validation": 11, "test": 29}),
        (55, 90, {"training": 0, "validation": 6, "test": 29}),
        (61, 90, {"training": 0, "test": 29}),
        (80, 90, {"training": 0, "test": 10}),
    ],
)
def test_rows_of_another_file_belong_to_a_part_by_their_dates(dated, first, rows, parts):
    write("x.csv", sales(rows, first=first))
    found = reopen_problem(*dated[1:], "x.csv")
    assert sizes(found) == parts
    for name, start in (("validation", 50), ("test", 61)):
        if name in parts:
            assert found.table.dates[found.parts[name].start] == months(1, max(first, start))[0]


def test_absent_rows_do_not_move_the_borders(dated):
    write("x.csv", [line for k, line in enumerate(sales()) if k not in (3, 20, 55)])
    assert sizes(reopen_problem(*dated[1:], "x.csv")) == {"training": 48, "validation": 10, "test": 11}


def test_rows_without_dates_belong_to_a_part_by_their_numbers(undated):
    _, forecaster, notes = undated
    assert sizes(reopen_problem(forecaster, notes)) == {"training": 50, "validation": 11, "test": 11}
    write("x.csv", [line.split(",")[1] for line in sales(80)], "Sales")
    assert sizes(reopen_problem(forecaster, notes, "x.csv")) == {"training": 50, "validation": 11, "test": 19}


def test_of_a_split_in_two_the_test_part_comes_after_the_training(tmp_path):
    _, forecaster, notes = trained(tmp_path, *ALONE, "--split", 0.8)
    assert sizes(reopen_problem(forecaster, notes)) == {"training": 57, "test": 15}
    write("x.csv", sales(90, first=10))
    assert sizes(reopen_problem(forecaster, notes, "x.csv")) == {"training": 47, "test": 33}


def test_without_notes_what_was_fitted_is_the_training_part(dated):
    _, forecaster, notes = dated  # its last rows were the validation's
    assert sizes(reopen_problem(forecaster, {}, notes["source"])) == {"training": 61, "test": 11}


def test_a_packaged_series_brings_its_season_and_units(tmp_path):
    result = run("train", "airline", "--epochs", 1, "--units", 2, "--no-plots", "--out", "air")
    assert result.exit_code == 0, result.output
    forecaster, notes = load_forecaster("air/model.safetensors")
    for known in (notes, {"source": "airline"}):
        found = reopen_problem(forecaster, known)
        assert found.season == 12 and found.unit("Passengers") == "thousands"


@pytest.mark.parametrize("how", ["interpolate", "drop", "mask"])
def test_missing_values_are_dealt_with_as_in_training(tmp_path, how):
    lines = [line if k not in (7, 53, 68) else line.split(",")[0] + ",,1,1" for k, line in enumerate(sales())]
    model, forecaster, notes = trained(tmp_path, *ALONE, "--missing", how, lines=lines)
    found = reopen_problem(forecaster, notes)
    assert len(found.table) == (69 if how == "drop" else 72) and found.masked == (how == "mask")
    for command in ("forecast", "evaluate"):
        result = run(command, model, "--out", "out")
        assert result.exit_code == 0, result.output
        assert "3 of 72 values are missing" in " ".join(result.output.split())


def test_a_model_that_skips_nothing_refuses_missing_values(dated):
    lines = [line if k != 7 else line.split(",")[0] + ",,1,1" for k, line in enumerate(sales())]
    write("x.csv", lines)
    with pytest.raises(ValueError, match="line 9, column 'Sales'"):
        reopen_problem(*dated[1:], "x.csv")
    with pytest.raises(ValueError, match="was not trained to skip them"):
        reopen_problem(*dated[1:], "x.csv", "mask")
    assert not np.isnan(reopen_problem(*dated[1:], "x.csv", "interpolate").table.values).any()


def test_a_few_days_of_one_week_are_no_other_step_than_business_days(tmp_path):
    days = np.busday_offset("2021-01-04", np.arange(60))
    values = np.random.default_rng(0).normal(size=60).cumsum()
    lines = [f"{day},{value}" for day, value in zip(days, values, strict=True)]
    quick = ("--epochs", 1, "--window", 30, "--units", 2, "--no-plots")
    _, forecaster, notes = trained(tmp_path, lines=lines, header="Day,Price", quick=quick)
    write("week.csv", lines[55:], "Day,Price")
    assert sizes(reopen_problem(forecaster, notes, "week.csv")) == {"training": 0, "test": 5}
    write("every.csv", [f"2021-02-{k:02d},{k}" for k in range(1, 29)], "Day,Price")
    with pytest.raises(ValueError, match="has a row a day, but the model was trained on a row a business day"):
        reopen_problem(forecaster, notes, "every.csv")
