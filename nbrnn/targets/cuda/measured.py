"""What was measured on GPUs, in measured.json beside this file: what choices go by, and what `nbrnn info` and docs say.

    measured.json   {"format": 1, "gpus": {"NVIDIA ...": {"taken", "versions", "processor", "threads", "fits", "layers",
                    "library_from"}}}
    fits            {"H", "B", "T", "cpu", "cuda"}: seconds a batch of a fit of an LSTM layer on both
    layers          {"cell", "H", "B", "precision", "mode", "design", "seconds"}: a pass with a design forced
    library_from    by precision: from how many multiply-adds on cuBLAS is faster than tiles of our own

bench/gpu_measured.py writes it from what bench/on_gpu.py has measured. A GPU that is not in it gets the choices that
follow from arithmetic (designs.py, products.py).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

FORMAT = 1
FILE = Path(__file__).with_name("measured.json")
NEAR = 1.0  # how far, in powers of two of H and of B together, a measured layer may be from one that it speaks for
KERNELS = {"lstm": "lstm", "gru": "gru_after", "simple_rnn": "simple_rnn"}  # of the cells that are measured
NOTHING = "not measured on this GPU; bench/on_gpu.py measures it"

Found = Mapping[str, Any]  # of one GPU


def read(path: Path) -> dict[str, Any]:
    """Return what a file holds, by the names of GPUs.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ValueError
        If it is no such file, or of another format.
    """
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict) or found.get("format") != FORMAT or not isinstance(found.get("gpus"), dict):
        raise ValueError(f"{path} must hold measured figures of format {FORMAT}.")
    return dict(found["gpus"])


@cache
def on(gpu: str) -> Found:
    """Return what was measured on a GPU; nothing if it never was."""
    own: Found = read(FILE).get(gpu, {})
    return own


# ---------------------------------------------------------------- choices


def library_from(gpu: str, precision: str, otherwise: int) -> int:
    """Return from how many multiply-adds on cuBLAS makes a product: as measured, or otherwise."""
    return int(on(gpu).get("library_from", {}).get(precision, otherwise))


@cache
def fastest(gpu: str, kernel: str, precision: str, H: int, B: int) -> str:
    """Return the design that was fastest at the nearest measured size; nothing if none is near.

    A backward pass' time is a training's less the forward pass' with the same design.
    """
    times = passes(on(gpu).get("layers", ())).get((kernel, precision), {})
    near = {size: abs(math.log2(size[0] / H)) + abs(math.log2(size[1] / B)) for size in times}
    if not near or min(near.values()) > NEAR:
        return ""
    by_design = times[min(near, key=lambda size: (near[size], size))]
    return min(by_design, key=lambda name: by_design[name]) if len(by_design) > 1 else ""


def passes(layers: Iterable[Found]) -> dict[tuple[str, str], dict[tuple[int, int], dict[str, float]]]:
    """Return seconds by design, by (H, B), by (kernel, precision): of passes forward and back.

    Parameters
    ----------
    layers : iterable of dict
        As in measured.json.
    """
    seconds = {
        (r["cell"], r["precision"], r["H"], r["B"], r["design"], r["mode"]): float(r["seconds"])
        for r in layers
        if r["cell"] in KERNELS
    }
    found: dict[tuple[str, str], dict[tuple[int, int], dict[str, float]]] = {}
    for (cell, precision, H, B, design, mode), taken in seconds.items():
        way, forward = "forward", seconds.get((cell, precision, H, B, design, "forward"))
        if mode == "train":
            if forward is None:
                continue
            way, taken = "backward", max(taken - forward, 0.0)
        found.setdefault((f"{KERNELS[cell]}_{way}", precision), {}).setdefault((H, B), {})[design] = taken
    return found


# ---------------------------------------------------------------- words


def wins_from(fits: Iterable[Found]) -> dict[int, int | None]:
    """Return by batch size from which measured H on the GPU is faster, there and at all larger; None if nowhere.

    Parameters
    ----------
    fits : iterable of dict
        As in measured.json.
    """
    rows = sorted(fits, key=lambda r: (r["B"], -r["H"]))
    found: dict[int, int | None] = {}
    for batch in dict.fromkeys(r["B"] for r in rows):
        found[batch] = None
        for row in (r for r in rows if r["B"] == batch):
            if row["cuda"] >= row["cpu"]:
                break
            found[batch] = row["H"]
    return found


def crossover(found: Found) -> str:
    """Return in a sentence below which sizes the CPU was faster.

    Parameters
    ----------
    found : dict
        What was measured on a GPU.
    """
    fits = list(found.get("fits", ()))
    if not fits:
        return ""
    steps, largest = fits[0]["T"], {b: max(r["H"] for r in fits if r["B"] == b) for b in {r["B"] for r in fits}}
    parts = []
    for batch, units in wins_from(fits).items():
        size = f"a batch of {batch}" if batch == 1 else f"batches of {batch}"
        from_ = f"not up to {largest[batch]} units" if units is None else f"from {units} units on"
        parts.append(f"{from_} with {size}")
    threads = f"{found['threads']} thread{'s' * (found['threads'] != 1)}"
    return (
        f"an LSTM over {steps} steps is fitted faster on the GPU than on {found['processor']} with {threads} "
        f"{', '.join(parts)}; smaller ones are faster on the CPU"
    )


def describe(gpu: str) -> str:
    """Return what `nbrnn info` says of the choice between the CPU and a GPU."""
    return crossover(on(gpu)) or NOTHING


def paragraph(gpus: Mapping[str, Found]) -> str:
    """Return what the documentation says.

    Parameters
    ----------
    gpus : dict
        What was measured, by the names of GPUs.
    """
    said = [f"On an {name}, {text}." for name, found in sorted(gpus.items()) if (text := crossover(found))]
    return " ".join(said) or "Below which sizes the CPU is faster than a GPU was not measured yet."
