"""Recurrent layers: how they lower themselves. Their equations stand in the kernels' files."""

from __future__ import annotations

from typing import Any

from . import initializers
from .checks import one_of, whole_number
from .kernels.activations import ACTIVATIONS
from .layers import Backward, Layer, Shape, Weight, gradient, input_gradient, known, transposed, weight_gradient
from .program import Buffer, Program


class Recurrent(Layer):
    """What recurrent layers share: options, weights and the frame of their lowering."""

    gates = 1  # blocks of columns in the kernels

    def __init__(
        self,
        units: int,
        activation: str | None,
        use_bias: bool,
        initial: tuple[str, str, str],
        return_sequences: bool,
        go_backwards: bool,
        input_shape: Shape | None,
        name: str | None,
    ) -> None:
        super().__init__(input_shape=input_shape, name=name)
        self.units = whole_number("units", units)
        self.activation = one_of("activation", "linear" if activation is None else activation, ACTIVATIONS)
        self.use_bias, self.return_sequences = bool(use_bias), bool(return_sequences)
        self.go_backwards = bool(go_backwards)
        names = ("kernel_initializer", "recurrent_initializer", "bias_initializer")
        checked = (initializers.check(n, value) for n, value in zip(names, initial, strict=True))
        self.kernel_initializer, self.recurrent_initializer, self.bias_initializer = checked

    def weights(self, shape: Shape) -> list[Weight]:
        columns = self.gates * self.units
        return [
            Weight("kernel", (known(shape[-1]), columns), self.kernel_initializer),
            Weight("recurrent_kernel", (self.units, columns), self.recurrent_initializer),
            *([self.bias_weight(columns)] if self.use_bias else []),
        ]

    def bias_weight(self, columns: int) -> Weight:
        """Return the bias."""
        return Weight("bias", (columns,), self.bias_initializer)

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2:
            raise ValueError(
                f"layer {self.name} needs sequences (time steps, features), but its input is {shape}; "
                "a recurrent layer below it needs return_sequences=True, and plain vectors need a time axis."
            )
        return (shape[0], self.units) if self.return_sequences else (self.units,)

    def config(self) -> dict[str, Any]:
        return super().config() | {
            "units": self.units,
            "activation": self.activation,
            "use_bias": self.use_bias,
            "kernel_initializer": self.kernel_initializer,
            "recurrent_initializer": self.recurrent_initializer,
            "bias_initializer": self.bias_initializer,
            "return_sequences": self.return_sequences,
            "go_backwards": self.go_backwards,
        }

    def lower(self, p: Program, x: Buffer) -> tuple[Buffer, Backward]:
        steps, samples, _ = x.shape
        inner = self.turned(p, x, "x_reversed") if self.go_backwards else x
        h = p.buffer(f"{self.name}/h", steps + 1, samples, self.units)
        cell_backward = self.cell(p, inner, h)

        def backward(dy: Buffer, wanted: bool) -> Buffer | None:
            dx = cell_backward(dy.reshape(-1, samples, self.units), wanted)
            return self.turned(p, dx, "dx_reversed") if dx is not None and self.go_backwards else dx

        return (h[1:] if self.return_sequences else h[steps]), backward

    def cell(self, p: Program, x: Buffer, h: Buffer) -> Backward:
        """Add the calls of the forward pass over x into h, and return what adds those of the backward pass."""
        raise NotImplementedError

    def turned(self, p: Program, x: Buffer, name: str) -> Buffer:
        """Add the call that turns a sequence round in time."""
        y = p.buffer(f"{self.name}/{name}", *x.shape)
        p.call("reverse", x=x, y=y)
        return y

    def buffer(self, p: Program, name: str, *shape: int) -> Buffer:
        """Add a buffer of this layer."""
        return p.buffer(f"{self.name}/{name}", *shape)

    def bias(self, p: Program) -> Buffer | None:
        """Return the bias, if there is one."""
        return self._buffer(p, "bias") if self.use_bias else None

    def gradients(self, p: Program, x: Buffer, da: Buffer, before: Buffer, dq: Buffer) -> None:
        """Add the calls of the weight gradients, from the inputs, the states before, and what reached them."""
        weight_gradient(p, x, da, f"{self.name}/kernel", f"{self.name}/bias" if self.use_bias else None)
        weight_gradient(p, before, dq, f"{self.name}/recurrent_kernel", None)


