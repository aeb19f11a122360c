"""Whole fits on the GPU beside the same on the CPU and PyTorch's on the GPU; and from which size on the GPU wins.

python bench/gpu_fits.py --what fits --out gpu-fits.json [--rehearse]

Times are of `model.fit` as a user calls it, warm, and of PyTorch's loop over batches, in float32 with TF32 off. `--what
batches` fits one LSTM layer of H units on batches of B samples of 50 steps, on both devices: seconds a batch.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from cases import FITS, Fit
from contest import processor
from inputs import fit_arrays
from report import seconds_text
from with_nbrnn import fit_model

import nbrnn
from nbrnn.files import write_whole
from nbrnn.targets.cuda import require_device
from nbrnn.targets.cuda.device import chip

NAMES, REPEATS = ("mlm", "wl"), 5
UNITS, BATCHES, STEPS, MANY, FEW = (8, 32, 64, 128, 256, 512), (1, 16, 64, 256), 50, 8, 3


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

        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        device = "cuda" if torch.cuda.is_available() else "cpu"
        forms = with_torch.fit(fit, x, y, device)
        found[f"torch, {device}"] = min(median(make().run, repeats) for make in forms.values())
    return found


def lessons(rehearse: bool) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Yield the lessons' fits."""
    for name in NAMES:
        fit = FITS[name]
        if rehearse:
            fit = replace(fit, samples=4, steps=3, units=3, features=2, batch=2, epochs=1)
        elif name == "mlm":
            fit = replace(fit, epochs=5)  # of 187 batches of one sample
        yield name, partial(whole, fit, 1 if rehearse else REPEATS)


def batches(rehearse: bool) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Yield the sizes from small to large."""
    for units in (3,) if rehearse else UNITS:
        for batch in (2,) if rehearse else BATCHES:
            sizes = (units, batch, 3, 2, 1) if rehearse else (units, batch, STEPS, MANY, FEW)
            yield f"H={units} B={batch}", partial(a_batch, *sizes)


def a_batch(units: int, batch: int, steps: int, batches: int, repeats: int) -> dict[str, Any]:
    """Return a size and the seconds of a batch of a fit of one LSTM layer, on each device."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch * batches, steps, units), dtype=np.float32)
    y, found = x[:, 0, :1].copy(), {"H": units, "B": batch, "T": steps}
    for device in ("cpu", "cuda"):
        model = nbrnn.Sequential([nbrnn.LSTM(units), nbrnn.Dense(1)], input_shape=x.shape[1:], seed=0)
        model.compile("adam", "mse")
        model.to(device)
        found[device] = median(lambda m=model: m.fit(x, y, batch, 1, verbose=0), repeats) / batches
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, for Numba's simulator")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--what", choices=("fits", "batches"), required=True, help="lessons, or from which size on")
    options = parser.parse_args()
    require_device()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {
        "gpu": chip().name,
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": processor(),
        "threads": nbrnn.get_num_threads(),
        "fits": {},
        "batches": [],
        "failures": [],
    }
    work = lessons(options.rehearse) if options.what == "fits" else batches(options.rehearse)
    for name, run in work:
        try:
            taken = run()
        except Exception as error:  # a driver's, too; what follows is measured all the same
            found["failures"].append({"case": name, "error": " ".join(str(error).split())})
            print(f"{name} failed: {found['failures'][-1]['error']}", flush=True)
        else:
            if "H" in taken:
                found["batches"].append(taken)
            else:
                found["fits"][name] = taken
            print(name, ", ".join(f"{who} {seconds_text(taken[who])}" for who in taken if who not in "HBT"), flush=True)
        write_whole(options.out, json.dumps(found, indent=1).encode() + b"\n")
    sys.exit(1 if found["failures"] else 0)


if __name__ == "__main__":
    main()
