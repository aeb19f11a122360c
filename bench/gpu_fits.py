"""Whole fits on the GPU beside the same on the CPU and PyTorch's on the GPU; and from which size on the GPU wins.

python bench/gpu_fits.py [--rehearse] > gpu-fits.json

Times are of `model.fit` as a user calls it, warm, and of PyTorch's loop over batches. The second part fits one LSTM
layer of H units on batches of B samples of 50 steps, on both devices: seconds a batch.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
from cases import FITS, Fit
from inputs import fit_arrays
from with_nbrnn import fit_model

import nbrnn
from nbrnn.targets.cuda.device import chip

NAMES, REPEATS = ("mlm", "wl"), 5
UNITS, BATCHES, STEPS, MANY = (8, 32, 64, 128, 256, 512), (1, 16, 64, 256), 50, 16


def median(work: Callable[[], Any], repeats: int) -> float:
    """Return the median time of a call, after two that warm up."""
    times = []
    for k in range(2 + repeats):
        begun = time.perf_counter()
        work()
        if k > 1:
            times.append(time.perf_counter() - begun)
    return statistics.median(times)


def whole(fit: Fit, repeats: int) -> dict[str, float]:
    """Return the seconds of a fit by each of those that can run it."""
    x, y = fit_arrays(fit)
    found = {}
    for device in ("cpu", "cuda"):
        model = fit_model(fit).to(device)
        found[f"nbrnn, {device}"] = median(lambda m=model: m.fit(x, y, fit.batch, fit.epochs, verbose=0), repeats)
    if find_spec("torch"):
        import torch
        import with_torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        forms = with_torch.fit(fit, x, y, device)
        found[f"torch, {device}"] = min(median(make().run, repeats) for make in forms.values())
    return found


def a_batch(units: int, batch: int, steps: int, batches: int, repeats: int) -> dict[str, float]:
    """Return the seconds of a batch of a fit of one LSTM layer, on each device."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch * batches, steps, units), dtype=np.float32)
    y, found = x[:, 0, :1].copy(), {}
    for device in ("cpu", "cuda"):
        model = nbrnn.Sequential([nbrnn.LSTM(units), nbrnn.Dense(1)], input_shape=x.shape[1:], seed=0)
        model.compile("adam", "mse")
        model.to(device)
        found[device] = median(lambda m=model: m.fit(x, y, batch, 1, verbose=0), repeats) / batches
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, for Numba's simulator")
    rehearse = parser.parse_args().rehearse
    repeats = 1 if rehearse else REPEATS
    found: dict[str, Any] = {"gpu": chip().name, "fits": {}, "batches": []}
    for name in NAMES:
        fit = FITS[name]
        if rehearse:
            fit = replace(fit, samples=4, steps=3, units=3, features=2, batch=2, epochs=1)
        elif name == "mlm":
            fit = replace(fit, epochs=2)  # of 187 batches of one sample
        found["fits"][name] = whole(fit, repeats)
        print(name, found["fits"][name], file=sys.stderr, flush=True)
    for units in (3,) if rehearse else UNITS:
        for batch in (2,) if rehearse else BATCHES:
            row = {"H": units, "B": batch, "T": STEPS}
            row |= a_batch(units, batch, 3 if rehearse else STEPS, 2 if rehearse else MANY, repeats)
            found["batches"].append(row)
            print(row, file=sys.stderr, flush=True)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
