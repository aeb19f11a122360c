"""Layers that run step by step in one program: what feeds the outputs of a step to the next needs it.

Every step calls every layer again, under a name of its own ("dense:2"), on the weights of the first call; `adding` adds
the steps' weight gradients. The states of recurrent layers stand in one buffer, of which a step gets its two rows.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from .layers import Backward, Layer, Shape
from .products import share_weights
from .program import Buffer, Program
from .recurrent import Recurrent


@dataclass
class Steps:
    """Layers in a chain, with what their steps share.

    Attributes
    ----------
    layers : list of Layer
    shape : tuple
        Of the first layer's input, (time steps, features).
    states : dict of str to Buffer
        Of the recurrent layers, (T + 1, B, H), by their names.
    backwards : list of list of Backward
        Of every step, a function a layer.
    """

    layers: list[Layer]
    shape: Shape
    states: dict[str, Buffer] = field(default_factory=dict)
    backwards: list[list[Backward]] = field(default_factory=list)

    def begin(self, p: Program, steps: int, samples: int) -> None:
        """Add the recurrent layers' states, and the calls that fetch the first ones."""
        for layer in self.recurrent:
            for name in layer.state_names():
                state = self.states[name] = p.buffer(name, steps + 1, samples, layer.units)
                if layer.given(p):
                    layer.fetch(p, name, state[0])

    @property
    def recurrent(self) -> list[Recurrent]:
        """Those of the layers that have states."""
        return [layer for layer in self.layers if isinstance(layer, Recurrent)]

    def forward(self, p: Program, t: int, x: Buffer) -> Buffer:
        """Add the calls of a step; return its output, (B, O)."""
        shape, found = self.shape, []
        for layer in self.layers:
            twin = self._twin(p, layer, shape, t)
            shape = layer.output_shape(shape)
            if isinstance(twin, Recurrent):
                now = [self.states[name][t : t + 2] for name in layer.state_names()]
                back = twin.cell(p, x.reshape(1, *x.shape), t > 0 or twin.given(p), *now)
                x = now[0][1]
            else:
                x, back = twin.lower(p, x)
            found.append(back)
        self.backwards.append(found)
        return x

    def end(self, p: Program) -> None:
        """Add the calls that store the last states."""
        for layer in self.recurrent:
            for name in layer.state_names():
                p.last[name] = self.states[name][-1]
                layer.keep(p, name, p.last[name])

    def start_back(self, p: Program) -> None:
        """Add what takes the gradients of states from step to step."""
        for layer in self.recurrent:
            H, name, (first, *others) = layer.units, str(layer.name), layer.states
            samples = self.states[f"{name}/{first}"].shape[1]
            layer.buffer(p, "dh_before", samples, H)
            if p.options.tape:
                layer.buffer(p, "dh", len(self.backwards), samples, H)
            if f"{name}/{first}" not in p.from_last:
                p.clear(p[f"{name}/dh_before"])
            else:
                p.call("scaled", x=p.from_last[f"{name}/{first}"], factor=1.0, y=p[f"{name}/dh_before"])
            for other in others:  # gradients of further states: the cell's own code takes them on in place
                last = p.from_last.get(f"{name}/{other}")
                flow = p.from_last[f"{name}/{other}"] = last or layer.buffer(p, f"d{other}", samples, H)
                p.aliases[f"{name}/d{other}0"] = flow
                p.from_last |= {f"{name}:{t + 1}/{other}": flow for t in range(len(self.backwards))}
                if last is None:
                    p.clear(flow)

    def backward(self, p: Program, t: int, dy: Buffer, cut: bool) -> Buffer:
        """Add the calls that take a step back; return the gradient of its input, (B, F).

        Where it is `cut`, the gradients of the states before the step are zero.
        """
        for layer, back in zip(reversed(self.layers), reversed(self.backwards[t]), strict=True):
            if not isinstance(layer, Recurrent):
                dx = back(dy, True)
            else:
                before = p[f"{layer.name}/dh_before"]
                p.call("accumulate", v=before, into=dy)
                if p.options.tape:
                    p.call("scaled", x=dy, factor=1.0, y=p[f"{layer.name}/dh"][t])
                dx = back(dy.reshape(1, *dy.shape), True)
                if cut:
                    for name in ("dh_before", *(f"d{other}0" for other in layer.states[1:])):
                        p.clear(p[f"{layer.name}/{name}"])
            assert dx is not None
            dy = dx.reshape(*dx.shape[-2:])
        return dy

    def end_back(self, p: Program) -> None:
        """Name the gradients of the first states."""
        for layer in self.recurrent:
            p.aliases[f"{layer.name}/d{layer.states[0]}0"] = p[f"{layer.name}/dh_before"]

    def _twin(self, p: Program, layer: Layer, shape: Shape, t: int) -> Layer:
        """Return a layer as step t calls it, with names for its weights."""
        twin = copy.copy(layer)
        twin.name = f"{layer.name}:{t + 1}"
        names = (f"{layer.name}/{weight.name}" for weight in layer.declared(shape))
        share_weights(p, names, str(layer.name), str(twin.name))
        if isinstance(twin, Recurrent):
            before = f"{layer.name}/dh_before"
            # A step's first state is the state of the step before: its gradient is wanted whatever the options say.
            twin.first_gradient = lambda p, given, samples: p[before] if given else None  # type: ignore[method-assign]
        return twin
