"""`nbrnn evaluate`: scores of the rows that they should be, beside baselines; what order is worth; mistakes told."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from saved_models import months, refused, run, sales, write

from nbrnn import scrambling
from nbrnn.csvfile import read_csv
from nbrnn.forecastfile import load_forecaster
from nbrnn.reopening import reopen_problem, saved_recipe
from nbrnn.scrambling import DRAWS, Scrambled, permutation, scramble_time


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def evaluated(model, *options, out="out"):
    result = run("evaluate", model, *options, "--out", out, "--no-plots")
    assert result.exit_code == 0, result.output
    assert max(map(len, result.output.splitlines())) <= 80
    return result.output


def table_of(path):
    return list(csv.DictReader(Path(path).read_text().splitlines()))


def rmse(a, b):
    return float(np.sqrt(np.mean((np.asarray(a) - np.asarray(b)) ** 2)))


def test_the_test_rows_are_scored_from_every_origin_by_steps_ahead(alone):
    model, forecaster, notes = alone
    printed = evaluated(model, "--steps", 3)
    values = read_csv(model.parents[1] / "sales.csv", columns=["Sales"]).column("Sales")
    start, stop = notes["parts"]["test"]
    origins = range(start, stop - 2)
    said = np.array([forecaster.forecast(3, values[:first])[:, 0] for first in origins])
    came = np.array([values[first : first + 3] for first in origins])
    scores = {(r["forecast"], r["step"]): float(r["rmse"]) for r in table_of("out/metrics.csv")}
    for s in range(3):
        assert scores["network", str(s + 1)] == pytest.approx(rmse(said[:, s], came[:, s]), rel=1e-5)
        before = [values[first - 1] for first in origins]
        assert scores["last value", str(s + 1)] == pytest.approx(rmse(before, came[:, s]), rel=1e-9)
        last = [values[first + s - 12] for first in origins]
        assert scores["seasonal-naive (12 rows)", str(s + 1)] == pytest.approx(rmse(last, came[:, s]), rel=1e-9)
    assert scores["network", "all"] == pytest.approx(rmse(said, came), rel=1e-5)
    learned = {"season's mean (12 rows)", "least-squares AR(5)"}
    assert {name for name, _ in scores} == {"network", "last value", "drift", "seasonal-naive (12 rows)"} | learned
    assert f"from {len(origins)} origins" in printed

    as_json = json.loads(Path("out/metrics.json").read_text())
    assert {(r["forecast"], str(r["step"])): r["rmse"] for r in as_json} == scores
    errors = table_of("out/errors.csv")
    assert len(errors) == 3 * len(origins) and errors[0]["date"] == months(1, start)[0]
    for row, s, c in zip(errors, said.ravel(), came.ravel(), strict=True):
        assert float(row["Sales error"]) == pytest.approx(c - s, rel=1e-4, abs=1e-4)


def test_what_the_network_does_not_beat_is_said(alone):
    told = " ".join(evaluated(alone[0]).split())
    scores = {r["forecast"]: float(r["rmse"]) for r in table_of("out/metrics.csv")}
    own = scores.pop("network")
    lost = [name for name, value in scores.items() if value <= own]
    assert lost, "the network was trained for three epochs"
    sentence = told[told.index("does NOT beat") :].split(".")[0]
    assert all((name in sentence) == (name in lost) for name in scores)


def test_part_stride_and_the_default_folder(alone):
    model, _, notes = alone
    result = run("evaluate", model, "--part", "validation", "--stride", 4, "--no-plots")
    assert result.exit_code == 0, result.output
    start, stop = notes["parts"]["validation"]
    rows = [int(r["row"]) for r in table_of(model.parent / "validation" / "errors.csv")]
    assert rows == list(range(start, stop, 4))
    assert "metrics.json" in {p.name for p in model.parent.iterdir()}  # of the training, still there
    assert "validation rows: one step ahead" in result.output


def test_each_seed_is_scored_alone(ensemble, alone):
    model, forecaster, notes = ensemble
    printed = evaluated(model, "--seeds", "--steps", 2)
    table = read_csv(model.parents[1] / "sales.csv", columns=["Sales"])
    rows = table[notes["parts"]["test"][0] - forecaster.past :]
    found = {int(r["seed"]): float(r["rmse"]) for r in table_of("out/seeds.csv")}
    assert list(found) == [0, 1, 2]
    models = forecaster.models
    for one in models:
        forecaster.models = [one]
        assert found[one.seed] == pytest.approx(rmse(forecaster.predict(rows, 2), forecaster.actual(rows, 2)[:, :, 0]))
    forecaster.models = models
    assert f"Median {np.median(list(found.values())):.4g}" in " ".join(printed.split())
    assert "train with --seeds 5" in refused("evaluate", alone[0], "--seeds")


def test_another_file_is_judged_where_its_dates_come_after_the_training(alone):
    model, _, notes = alone
    write("new.csv", sales(100, seed=3, first=50))
    evaluated(model, "new.csv")
    first = months(1, notes["parts"]["test"][0])[0]
    dates = [r["date"] for r in table_of("out/errors.csv")]
    assert dates[0] == first and dates[-1] == months(1, 99)[0] and len(dates) == 100 - notes["parts"]["test"][0]
    write("later.csv", sales(100, seed=3, first=80))
    printed = evaluated(model, "later.csv")
    assert "later holds 0 of the training rows" in " ".join(printed.split())
    assert len(table_of("out/errors.csv")) == 20 - 12  # a season is looked back on
    write("old.csv", sales(40))
    assert "there is no test part; the split made training" in refused("evaluate", model, "old.csv")


# ---------------------------------------------------------------- the order of the steps


def test_a_perceptron_is_indifferent_to_permuted_steps_and_the_tables_are_those_of_the_function(ensemble):
    model, forecaster, notes = ensemble
    printed = evaluated(model, "--shuffle-time")
    problem = reopen_problem(forecaster, notes)
    recipe = saved_recipe(notes)
    found = {one.name: one for one in scramble_time(problem, recipe)}
    perceptron, network = found["Flatten -> Dense"], found["network"]
    assert perceptron.trained == pytest.approx(perceptron.ordered, rel=1e-5)
    assert perceptron.tested != pytest.approx(perceptron.ordered, rel=1e-2)
    assert network.trained != pytest.approx(network.ordered, rel=1e-5)
    # in order the first draw's is the network that was saved
    assert network.draws[0][0] == pytest.approx(problem.backtest(forecaster, "validation").score("rmse"), rel=1e-5)
    later = replace(recipe, seed=recipe.seed + 2 * recipe.seeds)  # each draw's is another one
    third = problem.backtest(problem.fit(later, verbose=0), "validation").score("rmse")
    assert network.draws[2][0] == pytest.approx(third, rel=1e-5) != pytest.approx(network.draws[0][0], rel=1e-3)
    rows = {(r["network"], int(r["draw"])): r for r in table_of("out/scrambled.csv")}
    assert len(rows) == 2 * DRAWS
    assert float(rows["network", 2]["permuted at test time"]) == network.draws[1][1]
    assert float(rows["Flatten -> Dense", 5]["trained permuted"]) == perceptron.draws[4][2]
    assert "is what it was: to a perceptron their order is nothing" in " ".join(printed.split())
    assert re.match(
        r"Training the network and .*\n(compiling .*\n)?(\d+ of 20 trained, .*\n)*20 of 20 trained, .*\n\nRMSE of",
        printed,
    )
    assert max(map(len, printed.splitlines())) < 80
    assert {p.name for p in Path("out").iterdir()} == {"scrambled.csv"}


def test_windows_are_permuted_at_test_time_as_the_permutation_says(alone):
    _, forecaster, notes = alone
    problem = reopen_problem(forecaster, notes)
    found = {one.name: one for one in scramble_time(problem, saved_recipe(notes), seed=3, draws=2)}
    assert [len(one.draws) for one in found.values()] == [2, 2]
    order = permutation(5, seed=3)
    start, stop = notes["parts"]["validation"]
    values, shift, scale = problem.table.column("Sales"), forecaster.scaler.shift[0], forecaster.scaler.scale[0]
    windows = np.array([values[k - 5 : k][order] for k in range(start, stop)])
    said = forecaster.model.predict(((windows - shift) / scale)[..., None])[:, 0] * scale + shift
    assert found["network"].draws[0][1] == pytest.approx(rmse(said, values[start:stop]), rel=1e-5)


@pytest.mark.parametrize(
    ("worse", "words"),
    [
        ((1.2, 1.5, 2.0), "errs 20 % to 100 % more in each of 3 draws (median 50 %): so much is their order worth"),
        ((0.9, 0.8), "errs 10 % to 20 % less in each of 2 draws (median 15 %): their order is of no use"),
        ((1.2, 0.9, 1.3), "errs more in 2 of 3 draws, from 10 % less to 30 % more: no use of their order can be seen"),
        ((1.001, 0.999), "is as good: it makes no use of their order here"),
        ((1.5,), "errs 50 % more in one draw: so much is their order worth"),
    ],
)
def test_the_verdict_rests_on_all_draws(worse, words):
    one = Scrambled("network", tuple((4.0, 9.0, 4.0 * factor) for factor in worse))
    assert words in one.verdict()


def test_a_number_of_draws_that_is_none_is_refused(alone):
    _, forecaster, notes = alone
    with pytest.raises(ValueError, match="draws must be a whole number of at least 1, not 0"):
        list(scramble_time(reopen_problem(forecaster, notes), saved_recipe(notes), draws=0))


def test_the_scrambling_never_looks_at_the_test_rows(alone):
    model, _, notes = alone
    same = sales()[: notes["parts"]["test"][0]]
    others = [f"{m},{1e6 + k},0,0" for k, m in enumerate(months(72 - len(same), len(same)))]
    write("other.csv", same + others)
    for file, out in (((), "a"), (("other.csv",), "b")):
        evaluated(model, *file, "--shuffle-time", out=out)
    assert Path("a/scrambled.csv").read_text() == Path("b/scrambled.csv").read_text()


def test_ctrl_c_leaves_the_networks_that_were_scored(alone, monkeypatch):
    asked = []

    def stop(name, *rest, **options):
        asked.append(name)
        if len(asked) > 2 * DRAWS:
            raise KeyboardInterrupt
        return real(name, *rest, **options)

    real = scrambling._trained
    monkeypatch.setattr(scrambling, "_trained", stop)
    result = run("evaluate", alone[0], "--shuffle-time", "--out", "out")
    assert result.exit_code == 130
    assert [r["network"] for r in table_of("out/scrambled.csv")] == ["Flatten -> Dense"] * DRAWS


def test_pictures_stand_beside_the_tables(alone):
    for option, name in (("--part=test", "errors"), ("--shuffle-time", "scrambled")):
        result = run("evaluate", alone[0], option, "--out", option)
        assert result.exit_code == 0, result.output
        assert {f"{name}.png", f"{name}.svg"} <= {p.name for p in Path(option).iterdir()}


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--steps", 0], "steps must be a whole number of at least 1, not 0"),
        (["--steps", 40], "the test part has 11 rows, of which 11 can be predicted, but 40 steps ahead need as many"),
        (["--stride", 0], "stride must be a whole number of at least 1, not 0"),
        (["--part", "exam"], "there is no exam part; the split made training, validation, test"),
        (["--shuffle-time", "--steps", 3], "--shuffle-time decides --steps itself"),
        (["--shuffle-time", "--seeds"], "--shuffle-time decides --seeds itself"),
        (["nowhere.csv"], "there is no file nowhere.csv"),
    ],
)
def test_a_bad_option_is_refused_in_one_sentence(alone, options, words):
    assert words in refused("evaluate", alone[0], *options)


def test_files_and_recipes_that_cannot_be_used_are_refused(alone):
    model, forecaster, notes = alone
    write("x.csv", sales())
    assert refused("evaluate", "x.csv")
    forecaster.save("bare.safetensors")
    assert "does not say which series" in refused("evaluate", "bare.safetensors")
    assert "holds no recipe" in refused("evaluate", "bare.safetensors", "x.csv", "--shuffle-time")
    forecaster.save("odd.safetensors", **notes | {"recipe": {"window": 5, "colour": "red"}})
    assert "a recipe has no colour" in refused("evaluate", "odd.safetensors", "--shuffle-time")
    odd = (
        {"parts": {"training": 3, "test": 4}},
        {"parts": {"training": [0, 9]}},
        {"rows": 0, "first_dates": notes["first_dates"] | {"validation": "2020-11"}},
        {"units": [1]},
        {"rows": None, "first_dates": {"validation": "May", "test": "June"}},
    )
    for broken in odd:
        forecaster.save("odd.safetensors", **notes | broken)
        assert "notes" in refused("evaluate", "odd.safetensors")
    assert load_forecaster(model)[1] == notes


def test_a_permutation_is_never_the_order_itself():
    with pytest.raises(ValueError, match="a window of one row has no order"):
        permutation(1)
    assert sorted(permutation(2).tolist()) == [0, 1] and permutation(2).tolist() == [1, 0]
