"""Measures the float32 functions of nbrnn/kernels/elementary.py: error over all 2^32 inputs, throughput, latency.

    python tools/ulp.py                      # minutes, on one core
    python tools/ulp.py --sample 10000000    # seconds

The error is counted in ulp, the spacing of float32 at the exact result, against a float64 reference. `wrong` counts
results that are infinite or NaN where the exact one is not, and the reverse.
"""

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np
from llvmlite import binding
from numba import njit

from nbrnn.kernels import elementary

CHUNK = 1 << 13  # small enough for the allocator to reuse the memory
INPUTS = 1 << 32
Array = np.ndarray


def sigmoid(x: Array) -> Array:
    """Reference for the logistic function."""
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1.0 + e)


FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
}


@njit
def compare(y, reference):
    """Return the largest error in ulp, where it lies, the sum of the errors, their number, and the wrong results."""
    worst, where, total, count, wrong = 0.0, 0, 0.0, 0, 0
    for i in range(y.size):
        exact = reference[i]
        rounded = np.float32(exact)
        if np.isfinite(rounded) and np.isfinite(y[i]):
            exponent = (np.float64(exact).view(np.int64) >> 52) & 0x7FF
            inverse_ulp = np.int64((2 * 1023 + 23 - max(exponent, 1023 - 126)) << 52).view(np.float64)
            error = abs(np.float64(y[i]) - exact) * inverse_ulp
            total += error
            count += 1
            if error > worst:
                worst, where = error, i
        elif not (rounded == y[i] or (np.isnan(rounded) and np.isnan(y[i]))):
            wrong += 1
    return worst, where, total, count, wrong


def chunks(sample: int) -> Iterator[Array]:
    """Yield float32 inputs: each bit pattern once, or a random sample of them."""
    random = np.random.default_rng(0)
    for start in range(0, sample or INPUTS, CHUNK):
        size = min(CHUNK, (sample or INPUTS) - start)
        bits = random.integers(0, INPUTS, size) if sample else np.arange(start, start + size)
        yield bits.astype(np.uint32).view(np.float32)


def best(run: Callable[[], object], calls: int) -> float:
    """Return the shortest time of a call, in nanoseconds, over some rounds."""
    times = []
    for _ in range(15):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times) / calls * 1e9


def measure(name: str, sample: int) -> str:
    """Return a function's row of the table."""
    function = getattr(elementary, name)

    @njit
    def apply(x, y, repeats):
        for _ in range(repeats):
            for i in range(x.size):
                y[i] = function(x[i])

    @njit
    def chain(x, repeats):
        for _ in range(repeats):
            x = function(-x)
        return x

    worst, at, total, count, wrong = 0.0, np.float32(0), 0.0, 0, 0
    for x in chunks(sample):
        y = np.empty_like(x)
        apply(x, y, 1)
        with np.errstate(all="ignore"):
            reference = FUNCTIONS[name](x.astype(np.float64))
        error, where, part, number, bad = compare(y, reference)
        total, count, wrong = total + part, count + number, wrong + bad
        if error > worst:
            worst, at = error, x[where]

    x = np.random.default_rng(0).uniform(-4, 4, 1024).astype(np.float32)
    y = np.empty_like(x)
    chain(x[0], 1)
    throughput = best(lambda: apply(x, y, 500), 500 * x.size)
    latency = best(lambda: chain(x[0], 20_000), 20_000)
    error = f"{name:8} {worst:8.3f} {at:17.9g} {total / count:9.4f} {wrong:7d} {count:12,d}"
    return f"{error} {throughput:11.3f} {latency:8.2f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="N random inputs instead of all 2^32")
    parser.add_argument("functions", nargs="*", default=[], help="names (default: all)")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.functions if name not in FUNCTIONS]
    if unknown or arguments.sample < 0:
        parser.error(f"unknown function {unknown[0]}" if unknown else "--sample takes a positive number")
    print(f"processor: {binding.get_host_cpu_name()}; throughput over 1024 elements, latency in a dependent chain")
    print("function  max ulp              at x  mean ulp   wrong     compared  ns/element  ns/call")
    for name in arguments.functions or FUNCTIONS:
        print(measure(name, arguments.sample), flush=True)


if __name__ == "__main__":
    main()
