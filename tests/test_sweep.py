"""Sweeps: the choice is that of the textbook's rule, the bits do not depend on the jobs, and nothing is done twice."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from forecast_models import wave
from hypothesis import given
from hypothesis import strategies as st

import nbrnn
from nbrnn.problems import Problem
from nbrnn.recipes import Recipe
from nbrnn.sweepfile import ABOUT, RESULTS
from nbrnn.sweeping import Range, SweepRun, random_recipes, recipe_grid, sweep
from nbrnn.sweeptable import Sweep
from nbrnn.targets import cpu
from nbrnn.trials import Trial, plain

needs_jit = pytest.mark.skipif(not cpu.JIT, reason="takes minutes in plain Python")
BASE = Recipe(window=5, epochs=3, batch_size=16)


def problem(rows=80, columns=1, **options):
    table = wave(rows, columns)
    parts = {"training": slice(0, 50), "validation": slice(50, 65), "test": slice(65, rows)}
    return Problem(table, table.columns[:1], parts, season=12, source="wave", **options)


def small(**choices):
    return recipe_grid(BASE, **({"cell": ["rnn", "gru"], "units": [1, 3]} | choices))


def errors(found):
    return {trial.recipe: trial.error for trial in found.trials}


# ---------------------------------------------------------------- the settings


def test_a_grid_is_every_combination_once():
    found = recipe_grid(BASE, cell=["rnn", "lstm"], units=[4, (8, 4), 4], learning_rate=[None, 0.001, 0.1])
    assert len(found) == 2 * 2 * 2  # 0.001 is adam's own
    assert {(r.cell, r.units, r.learning_rate) for r in found} == {
        (cell, units, rate) for cell in ("rnn", "lstm") for units in ((4,), (8, 4)) for rate in (0.001, 0.1)
    }
    assert {(r.window, r.epochs) for r in found} == {(5, 3)}


@given(st.integers(0, 2**32), st.integers(1, 30))
def test_more_draws_begin_with_the_same_ones(seed, count):
    choices = {
        "cell": ["rnn", "gru"],
        "units": [Range(2, 64), (8, 4)],
        "learning_rate": [Range(1e-4, 1e-1)],
        "dropout": [0.0, Range(0.0, 0.5)],
    }
    some, more = (random_recipes(BASE, n, seed, **choices) for n in (count, count + 5))
    assert len(some) == count and more[:count] == some and len(set(more)) == count + 5
    for recipe in more:
        assert recipe.units == (8, 4) or 2 <= recipe.units[0] <= 64
        assert 1e-4 <= recipe.learning_rate <= 1e-1 and 0 <= recipe.dropout <= 0.5
    assert len(random_recipes(BASE, 99, seed, cell=["rnn", "gru"])) == 2  # there are no more


def test_a_range_is_drawn_from_evenly_by_its_logarithm():
    draws = random_recipes(BASE, 400, 1, learning_rate=[Range(1e-4, 1e0)])
    decades = np.floor(np.log10([r.learning_rate for r in draws]) + 1e-9)
    assert all(70 < np.sum(decades == d) < 130 for d in (-4, -3, -2, -1))
    units = [r.units[0] for r in random_recipes(BASE, 15, 0, units=[Range(1, 15)])]
    assert sorted(units) == [*range(1, 16)]  # both ends are drawn


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: recipe_grid(BASE, sizes=[1]), "sizes"),
        (lambda: recipe_grid(BASE, units=[]), "units"),
        (lambda: recipe_grid(BASE, units=[0]), "units"),
        (lambda: recipe_grid(BASE, units=[Range(1, 4)]), "range"),
        (lambda: random_recipes(BASE, 0, units=[1]), "random"),
        (lambda: Range(3, 3), "range"),
        (lambda: Range(-1, 3), "range"),
        (lambda: sweep(problem(), []), "at least one"),
        (lambda: sweep(problem(), [BASE, replace(BASE, epochs=4)]), "epochs is 3 and 4"),
        (lambda: sweep(problem(), [BASE], seeds=0), "seeds"),
        (lambda: sweep(problem(), [BASE], jobs=0), "jobs"),
        (lambda: sweep(problem(), [BASE], metric="r2"), "metric"),
        (lambda: sweep(problem(), [BASE, replace(BASE, window=60)]), "window of 60"),
        (lambda: sweep(replace(problem(columns=2), targets=("a", "b")), [BASE], metric="mae"), "mase"),
    ],
)
def test_a_mistake_is_one_sentence_before_anything_is_trained(make, words):
    with pytest.raises(ValueError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_without_validation_rows_nothing_is_chosen():
    parts = {"training": slice(0, 60), "test": slice(60, 80)}
    with pytest.raises(ValueError, match=r"training and test rows only; .*--split"):
        sweep(replace(problem(), parts=parts), [BASE])


# ---------------------------------------------------------------- the choice


def naive_choice(table):
    """Return the index chosen from rows (parameters, errors): the one-standard-error rule, by hand."""
    means = [np.mean(e) for _, e in table]
    best = int(np.argmin(means))
    limit = means[best] + np.std(table[best][1], ddof=1) / np.sqrt(len(table[best][1]))
    within = [k for k in range(len(table)) if means[k] <= limit]
    return min(within, key=lambda k: (table[k][0], means[k]))


@given(st.integers(0, 2**32), st.integers(1, 8), st.integers(2, 6))
def test_the_choice_is_the_one_standard_error_rules(seed, settings, seeds):
    rng = np.random.default_rng(seed)
    recipes = recipe_grid(BASE, units=[*range(1, settings + 1)])
    table = [(int(rng.integers(1, 5)), rng.normal(10, 2, seeds).round(3) + k % 3) for k in range(settings)]
    trials = [
        Trial(replace(recipe, seed=s), float(table[k][1][s]), table[k][0], 3, 0.1)
        for k, recipe in enumerate(recipes)
        for s in range(seeds)
    ]
    rng.shuffle(trials)
    found = Sweep(recipes, range(seeds), trials)
    k = naive_choice(table)
    assert found.chosen.recipe == recipes[k] and found.recipe() == recipes[k]
    assert found.chosen.mean == pytest.approx(np.mean(table[k][1]))
    assert found.chosen.standard_error == pytest.approx(np.std(table[k][1], ddof=1) / np.sqrt(seeds))
    assert [row.mean for row in found.rows] == sorted(row.mean for row in found.rows)
    assert "chosen" in str(found) and max(map(len, str(found).splitlines())) < 80


def by_hand(table, seeds=2):
    """Return a sweep of rows: parameters, and an error or a failure for each seed."""
    recipes = recipe_grid(BASE, units=[*range(1, len(table) + 1)])
    trials = []
    for recipe, (parameters, *found) in zip(recipes, table, strict=True):
        for seed, error in enumerate(found):
            failure = error if isinstance(error, str) else ""
            value = math.nan if failure else error
            trials.append(Trial(replace(recipe, seed=seed), value, parameters, 3, 0.1, failure))
    return Sweep(recipes, range(seeds), trials, "rmse", "mm", {"last value": 5.0, "drift": 1.5})


def test_a_setting_that_failed_once_is_not_chosen():
    found = by_hand([(5, 1.0, "it diverged"), (9, 2.0, 2.2), (7, 2.1, 2.2)])
    assert found.best.recipe.units == (2,) and found.chosen.recipe.units == (3,)
    assert found.failures() == ["1 unit, seed 1 failed: it diverged"] and "1 failed" in str(found)
    assert "2.15 with 7 parameters, not 9" in found.verdict()
    assert "beats last value (5); it does NOT beat drift (1.5)" in found.verdict()


def test_unfinished_settings_are_not_compared_with_finished_ones():
    found = by_hand([(5, 1.0), (9, 2.0, 2.2)])
    assert found.best.recipe.units == (2,) and "1 of 2" in str(found)


def test_a_sweep_stopped_within_a_seed_compares_all_settings():
    found = by_hand([(9, 3.0, 2.0, 2.5), (5, 1.0, 1.1)], seeds=3)
    assert found.best.recipe.units == (2,) and "2 of 3 chosen" in str(found)


def test_one_seed_tells_no_standard_error():
    found = by_hand([(5, 1.1), (9, 1.0)], seeds=1)
    assert found.chosen is found.best and found.best.parameters == 9
    assert "One seed tells no standard error" in found.verdict()


def test_where_all_failed_nothing_is_chosen():
    found = by_hand([(5, "x", "y")])
    assert found.chosen is None and "none to choose" in found.verdict() and str(found)
    with pytest.raises(ValueError, match="none to choose"):
        found.recipe()


# ---------------------------------------------------------------- the trainings


@needs_jit
def test_the_errors_are_those_of_single_fits_whatever_the_jobs():
    mine, recipes = problem(), small(window=[4, 6])
    alone, many = (sweep(mine, recipes, seeds=2, jobs=jobs) for jobs in (1, 5))
    assert errors(alone) == errors(many) and len(errors(alone)) == 8 * 2
    for recipe, error in list(errors(alone).items())[::5]:
        forecaster = mine.fit(recipe, verbose=0)
        own = mine.backtest(forecaster, "validation")
        assert error == own.score("rmse")
        trial = next(t for t in alone.trials if t.recipe == recipe)
        assert trial.parameters == forecaster.model.count_params() and trial.epochs == 3 and trial.seconds > 0
    for name, error in alone.baselines.items():
        if "AR" not in name:
            assert error == own.score("rmse", name)


@needs_jit
@pytest.mark.parametrize("metric", ["mae", "mase"])
def test_other_metrics_and_horizons(metric):
    mine = replace(problem(columns=2), targets=("a", "b") if metric == "mase" else ("a",))
    recipe = plain(replace(BASE, horizon=3))
    found = sweep(mine, [recipe], seeds=1, metric=metric)
    own = mine.backtest(mine.fit(recipe, verbose=0), "validation")
    expected = np.mean([own.score(metric, target=k) for k in range(len(mine.targets))])
    assert errors(found)[recipe] == pytest.approx(expected, rel=1e-12)
    assert found.unit == ("" if metric == "mase" else "a")


@needs_jit
def test_threads_are_given_back_and_the_test_rows_are_not_touched():
    before = cpu.get_num_threads()
    mine = problem()
    values = mine.table.values.copy()
    values[65:] = np.nan
    blind = replace(mine, table=nbrnn.Table(values, mine.table.columns, mine.table.dates, "wave"))
    assert errors(sweep(mine, small(), 1)) == errors(sweep(blind, small(), 1))
    assert cpu.get_num_threads() == before


@needs_jit
def test_a_training_that_diverges_is_told_of_and_stops_no_other(tmp_path):
    recipes = recipe_grid(replace(BASE, optimizer="sgd", epochs=30), cell=["rnn"], learning_rate=[0.01, 1e20])
    found = sweep(problem(), recipes, seeds=2, folder=tmp_path)
    assert [row.failed for row in found.rows] == [0, 2] and found.chosen.recipe.learning_rate == 0.01
    assert all("not finite" in sentence for sentence in found.failures()) and len(found.failures()) == 2
    again = SweepRun(problem(), recipes, 2, folder=tmp_path)
    assert not again.left and again.result().failures() == found.failures()


def test_what_no_training_expects_ends_the_sweep(monkeypatch):
    monkeypatch.setattr(Problem, "train", lambda *_, **__: 1 / 0)
    monkeypatch.setattr("nbrnn.sweeping._compile", lambda *_: None)
    with pytest.raises(ZeroDivisionError):
        sweep(problem(), small(), seeds=1, jobs=2)


# ---------------------------------------------------------------- the folder


@needs_jit
def test_what_is_there_is_not_trained_again(tmp_path):
    trained = []
    first = sweep(problem(), small(), seeds=2, folder=tmp_path, progress=lambda t, *_: trained.append(t.recipe))
    assert len(trained) == 8
    before = (tmp_path / RESULTS).read_text()
    more = sweep(problem(), small(units=[1, 3, 4]), 3, folder=tmp_path, progress=lambda t, *_: trained.append(t.recipe))
    assert len(trained) == 18 == len(set(trained)) and errors(first).items() <= errors(more).items()
    assert (tmp_path / RESULTS).read_text().startswith(before)
    rows = list(csv.DictReader((tmp_path / RESULTS).open()))
    assert len(rows) == 18 and {row["seed"] for row in rows} == {"0", "1", "2"}
    assert {float(row["rmse"]) for row in rows} == set(errors(more).values())
    fewer = sweep(problem(), small(units=[1]), seeds=1, folder=tmp_path)
    assert len(fewer.trials) == 2


@needs_jit
def test_rows_are_there_as_soon_as_trainings_end(tmp_path):
    seen = []

    def look(trial, done, total):
        seen.append((len((tmp_path / RESULTS).read_text().splitlines()) - 1, done, total))
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(problem(), small(), seeds=2, jobs=2, folder=tmp_path, progress=look)
    assert seen == [(1, 1, 8), (2, 2, 8), (3, 3, 8)]
    assert len(SweepRun(problem(), small(), 2, folder=tmp_path).left) == 5


@needs_jit
@pytest.mark.parametrize("cut", [1, 9, 30])
def test_a_row_that_was_cut_off_is_trained_again(tmp_path, cut):
    whole = sweep(problem(), small(), seeds=1, folder=tmp_path)
    path = tmp_path / RESULTS
    path.write_bytes(path.read_bytes()[:-cut])
    run = SweepRun(problem(), small(), 1, folder=tmp_path)
    assert len(run.left) == 1
    run.run()
    assert errors(run.result()) == errors(whole)
    assert len(list(csv.reader(path.open()))) == 5


def test_a_folder_of_another_sweep_is_refused(tmp_path):
    SweepRun(problem(), [BASE], 1, folder=tmp_path)
    other = problem()
    values = other.table.values + 1e-9
    changed = replace(other, table=nbrnn.Table(values, other.table.columns, other.table.dates, "wave"))
    named = replace(other, table=nbrnn.Table(other.table.values, other.table.columns, other.table.dates, "sea"))
    split = replace(other, parts={**other.parts, "test": slice(66, 80)})
    cases = [
        (other, replace(BASE, epochs=4), None, "epochs are 3, not 4"),
        (other, replace(BASE, transform="log"), None, "transform is none, not log"),
        (other, BASE, "mae", "metric is rmse, not mae"),
        (changed, BASE, None, "another version of wave"),
        (named, BASE, None, "data are wave, not sea"),
        (split, BASE, None, "test 65 to 80, not training"),
    ]
    for mine, recipe, metric, words in cases:
        with pytest.raises(ValueError, match=words):
            SweepRun(mine, [recipe], 1, metric, tmp_path)
    SweepRun(other, [replace(BASE, window=6, cell="lstm")], 7, None, tmp_path)  # the settings may be others


def test_files_that_no_sweep_wrote_are_refused(tmp_path):
    about, results = tmp_path / ABOUT, tmp_path / RESULTS
    results.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="without its"):
        SweepRun(problem(), [BASE], 1, folder=tmp_path)
    results.unlink()
    SweepRun(problem(), [BASE], 1, folder=tmp_path)
    results.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="columns a, b"):
        SweepRun(problem(), [BASE], 1, folder=tmp_path)
    header = "cell,units,window,learning_rate,dropout,seed,rmse,parameters,epochs,seconds,failure\n"
    for row in ("rnn,16,5,0.001,0.0,0,,3,3,0.1,\n", "rnn,x,5,0.001,0.0,0,1.0,3,3,0.1,\n", "rnn,16\n", "\n"):
        results.write_text(header + row)
        with pytest.raises(ValueError, match="line 2"):
            SweepRun(problem(), [BASE], 1, folder=tmp_path)
    results.unlink()
    for text in ("", "[]", "{"):
        about.write_text(text)
        with pytest.raises(ValueError, match="cannot be read"):
            SweepRun(problem(), [BASE], 1, folder=tmp_path)
    about.write_text(json.dumps({"data": 3}))
    with pytest.raises(ValueError, match="another kind"):
        SweepRun(problem(), [BASE], 1, folder=tmp_path)
