"""The cases that the benchmarks, the tests and the docs share."""

from dataclasses import dataclass


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
