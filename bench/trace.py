"""Time traces: an LSTM's forward and backward pass with every number kept, taken apart and checked.

python bench/trace.py
"""

import statistics
import time

import numpy as np

import nbrnn

REPEATS = 21


def seconds(work):
    """Return the first and the median time of a piece of work."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return times[0], statistics.median(times[1:])


def main():
    rng = np.random.default_rng(0)
    for units, steps in ((2, 3), (8, 50), (32, 100)):
        model = nbrnn.Sequential([nbrnn.LSTM(units), nbrnn.Dense(1)], input_shape=(steps, 1), seed=0)
        model.compile("sgd", "mse")
        x = rng.normal(size=(steps, 1))
        first, warm = seconds(lambda m=model, x=x: nbrnn.trace(m, x, 0.5))
        found = nbrnn.trace(model, x, 0.5)
        _, json = seconds(found.to_json)
        print(
            f"LSTM({units}), T={steps}: first {first * 1e3:.1f} ms, warm {warm * 1e3:.2f} ms, JSON {json * 1e3:.1f} ms"
        )


if __name__ == "__main__":
    main()
