"""The embedding: a row of weights for every number of a class or a token. The kernels: kernels/embedding.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from . import initializers
from .checks import flag, whole_number
from .graph import Shape
from .initializers import Initializer
from .layers import Backward, Layer, Weight
from .masking import Mask, beside
from .products import gradient
from .program import Buffer, Program

MOST = 2**24  # whole numbers that float32 tells apart


class Embedding(Layer):
    """Look up a row of weights for each whole number: (T,) or (T, 1) becomes (T, output_dim).

    Parameters
    ----------
    input_dim : int
        How many rows: the numbers are 0 to input_dim - 1.
    output_dim : int
        Numbers of a row.
    embeddings_initializer : str or initializer, default "uniform"
        How the rows begin: "uniform" is random_uniform.
    embeddings_regularizer : str or regularizer, optional
        A penalty on the rows that joins the loss.
    mask_zero : bool, default False
        Whether steps with the number 0 are masked, as `Masking` masks; 0 is then no class of its own.
    input_shape, name
        As for every layer.

    Raises
    ------
    ValueError
        If an argument is out of range; when a model is made, if it reads anything but an input of the model.

    Notes
    -----
    Weights: embeddings (input_dim, output_dim). Sequences of any length are (None, 1).
    """

    kind = "embedding"

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Initializer = "uniform",
        embeddings_regularizer: Any = None,
        mask_zero: bool = False,
        *,
        input_shape: Shape | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(input_shape=input_shape, name=name)
        self.regularize(embeddings_regularizer=embeddings_regularizer)
        self.input_dim, self.output_dim = whole_number("input_dim", input_dim), whole_number("output_dim", output_dim)
        if self.input_dim > MOST:
            raise ValueError(f"input_dim must be at most {MOST}, the whole numbers that float32 tells apart.")
        begin = "random_uniform" if embeddings_initializer == "uniform" else embeddings_initializer
        self.embeddings_initializer = initializers.check("embeddings_initializer", begin)
        self.mask_zero = flag("mask_zero", mask_zero)
        self.tokens = self.input_dim

    def config(self) -> dict[str, Any]:
        return super().config() | {
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": self.embeddings_initializer,
            "mask_zero": self.mask_zero,
        }

    def declared(self, shape: Shape) -> list[Weight]:
        return [self.weight("embeddings", (self.input_dim, self.output_dim), self.embeddings_initializer)]

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) == 2 and shape[1] != 1:
            raise ValueError(
                f"layer {self.title} takes a whole number a step, (time steps,) or (time steps, 1), but its input is "
                f"{shape}."
            )
        return (shape[0], self.output_dim)

    def lower(self, p: Program, x: Buffer) -> tuple[Buffer, Backward]:
        steps, samples = x.shape[:2] if len(x.shape) == 3 else x.shape[::-1]
        numbers: dict[str, Any] = {"x": x.reshape(-1), "per_step": samples, "per_sample": 1}
        if len(x.shape) == 2:
            numbers |= {"per_step": 1, "per_sample": steps}
        y = p.buffer(f"{self.name}/y", steps, samples, self.output_dim)
        p.call("look_up", W=self._buffer(p, "embeddings"), y=y, **numbers)
        if self.mask_zero:
            before, valid = p.masks[0], p.buffer(f"{self.name}/valid", steps, samples)
            p.call("mask_zeros", before=None if before is None else before.valid, valid=valid, **numbers)

        def backward(dy: Buffer, wanted: bool) -> Buffer | None:
            p.call("look_up_backward", dy=dy, add=int(p.adding), dW=p[gradient(f"{self.name}/embeddings")], **numbers)
            if not wanted:
                return None
            dx = p.buffer(f"{self.name}/dx", *x.shape)  # numbers that name rows have no slope
            p.clear(dx)
            return dx

        return y, backward

    def out_masks(self, p: Program, inputs: list[Buffer], results: list[Buffer]) -> list[Mask | None]:
        if not self.mask_zero:
            return super().out_masks(p, inputs, results)
        (x,), valid = inputs, p[f"{self.name}/valid"]
        feed = p.feeds.get(x.name)
        if feed is not None and feed.vector:  # the numbers of a sample are its steps
            feed = replace(feed, steps=feed.features, features=1, strides=(feed.strides[0], feed.strides[2], 1))
        return [beside(p, self, x, feed, valid, 0.0)]
