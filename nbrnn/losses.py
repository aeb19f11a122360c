"""Losses and metrics by Keras' names. Both are sums that kernels write; a metric has no gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from .checks import one_of, real_number
from .program import Buffer, Program


@dataclass(frozen=True)
class Loss:
    """A loss: the kernel that computes it, and its parameters."""

    name: str
    kernel: str
    parameters: dict[str, float] = field(default_factory=dict)
    finish: Callable[[float], float] = float  # from the mean over all samples to the figure

    def lower(self, p: Program, y: Buffer, target: Buffer, outputs: int, slot: int, dy: Buffer | None) -> None:
        """Add the call; `slot` is its place among the statistics."""
        flat = None if dy is None else dy.reshape(-1)
        p.call(
            self.kernel,
            y=y.reshape(-1),
            target=target.reshape(-1),
            control=p["control"],
            outputs=outputs,
            slot=slot,
            dy=flat,
            stats=p["stats"],
            **self.parameters,
        )


def Huber(delta: float = 1.0) -> Loss:
    """Return Huber's loss: e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2).

    Parameters
    ----------
    delta : float, default 1.0
        Where the loss turns from squared to absolute; above 0.

    Raises
    ------
    ValueError
        If delta is not a number above 0.
    """
    return Loss("huber", "huber", {"delta": real_number("delta", delta, open_low=True)})


LOSSES = {
    "mse": Loss("mse", "mse"),
    "mean_squared_error": Loss("mse", "mse"),
    "mae": Loss("mae", "mae"),
    "mean_absolute_error": Loss("mae", "mae"),
    "huber": Huber(),
}
METRICS = LOSSES | {
    "rmse": Loss("rmse", "mse", finish=math.sqrt),
    "root_mean_squared_error": Loss("rmse", "mse", finish=math.sqrt),
}


def get_loss(loss: str | Loss) -> Loss:
    """Return a loss from its name, or as it came; ValueError, with the nearest name, if it is unknown."""
    return loss if isinstance(loss, Loss) else LOSSES[one_of("loss", loss, LOSSES)]


def get_metric(metric: str | Loss) -> Loss:
    """Return a metric from its name, or as it came; ValueError, with the nearest name, if it is unknown."""
    return metric if isinstance(metric, Loss) else METRICS[one_of("metric", metric, METRICS)]
