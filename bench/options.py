"""What options of layers and fits cost: each beside the same fit without it, interleaved.

python bench/options.py

docs/performance.md holds what it printed.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import nbrnn

H, B, T, F, BATCHES, EPOCHS = 64, 32, 100, 16, 8, 5
EIGHTH = np.random.default_rng(1).integers(1, 2 * T // 8, BATCHES * B, endpoint=True)
CELLS = {"SimpleRNN": nbrnn.SimpleRNN, "LSTM": nbrnn.LSTM, "GRU": nbrnn.GRU}


def fit_of(
    cell: type, after: tuple[Any, ...] | None = None, fit: dict[str, Any] | None = None, **layer: Any
) -> Callable[[], Any]:
    """Return a fit of some epochs: a layer, those after its sequences (its last state, if not given), a dense head."""
    sequences = after is not None
    layers = [cell(H, return_sequences=sequences, **layer), *((*after, nbrnn.Flatten()) if after is not None else ())]
    model = nbrnn.Sequential([*layers, nbrnn.Dense(1)], input_shape=(T, F), seed=1)
    model.compile("sgd", "mse")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(BATCHES * B, T, F)).astype("f4"), rng.normal(size=(BATCHES * B, 1)).astype("f4")
    options = {"batch_size": B, "epochs": EPOCHS, "shuffle": False, "verbose": 0} | (fit or {})
    return lambda: model.fit(x, y, **options)


def medians(fits: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return each fit's median time, all of them taken in turns."""
    times: dict[str, list[float]] = {name: [] for name in fits}
    for k in range(rounds + 1):
        for name, run in fits.items():
            started = time.perf_counter()
            run()
            if k:  # the first round loads what is needed
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(taken) for name, taken in times.items()}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    nbrnn.set_num_threads(1)
    print(
        f"a fit of {EPOCHS} x {BATCHES} batches, (H, B, T, F) = ({H}, {B}, {T}, {F}), one thread; times the fit without"
    )
    for name, cell in CELLS.items():
        plain = {"plain": fit_of(cell), "plain sequences": fit_of(cell, ())}
        options = {
            "dropout=0.2": fit_of(cell, dropout=0.2),
            "dropout=0.2, recurrent_dropout=0.2": fit_of(cell, dropout=0.2, recurrent_dropout=0.2),
            "Dropout(0.2) after sequences": fit_of(cell, (nbrnn.Dropout(0.2),)),
            "validation_split=0.2": fit_of(cell, fit={"validation_split": 0.2}),
            "lengths, all of them T": fit_of(cell, fit={"lengths": np.full(BATCHES * B, T)}),
            "lengths, T/8 on average": fit_of(cell, fit={"lengths": EIGHTH}),
        }
        found = medians(plain | options, arguments.rounds)
        print(f"{name}: {found['plain'] * 1e3:.2f} ms")
        for option in options:
            beside = found["plain sequences" if "sequences" in option else "plain"]
            print(f"  {option:<40}{found[option] / beside:6.2f}")


if __name__ == "__main__":
    main()
