"""The command line as a person meets it: the main job, mistakes in one sentence, data, 80 columns."""

import csv
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import nbrnn
from nbrnn.cli import main
from nbrnn.datasets import DATASETS
from nbrnn.forecastfile import load_forecaster
from nbrnn.problems import FORECASTS, make_problem
from nbrnn.targets import cpu

TABLES = {"model.safetensors", "history.csv", "predictions.csv", "metrics.json"}
PICTURES = {f"{name}.{kind}" for name in ("history", "series", "predictions") for kind in ("png", "svg")}
FILES = TABLES | PICTURES
needs_jit = pytest.mark.skipif(not cpu.JIT, reason="takes minutes in plain Python")


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Run every command in an empty folder."""
    monkeypatch.chdir(tmp_path)


def nbrnn_run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def written(name="x.csv", rows=60, value=lambda k: k % 7 + k / 50, header="Month,V"):
    """Write a CSV file of months and numbers."""
    lines = [header, *(f"{1990 + k // 12}-{k % 12 + 1:02d},{value(k)}" for k in range(rows))]
    Path(name).write_text("\n".join(lines) + "\n")


QUICK = ("--epochs", 1, "--window", 4, "--units", 2)


# ---------------------------------------------------------------- train


def score(output, name, column):
    """Return a number of the table that is printed: 0 RMSE, 1 MAE, 2 MASE ..."""
    line = next(line for line in output.splitlines() if line.startswith(name))
    return float(line[28:].split()[column])


@needs_jit
def test_the_main_job_with_its_defaults(tmp_path):
    result = nbrnn_run("train", "sunspots")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "nbrnn-out" / "sunspots"
    assert {p.name for p in folder.iterdir()} == FILES
    told = result.output.split("Written:")[1]
    assert all(name.partition(".")[0] in told for name in FILES)
    assert told.splitlines()[-3:] == [
        "into the folder nbrnn-out/sunspots",
        "For the test rows:  nbrnn evaluate nbrnn-out/sunspots",
        "For what comes:     nbrnn forecast nbrnn-out/sunspots",
    ]
    assert (folder / "predictions.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert score(result.output, "last value", 0) == pytest.approx(17.14)
    assert score(result.output, "seasonal-naive (134 rows)", 0) == pytest.approx(34.07)
    assert score(result.output, "least-squares AR(24)", 0) == pytest.approx(15.86, abs=0.011)
    assert score(result.output, "network", 0) < 17.1
    assert "it beats last value" in result.output
    for words in ("Total params: 1121", "1749-01 to 1913-06", "untouched, for nbrnn evaluate", "training rows only"):
        assert words in result.output

    rows = list(csv.DictReader((folder / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == [str(k) for k in range(1, len(rows) + 1)] and len(rows) > 10
    assert 0 < float(rows[-1]["loss"]) < float(rows[0]["loss"]) and rows[0]["seed"] == "0"

    forecaster, notes = load_forecaster(folder / "model.safetensors")
    assert forecaster.columns == ("Sunspots",) and notes["parts"]["test"] == [2397, 2820]
    assert notes["first_dates"]["test"] == "1948-10" and notes["recipe"]["window"] == 24
    problem = make_problem("sunspots")
    found = problem.backtest(forecaster, "validation")
    assert found.score("rmse") == pytest.approx(score(result.output, "network", 0), rel=1e-3)
    records = json.loads((folder / "metrics.json").read_text())
    assert {record["part"] for record in records} == {"training", "validation"}
    own = next(r for r in records if r["part"] == "validation" and r["forecast"] == "network")
    assert own["rmse"] == pytest.approx(found.score("rmse"), rel=1e-9)
    rows = list(csv.DictReader((folder / "predictions.csv").read_text().splitlines()))
    last = rows[-1]
    assert (last["part"], last["date"], last["row"], last["step"]) == ("validation", "1948-09", "2396", "1")
    assert float(last["Sunspots actual"]) == problem.table.values[2396, 0]
    assert float(last["Sunspots predicted"]) == pytest.approx(found.predicted["network"][-1, 0, 0])


def test_several_seeds_and_steps_make_one_forecast():
    written()
    options = ("--seeds", 2, "--seed", 5, "--horizon", 3, "--cell", "gru", "--units", "3,2", "--no-plots")
    result = nbrnn_run("train", "x.csv", "--epochs", 2, "--window", 4, "--out", "o", *options)
    assert result.exit_code == 0, result.output
    forecaster, notes = load_forecaster("o/model.safetensors")
    assert [model.seed for model in forecaster.models] == [5, 6] and forecaster.horizon == 3
    assert notes["recipe"]["units"] == [3, 2] and forecaster.forecast(7).shape == (7, 1)
    rows = list(csv.DictReader(Path("o/history.csv").read_text().splitlines()))
    assert [(row["seed"], row["epoch"]) for row in rows] == [("5", "1"), ("5", "2"), ("6", "1"), ("6", "2")]
    assert {row["step"] for row in csv.DictReader(Path("o/predictions.csv").read_text().splitlines())} == set("123")


def test_missing_values_are_refused_or_treated_as_is_said():
    written(value=lambda k: "" if k == 20 else k % 7)
    assert "line 22, column 'V'" in refused("train", "x.csv", *QUICK)
    for how, words in (("interpolate", "filled by straight lines"), ("mask", "stay so"), ("drop", "left out")):
        result = nbrnn_run("train", "x.csv", "--missing", how, "--no-plots", "--out", how, *QUICK)
        assert result.exit_code == 0 and words in result.output, result.output
        assert max(map(len, result.output.splitlines())) <= 80
    assert "how 'guess' is unknown" in refused("train", "x.csv", "--missing", "guess", *QUICK)


def test_the_same_seed_gives_the_same_files_and_another_seed_others():
    written()
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        result = nbrnn_run("train", "x.csv", "--seed", seed, "--out", folder, "--no-plots", *QUICK)
        assert result.exit_code == 0 and "No --season was given" in result.output
    files = {folder: Path(folder, "history.csv").read_text() for folder in "abc"}
    assert files["a"] == files["b"] != files["c"]
    weights = {folder: nbrnn.load_model(f"{folder}/model.safetensors").get_weights() for folder in "abc"}
    assert all(np.array_equal(a, b) for a, b in zip(weights["a"], weights["b"], strict=True))
    assert not os.path.exists("a/predictions.png")


@needs_jit
@pytest.mark.parametrize("name", [n for n in FORECASTS if n != "sunspots"])
def test_every_packaged_series_trains(name):
    result = nbrnn_run("train", name, "--epochs", 2)
    assert result.exit_code == 0, result.output
    assert {p.name for p in os.scandir(f"nbrnn-out/{name}")} == FILES
    assert max(map(len, result.output.splitlines())) <= 80


def test_a_csv_file_with_chosen_columns_and_a_season():
    Path("t.csv").write_text("day,a,b,c\n" + "".join(f"{k},{k % 5},{k % 3 + k},7\n" for k in range(50)))
    result = nbrnn_run("train", "t.csv", "--target", "b", "--features", "a, b", "--season", 5, *QUICK)
    assert result.exit_code == 0, result.output
    assert "predicts    b, from its own past and that of a" in result.output
    assert "seasonal-naive (5 rows)" in result.output and "No --season" not in result.output
    assert load_forecaster("nbrnn-out/t/model.safetensors")[0].targets == ("b",)


@needs_jit
def test_the_lesson_prints_the_published_scores_and_what_is_wrong():
    result = nbrnn_run("train", "sunspots", "--lesson")
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    for words in (
        "187 to train on, 46 to test on",
        "Total params: 19",
        "epoch 20/20",
        "Published RMSE, scaled: train 0.058, test 0.077",
        "over 20 seeds",
        "repeat the last value scores 0.063 and 0.080",
        "scaler has seen the test rows",
        "253.8 in 1957-10",
        "tanh",
        "strongest period is 134 months",
    ):
        assert words in text
    assert {p.name for p in os.scandir("nbrnn-out/sunspots-lesson")} == {
        "model.safetensors",
        "predictions.png",
        "predictions.svg",
    }
    assert max(map(len, result.output.splitlines())) <= 80
    assert load_forecaster("nbrnn-out/sunspots-lesson/model.safetensors")[1]["lesson"] is True


# ---------------------------------------------------------------- mistakes


def refused(*arguments):
    """Return the one sentence that a wrong command is answered with; nothing must be written."""
    before = {p for p, _, _ in os.walk(".")}
    result = nbrnn_run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.output.count("\n") == 1 and result.output.startswith("Error: "), result.output
    assert {p for p, _, _ in os.walk(".")} == before
    return result.output


def bad(k):
    """Return a series' value, with something else in the row of 1992-07."""
    return lambda row: k if row == 30 else row % 7


