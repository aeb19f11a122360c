"""Recurrent layers; their equations stand in the kernels' files."""

from __future__ import annotations

from typing import Any

from . import initializers
from .checks import one_of, whole_number
from .kernels.activations import ACTIVATIONS
from .layers import Backward, Layer, Shape, Weight, input_gradient, known, transposed, weight_gradient
from .program import Buffer, Program


class SimpleRNN(Layer):
    """The simple recurrent (Elman) layer: h_t = act(x_t Wx + h_(t-1) Wh + b).

    Parameters
    ----------
    units : int
        Number of hidden units H.
    activation : str, default "tanh"
        One of linear, tanh, sigmoid, relu, softsign, elu, hard_sigmoid.
    use_bias : bool, default True
        Whether b is there.
    return_sequences : bool, default False
        Whether the output is every state, (T, H), or the last one, (H,).
    kernel_initializer, recurrent_initializer, bias_initializer : str
        How Wx, Wh and b begin; see `nbrnn.initializers`.
    input_shape, name
        As for every layer.

    Raises
    ------
    ValueError
        If `units` is not a positive whole number, or a name is unknown.

    Notes
    -----
    Weights, in order: kernel (D, H), recurrent_kernel (H, H), bias (H,). Source: Elman 1990.
    """

    kind = "simple_rnn"

    def __init__(
        self,
        units: int,
        activation: str | None = "tanh",
        use_bias: bool = True,
        return_sequences: bool = False,
        kernel_initializer: str = "glorot_uniform",
        recurrent_initializer: str = "orthogonal",
        bias_initializer: str = "zeros",
        *,
        input_shape: Shape | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(input_shape=input_shape, name=name)
        self.units = whole_number("units", units)
        self.activation = one_of("activation", "linear" if activation is None else activation, ACTIVATIONS)
        self.use_bias, self.return_sequences = bool(use_bias), bool(return_sequences)
        self.kernel_initializer = initializers.check("kernel_initializer", kernel_initializer)
        self.recurrent_initializer = initializers.check("recurrent_initializer", recurrent_initializer)
        self.bias_initializer = initializers.check("bias_initializer", bias_initializer)

    def weights(self, shape: Shape) -> list[Weight]:
        features, units = known(shape[-1]), self.units
        return [
            Weight("kernel", (features, units), self.kernel_initializer),
            Weight("recurrent_kernel", (units, units), self.recurrent_initializer),
            *([Weight("bias", (units,), self.bias_initializer)] if self.use_bias else []),
        ]

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2:
            raise ValueError(
                f"layer {self.name} needs sequences (time steps, features), but its input is {shape}; "
                "a recurrent layer below it needs return_sequences=True, and plain vectors need a time axis."
            )
        return (shape[0], self.units) if self.return_sequences else (self.units,)

    def lower(self, p: Program, x: Buffer) -> tuple[Buffer, Backward]:
        steps, samples, _ = x.shape
        Wx, Wh = self._buffer(p, "kernel"), self._buffer(p, "recurrent_kernel")
        b = self._buffer(p, "bias") if self.use_bias else None
        code = ACTIVATIONS.index(self.activation)
        h = p.buffer(f"{self.name}/h", steps + 1, samples, self.units)
        a = p.buffer(f"{self.name}/a", steps, samples, self.units) if p.tape else None
        p.call("simple_rnn_forward", x=x, Wx=Wx, Wh=Wh, b=b, activation=code, initial=0, h=h, a=a)

        def backward(dy: Buffer, wanted: bool) -> Buffer | None:
            da = p.buffer(f"{self.name}/da", steps, samples, self.units)
            names = [f"{self.name}/{w}" for w in ("kernel", "recurrent_kernel", "bias")[: 2 + self.use_bias]]
            p.call(
                "simple_rnn_backward",
                Wh=Wh,
                WhT=transposed(p, Wh) if steps > 1 else None,
                h=h,
                activation=code,
                dh=dy.reshape(-1, samples, self.units),
                da=da,
            )
            weight_gradient(p, x, da, names[0], names[2] if self.use_bias else None)
            # h[0] is zero: what it would add to the gradient is left out.
            weight_gradient(p, h[1:steps], da[1:], names[1], None)
            return input_gradient(p, da, Wx, x, self.name) if wanted else None

        return (h[1:] if self.return_sequences else h[steps]), backward

    def config(self) -> dict[str, Any]:
        return super().config() | {
            "units": self.units,
            "activation": self.activation,
            "use_bias": self.use_bias,
            "return_sequences": self.return_sequences,
            "kernel_initializer": self.kernel_initializer,
            "recurrent_initializer": self.recurrent_initializer,
            "bias_initializer": self.bias_initializer,
        }
