"""Scheduled sampling: with which probability a training feeds back targets. The formulas: kernels/feedback.py."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from .checks import one_of, real_number
from .kernels.feedback import UNIT
from .program import Buffer, Program

KINDS = ("linear", "exponential", "inverse_sigmoid")


@dataclass(frozen=True)
class ScheduledSampling:
    """Feed back the target with a probability that falls while training, else the output; a coin a sample and step.

    Parameters
    ----------
    kind : {"linear", "exponential", "inverse_sigmoid"}
        How the probability goes with the optimizer's step i: start (1 - k i), start k^i, start k / (k + exp(i / k)).
    k : float
        Above 0; below 1 for "exponential", at least 1 for "inverse_sigmoid".
    start, stop : float
        From 0 to 1: the factor, and the least probability.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Source: Bengio et al., Scheduled Sampling for Sequence Prediction with RNNs, NeurIPS 2015.
    """

    kind: str = "linear"
    k: float = 0.001
    start: float = 1.0
    stop: float = 0.0

    def __post_init__(self) -> None:
        one_of("kind", self.kind, KINDS)
        real_number("k", self.k, 1.0 if self.kind == KINDS[2] else 0.0, 1e9, open_low=self.kind != KINDS[2])
        if self.kind == "exponential" and self.k >= 1:
            raise ValueError(f"k of an exponential ScheduledSampling must be below 1, not {self.k!r}.")
        for name in ("start", "stop"):
            real_number(name, getattr(self, name), 0.0, 1.0)

    def draw(self, p: Program, name: str, steps: int, samples: int) -> Buffer:
        """Add the call that draws the coins, (T, B); the buffer's name decides them."""
        coins = p.buffer(name, steps, samples)
        numbers = {"rate": self.k, "start": self.start, "stop": self.stop}
        own = {key: round(value * UNIT) for key, value in numbers.items()}
        purpose = zlib.crc32(name.encode()) | 1 << 31
        p.call("draw_coins", control=p["control"], seed=-1, purpose=purpose, kind=KINDS.index(self.kind), coins=coins,
               **own)  # fmt: skip
        return coins
