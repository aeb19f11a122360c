"""From how many multiply-adds on cuBLAS makes a product faster than tiles of our own.

python bench/gpu_products.py [--rehearse] --out gpu-products.json

Y = X W is timed both ways by the device's events, in turns, medians, as a graph of some such products: nobody launches
one alone. The shapes are those of LSTM layers: the rows of one step, and of some.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nbrnn.files import write_whole
from nbrnn.targets.cuda import products, require_device
from nbrnn.targets.cuda.cublas import library
from nbrnn.targets.cuda.device import chip, on_device
from nbrnn.targets.cuda.graphs import Replayed, seconds_of
from nbrnn.targets.cuda.precision import using

PRECISIONS = ("float32", "tf32", "bfloat16", "float64")
SHAPES = [(rows, 4 * H, H) for rows in (64, 1024, 8192) for H in (32, 64, 128, 256, 512)]  # rows, columns, depth
ROUNDS, CALLS, NEVER = 15, 20, 2**62
WAYS: dict[str, Callable[[Any, Any, Any], None]] = {
    "tiles": lambda Y, X, W: products._launch(
        products.PLAIN, Y, X, W, rows=Y.shape[0], tile=products.tile_for(*Y.shape, Y.dtype)
    ),
    "cublas": lambda Y, X, W: products._by_library(products.PLAIN, Y, X, W, False),
}


def measured(precision: str, rows: int, columns: int, depth: int, rounds: int, calls: int) -> dict[str, Any]:
    """Return the seconds of a product by each way that there is."""
    kind, rng = "float64" if precision == "float64" else "float32", np.random.default_rng(0)
    X, W, Y = (rng.standard_normal(s).astype(kind) for s in ((rows, depth), (depth, columns), (rows, columns)))
    x, w, y = map(on_device, (X, W, Y))
    ways = {name: way for name, way in WAYS.items() if name == "tiles" or library()[0] is not None}
    times: dict[str, list[float]] = {name: [] for name in ways}
    runs = {name: Replayed([partial(way, y, x, w)] * calls) for name, way in ways.items()}
    with using("float32" if precision == "float64" else precision):
        for run in runs.values():
            for _ in range(3):  # compiles and loads, captures, warms up
                run()
        for _ in range(rounds):
            for name, run in runs.items():
                times[name].append(seconds_of(run) / calls)
    row: dict[str, Any] = {"precision": precision, "rows": rows, "columns": columns, "depth": depth}
    return row | {name: statistics.median(taken) for name, taken in times.items()}


def faster_from(rows: list[dict[str, Any]]) -> Iterator[tuple[str, int]]:
    """Yield by precision from how many multiply-adds on cuBLAS is faster, there and at all larger products."""
    for precision in dict.fromkeys(r["precision"] for r in rows):
        own = [r for r in rows if r["precision"] == precision and "cublas" in r]
        best = NEVER
        for row in sorted(own, key=lambda r: -r["rows"] * r["columns"] * r["depth"]):
            if row["cublas"] >= row["tiles"]:
                break
            best = row["rows"] * row["columns"] * row["depth"]
        if own:
            yield precision, best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, for Numba's simulator")
    parser.add_argument("--out", required=True, type=Path)
    options = parser.parse_args()
    require_device()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"gpu": chip().name, "products": [], "library_from": {}}
    shapes, rounds, calls = ([(6, 5, 4)], 1, 1) if options.rehearse else (SHAPES, ROUNDS, CALLS)
    for precision in PRECISIONS:
        for shape in shapes:
            row = measured(precision, *shape, rounds, calls)
            found["products"].append(row)
            print(row, flush=True)
        found["library_from"] = dict(faster_from(found["products"]))
        write_whole(options.out, json.dumps(found, indent=1).encode() + b"\n")
    print(library()[1] or f"cuBLAS is faster from so many multiply-adds on: {found['library_from']}")


if __name__ == "__main__":
    main()