BAD_FILES = {
    "empty": (lambda: Path("x.csv").touch(), "x.csv is empty"),
    "header only": (lambda: written(rows=0), "no rows"),
    "text": (lambda: written(value=bad("many")), "x.csv, line 32, column 'V': found 'many'"),
    "nan": (lambda: written(value=bad("nan")), "a missing cell (line 32, column 'V')"),
    "inf": (lambda: written(value=bad("-inf")), "line 32, column 'V': found -inf"),
    "empty cell": (lambda: written(value=bad("")), "a missing cell (line 32, column 'V')"),
    "short": (lambda: written(rows=20), "14 training rows (20 in all), but a window of 24 needs at least 25"),
    "constant": (lambda: written(value=lambda k: 5), "column 'V' of series cannot be scaled, for every row holds 5"),
    "constant until the split": (lambda: written(value=lambda k: max(42, k)), "every row holds 42"),
    "a folder": (lambda: os.mkdir("x.csv"), "is a folder"),
    "two columns": (
        lambda: Path("x.csv").write_text("a,b\n" + "1,2\n" * 60),
        "x has the columns a, b; say which one is to be predicted (--target)",
    ),
}


@pytest.mark.parametrize(("make", "words"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_refused_in_one_sentence(make, words):
    make()
    assert words in refused("train", "x.csv")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--target", "W"], "has no column 'W'; it has V"),
        (["--features", "V,W"], "has no column 'W'"),
        (["--units", 0], "units must be a whole number of at least 1, not 0"),
        (["--units", "8,-1"], "units must be a whole number of at least 1, not -1"),
        (["--epochs", 0], "epochs must be a whole number of at least 1, not 0"),
        (["--batch-size", 0], "batch-size must be a whole number of at least 1, not 0"),
        (["--window", 0], "window must be a whole number of at least 1, not 0"),
        (["--window", 42], "42 training rows (60 in all), but a window of 42 needs at least 43"),
        (["--season", 0], "season must be a whole number of at least 1"),
        (["--season", 50], "a season of 50 needs at least 51"),
        (["--seed", -1], "seed must be a whole number of at least 0"),
        (["--horizon", 10], "the validation part has 9 rows, but a horizon of 10"),
        (["--cell", "gruu"], "cell 'gruu' is unknown (did you mean 'gru'?)"),
        (["--known", "V"], "V is to be predicted, so its future cannot be known"),
        (["--units", "many"], "--units takes whole numbers with ',' between them, not 'many'"),
        (["--train-until", "1999-01"], "part without rows"),
        (["--train-until", "1991", "--split", "0.8"], "not by both"),
        (["--learning-rate", 0], "learning-rate must be a number above 0"),
        (["--learning-rate", "nan"], "learning-rate must be a number above 0"),
        (["--split", 0], "training part without rows"),
        (["--split", 1], "test part without rows"),
        (["--split", 1.5], "split must be a number of at least 0 and at most 1, not 1.5"),
        (["--split", "nan"], "split must be"),
        (["--lesson"], "--lesson is about sunspots"),
    ],
)
def test_a_bad_option_is_refused_in_one_sentence(options, words):
    written()
    assert words in refused("train", "x.csv", *options)