class SimpleRNN(Recurrent):
    """The simple recurrent (Elman) layer: h_t = act(x_t Wx + h_(t-1) Wh + b).

    Parameters
    ----------
    units : int
        Number of hidden units H.
    activation : str, default "tanh"
        One of linear, tanh, sigmoid, relu, softsign, elu, hard_sigmoid; None means linear.
    use_bias : bool, default True
        Whether b is there.
    kernel_initializer, recurrent_initializer, bias_initializer : str
        How Wx, Wh and b begin; see `nbrnn.initializers`.
    return_sequences : bool, default False
        Whether the output is every state, (T, H), or the last one, (H,).
    go_backwards : bool, default False
        Whether the sequence is read from its end; states come in the order in which they are computed.
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
        kernel_initializer: str = "glorot_uniform",
        recurrent_initializer: str = "orthogonal",
        bias_initializer: str = "zeros",
        return_sequences: bool = False,
        go_backwards: bool = False,
        *,
        input_shape: Shape | None = None,
        name: str | None = None,
    ) -> None:
        initial = (kernel_initializer, recurrent_initializer, bias_initializer)
        super().__init__(units, activation, use_bias, initial, return_sequences, go_backwards, input_shape, name)

    def cell(self, p: Program, x: Buffer, h: Buffer) -> Backward:
        steps, samples, _ = x.shape
        Wx, Wh, code = (
            self._buffer(p, "kernel"),
            self._buffer(p, "recurrent_kernel"),
            ACTIVATIONS.index(self.activation),
        )
        a = self.buffer(p, "a", steps, samples, self.units) if p.tape else None
        p.call("simple_rnn_forward", x=x, Wx=Wx, Wh=Wh, b=self.bias(p), activation=code, initial=0, h=h, a=a)

        def backward(dh: Buffer, wanted: bool) -> Buffer | None:
            da = self.buffer(p, "da", steps, samples, self.units)
            WhT = transposed(p, Wh) if steps > 1 else None
            p.call("simple_rnn_backward", Wh=Wh, WhT=WhT, h=h, activation=code, dh=dh, da=da)
            self.gradients(p, x, da, h[1:steps], da[1:])  # h[0] is zero and adds nothing
            return input_gradient(p, da, Wx, x, self.name) if wanted else None

        return backward


class Gated(Recurrent):
    """A recurrent layer with gates: what LSTM and GRU share."""

    def __init__(self, recurrent_activation: str | None, *arguments: Any) -> None:
        super().__init__(*arguments)
        gate = "linear" if recurrent_activation is None else recurrent_activation
        self.recurrent_activation = one_of("recurrent_activation", gate, ACTIVATIONS)

    def config(self) -> dict[str, Any]:
        return super().config() | {"recurrent_activation": self.recurrent_activation}

    def codes(self) -> dict[str, int]:
        """Return the codes of the candidate's and the gates' activations."""
        return {
            "activation": ACTIVATIONS.index(self.activation),
            "gate": ACTIVATIONS.index(self.recurrent_activation),
        }


class LSTM(Gated):
    """The LSTM layer: i, f, o = gate(...), n = act(...), c_t = f c_(t-1) + i n, h_t = o act(c_t).

    Parameters
    ----------
    units : int
        Number of hidden units H.
    activation : str, default "tanh"
        Of the candidate and of the cell state; names as for SimpleRNN.
    recurrent_activation : str, default "sigmoid"
        Of the gates.
    use_bias : bool, default True
        Whether b is there.
    kernel_initializer, recurrent_initializer, bias_initializer : str
        How Wx, Wh and b begin.
    unit_forget_bias : bool, default True
        Whether the forget gate's bias begins at 1 (Jozefowicz et al. 2015).
    return_sequences : bool, default False
        Whether the output is every state, (T, H), or the last one, (H,).
    go_backwards : bool, default False
        Whether the sequence is read from its end.
    input_shape, name
        As for every layer.

    Raises
    ------
    ValueError
        If `units` is not a positive whole number, or a name is unknown.

    Notes
    -----
    Weights, in order: kernel (D, 4H), recurrent_kernel (H, 4H), bias (4H,); columns i, f, candidate, o.
    Source: Hochreiter & Schmidhuber 1997, Gers et al. 2000.
    """

    kind, gates = "lstm", 4

    def __init__(
        self,
        units: int,
        activation: str | None = "tanh",
        recurrent_activation: str | None = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: str = "glorot_uniform",
        recurrent_initializer: str = "orthogonal",
        bias_initializer: str = "zeros",
        unit_forget_bias: bool = True,
        return_sequences: bool = False,
        go_backwards: bool = False,
        *,
        input_shape: Shape | None = None,
        name: str | None = None,
    ) -> None:
        initial = (kernel_initializer, recurrent_initializer, bias_initializer)
        own = (units, activation, use_bias, initial, return_sequences, go_backwards, input_shape, name)
        super().__init__(recurrent_activation, *own)
        self.unit_forget_bias = bool(unit_forget_bias)

    def bias_weight(self, columns: int) -> Weight:
        forget = slice(self.units, 2 * self.units) if self.unit_forget_bias else None
        return Weight("bias", (columns,), self.bias_initializer, forget)

    def config(self) -> dict[str, Any]:
        return super().config() | {"unit_forget_bias": self.unit_forget_bias}

    def cell(self, p: Program, x: Buffer, h: Buffer) -> Backward:
        steps, samples, _ = x.shape
        shape, gates = (steps, samples, self.units), (steps, samples, 4 * self.units)
        Wx, Wh = self._buffer(p, "kernel"), self._buffer(p, "recurrent_kernel")
        c, g, s = self.buffer(p, "c", *h.shape), self.buffer(p, "gates", *gates), self.buffer(p, "act_c", *shape)
        a = self.buffer(p, "a", *gates) if p.tape else None
        p.call("lstm_forward", x=x, Wx=Wx, Wh=Wh, b=self.bias(p), initial=0, h=h, c=c, g=g, s=s, a=a, **self.codes())

        def backward(dh: Buffer, wanted: bool) -> Buffer | None:
            da = self.buffer(p, "da", *gates)
            dc, ds = (self.buffer(p, name, samples, self.units) for name in ("dc", "dact_c"))
            WhT = transposed(p, Wh) if steps > 1 else None
            p.call("lstm_backward", Wh=Wh, WhT=WhT, c=c, g=g, s=s, dh=dh, dc=dc, ds=ds, da=da, **self.codes())
            self.gradients(p, x, da, h[1:steps], da[1:])  # h[0] is zero and adds nothing
            return input_gradient(p, da, Wx, x, self.name) if wanted else None

        return backward


class GRU(Gated):
    """The GRU layer: z, r = gate(...), n = act(...), h_t = z h_(t-1) + (1 - z) n.

    Parameters
    ----------
    units : int
        Number of hidden units H.
    activation : str, default "tanh"
        Of the candidate; names as for SimpleRNN.
    recurrent_activation : str, default "sigmoid"
        Of the gates.
    use_bias : bool, default True
        Whether biases are there.
    kernel_initializer, recurrent_initializer, bias_initializer : str
        How Wx, Wh and the biases begin.
    return_sequences : bool, default False
        Whether the output is every state, (T, H), or the last one, (H,).
    go_backwards : bool, default False
        Whether the sequence is read from its end.
    reset_after : bool, default True
        Whether the reset gate acts after the product with Wh (Keras' default, cuDNN, PyTorch) or before it (Cho).
    input_shape, name
        As for every layer.

    Raises
    ------
    ValueError
        If `units` is not a positive whole number, or a name is unknown.

    Notes
    -----
    Weights, in order: kernel (D, 3H), recurrent_kernel (H, 3H), bias (2, 3H) with reset_after, the input's and the
    state's, else (3H,); columns z, r, candidate. Source: Cho et al. 2014.
    """

    kind, gates = "gru", 3

    def __init__(
        self,
        units: int,
        activation: str | None = "tanh",
        recurrent_activation: str | None = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: str = "glorot_uniform",
        recurrent_initializer: str = "orthogonal",
        bias_initializer: str = "zeros",
        return_sequences: bool = False,
        go_backwards: bool = False,
        reset_after: bool = True,
        *,
        input_shape: Shape | None = None,
        name: str | None = None,
    ) -> None:
        initial = (kernel_initializer, recurrent_initializer, bias_initializer)
        own = (units, activation, use_bias, initial, return_sequences, go_backwards, input_shape, name)
        super().__init__(recurrent_activation, *own)
        self.reset_after = bool(reset_after)

    def bias_weight(self, columns: int) -> Weight:
        return Weight("bias", (2, columns) if self.reset_after else (columns,), self.bias_initializer)

    def config(self) -> dict[str, Any]:
        return super().config() | {"reset_after": self.reset_after}

    def cell(self, p: Program, x: Buffer, h: Buffer) -> Backward:
        p.call("begin", initial=0, h=h)
        return self._after(p, x, h) if self.reset_after else self._before(p, x, h)

    def _after(self, p: Program, x: Buffer, h: Buffer) -> Backward:
        steps, samples, _ = x.shape
        gates = (steps, samples, 3 * self.units)
        Wx, Wh, b = self._buffer(p, "kernel"), self._buffer(p, "recurrent_kernel"), self.bias(p)
        g, q = self.buffer(p, "gates", *gates), self.buffer(p, "hWh", *gates)
        a = self.buffer(p, "a", *gates) if p.tape else None
        both = {"b": b[0], "c": b[1]} if b else {}
        p.call("gru_after_forward", x=x, Wx=Wx, Wh=Wh, h=h, g=g, q=q, a=a, **both, **self.codes())

        def backward(dh: Buffer, wanted: bool) -> Buffer | None:
            da, dq = self.buffer(p, "da", *gates), self.buffer(p, "dhWh", *gates)
            through, WhT = self.buffer(p, "dh_through", samples, self.units), transposed(p, Wh)
            own = {"through": through, "da": da, "dq": dq} | self.codes()
            p.call("gru_after_backward", Wh=Wh, WhT=WhT, h=h, g=g, q=q, dh=dh, **own)
            db = p[gradient(f"{self.name}/bias")] if b else None
            weight_gradient(p, x, da, f"{self.name}/kernel", db[0] if db else None)
            weight_gradient(p, h[:steps], dq, f"{self.name}/recurrent_kernel", db[1] if db else None)
            return input_gradient(p, da, Wx, x, self.name) if wanted else None

        return backward

    def _before(self, p: Program, x: Buffer, h: Buffer) -> Backward:
        steps, samples, _ = x.shape
        H = self.units
        shape, gates, two = (steps, samples, H), (steps, samples, 3 * H), (steps, samples, 2 * H)
        Wx, Wh = self._buffer(p, "kernel"), self._buffer(p, "recurrent_kernel")
        Wg, Wn = self.buffer(p, "Wzr", H, 2 * H), self.buffer(p, "Wn", H, H)
        p.call("take_columns", W=Wh, first=0, part=Wg)
        p.call("take_columns", W=Wh, first=2 * H, part=Wn)
        g, u = self.buffer(p, "gates", *gates), self.buffer(p, "hWzr", *two)
        m, v = self.buffer(p, "rh", *shape), self.buffer(p, "rhWn", *shape)
        a = self.buffer(p, "a", *gates) if p.tape else None
        weights = {"Wx": Wx, "Wg": Wg, "Wn": Wn, "b": self.bias(p)}
        p.call("gru_before_forward", x=x, h=h, g=g, u=u, m=m, v=v, a=a, **weights, **self.codes())

        def backward(dh: Buffer, wanted: bool) -> Buffer | None:
            da, dg, dn = self.buffer(p, "da", *gates), self.buffer(p, "dzr", *two), self.buffer(p, "dn", *shape)
            through, dm = (self.buffer(p, name, samples, H) for name in ("dh_through", "drh"))
            own = {"through": through, "dm": dm, "da": da, "dg": dg, "dn": dn} | self.codes()
            both = {"Wg": Wg, "WgT": transposed(p, Wg), "Wn": Wn, "WnT": transposed(p, Wn)}
            p.call("gru_before_backward", h=h, g=g, dh=dh, **both, **own)
            weight_gradient(p, x, da, f"{self.name}/kernel", f"{self.name}/bias" if self.use_bias else None)
            dWh = p[gradient(f"{self.name}/recurrent_kernel")]
            for first, states, d in ((0, h[:steps], dg), (2 * H, m, dn)):
                part = self.buffer(p, f"dWh_{first}", H, d.shape[-1])
                weight_gradient(p, states, d, part, None)
                p.call("put_columns", part=part, first=first, W=dWh)
            return input_gradient(p, da, Wx, x, self.name) if wanted else None

        return backward
