"""The frame of recurrent layers: options, weights, states, and how a sequence goes forward and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from . import initializers
from .checks import flag, one_of, share, whole_number
from .dropout import mask, masked
from .handed import begun, last_shapes, lower_states
from .initializers import Initializer
from .kernels.activations import ACTIVATIONS
from .kernels.gemm import DEPTH
from .layers import Backward, Backwards, Layer, Shape, Weight, known
from .masking import Packing, rows_at_work
from .products import LARGE, input_gradient, packed, weight_gradient
from .program import Buffer, Program
from .truncation import Part, segment, segments


def turned(p: Program, x: Buffer, name: str) -> Buffer:
    """Add the call that turns a sequence round in time, into a new buffer."""
    y = p.buffer(name, *x.shape)
    p.call("reverse", x=x, y=y)
    return y


class Recurrent(Layer):
    """What recurrent layers share: options, weights and the frame of their lowering."""

    gates = 1  # blocks of columns in the kernels
    states: tuple[str, ...] = ("h",)
    reset: Callable[[list[str]], None] | None = None  # zeroes what the model carries of these states

    def __init__(
        self,
        units: int,
        activation: str | None,
        use_bias: bool,
        initial: tuple[Initializer, Initializer, Initializer],
        flags: tuple[bool, bool, bool, bool, bool],
        penalties: tuple[Any, Any, Any],
        chance: tuple[Any, Any, Any],
        input_shape: Shape | None,
        name: str | None,
    ) -> None:
        super().__init__(input_shape=input_shape, name=name)
        self.units = whole_number("units", units)
        self.activation = one_of("activation", "linear" if activation is None else activation, ACTIVATIONS)
        self.use_bias = flag("use_bias", use_bias)
        every, last, backwards, stateful, zero = flags
        self.zero_output_for_mask = flag("zero_output_for_mask", zero)
        self.return_sequences = flag("return_sequences", every)
        self.return_state, self.go_backwards = flag("return_state", last), flag("go_backwards", backwards)
        self.stateful = flag("stateful", stateful)
        names = ("kernel_initializer", "recurrent_initializer", "bias_initializer")
        checked = (initializers.check(n, value) for n, value in zip(names, initial, strict=True))
        kinds = ("kernel_regularizer", "recurrent_regularizer", "bias_regularizer")
        self.regularize(**dict(zip(kinds, penalties, strict=True)))
        self.dropout, self.recurrent_dropout = share("dropout", chance[0]), share("recurrent_dropout", chance[1])
        self.seed = None if chance[2] is None else whole_number("seed", chance[2], 0)
        self.kernel_initializer, self.recurrent_initializer, self.bias_initializer = checked

    def declared(self, shape: Shape) -> list[Weight]:
        columns = self.gates * self.units
        return [
            self.weight("kernel", (known(shape[-1]), columns), self.kernel_initializer),
            self.weight("recurrent_kernel", (self.units, columns), self.recurrent_initializer),
            *([self.bias_weight(columns)] if self.use_bias else []),
        ]

    def bias_weight(self, columns: int) -> Weight:
        """Return the bias."""
        return self.weight("bias", (columns,), self.bias_initializer)

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2:
            raise ValueError(
                f"layer {self.title} needs sequences (time steps, features), but its input is {shape}; a recurrent "
                "layer below it needs return_sequences=True."
            )
        return (shape[0], self.units) if self.return_sequences else (self.units,)

    def config(self) -> dict[str, Any]:
        chance = {
            "dropout": self.dropout or None,
            "recurrent_dropout": self.recurrent_dropout or None,
            "seed": self.seed,
            "zero_output_for_mask": self.zero_output_for_mask or None,
        }
        return (
            super().config()
            | {name: value for name, value in chance.items() if value is not None}
            | {
                "units": self.units,
                "activation": self.activation,
                "use_bias": self.use_bias,
                "kernel_initializer": self.kernel_initializer,
                "recurrent_initializer": self.recurrent_initializer,
                "bias_initializer": self.bias_initializer,
                "return_sequences": self.return_sequences,
                "return_state": self.return_state,
                "go_backwards": self.go_backwards,
                "stateful": self.stateful,
            }
        )

    def state_names(self) -> list[str]:
        """Return the names of the layer's states: layer/h and, of an LSTM, layer/c."""
        return [f"{self.name}/{state}" for state in self.states]

    def reset_states(self) -> None:
        """Set the states that a stateful layer carries back to zero; of any other layer nothing."""
        if self.stateful and self.reset is not None:
            self.reset(self.state_names())

    reset_state = reset_states

    def __call__(self, inputs: Any, initial_state: Any = None) -> Any:
        """Return the value that the layer gives, and with return_state the last states; see `nbrnn.Input`."""
        return begun(self, inputs, initial_state)

    def shapes(self, inputs: list[Shape]) -> list[Shape]:
        return [self.output_shape(inputs[0]), *last_shapes(self, [self], inputs[1:])]

    def lower_all(self, p: Program, inputs: list[Buffer]) -> tuple[list[Buffer], Backwards]:
        lower = super().lower_all
        return lower_states(p, [self], inputs, lambda x: lower(p, [x]))

    def lower(self, p: Program, x: Buffer) -> tuple[Buffer, Backward]:
        steps, samples, _ = x.shape
        packing = Packing.of(p, p.masks[0], self.go_backwards) if p.masks and p.masks[0] else None
        p.packing, backwards = packing, self.go_backwards and packing is None
        inner = turned(p, x, f"{self.name}/x_reversed") if backwards else x
        every = [p.taped or (self.return_sequences and name == "h") for name in self.states]
        states = [
            p.buffer(name, steps + 1 if kept else 2, samples, self.units)
            for name, kept in zip(self.state_names(), every, strict=True)
        ]
        given = self.given(p)
        for s in states:
            own = packing is not None and given
            first = p.aliases[f"{s.name} first"] = p.buffer(f"{s.name} first", *s.shape[1:]) if own else s[0]
            if given:
                self.fetch(p, s.name, first)
            if packing:
                packing.to_rows(p, first if given else None, s[0])
        x_mask = None
        if p.training and self.dropout:
            x_mask = mask(p, f"{self.name}/x_mask", self.dropout, self.seed, 1, samples, x.shape[-1])
            inner = masked(p, inner, x_mask, f"{self.name}/x_kept")
        if packing:
            inner = packing.squeezed(p, inner, f"{self.name}/x_rows")
        cell_backward = self.cell(p, inner, given or packing is not None, *states)
        for s in states:
            last = p.last[s.name] = packing.last(p, s) if packing else s[steps % s.shape[0]]
            self.keep(p, s.name, last)
        y = states[0][1:] if self.return_sequences else p.last[states[0].name]
        zero = self.zero_output_for_mask
        if packing:
            y = packing.outputs(p, states[0], steps if self.return_sequences else 1, zero, f"{self.name}/y")
            y = y if self.return_sequences else y[0]

        def backward(dy: Buffer, wanted: bool) -> Buffer | None:
            p.packing, dh = packing, dy.reshape(-1, samples, self.units)
            from_last = p.from_last.get(f"{self.name}/h")
            if packing:
                packing.steps = slice(0, steps)
                rows = self.buffer(p, "dh", steps if p.options.tape else dh.shape[0], *dh.shape[1:])
                dh = packing.back(p, dh, from_last, zero, rows)
            elif p.options.tape:  # the kernel adds what comes from the future in place
                dh, dy = self.buffer(p, "dh", steps, samples, self.units), dh
                p.call("spread", dy=dy, dh=dh)
            if from_last and not packing:
                p.call("accumulate", v=from_last, into=dh[-1])
            dx = cell_backward(dh, wanted)
            if packing and given and self.goes_back(p):
                for s in self.states:
                    rows = p[f"{self.name}/d{s}0 in rows"]
                    packing.from_rows(p, rows, p.from_last.get(f"{self.name}/{s}"), f"{self.name}/d{s}0")
            p.packing = None
            if dx is not None and x_mask is not None:
                dx = masked(p, dx, x_mask, f"{self.name}/dx_kept")
            return turned(p, dx, f"{self.name}/dx_reversed") if dx is not None and backwards else dx

        p.packing = None
        return y, backward

    def given(self, p: Program) -> bool:
        """Return whether the first states are given."""
        return self.stateful or p.options.given or self.state_names()[0] in p.handed

    def fetch(self, p: Program, name: str, state: Buffer) -> None:
        """Add the call that fetches a first state that is given."""
        if name in p.handed:
            p.call("scaled", x=p.handed[name], factor=1.0, y=state)
        else:
            self.move(p, "load_state", "carried" if self.stateful else "initial", name, state=state)

    def keep(self, p: Program, name: str, state: Buffer) -> None:
        """Add the calls that store a last state where it is wanted."""
        if self.stateful:
            self.move(p, "store_state", "carried", name, state=state)
        if p.options.kept and name not in p.handed:
            self.move(p, "store_state", "final", name, state=state)

    def move(self, p: Program, kernel: str, block: str, name: str, **state: Buffer) -> None:
        """Add the call that fetches a state from a block or stores it there."""
        carried = block == "carried"
        key = f"{name} in {block}"
        rows = p.batch if carried else p["order"].shape[0]
        outside = p.layout.buffers.get(key) or p.buffer(key, rows, self.units, block=block)
        other = {"source" if kernel == "load_state" else "target": outside}
        p.call(kernel, order=p["order"], control=p["control"], carried=int(carried), **other, **state)

    def first_gradient(self, p: Program, given: bool, samples: int) -> Buffer | None:
        """Return the buffer of dL/dh_0, where it is wanted."""
        name = "dh0 in rows" if p.packing else "dh0"
        return self.buffer(p, name, samples, self.units) if given and self.goes_back(p) else None

    def goes_back(self, p: Program) -> bool:
        """Return whether gradients of the first states are wanted."""
        return p.options.input_gradient or self.state_names()[0] in p.handed

    def cell(self, p: Program, x: Buffer, given: bool, *states: Buffer) -> Backward:
        """Add the calls of the forward pass into the states; return what adds those of the backward pass."""
        raise NotImplementedError

    def state_mask(self, p: Program, h: Buffer) -> dict[str, Buffer]:
        """Add the mask of h_(t-1), where there is dropout: `mask`, and `kept`, room for the masked states."""
        if not p.training or not self.recurrent_dropout:
            return {}
        drawn = mask(p, f"{self.name}/h_mask", self.recurrent_dropout, self.seed, 1, *h.shape[1:])[0]
        if p.packing:
            drawn = p.packing.to_rows(p, drawn, self.buffer(p, "h_mask_rows", *drawn.shape))
        return {"mask": drawn, "kept": self.buffer(p, "h_kept", *h.shape)}

    def mask_back(self, p: Program, drawn: dict[str, Buffer]) -> dict[str, Buffer]:
        """Return what a backward kernel needs beside a mask: room for one step's product."""
        if not drawn:
            return {}
        return {"mask": drawn["mask"], "room": self.buffer(p, "dh_kept", *drawn["mask"].shape)}

    def buffer(self, p: Program, name: str, *shape: int) -> Buffer:
        """Add a buffer of this layer."""
        return p.buffer(f"{self.name}/{name}", *shape)

    def bias_in(self, p: Program) -> Buffer | None:
        """Return the bias, if there is one."""
        return self._buffer(p, "bias") if self.use_bias else None

    def panels(self, p: Program, x: Buffer) -> dict[str, Buffer | None]:
        """Return the kernels packed for the products of all steps, where that is worth it."""
        rows = x.shape[0] * x.shape[1]
        Wx, Wh = self._buffer(p, "kernel"), self._buffer(p, "recurrent_kernel")
        largest = max(Wx.size, Wh.size)
        gates = {"each": self.units, "gates": self.gates, "beside": largest}
        return {"Px": packed(p, Wx, rows, **gates), "Ph": packed(p, Wh, rows, **gates)}

    def steps_at_once(self, p: Program, x: Buffer) -> int:
        """Return how many steps go back before their weight gradients are taken: dL/da is then still in the cache.

        On a GPU a pass is one launch where it can be, and weight gradients are products of all rows.
        """
        steps, samples, _ = x.shape
        large = self._buffer(p, "recurrent_kernel").size >= LARGE and not p.options.tape and p.options.device == "cpu"
        rows = DEPTH if p.packing is None else 4 * DEPTH  # of which the mask leaves some
        return min(segment(p, steps), max(1, rows // samples)) if large else segment(p, steps)

    def parts(self, p: Program, x: Buffer, dh: Buffer, dh0: Buffer | None) -> Iterator[Part]:
        """Yield the parts of the sequence in which the backward pass goes, the last one first.

        What no gradient reaches, because it is truncated, is left out.
        """
        steps, some, every = x.shape[0], self.steps_at_once(p, x), dh.shape[0] == x.shape[0]
        for first, end in segments(p, steps, every):
            for start in range(first + (end - first - 1) // some * some, first - 1, -some):
                stop, adds = min(start + some, end), every and start > first
                below = (dh[start - 1] if every else dh[0]) if start > first else dh0 if start == 0 else None
                yield Part(start, stop, dh[start:stop] if every else dh, below, adds, stop < steps, stop < end)

    def back(
        self,
        p: Program,
        x: Buffer,
        dh: Buffer,
        dh0: Buffer | None,
        wanted: bool,
        step: Callable[[Part], Buffer],
        *others: Buffer,
    ) -> Buffer | None:
        """Add the calls of all parts: `step` adds those of one and returns its dL/da; return dL/dx, if it is wanted.

        `others` are gradients of first states beside dL/dh_0.
        """
        dx = self.buffer(p, "dx", *x.shape) if wanted else None
        for now in self.parts(p, x, dh, dh0):
            if p.packing:
                p.packing.steps = now.steps
            da = step(now)
            if dx and p.packing:
                p.packing.input_gradient(p, da, self._buffer(p, "kernel"), dx)
            elif dx:
                input_gradient(p, da, self._buffer(p, "kernel"), dx[now.steps])
        if now.start:
            p.clear(None if dx is None else dx[: now.start], dh0, *others)
        return dx

    def gradients(self, p: Program, x: Buffer, da: Buffer, h: Buffer, given: bool, add: bool = False) -> None:
        """Add the calls of the weight gradients, from the inputs, the states and dL/da."""
        inputs, states = rows_at_work(p, f"{self.name}/h_rows", h[: da.shape[0]], x, da)
        bias = f"{self.name}/bias" if self.use_bias else None
        weight_gradient(p, x, da, f"{self.name}/kernel", bias, add, **inputs)
        first = 0 if given else 1  # h[0] is zero then, and adds nothing
        weight_gradient(p, h[first : da.shape[0]], da[first:], f"{self.name}/recurrent_kernel", None, add, **states)