def test_what_is_no_number_is_refused_by_name():
    result = nbrnn_run("train", "x.csv", "--window", "many")
    assert result.exit_code == 2 and "Invalid value for '--window': 'many'" in result.output


def test_a_name_that_does_not_exist_gets_the_nearest():
    assert "did you mean 'sunspots'?" in refused("train", "sunspot")
    assert "did you mean 'airline'?" in refused("data", "airlines")
    assert "known are sunspots" in refused("data", "qqqqqqq")
    written("sales.csv", header="Month,sales")
    assert "did you mean 'sales'?" in refused("train", "sales.csv", "--target", "sale")
    assert "there is no file sale.csv" in refused("train", "sale.csv")
    assert "did you mean 'sales.csv'?" in refused("train", "sale.csv")
    assert "there is no file" in refused("train", "nowhere/at/all.csv")
    assert "labelled sequences" in refused("train", "italy-power")


def test_the_lesson_takes_no_other_series_and_no_settings():
    assert "--lesson is about sunspots" in refused("train", "airline", "--lesson")
    settings = ("--units", 16, "--window", 9)
    assert "decides --window and --units itself" in refused("train", "sunspots", "--lesson", *settings)


def test_an_output_folder_that_cannot_be_written_is_refused_before_training():
    written()
    Path("taken").touch()
    assert "taken is a file" in refused("train", "x.csv", "--out", "taken")
    assert "cannot be written" in refused("train", "x.csv", "--out", "taken/below")
    if hasattr(os, "geteuid") and os.geteuid() != 0:
        os.mkdir("closed", 0o500)
        assert "cannot be written" in refused("train", "x.csv", "--out", "closed")


