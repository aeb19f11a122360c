"""What layers without weights lay open: pointwise ones, those that join values, and the frames of wrappers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..layers import SOFTMAX
from .cells import Opened, softmax_back
from .held import Arrays


class OpenedPointwise(Opened):
    """Activation and Softmax: y = act(x), number by number or over the features."""

    def open_forward(self, x: np.ndarray) -> Arrays:
        return {"x": x, "y": self.read("out")}

    def open_backward(self, dy: np.ndarray) -> Arrays:
        y = self.forward["y"]
        softmax = getattr(self.layer, "activation", SOFTMAX) == SOFTMAX
        return {"dy": dy, "dx": softmax_back(y, dy) if softmax else dy * self.slope(y)}


class OpenedReshape(Opened):
    """Flatten and, in a prediction, Dropout: the same numbers."""

    def open_backward(self, dy: np.ndarray) -> Arrays:
        return {"dy": dy, "dx": dy.reshape(self.forward["x"].shape)}


class OpenedMasking(Opened):
    """y = x where a step counts, else 0."""

    def open_forward(self, x: np.ndarray) -> Arrays:
        assert self.valid is not None
        return {"x": x, "y": x * self.valid[:, None]}

    def open_backward(self, dy: np.ndarray) -> Arrays:
        assert self.valid is not None
        return {"dy": dy, "dx": dy * self.valid[:, None]}


class OpenedJoin(Opened):
    """What layers of several inputs share: x1, x2, ... and y; dy and dx1, dx2, ..."""

    def open_forward(self, *inputs: np.ndarray) -> Arrays:
        named = {f"x{k + 1}": x for k, x in enumerate(inputs)}
        return {name: x[None] if self.in_time else x for name, x in named.items()} | {"y": self.joined(*inputs)}

    def open_backward(self, dy: np.ndarray) -> Arrays:
        own = dy[None] if self.in_time else dy
        return {"dy": own} | {f"dx{k + 1}": dx for k, dx in enumerate(self.parts(own))}

    @property
    def in_time(self) -> bool:
        """Whether sequences become one, one after the other, which is one step."""
        return False

    def outputs(self) -> np.ndarray:
        return self.forward["y"][0] if self.in_time else self.forward["y"]

    def joined(self, *inputs: np.ndarray) -> np.ndarray:
        """Return y."""
        raise NotImplementedError

    def parts(self, dy: np.ndarray) -> list[np.ndarray]:
        """Return what comes back to each input."""
        raise NotImplementedError


class OpenedAdd(OpenedJoin):
    """y = x1 + x2 + ..."""

    def joined(self, *inputs: np.ndarray) -> np.ndarray:
        return np.sum(inputs, axis=0)

    def parts(self, dy: np.ndarray) -> list[np.ndarray]:
        return [dy for _ in self.inputs]


class OpenedConcatenate(OpenedJoin):
    """y = x1, x2, ... side by side, or one after the other."""

    @property
    def in_time(self) -> bool:
        return self.read("out").shape[1] == self.inputs[0].shape[1]

    def joined(self, *inputs: np.ndarray) -> np.ndarray:
        return np.concatenate(inputs)[None] if self.in_time else np.concatenate(inputs, axis=1)

    def parts(self, dy: np.ndarray) -> list[np.ndarray]:
        ends = np.cumsum([x.shape[0 if self.in_time else 1] for x in self.inputs])[:-1]
        return np.split(dy, ends, axis=1)


class OpenedFrame(OpenedJoin):
    """What a layer does beside the layers within it, which have the weights."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.weights = {}


class OpenedMerge(OpenedFrame):
    """Bidirectional: what both directions give, at the same time step, becomes one."""

    def joined(self, *inputs: np.ndarray) -> np.ndarray:
        y, z = inputs
        mode = self.layer.merge_mode
        if mode == "concat":
            return np.concatenate(inputs, axis=1)
        return y * z if mode == "mul" else (y + z) / (2 if mode == "ave" else 1)

    def parts(self, dy: np.ndarray) -> list[np.ndarray]:
        y, z = self.inputs
        mode = self.layer.merge_mode
        if mode == "concat":
            return np.split(dy, [y.shape[1]], axis=1)
        return [dy * z, dy * y] if mode == "mul" else [dy / (2 if mode == "ave" else 1)] * 2


class OpenedFeedback(OpenedFrame):
    """What the first layer of a Feedback sees: x1, the input, and x2, the last outputs, the youngest first."""

    def joined(self, *inputs: np.ndarray) -> np.ndarray:
        return np.concatenate(inputs, axis=1)

    def parts(self, dy: np.ndarray) -> list[np.ndarray]:
        return np.split(dy, [self.inputs[0].shape[1]], axis=1)


PLAIN: dict[str, type[Opened]] = {
    "Activation": OpenedPointwise,
    "Softmax": OpenedPointwise,
    "Flatten": OpenedReshape,
    "Dropout": OpenedReshape,
    "Masking": OpenedMasking,
    "Add": OpenedAdd,
    "Concatenate": OpenedConcatenate,
}
