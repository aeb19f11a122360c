"""What networks gain on the packaged series, and on two that are made: tables over seeds, as in docs/studies.md.

    python bench/forecasts.py                # all studies
    python bench/forecasts.py sine beijing   # some

Settings were chosen by the validation rows alone (`python bench/forecasts.py --choose beijing` shows how); each study
looks at its test rows once, for every seed.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np

import nbrnn
from nbrnn.backtest import Backtest
from nbrnn.forecasting import Forecaster
from nbrnn.problems import Problem, make_problem
from nbrnn.recipes import Recipe

SEEDS = 10
SPLIT = (0.65, 0.15, 0.2)
CHOSEN = {
    "sunspots": Recipe(cell="lstm", units=(32,), window=48),
    "temperatures": Recipe(cell="lstm", units=(8,), window=30, epochs=40, patience=5),
    "beijing": Recipe(cell="gru", units=(8,), window=14, horizon=7, epochs=60, patience=8),
}
GRIDS = {
    "sunspots": (("rnn", "gru", "lstm"), (8, 16, 32), (12, 24, 48)),
    "temperatures": (("rnn", "gru", "lstm"), (8, 32), (7, 14, 30)),
    "beijing": (("rnn", "gru", "lstm"), (8, 16, 32), (7, 14)),
}


def many(task, items) -> list:
    """Return a task's results; each fit runs in native code, on a core of its own."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(task, items))


def spread(values) -> str:
    """Return 'median (lowest to highest)'."""
    values = np.sort(np.asarray(values, float))
    return f"{np.median(values):.4g} ({values[0]:.4g} to {values[-1]:.4g})"


def row(*cells) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def header(*cells) -> None:
    row(*cells)
    row(*("---" if k == 0 else "---:" for k in range(len(cells))))


# ---------------------------------------------------------------- series that are made