def test_a_full_disk_is_told_in_one_sentence(monkeypatch):
    written()

    def full(path, content):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("nbrnn.saving.write_whole", full)
    result = nbrnn_run("train", "x.csv", *QUICK)
    assert not os.listdir("nbrnn-out/x")
    assert result.exit_code == 2 and "No space left on device" in result.output.splitlines()[-1]


def test_a_loss_that_is_not_finite_ends_the_run_with_its_place():
    written(value=lambda k: k % 7)
    result = nbrnn_run("train", "x.csv", "--learning-rate", 1e38, "--epochs", 9, "--window", 4)
    assert result.exit_code == 2
    assert re.search(r"Error: .* is not finite in epoch \d+, batch \d+", result.output.splitlines()[-1])


# ---------------------------------------------------------------- data and info


def test_data_lists_every_series():
    result = nbrnn_run("data")
    assert result.exit_code == 0 and all(f"\n{name} " in "\n" + result.output for name in DATASETS)


@pytest.mark.parametrize("name", DATASETS)
def test_data_shows_origin_citation_licence_and_figures(name):
    result = nbrnn_run("data", name)
    flat = " ".join(result.output.split())
    known = DATASETS[name]
    for text in (known.description, known.origin, known.citation, known.licence, known.file, str(known.rows)):
        assert text in flat
    assert all(f"\n{column} " in result.output for column in known.columns)
    *lines, attribution = result.output.splitlines()
    assert max(map(len, lines)) < 80
    assert f"## {known.file}" in Path(attribution).read_text(encoding="utf-8")


def test_data_prints_the_figures_of_the_reference():
    line = next(line for line in nbrnn_run("data", "sunspots").output.splitlines() if line.startswith("Sunspots"))
    assert line.split()[1:] == ["58", "33.4", "0", "51.266", "253.8", "43.449"]


def test_info_names_versions_threads_jit_and_cache():
    result = nbrnn_run("info")
    assert result.exit_code == 0
    shown = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in result.output.splitlines())
    assert shown["nbrnn"] == nbrnn.__version__ and shown["numpy"] == np.__version__
    assert shown["JIT"].split()[0] == ("on" if cpu.JIT else "off")
    assert {"Python", "numba", "llvmlite", "threads", "threading layer", "cache folder"} <= shown.keys()
