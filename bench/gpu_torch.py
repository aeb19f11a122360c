"""PyTorch on a GPU as a contestant: nn.LSTM, nn.GRU and nn.RNN, time first, with our weights."""

import time
from typing import Any

import numpy as np
import torch
from gpu_cases import Case

LAYERS: dict[str, Any] = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "simple_rnn": torch.nn.RNN}
GATES = {"lstm": (0, 1, 2, 3), "gru": (1, 0, 2), "simple_rnn": (0,)}  # ours, in PyTorch's order
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def versions() -> dict[str, str]:
    """Return the versions that matter."""
    found = {"torch": torch.__version__}
    if DEVICE == "cuda":
        found |= {"cudnn": str(torch.backends.cudnn.version()), "torch's device": torch.cuda.get_device_name()}
    return found


def release() -> None:
    """Give the memory that is not used back to the device."""
    if DEVICE == "cuda":
        torch.cuda.empty_cache()


def reordered(cell: str, weight: np.ndarray) -> np.ndarray:
    """Return a weight with its gates in PyTorch's order, and units before features."""
    parts = np.split(weight, len(GATES[cell]), axis=-1)
    return np.ascontiguousarray(np.concatenate([parts[k] for k in GATES[cell]], axis=-1).T)


class Layer:
    """A layer on PyTorch's device.

    Parameters
    ----------
    case : Case
    arrays : dict of str to numpy.ndarray
        x and y (B, T, H), Wx, Wh and b in our layouts.
    """

    def __init__(self, case: Case, arrays: dict[str, np.ndarray]) -> None:
        self.case = case
        self.kind = torch.bfloat16 if case.precision == "bfloat16" else torch.float32
        self.net = LAYERS[case.cell](case.H, case.H)
        b = arrays["b"]
        wanted = {
            "weight_ih_l0": reordered(case.cell, arrays["Wx"]),
            "weight_hh_l0": reordered(case.cell, arrays["Wh"]),
            "bias_ih_l0": reordered(case.cell, b[0] if b.ndim == 2 else b),
            "bias_hh_l0": reordered(case.cell, b[1] if b.ndim == 2 else np.zeros_like(b)),
        }
        self.net.load_state_dict({name: torch.from_numpy(a) for name, a in wanted.items()})
        self.net = self.net.to(DEVICE, self.kind)
        self.x, self.y = (torch.from_numpy(arrays[k].swapaxes(0, 1).copy()).to(DEVICE, self.kind) for k in ("x", "y"))

    def begin(self) -> None:
        """Allow TF32 or not: a switch of the process."""
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = self.case.precision == "tf32"

    def outputs(self) -> np.ndarray:
        """Return every state, (B, T, H)."""
        self.begin()
        with torch.inference_mode():
            return self.net(self.x)[0].float().cpu().numpy().swapaxes(0, 1)

    def run(self) -> None:
        """Do the case's work once."""
        if self.case.mode == "forward":
            with torch.inference_mode():
                self.net(self.x)
        else:
            self.net.zero_grad(set_to_none=True)
            torch.nn.functional.mse_loss(self.net(self.x)[0], self.y).backward()

    def warm(self) -> None:
        """Let the libraries choose and load what they run."""
        self.begin()
        for _ in range(3):
            self.run()
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    def timed(self, calls: int) -> float:
        """Return the seconds of a call, by the device's events, or by the clock where there is none."""
        self.begin()
        if DEVICE != "cuda":  # where the processor stands in, for a rehearsal
            start = time.perf_counter()
            for _ in range(calls):
                self.run()
            return (time.perf_counter() - start) / calls
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(calls):
            self.run()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3 / calls
