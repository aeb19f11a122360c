"""The cases that the benchmarks, the tests and the docs share."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Fit:
    """A whole fit: `samples` sequences of (steps, features) to one number, through SimpleRNN and Dense layers."""

    name: str
    source: str
    samples: int
    steps: int
    features: int
    units: int
    activation: str
    dense: tuple[tuple[int, str], ...]  # (units, activation) from the bottom up
    optimizer: str
    batch: int
    epochs: int


FITS = {
    case.name: case
    for case in (
        Fit("mlm", "MLM's sunspots lesson", 187, 12, 1, 3, "tanh", ((1, "tanh"),), "adam", 1, 20),
        Fit("dtn", "DTN's noisy sine", 800, 1, 4, 32, "relu", ((8, "relu"), (1, "linear")), "rmsprop", 16, 100),
    )
}


class LayerSize(NamedTuple):
    """The sizes of one layer's benchmark: units, samples, steps, features."""

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
MODES = ("train", "forward")
