"""What cuDNN does on this GPU: PyTorch's LSTM, GRU and RNN, forward and forward with backward, as lines of JSON.

python bench/cudnn_grid.py [--quick] > cudnn.jsonl

In float32 TF32 is off, in tf32 on. The features are as many as the units, so the inputs' product is in it, as in ours.
Times are medians of the device's events. About 4 minutes.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable

import torch

QUICK = "--quick" in sys.argv
CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
KINDS = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
SIZES, BATCHES, STEPS = (64, 128, 256, 512, 768, 1024), (1, 16, 64, 128), 512
REPEATS, WARM = (3, 1) if QUICK else (15, 3)


def clock(run: Callable[[], None]) -> float:
    """Return the median time of a call in milliseconds."""
    times = []
    for k in range(WARM + REPEATS):
        if CUDA:
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            run()
            end.record()
            end.synchronize()
            took = start.elapsed_time(end)
        else:
            begun = time.perf_counter()
            run()
            took = (time.perf_counter() - begun) * 1e3
        if k >= WARM:
            times.append(took)
    return statistics.median(times)


def case(cell: str, dtype: str, H: int, B: int, T: int) -> dict[str, float]:
    """Return the times of a layer."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = dtype == "tf32"
    layer = getattr(torch.nn, cell)(H, H).to(DEVICE, KINDS[dtype])
    x, g = (torch.randn(T, B, H, device=DEVICE, dtype=KINDS[dtype]) for _ in range(2))

    def forward() -> None:
        with torch.inference_mode():
            layer(x)

    def train() -> None:
        layer.zero_grad(set_to_none=True)
        layer(x)[0].backward(g)

    ms = {"forward": clock(forward), "train": clock(train)}
    times = {f"{mode}_ms": round(took, 4) for mode, took in ms.items()}
    return times | {f"{mode}_us_per_step": round(took * 1e3 / T, 4) for mode, took in ms.items()}


def main() -> None:
    versions = {"torch": torch.__version__, "cudnn": torch.backends.cudnn.version() if CUDA else None}
    print(json.dumps({"device": torch.cuda.get_device_name() if CUDA else "cpu", **versions}))
    sizes = [(16, 2, 8)] if QUICK else [(H, B, STEPS) for H in SIZES for B in BATCHES]
    for cell in ("LSTM", "GRU", "RNN"):
        for dtype in KINDS if CUDA else ("float32",):
            for H, B, T in sizes:
                row = {"cell": cell, "dtype": dtype, "H": H, "B": B, "T": T}
                try:
                    row |= case(cell, dtype, H, B, T)
                except RuntimeError as error:
                    row["error"] = str(error).splitlines()[0]
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
