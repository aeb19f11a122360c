"""The same random numbers for every contestant, and the form in which a contestant hands over its work."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from cases import CELLS, Case, Fit


class Form(NamedTuple):
    """A way to do a case's work: what runs it once, and how many times the work is in it."""

    run: Callable[[], Any]
    units: int = 1
    count: Callable[[], tuple[int, int]] | None = None  # FLOPs and bytes of the work, once it has run


Forms = dict[str, Callable[[], Form]]  # by a name for people; each is made and tried, the fastest stays


def layer_arrays(case: Case) -> dict[str, np.ndarray]:
    """Return inputs, targets and, of nbrnn's own cells, weights in Keras' layouts."""
    H, B, T, F = case.sizes
    G, rng = CELLS.get(case.name, 0), np.random.default_rng(0)

    def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
        return (rng.standard_normal(shape) * scale).astype(case.dtype)

    bias = (2, G * H) if case.name == "gru" else (G * H,)
    weights = {"Wx": normal(F, G * H, scale=F**-0.5), "Wh": normal(H, G * H, scale=H**-0.5), "b": normal(*bias)}
    return (weights if G else {}) | {"x": normal(B, T, F), "y": normal(B, T, H)}


def fit_arrays(fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Return samples and targets."""
    rng = np.random.default_rng(0)
    x = rng.random((fit.samples, fit.steps, fit.features), dtype=np.float32)
    means = x.mean(axis=(1, 2))[:, None] * np.float32(0.5)
    return x, np.repeat(means, fit.dense[-1][0], axis=1)
