"""Recurrent layers with gates, LSTM and GRU: how they lower themselves."""

from __future__ import annotations

from typing import Any

from .checks import flag, one_of
from .initializers import Initializer
from .kernels.activations import ACTIVATIONS
from .layers import Backward, Shape, Weight
from .masking import at_work, rows_at_work
from .products import gradient, input_gradient, packed, packed_transposed, padded, weight_gradient
from .program import Buffer, Program
from .recurrent import Recurrent
from .truncation import Part, segments


class Gated(Recurrent):
    """A recurrent layer with gates: what LSTM and GRU share."""

    def __init__(self, recurrent_activation: str | None, *arguments: Any) -> None:
        super().__init__(*arguments)
        gate = "linear" if recurrent_activation is None else recurrent_activation
        self.recurrent_activation = one_of("recurrent_activation", gate, ACTIVATIONS)

    def config(self) -> dict[str, Any]:
        return super().config() | {"recurrent_activation": self.recurrent_activation}

    @staticmethod
    def kept_steps(p: Program, steps: int) -> int:
        """Return of how many steps the gates are kept: on a GPU the input's product is made for all at once."""
        return steps if p.taped or p.options.device == "cuda" else 1

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
    kernel_initializer, recurrent_initializer, bias_initializer : str or initializer
        How Wx, Wh and b begin.
    unit_forget_bias : bool, default True
        Whether the forget gate's bias begins at 1 (Jozefowicz et al. 2015).
    return_sequences : bool, default False
        Whether the output is every state, (T, H), or the last one, (H,).
    return_state : bool, default False
        Whether the last states h and c come after the output: from `predict`, or in a graph as values.
    go_backwards : bool, default False
        Whether the sequence is read from its end.
    stateful : bool, default False
        As for SimpleRNN.
    zero_output_for_mask : bool, default False
        As for SimpleRNN.
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
    Weights, in order: kernel (D, 4H), recurrent_kernel (H, 4H), bias (4H,); columns i, f, candidate, o.
    Source: Hochreiter & Schmidhuber 1997, Gers et al. 2000.
    """

    kind, gates, states = "lstm", 4, ("h", "c")

    def __init__(
        self,
        units: int,
        activation: str | None = "tanh",
        recurrent_activation: str | None = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Initializer = "glorot_uniform",
        recurrent_initializer: Initializer = "orthogonal",
        bias_initializer: Initializer = "zeros",
        unit_forget_bias: bool = True,
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
        own = (units, activation, use_bias, initial, flags, penalties, chance, input_shape, name)
        super().__init__(recurrent_activation, *own)
        self.unit_forget_bias = flag("unit_forget_bias", unit_forget_bias)

    def bias_weight(self, columns: int) -> Weight:
        forget = slice(self.units, 2 * self.units) if self.unit_forget_bias else None
        return self.weight("bias", (columns,), self.bias_initializer, forget)

    def config(self) -> dict[str, Any]:
        return super().config() | {"unit_forget_bias": self.unit_forget_bias}

    def cell(self, p: Program, x: Buffer, given: bool, *states: Buffer) -> Backward:
        steps, samples, _ = x.shape
        h, c = states
        shape, gates = (steps, samples, self.units), (steps, samples, padded(p, 4 * self.units))
        Wx, Wh = self._buffer(p, "kernel"), self._buffer(p, "recurrent_kernel")
        keep = self.kept_steps(p, steps)
        g, s = self.buffer(p, "gates", keep, *gates[1:]), self.buffer(p, "act_c", keep, *shape[1:])
        a = self.buffer(p, "a", *gates) if p.options.tape else None
        weights = {"Wx": Wx, "Wh": Wh, "b": self.bias_in(p)} | self.panels(p, x)
        drawn = self.state_mask(p, h)
        weights |= drawn | at_work(p)
        p.call("lstm_forward", x=x, **weights, initial=int(given), h=h, c=c, g=g, s=s, a=a, **self.codes())

        def backward(dh: Buffer, wanted: bool) -> Buffer | None:
            dh0 = self.first_gradient(p, given, samples)
            last, packing = p.from_last.get(c.name), p.packing
            dc = self.buffer(p, "dc", samples, self.units) if packing or not last else last
            p.aliases[f"{self.name}/dc0 in rows" if packing else f"{self.name}/dc0"] = dc  # in the end
            if packing:
                packing.to_rows(p, last, dc)
            PT = packed_transposed(p, Wh) if steps > 1 or dh0 else None
            da = self.buffer(p, "da", self.steps_at_once(p, x), *gates[1:])
            masks, seen = self.mask_back(p, drawn), drawn.get("kept", h)

            def step(now: Part) -> Buffer:
                part, tape = da[: now.count], {"c": c[now.states], "g": g[now.steps], "s": s[now.steps]}
                begun = now.reached or bool((last or packing) and not now.later)
                flags = {"final": int(begun), "add": int(now.add)} | self.codes()
                own = {"dh": now.dh, "dc": dc, "dh0": now.below} | flags | at_work(p, now.steps)
                p.call("lstm_backward", Wh=Wh, PT=PT, da=part, **tape, **own, **masks)
                self.gradients(p, x[now.steps], part, seen[now.states], given or now.start > 0, now.later)
                return part

            return self.back(p, x, dh, dh0, wanted, step, dc)

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
    kernel_initializer, recurrent_initializer, bias_initializer : str or initializer
        How Wx, Wh and the biases begin.
    return_sequences : bool, default False
        Whether the output is every state, (T, H), or the last one, (H,).
    return_state : bool, default False
        Whether the last state comes after the output: from `predict`, or in a graph as a value.
    go_backwards : bool, default False
        Whether the sequence is read from its end.
    stateful : bool, default False
        As for SimpleRNN.
    reset_after : bool, default True
        Whether the reset gate acts after the product with Wh (Keras' default, cuDNN, PyTorch) or before it (Cho).
    zero_output_for_mask : bool, default False
        As for SimpleRNN.
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
        kernel_initializer: Initializer = "glorot_uniform",
        recurrent_initializer: Initializer = "orthogonal",
        bias_initializer: Initializer = "zeros",
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        reset_after: bool = True,
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
        own = (units, activation, use_bias, initial, flags, penalties, chance, input_shape, name)
        super().__init__(recurrent_activation, *own)
        self.reset_after = flag("reset_after", reset_after)

    def bias_weight(self, columns: int) -> Weight:
        return self.weight("bias", (2, columns) if self.reset_after else (columns,), self.bias_initializer)

    def config(self) -> dict[str, Any]:
        return super().config() | {"reset_after": self.reset_after}

    def cell(self, p: Program, x: Buffer, given: bool, *states: Buffer) -> Backward:
        (h,) = states
        p.call("begin", initial=int(given), h=h)
        return (self._after if self.reset_after else self._before)(p, x, given, h)

    def _after(self, p: Program, x: Buffer, given: bool, h: Buffer) -> Backward:
        steps, samples, _ = x.shape
        gates, keep = (steps, samples, padded(p, 3 * self.units)), self.kept_steps(p, steps)
        Wx, Wh, b = self._buffer(p, "kernel"), self._buffer(p, "recurrent_kernel"), self.bias_in(p)
        g, q = self.buffer(p, "gates", keep, *gates[1:]), self.buffer(p, "hWn", keep, samples, self.units)
        a = self.buffer(p, "a", *gates) if p.options.tape else None
        both = self.panels(p, x) | ({"b": b[0], "c": b[1]} if b else {})
        drawn = self.state_mask(p, h)
        both |= drawn | at_work(p)
        p.call("gru_after_forward", x=x, Wx=Wx, Wh=Wh, h=h, g=g, q=q, a=a, **both, **self.codes())

        def backward(dh: Buffer, wanted: bool) -> Buffer | None:
            da, dq = (self.buffer(p, name, self.steps_at_once(p, x), *gates[1:]) for name in ("da", "dhWh"))
            through, PT = self.buffer(p, "dh_through", samples, self.units), packed_transposed(p, Wh)
            db = p[gradient(f"{self.name}/bias")] if b else None
            masks, seen = self.mask_back(p, drawn), drawn.get("kept", h)

            def step(now: Part) -> Buffer:
                own = {"through": through, "dh": now.dh, "dh0": now.below, "add": int(now.add)} | self.codes()
                own |= at_work(p, now.steps)
                both = {"da": da[: now.count], "dq": dq[: now.count]}
                tape = {"h": h[now.states], "g": g[now.steps], "q": q[now.steps]}
                p.call("gru_after_backward", Wh=Wh, PT=PT, **tape, **both, **own, **masks)
                some = rows_at_work(p, f"{self.name}/h_rows", seen[now.steps], x[now.steps], *both.values())
                products = ((x, "da", "kernel"), (seen, "dq", "recurrent_kernel"))
                for k, (left, right, name) in enumerate(products):
                    bias = db[k] if db else None
                    own_rows = left[now.steps], both[right], f"{self.name}/{name}", bias
                    weight_gradient(p, *own_rows, now.later, **some[k])
                return both["da"]

            return self.back(p, x, dh, self.first_gradient(p, given, samples), wanted, step)

        return backward

    def _columns(self, p: Program, W: Buffer, name: str, first: int, count: int) -> Buffer:
        """Return columns of a matrix as a matrix of their own, copied before all shards."""
        part, new = p.prepared(f"{self.name}/{name}", W.shape[0], count)
        if new and p.prepare is not None:
            p.prepare.call("take_columns", W=W, first=first, part=part)
        return part

    def _before(self, p: Program, x: Buffer, given: bool, h: Buffer) -> Backward:
        steps, samples, _ = x.shape
        H = self.units
        shape, gates, two = (steps, samples, H), (steps, samples, 3 * H), (steps, samples, 2 * H)
        Wx, Wh = self._buffer(p, "kernel"), self._buffer(p, "recurrent_kernel")
        Wg, Wn = (self._columns(p, Wh, name, *place) for name, *place in (("Wzr", 0, 2 * H), ("Wn", 2 * H, H)))
        keep = self.kept_steps(p, steps)
        g, m = self.buffer(p, "gates", keep, *gates[1:]), self.buffer(p, "rh", keep, *shape[1:])
        a = self.buffer(p, "a", *gates) if p.options.tape else None
        weights = {"Wx": Wx, "Wg": Wg, "Wn": Wn, "b": self.bias_in(p)}
        panels = (("Px", Wx, 0, 3), ("Pg", Wh, 0, 2), ("Pn", Wh, 2 * H, 1))
        own = {"each": H, "beside": max(Wx.size, Wh.size)}
        weights |= {name: packed(p, W, steps * samples, first, gates=n, **own) for name, W, first, n in panels}
        drawn = self.state_mask(p, h)
        p.call("gru_before_forward", x=x, h=h, g=g, m=m, a=a, **weights, **drawn, **at_work(p), **self.codes())

        def backward(dh: Buffer, wanted: bool) -> Buffer | None:
            da, dg, dn = self.buffer(p, "da", *gates), self.buffer(p, "dzr", *two), self.buffer(p, "dn", *shape)
            through, dm = (self.buffer(p, name, samples, H) for name in ("dh_through", "drh"))
            dh0 = self.first_gradient(p, given, samples)
            own = {"through": through, "dm": dm} | self.codes() | self.mask_back(p, drawn)
            turned = (packed_transposed(p, Wh, 0, 2 * H), packed_transposed(p, Wh, 2 * H, H))
            both = {"Wg": Wg, "PgT": turned[0], "Wn": Wn, "PnT": turned[1]}
            every = dh.shape[0] == steps
            for first, end in segments(p, steps, every):
                now, seen = slice(first, end), slice(first, end + 1)
                tape = {"h": h[seen], "g": g[now]} | ({"kept": drawn["kept"][seen]} if drawn else {})
                down = {"dh": dh[now] if every else dh, "dh0": None if first else dh0} | at_work(p, now)
                p.call("gru_before_backward", **both, **own, **tape, **down, da=da[now], dg=dg[now], dn=dn[now])
            if first:
                p.clear(da[:first], dg[:first], dn[:first], dh0)
            states = drawn.get("kept", h)[:steps]
            plain, copied = rows_at_work(p, f"{self.name}/h_rows", states, x, da, dg, dn, m)
            bias = f"{self.name}/bias" if self.use_bias else None
            weight_gradient(p, x, da, f"{self.name}/kernel", bias, False, **plain)
            dWh = p[gradient(f"{self.name}/recurrent_kernel")]
            for first, left, d, some in ((0, states, dg, copied), (2 * H, m, dn, plain)):
                part = self.buffer(p, f"dWh_{first}", H, d.shape[-1])
                if p.adding:
                    p.call("take_columns", W=dWh, first=first, part=part)
                weight_gradient(p, left, d, part, None, p.adding, **some)
                p.call("put_columns", part=part, first=first, W=dWh)
            dx = self.buffer(p, "dx", *x.shape) if wanted else None
            if dx and p.packing:
                p.packing.input_gradient(p, da, Wx, dx)
            elif dx:
                input_gradient(p, da, Wx, dx)
            return dx

        return backward
