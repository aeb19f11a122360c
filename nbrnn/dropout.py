"""Dropout as a layer, and the masks that recurrent layers share over their steps. The formulas: kernels/dropout.py."""

from __future__ import annotations

import zlib
from typing import Any

from .checks import share, whole_number
from .kernels.dropout import BLOCK
from .layers import Backward, Layer, Shape
from .program import Buffer, Program


def mask(p: Program, name: str, rate: float, seed: int | None, *shape: int) -> Buffer:
    """Add the call that draws a mask (steps, samples, features) into a new buffer; its name decides the numbers."""
    drawn = p.buffer(name, *shape)
    sampled = p.options.sampled
    key = f"{name} sampled" if sampled else name  # no mask of a training
    purpose = zlib.crc32(key.encode()) | 1 << 31  # apart from the small numbers of kernels/random.py
    own = {"seed": -1 if seed is None else seed, "threshold": round(rate * 2**32), "kept": 1 / (1 - rate)}
    room = p.buffer(f"{name} room", BLOCK)
    p.call("draw_mask", control=p["control"], purpose=purpose, sampled=int(sampled), mask=drawn, room=room, **own)
    return drawn


def masked(p: Program, x: Buffer, by: Buffer, name: str) -> Buffer:
    """Add the call that multiplies by a mask into a new buffer."""
    y = p.buffer(name, *x.shape)
    flat = x.reshape(-1, *by.shape[1:])
    p.call("apply_mask", x=flat, mask=by, y=y.reshape(*flat.shape))
    return y


class Dropout(Layer):
    """Drop each number with probability `rate` while training, and scale the others by 1 / (1 - rate).

    Parameters
    ----------
    rate : float
        From 0 to below 1.
    seed : int, optional
        Of this layer's masks; the model's if it is not given.
    input_shape, name
        As for every layer.

    Raises
    ------
    ValueError
        If the rate is out of range, or the seed is no whole number of at least 0.

    Notes
    -----
    `evaluate` drops nothing, `predict` only with training=True. Source: Srivastava et al., JMLR 15 (2014).
    """

    kind = "dropout"

    def __init__(
        self, rate: float, seed: int | None = None, *, input_shape: Shape | None = None, name: str | None = None
    ) -> None:
        super().__init__(input_shape=input_shape, name=name)
        self.rate = share("rate", rate)
        self.seed = None if seed is None else whole_number("seed", seed, 0)

    def lower(self, p: Program, x: Buffer) -> tuple[Buffer, Backward]:
        if not p.training or self.rate == 0:
            return x, lambda dy, wanted: dy if wanted else None
        shape = x.shape if len(x.shape) == 3 else (1, *x.shape)
        drawn = mask(p, f"{self.name}/mask", self.rate, self.seed, *shape)

        def backward(dy: Buffer, wanted: bool) -> Buffer | None:
            return masked(p, dy, drawn, f"{self.name}/dx") if wanted else None

        return masked(p, x, drawn, f"{self.name}/y"), backward

    def config(self) -> dict[str, Any]:
        return super().config() | {"rate": self.rate, "seed": self.seed}
