"""The cases of `nbrnn bench --device cuda`: one layer over 512 steps, D = H, and the ratios that are aimed at.

A ratio is PyTorch's time, which is cuDNN's, over ours: above 1 nbrnn is faster.
"""

from collections.abc import Iterable
from dataclasses import dataclass

CELLS = ("lstm", "gru", "simple_rnn")
SIZES = (64, 128, 256, 512, 1024)
BATCHES = (1, 16, 64, 128)
STEPS = 512
MODES = ("forward", "train")
PRECISIONS = ("float32", "tf32", "bfloat16")  # of the products; on both sides
GATED = ("lstm", "gru")


@dataclass(frozen=True)
class Case:
    """A layer of H units on H features, B samples and T steps: forward, or forward, loss and weight gradients."""

    cell: str
    H: int
    B: int
    T: int
    precision: str
    mode: str

    @property
    def label(self) -> str:
        """What people call it."""
        return f"{self.cell} H={self.H} B={self.B} T={self.T}, {self.precision}, {self.mode}"

    @property
    def goal(self) -> float | None:
        """The wanted ratio to cuDNN; None where there is no goal."""
        if self.cell not in GATED or self.T != STEPS:
            return None
        if self.H <= 192 and self.mode == "forward":
            return 0.8  # where cuDNN keeps a small layer's weights on chip
        if self.H in (256, 512) and self.B <= 64 and self.precision != "tf32":
            return 1.0
        return None


def grid(
    cells: Iterable[str] = CELLS,
    sizes: Iterable[int] = SIZES,
    batches: Iterable[int] = BATCHES,
    precisions: Iterable[str] = PRECISIONS,
    modes: Iterable[str] = MODES,
    steps: int = STEPS,
) -> list[Case]:
    """Return the cases in the table's order."""
    return [
        Case(cell, H, B, steps, precision, mode)
        for precision in precisions
        for mode in modes
        for cell in cells
        for H in sizes
        for B in batches
    ]