def sine() -> None:
    """Closed loop on WL's sine: 2,501 rows to learn from, the next 500 to foretell."""
    series, truth = np.split(np.sin(0.04 * np.arange(3001)), [2501])
    batches = 60 * -(-(len(series) - 50) // 16)

    def one(seed: int) -> tuple[float, float]:
        model = nbrnn.Sequential([nbrnn.GRU(10), nbrnn.Dense(1)], input_shape=(50, 1), seed=seed)
        model.compile(nbrnn.Adam(nbrnn.CosineDecay(0.01, batches)))
        begun = time.perf_counter()
        forecaster = Forecaster(model, 50).fit(series, epochs=60, batch_size=16, verbose=0)
        taken = time.perf_counter() - begun
        return float(np.sqrt(np.mean((forecaster.forecast(500)[:, 0] - truth) ** 2))), taken

    found = np.array([one(seed) for seed in range(5)])
    header("sine, GRU(10), window 50, 5 seeds", "median (lowest to highest)")
    row("RMSE of 500 closed-loop steps", spread(found[:, 0]))
    row("seconds to train", spread(found[:, 1]))


def driven() -> None:
    """Closed loop on three drivers and an observable: 700 rows to learn from, 300 to foretell."""
    table = nbrnn.driven_series(1000, seed=0, noise=0.02)
    train, truth = table[:700], table.values[700:]
    variants = {"one step at a time": 1, "25 steps at a time": 25}
    header(
        "driven series, GRU(32), window 60, 5 seeds: median",
        *(f"{kind} {name}" for kind in ("amplitude", "RMSE / sd") for name in ("observable", "worst")),
        "seconds",
    )
    for label, horizon in variants.items():

        def one(seed: int, horizon: int = horizon) -> tuple[float, ...]:
            model = nbrnn.Sequential([nbrnn.GRU(32), nbrnn.Dense(4 * horizon)], input_shape=(60, 4), seed=seed)
            batches = 300 * -(-(700 - 60 - horizon + 1) // 16)
            model.compile(nbrnn.Adam(nbrnn.CosineDecay(0.005, batches), clipnorm=1.0))
            begun = time.perf_counter()
            forecaster = Forecaster(model, 60, nbrnn.StandardScaler()).fit(train, epochs=300, batch_size=16, verbose=0)
            taken = time.perf_counter() - begun
            found = forecaster.forecast(300)
            amplitude = np.abs(found.std(axis=0) / truth.std(axis=0) - 1)
            error = np.sqrt(np.mean((found - truth) ** 2, axis=0)) / truth.std(axis=0)
            return amplitude[3], amplitude.max(), error[3], error.max(), taken

        found = np.median([one(seed) for seed in range(5)], axis=0)
        row(label, *(f"{value:.3f}" for value in found))


# ---------------------------------------------------------------- series that were measured


def choose(name: str) -> None:
    """Print the validation RMSE of a grid of settings, 4 seeds each."""
    problem, base = make_problem(name), CHOSEN[name]
    header(f"{name}, validation rows", "mean RMSE", "standard error", "epochs")
    for cell, units, window in product(*GRIDS[name]):

        def one(seed: int, cell: str = cell, units: int = units, window: int = window) -> tuple[float, int]:
            recipe = Recipe(window, base.horizon, cell, (units,), epochs=base.epochs, patience=base.patience, seed=seed)
            forecaster = problem.fit(recipe, verbose=0)
            return problem.backtest(forecaster, "validation").score("rmse"), len(forecaster.model.history.epoch)

        found = np.array(many(one, range(4)))
        error = found[:, 0].std(ddof=1) / 2
        row(f"{cell} {units}, window {window}", f"{found[:, 0].mean():.2f}", f"{error:.2f}", int(found[:, 1].mean()))


def fitted(problem: Problem, recipe: Recipe, part: str = "test") -> list[Backtest]:
    """Return the scores of every seed."""

    def one(seed: int) -> Backtest:
        own = Recipe(**{**recipe.__dict__, "seed": seed})
        return problem.backtest(problem.fit(own, verbose=0), part)

    return many(one, range(SEEDS))


def measured(name: str) -> None:
    """Print the test RMSE by steps ahead, of all seeds and of the baselines."""
    problem, recipe = make_problem(name), CHOSEN[name]
    found = fitted(problem, recipe)
    steps = range(1, recipe.horizon + 1)
    title = f"{name}: {recipe.cell.upper()}({recipe.units[0]}), window {recipe.window}, {SEEDS} seeds; test RMSE"
    header(title, *(f"{s} ahead" for s in steps))
    own = [[part.score("rmse", step=s) for part in found] for s in steps]
    row("network, median (lowest to highest)", *map(spread, own))
    for baseline in found[0].known():
        row(baseline, *(f"{found[0].score('rmse', baseline, s):.4g}" for s in steps))
    for baseline in found[0].known():
        wins = [sum(part.score("rmse", step=s) < part.score("rmse", baseline, s) for part in found) for s in steps]
        row(f"seeds that beat {baseline}", *(f"{won} of {SEEDS}" for won in wins))


def default() -> None:
    """Print what `nbrnn train sunspots` gives with 20 seeds, as README tells."""
    problem, parts = make_problem("sunspots"), ("validation", "test")

    def one(seed: int) -> list[Backtest]:
        forecaster = problem.fit(Recipe(seed=seed), verbose=0)
        return [problem.backtest(forecaster, part) for part in parts]

    found = list(zip(*many(one, range(20)), strict=True))
    header("sunspots with the defaults, 20 seeds; RMSE", *parts)
    row("network, median (lowest to highest)", *(spread([part.score("rmse") for part in own]) for own in found))
    for baseline in ("last value", "least-squares AR(24)"):
        row(baseline, *(f"{own[0].score('rmse', baseline):.4g}" for own in found))
        row(f"seeds that beat {baseline}", *(sum(bool(part.wins(baseline)) for part in own) for own in found))


def sunspots() -> None:
    """Also beside AR(12), which a window of 48 does not give."""
    measured("sunspots")
    problem = make_problem("sunspots")
    twelve = problem.backtest(problem.fit(Recipe(window=12, epochs=1), verbose=0), "test")
    row("least-squares AR(12)", f"{twelve.score('rmse', 'least-squares AR(12)'):.4g}")


def airline() -> None:
    """The lesson's networks, windows of 20, raw and by changes of logarithms."""
    problem = make_problem("airline", split=SPLIT)
    networks = {
        "SimpleRNN(1)": lambda: [nbrnn.SimpleRNN(1), nbrnn.Dense(1)],
        "SimpleRNN(5)": lambda: [nbrnn.SimpleRNN(5), nbrnn.Dense(1)],
        "perceptron (Flatten, Dense)": lambda: [nbrnn.Flatten(), nbrnn.Dense(1)],
    }
    header(f"airline, windows of 20, {SEEDS} seeds; RMSE", "validation", "test")
    for label, transform in (("raw", "none"), ("log-differences", "log-difference")):
        recipe = Recipe(20, learning_rate=0.01, epochs=300, patience=30, transform=transform, scale="standard")
        for name, layers in networks.items():

            def one(seed: int, layers=layers, recipe: Recipe = recipe) -> list[Backtest]:
                model = nbrnn.Sequential(layers(), input_shape=(20, 1), seed=seed)
                model.compile(nbrnn.Adam(recipe.learning_rate))
                forecaster = Forecaster(model, 20, nbrnn.StandardScaler(), transform=recipe.transform)
                problem.train(forecaster, recipe, verbose=0)
                return [problem.backtest(forecaster, part) for part in ("validation", "test")]

            found = many(one, range(SEEDS))
            row(f"{name}, {label}", *(spread([parts[k].score("rmse") for parts in found]) for k in range(2)))
    for baseline in found[0][0].known():
        row(baseline, *(f"{part.score('rmse', baseline):.4g}" for part in found[0]))


STUDIES = {
    "sine": sine,
    "driven": driven,
    "default": default,
    "sunspots": sunspots,
    "temperatures": lambda: measured("temperatures"),
    "beijing": lambda: measured("beijing"),
    "airline": airline,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=", ".join(STUDIES))
    parser.add_argument("--choose", metavar="SERIES", choices=GRIDS, help="show how the settings were chosen")
    given = parser.parse_args()
    if given.choose:
        choose(given.choose)
        return
    unknown = [name for name in given.studies if name not in STUDIES]
    if unknown:
        parser.error(f"there is no study {unknown[0]}; there are {', '.join(STUDIES)}.")
    for name in given.studies or STUDIES:
        STUDIES[name]()
        print()


if __name__ == "__main__":
    main()
