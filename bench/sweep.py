"""A sweep of small networks on the airline's passengers, and a part of the same in Keras on TensorFlow.

python bench/sweep.py
python bench/sweep.py --peer-python PEERS
python bench/sweep.py --shares
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

CELLS, SIZES, PART = ("rnn", "gru", "lstm"), (1, 2, 4, 8, 16, 32), (4, 32)
SEEDS, ROUNDS = 10, 5
KINDS = ("seconds", "processor")  # by the clock, and of processor time
WINDOW, BATCH, EPOCHS, SPLIT = 20, 16, 100, (0.8, 0.1, 0.1)


def ours(jobs: int | None, folder: Path) -> dict[str, Any]:
    """Return the seconds of the whole sweep and of the part that Keras does, round by round; write the arrays."""
    from nbrnn.problems import make_problem
    from nbrnn.recipes import Recipe
    from nbrnn.sweeping import recipe_grid, sweep

    problem = make_problem("airline", split=SPLIT)
    base = Recipe(window=WINDOW, batch_size=BATCH, epochs=EPOCHS, patience=EPOCHS)
    settings = {"whole": recipe_grid(base, cell=CELLS, units=SIZES), "part": recipe_grid(base, cell=CELLS, units=PART)}
    forecaster = problem.forecaster(base)
    training, held = problem.parts["training"], problem.parts["validation"]
    x, y = forecaster.windows(problem.table[training])
    x_held, y_held = forecaster.windows(problem.table[held.start - WINDOW : held.stop])
    np.savez(folder / "arrays.npz", x=x, y=y, x_held=x_held, y_held=y_held)
    sweep(problem, settings["whole"], 1, jobs)  # loads the kernels
    seconds: dict[str, list[float]] = {name: [] for name in settings}
    processor: dict[str, list[float]] = {name: [] for name in settings}
    for _ in range(ROUNDS):
        for name, recipes in settings.items():
            start, used = time.perf_counter(), time.process_time()
            found = sweep(problem, recipes, SEEDS, jobs)
            seconds[name].append(time.perf_counter() - start)
            processor[name].append(time.process_time() - used)
            trials = found.trials
            assert len(trials) == len(recipes) * SEEDS and all(t.epochs == EPOCHS and not t.failure for t in trials)
    return {
        "windows": len(x),
        "seconds": seconds,
        "processor": processor,
        "fits": {name: SEEDS * len(r) for name, r in settings.items()},
    }


def shares() -> None:
    """Print which part of a training's processor time is native: what threads need not take turns for."""
    from nbrnn.problems import make_problem
    from nbrnn.recipes import Recipe
    from nbrnn.targets import cpu

    cpu.set_num_threads(1)
    native, serial = [0.0], cpu.Executor._serial

    def timed(executor: cpu.Executor) -> int:
        start = time.thread_time()
        done = serial(executor)
        native[0] += time.thread_time() - start
        return done

    cpu.Executor._serial = timed  # type: ignore[method-assign]
    for series, cell in itertools.product(("airline", "sunspots"), CELLS):
        problem = make_problem(series, split=SPLIT)
        recipe = Recipe(window=WINDOW, cell=cell, batch_size=BATCH, epochs=EPOCHS, patience=EPOCHS)
        found = []
        for _ in range(ROUNDS + 1):  # the first loads the kernels
            native[0], start = 0.0, time.thread_time()
            problem.fit(recipe, verbose=0)
            whole = time.thread_time() - start
            found.append((native[0] / whole, (whole - native[0]) / recipe.epochs))
        part, rest = (statistics.median(figures) for figures in zip(*found[1:], strict=True))
        print(f"{series:<9} {cell:<5} 16 units: {100 * part:.0f} % native, {1e3 * rest:.2f} ms of Python an epoch")


def keras_part(path: str) -> None:
    """Print the seconds of a fit of each cell at some sizes, in every form, as JSON: what the peer's process does."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras

    layers = {"rnn": keras.layers.SimpleRNN, "gru": keras.layers.GRU, "lstm": keras.layers.LSTM}
    arrays = np.load(path)
    steps = -(-len(arrays["x"]) // BATCH)
    found = []
    for together, cell, units in itertools.product((1, steps), CELLS, PART):
        keras.utils.set_random_seed(0)
        start, used = time.perf_counter(), time.process_time()
        model = keras.Sequential([keras.Input(arrays["x"].shape[1:]), layers[cell](units), keras.layers.Dense(1)])
        model.compile(optimizer="adam", loss="mse", steps_per_execution=together)
        stop = keras.callbacks.EarlyStopping("val_loss", patience=EPOCHS, restore_best_weights=True)
        held = arrays["x_held"], arrays["y_held"]
        fit = {"batch_size": BATCH, "epochs": EPOCHS, "verbose": 0, "callbacks": [stop], "validation_data": held}
        history = model.fit(arrays["x"], arrays["y"], **fit)
        taken = {"seconds": time.perf_counter() - start, "processor": time.process_time() - used}
        assert len(history.history["loss"]) == EPOCHS
        found.append({"cell": cell, "units": units, "steps_per_execution": together} | taken)
        keras.backend.clear_session()
    print(json.dumps(found))


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, help="trainings at a time; as many as cores if not given")
    parser.add_argument("--peer-python", metavar="FILE", help="the interpreter that has Keras and TensorFlow")
    parser.add_argument("--shares", action="store_true", help="which part of a training is native, and no more")
    parser.add_argument("--keras", metavar="ARRAYS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.keras:
        keras_part(options.keras)
        return
    if options.shares:
        shares()
        return
    with tempfile.TemporaryDirectory() as place:
        own = ours(options.jobs, Path(place))
        print(f"{own['windows']} windows of {WINDOW}, batch {BATCH}, {EPOCHS} epochs, validation after each")
        each = {}
        for name, fits in own["fits"].items():
            wall, used = (statistics.median(own[kind][name]) for kind in KINDS)
            each[name] = wall / fits, used / fits
            rounds = ", ".join(f"{seconds:.2f}" for seconds in own["seconds"][name])
            print(f"{name}: {fits} fits in {wall:.2f} s ({rounds}), {used:.2f} s of processor time")
        if not options.peer_python:
            return
        command = [options.peer_python, __file__, "--keras", str(Path(place) / "arrays.npz")]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
    forms: dict[int, list[dict[str, Any]]] = {}
    for fit in found:
        forms.setdefault(fit["steps_per_execution"], []).append(fit)
        print(
            "Keras {cell} {units}, {steps_per_execution} steps an execution: {seconds:.2f} s, {processor:.2f} s of "
            "processor time".format(**fit)
        )
    for kind, own_each in zip(KINDS, each["part"], strict=True):
        best = min(statistics.fmean(fit[kind] for fit in fits) for fits in forms.values())
        print(
            f"{kind} of a fit: Keras in its faster form {best:.2f}, nbrnn {own_each:.4f}, ratio {best / own_each:.0f}"
        )


if __name__ == "__main__":
    sys.exit(main())
