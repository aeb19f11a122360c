"""The simple recurrent layer: how it lowers itself. The equations: kernels/simple_rnn.py."""

from __future__ import annotations

from typing import Any

from .initializers import Initializer
from .kernels.activations import ACTIVATIONS
from .layers import Backward, Shape
from .masking import at_work
from .products import packed_transposed, padded
from .program import Buffer, Program
from .recurrent import Recurrent
from .truncation import Part


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
    kernel_initializer, recurrent_initializer, bias_initializer : str or initializer
        How Wx, Wh and b begin; see `nbrnn.initializers`.
    return_sequences : bool, default False
        Whether the output is every state, (T, H), or the last one, (H,).
    return_state : bool, default False
        Whether the last state comes after the output: from `predict`, or in a graph as a value.
    go_backwards : bool, default False
        Whether the sequence is read from its end; states come in the order in which they are computed.
    stateful : bool, default False
        Whether sample i of a batch goes on from sample i of the batch before; see `Sequential.reset_states`.
    zero_output_for_mask : bool, default False
        Whether the outputs of masked steps are 0, and not the last output again.
    dropout, recurrent_dropout : float, default 0.0
        Variational dropout of the inputs and of h_(t-1): one mask a sequence, the same for all steps and gates.
    seed : int, optional
        Of the masks; the model's if it is not given.
    kernel_regularizer, recurrent_regularizer, bias_regularizer : str or regularizer, optional
        Penalties on Wx, Wh and b that join the loss: "l1", "l2", "l1_l2", or nbrnn.L2(0.001).
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
        kernel_initializer: Initializer = "glorot_uniform",
        recurrent_initializer: Initializer = "orthogonal",
        bias_initializer: Initializer = "zeros",
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        *,
        zero_output_for_mask: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        input_shape: Shape | None = None,
        name: str | None = None,
    ) -> None:
        penalties = (kernel_regularizer, recurrent_regularizer, bias_regularizer)
        chance = (dropout, recurrent_dropout, seed)
        initial = (kernel_initializer, recurrent_initializer, bias_initializer)
        flags = (return_sequences, return_state, go_backwards, stateful, zero_output_for_mask)
        super().__init__(units, activation, use_bias, initial, flags, penalties, chance, input_shape, name)

    def cell(self, p: Program, x: Buffer, given: bool, *states: Buffer) -> Backward:
        (h,) = states
        steps, samples, _ = x.shape
        Wx, Wh = self._buffer(p, "kernel"), self._buffer(p, "recurrent_kernel")
        code = ACTIVATIONS.index(self.activation)
        a = self.buffer(p, "a", steps, samples, self.units) if p.options.tape else None
        own = {"Wx": Wx, "Wh": Wh, "b": self.bias_in(p)} | self.panels(p, x)
        drawn = self.state_mask(p, h)
        own |= drawn | at_work(p)
        p.call("simple_rnn_forward", x=x, **own, activation=code, initial=int(given), h=h, a=a)

        def backward(dh: Buffer, wanted: bool) -> Buffer | None:
            da = self.buffer(p, "da", self.steps_at_once(p, x), samples, padded(p, self.units))
            masks, seen = self.mask_back(p, drawn), drawn.get("kept", h)

            def step(now: Part) -> Buffer:
                part, states, own = da[: now.count], h[now.states], masks | at_work(p, now.steps)
                self.through_time(p, Wh, states, now.dh, part, now.below, now.add, own)
                self.gradients(p, x[now.steps], part, seen[now.states], given or now.start > 0, now.later)
                return part

            return self.back(p, x, dh, self.first_gradient(p, given, samples), wanted, step)

        return backward

    def through_time(
        self,
        p: Program,
        Wh: Buffer,
        h: Buffer,
        dh: Buffer,
        da: Buffer,
        below: Buffer | None,
        add: bool = False,
        masks: dict[str, Buffer] | None = None,
    ) -> None:
        """Add the call that goes back through steps, from dL/dh to dL/da and, where wanted, what is `below` them."""
        PT = packed_transposed(p, Wh) if da.shape[0] > 1 or below else None
        own = {"activation": ACTIVATIONS.index(self.activation), "add": int(add)}
        p.call("simple_rnn_backward", Wh=Wh, PT=PT, h=h, dh=dh, da=da, dh0=below, **own, **(masks or {}))
