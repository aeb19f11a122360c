"""The cases that the command, the tests and the docs share: what is measured, who takes part, which ratios are wanted.

A ratio is a peer's time over ours: above 1 nbrnn is faster.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

CELLS = {"simple_rnn": 1, "lstm": 4, "gru": 3}  # blocks of H columns in a weight matrix
TITLES = {"simple_rnn": "SimpleRNN", "lstm": "LSTM", "gru": "GRU"}
MODES = {
    "train": "forward, loss, weight gradients",
    "forward": "every state",
}
DTYPES = ("float32", "float64")
PEERS = ("torch", "jax", "keras", "onnxruntime")
DISTRIBUTIONS = {  # what pip calls the modules that a peer needs
    "torch": ("torch",),
    "jax": ("jax",),
    "keras": ("keras", "tensorflow"),
    "onnxruntime": ("onnxruntime", "onnx"),
}


class LayerSize(NamedTuple):
    """The sizes of one layer: units, samples, steps, features."""

    H: int
    B: int
    T: int
    F: int


LAYERS = {
    size.H: size
    for size in (
        LayerSize(3, 1, 12, 1),
        LayerSize(32, 16, 50, 4),
        LayerSize(64, 32, 100, 16),
        LayerSize(128, 32, 100, 64),
        LayerSize(256, 64, 100, 128),
        LayerSize(512, 64, 100, 256),
        LayerSize(1024, 32, 50, 512),
    )
}
STREAMS = {size.H: size for size in (LayerSize(32, 1, 1, 4), LayerSize(256, 1, 1, 128))}
STREAM_MODES = {"step": "one step a call, from Python", "rows": "a compiled loop over rows"}


@dataclass(frozen=True)
class Fit:
    """A whole fit, minimising the mean squared error: a recurrent layer and Dense layers."""

    name: str
    what: str
    cell: str
    samples: int
    steps: int
    features: int
    units: int
    activation: str
    dense: tuple[tuple[int, str], ...]  # (units, activation) from the bottom up
    optimizer: str
    batch: int
    epochs: int
    goals: tuple[tuple[str, float], ...]


FITS = {
    case.name: case
    for case in (
        Fit(
            *("mlm", "the sunspots lesson", "simple_rnn", 187, 12, 1, 3, "tanh", ((1, "tanh"),), "adam", 1, 20),
            goals=(("jax", 6), ("keras", 2500)),
        ),
        Fit(
            *("dtn", "a noisy sine", "simple_rnn", 800, 1, 4, 32, "relu", ((8, "relu"), (1, "linear")), "rmsprop", 16),
            epochs=100,
            goals=(("jax", 5), ("keras", 300)),
        ),
        Fit(
            *("wl", "long windows, a wide layer", "gru", 400, 300, 4, 300, "tanh", ((4, "linear"),), "adam", 64, 1),
            goals=(("torch", 1.9), ("jax", 1.9), ("keras", 1.9)),
        ),
        Fit(
            *("wb", "a tiny network, many epochs", "simple_rnn", 90, 20, 1, 5, "tanh", ((1, "sigmoid"),), "adam", 1),
            epochs=1000,
            goals=(("jax", 5), ("keras", 1000)),
        ),
    )
}
# Who takes minutes runs a part of the epochs; its time is multiplied, and the table says so.
PARTS = {("keras", "mlm"): 10, ("keras", "dtn"): 10, ("keras", "wb"): 100, ("torch", "mlm"): 10, ("torch", "wb"): 50}

# Up to which H which ratio to the best peer is wanted, in float32; 0: none.
LAYER_GOALS = {
    ("train", 1, "simple_rnn"): ((32, 3.0), (256, 1.5), (1024, 1.3)),
    ("train", 1, "lstm"): ((32, 2.0), (512, 1.25), (1024, 1.15)),
    ("train", 1, "gru"): ((32, 2.5), (128, 1.8), (1024, 1.4)),
    ("forward", 1, "simple_rnn"): ((1024, 1.2),),
    ("forward", 1, "lstm"): ((3, 3.0), (1024, 1.0)),
    ("forward", 1, "gru"): ((1024, 1.15),),
    ("train", 2, "simple_rnn"): ((32, 0), (1024, 1.4)),
    ("train", 2, "lstm"): ((32, 0), (1024, 1.2)),
    ("train", 2, "gru"): ((32, 0), (1024, 1.4)),
}
STREAM_GOALS = {("step", 32): 4.0, ("step", 256): 1.8, ("rows", 32): 10.0, ("rows", 256): 1.8}
SHARE_GOAL, SHARE_FROM = 0.85, 128  # of the peak: train, one thread
SCALING_GOAL, SCALING_FROM = 1.85, 64  # two threads over one: train


@dataclass(frozen=True)
class Case:
    """One piece of work: a layer (name: its cell), a fit, or an LSTM's streaming steps."""

    group: str  # "layer", "fit" or "stream"
    name: str
    size: int
    mode: str
    dtype: str = "float32"

    @property
    def label(self) -> str:
        """What people call it."""
        return self.name if self.group == "fit" else f"{self.title} {self.size}, {self.mode}, {self.dtype}"

    @property
    def title(self) -> str:
        """What people call the cell; one of --module by its kind."""
        return TITLES.get(self.name, self.name)

    @property
    def sizes(self) -> LayerSize:
        """The sizes of a layer or a stream."""
        return (LAYERS if self.group == "layer" else STREAMS)[self.size]

    def goals(self, threads: int) -> dict[str, float]:
        """Return the wanted ratios: to a peer by its name, or to the "best"."""
        if self.dtype != "float32":
            return {}
        if self.group == "fit":
            return dict(FITS[self.name].goals) if threads <= 2 else {}
        if self.group == "stream":
            return {"onnxruntime": STREAM_GOALS[self.mode, self.size]}
        steps = LAYER_GOALS.get((self.mode, threads, self.name), ())
        found = next((ratio for most, ratio in steps if self.size <= most), 0)
        return {"best": found} if found else {}

    def share_goal(self, threads: int) -> float | None:
        """Return the share of the peak that is wanted."""
        wanted = self.mode == "train" and threads == 1 and self.size >= SHARE_FROM and self.dtype == "float32"
        return SHARE_GOAL if wanted else None

    def scaling_goal(self, threads: int) -> float | None:
        """Return how many times faster than with one thread is wanted."""
        wanted = self.mode == "train" and threads == 2 and self.size >= SCALING_FROM and self.dtype == "float32"
        return SCALING_GOAL if wanted else None

    def admits(self, contestant: str) -> bool:
        """Return whether a contestant has this work to offer."""
        if contestant == "nbrnn":
            return True
        if self.group == "layer" and self.name not in CELLS:
            return False
        if self.group == "fit":
            return contestant != "onnxruntime"
        if contestant == "onnxruntime":
            return self.mode != "train" and self.dtype == "float32"
        return contestant == "torch" or (contestant == "jax" and self.group == "layer")

    def part(self, contestant: str) -> int:
        """Return by how much the epochs are divided for a contestant."""
        return PARTS.get((contestant, self.name), 1) if self.group == "fit" else 1


def threads_text(count: int) -> str:
    """Return "1 thread" or "2 threads"."""
    return f"{count} thread{'s' * (count > 1)}"


def layer_cases(cells: Iterable[str], sizes: Iterable[int], modes: Iterable[str], dtypes: Iterable[str]) -> list[Case]:
    """Return the cases of single layers, in the table's order."""
    return [
        Case("layer", cell, size, mode, dtype) for dtype in dtypes for mode in modes for cell in cells for size in sizes
    ]


def fit_cases(names: Iterable[str]) -> list[Case]:
    """Return the cases of whole fits."""
    return [Case("fit", name, FITS[name].units, "fit") for name in names]


def stream_cases() -> list[Case]:
    """Return the cases of single steps."""
    return [Case("stream", "lstm", size, mode) for mode in STREAM_MODES for size in STREAMS]
