"""Numbers as they stand in formulas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from . import LayerTrace

Row = tuple[str, str, float]  # a label, a formula with numbers, its result


class Numbers:
    """Writes numbers, sums and products with so many significant digits."""

    def __init__(self, digits: int) -> None:
        self.digits, self.width = digits, max(13, digits + 7)

    def __call__(self, value: float) -> str:
        text = f"{float(value):.{self.digits}g}"
        return "0" if float(text) == 0 else text

    def inner(self, value: float) -> str:
        """Return a number as it stands within a formula."""
        text = self(value)
        return f"({text})" if text.startswith("-") else text

    def product(self, *factors: float) -> str:
        """Return a * b * c."""
        return "*".join([self(factors[0]), *(self.inner(f) for f in factors[1:])])

    def products(self, left: Iterable[float], right: Iterable[float]) -> str:
        """Return a1*b1 + a2*b2 + ..."""
        return self.join(self.product(a, b) for a, b in zip(left, right, strict=True))

    def sum(self, *terms: float) -> str:
        """Return a + b + c."""
        return self.join(self(t) for t in terms)

    @staticmethod
    def join(terms: Iterator[str]) -> str:
        """Return terms as a sum; a negative one is subtracted."""
        first, *others = [*terms]
        return first + "".join(f" - {t[1:]}" if t.startswith("-") else f" + {t}" for t in others)

    def vector(self, values: np.ndarray) -> str:
        """Return (a, b, c), cut short where it is long."""
        shown = [self(v) for v in values[:8]] + ["..."] * (len(values) > 8)
        return "(" + ", ".join(shown) + ")"


def activation_of(layer: LayerTrace, gate: str) -> str:
    """Return the name of a gate's activation; n is the candidate."""
    return str(layer.layer.activation if gate == "n" else layer.layer.recurrent_activation)
