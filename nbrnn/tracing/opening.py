"""From a run to the numbers of every layer: the calls of a model's graph are laid open in their order.

What each of them hands down, to the outputs of others or to an input, must sum to what the run gave there, and the
shares of a weight's gradient, over the steps and all calls of its layer, to the run's gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..cells import Cell
from ..feedback import Feedback
from ..graph import Node
from ..lowering import input_buffers
from ..masking import Masking
from ..recurrent import Recurrent
from ..wrappers import Bidirectional, TimeDistributed
from .cells import OPENED, Arrays, Opened, agree
from .custom import OpenedCell
from .plain import PLAIN, OpenedFeedback, OpenedMerge
from .steps import LayerTrace

if TYPE_CHECKING:
    from ..layers import Layer
    from ..model import Model
    from ..targets import cpu

Given = list[tuple[str, np.ndarray]]  # a call's outputs: which layer of the trace gives each, and the numbers


class Opening:
    """The layers of a model, laid open from the buffers of a run over one sample.

    Attributes
    ----------
    layers : list of LayerTrace
        In the order of the graph's calls.
    values : dict of int to array
        What the run gave for each value: (T, D), or (1, F) for a vector.
    """

    def __init__(self, model: Model, executor: cpu.Executor, totals: Arrays) -> None:
        self.executor, self.program, self.graph = executor, executor.plan.programs[1], model.graph
        self.totals, self.back = totals, bool(totals)
        self.layers: list[LayerTrace] = []
        self.shares: dict[str, list[tuple[LayerTrace, str]]] = {}  # of a weight's gradient, by its name
        self.values = {k: self.numbers(name) for k, name in enumerate(input_buffers(self.graph))}
        self.givers = dict(enumerate(self.graph.inputs))
        self.handed: dict[int, list[np.ndarray] | None] = {v: [] for v in range(len(self.graph.shapes))}
        for node in self.graph.nodes:
            self._open(node)
        self._ends(model)
        if self.back:
            self._check()

    def numbers(self, name: str) -> np.ndarray:
        """Return a buffer as (steps, numbers), or as it is where it has no axis of samples."""
        view = self.executor.view(self.program[name]).copy()
        return view[:, 0] if view.ndim == 3 else view

    def mask(self, value: int) -> np.ndarray | None:
        """Return which steps of a value count, if there is a mask."""
        mask = self.program.mask_of.get(value)
        return None if mask is None else self.numbers(mask.valid.name)[:, 0] > 0

    # ------------------------------------------------------------------ calls

    def _open(self, node: Node) -> None:
        """Lay a call open; check what it gives, and note what it hands down."""
        layer, sources = node.called(), node.sources
        inputs, reads = [self.values[v] for v in sources], [self.givers[v] for v in sources]
        outs = [self.numbers(f"output {k} of {layer.name}") for k in range(len(node.results))]
        dys = [self.numbers(f"back to output {k} of {layer.name}") for k in range(len(outs))] if self.back else []
        valid = self.mask(node.results[0] if isinstance(layer, Masking) else sources[0])
        if isinstance(layer, Bidirectional):
            given, down = self._both_ways(node, layer, inputs, dys, reads, valid)
        elif isinstance(layer, Feedback):
            given, down = self._fed_back(node, layer, inputs, dys, reads)
        else:
            leaf = layer.layer if isinstance(layer, TimeDistributed) else layer
            held = valid if isinstance(layer, (Recurrent, Masking)) else None
            opened = self._lay(node, leaf, inputs, dys[0] if dys else None, reads, held, outs[0])
            given, down = [(opened.name, opened.outputs())], opened.down() if self.back else []
        for v, (giver, y), out in zip(node.results, given, outs, strict=True):
            agree(f"{layer.name}: its output", y.reshape(out.shape), out)
            self.values[v], self.givers[v] = out, giver
        for k, v in enumerate(sources):
            own = self.handed[v]
            if own is not None and k < len(down):
                own.append(down[k])
            else:  # a layer that the trace does not know
                self.handed[v] = None

    def _lay(
        self,
        node: Node,
        layer: Layer,
        inputs: list[np.ndarray],
        dy: np.ndarray | None,
        reads: list[str],
        valid: np.ndarray | None = None,
        out: np.ndarray | None = None,
        kind: type[Opened] | None = None,
    ) -> Opened:
        """Lay a layer open and enter its trace."""

        def read(name: str) -> np.ndarray:
            return out if name == "out" and out is not None else self._buffer(f"{layer.name}", name, len(inputs[0]))

        if kind is None:
            known = (OPENED | PLAIN).get(type(layer).__name__, Opened)
            kind = OpenedCell if isinstance(layer, Cell) else known
        opened = kind(layer, read, inputs, dy, valid)
        found = LayerTrace(opened, reads)
        self.layers.append(found)
        first = str(node.layer.name) + opened.name.removeprefix(str(node.called().name))  # without the call's number
        for d, weight in opened.shares.items():
            self.shares.setdefault(f"{first}/{weight}", []).append((found, d))
        return opened

    def _buffer(self, layer: str, name: str, steps: int) -> np.ndarray:
        """Return a layer's buffer; of a layer that goes step by step those of its steps, one after the other."""
        if f"{layer}/{name}" in self.program.layout.buffers or f"{layer}/{name}" in self.program.aliases:
            return self.numbers(f"{layer}/{name}")
        return np.concatenate([self.numbers(f"{layer}:{t + 1}/{name}") for t in range(steps)])

    def _both_ways(
        self, node: Node, layer: Bidirectional, inputs: list[np.ndarray], dys: list[np.ndarray], reads: list[str],
        valid: np.ndarray | None,
    ) -> tuple[Given, list[np.ndarray]]:  # fmt: skip
        """Lay the two directions open, each as it takes its steps, and what makes one output of theirs."""
        every, merged = layer.both[0].return_sequences, layer.merge_mode is not None
        way = -1 if every else 1  # the second direction's outputs are turned round
        if merged and self.back:
            sides = [self.numbers(f"{layer.name}/dy_{side}") for side in ("forward", "backward")]
        else:
            sides = dys
        back: list[np.ndarray | None] = [sides[0], sides[1][::way]] if sides else [None, None]
        first, second = (
            self._lay(node, one, inputs, dy, reads, valid) for one, dy in zip(layer.both, back, strict=True)
        )
        y, z = first.outputs(), second.outputs()[::way]
        down = [a + b for a, b in zip(first.down(), second.down(), strict=True)] if self.back else []
        if not merged:
            return [(first.name, y), (second.name, z)], down
        names = [first.name, second.name]
        both = self._lay(node, layer, [y, z], dys[0] if dys else None, names, kind=OpenedMerge)
        if self.back:
            for side, dx, own in zip(names, both.down(), sides, strict=True):
                agree(f"{layer.name}: what {side} gets", dx, own)
        return [(both.name, both.outputs())], down

    def _fed_back(
        self, node: Node, layer: Feedback, inputs: list[np.ndarray], dys: list[np.ndarray], reads: list[str]
    ) -> tuple[Given, list[np.ndarray]]:
        """Lay open what the first layer sees, then the layers, from the last one down."""
        (x,), lags, own = inputs, layer.lags, layer.steps
        fed, T = self.numbers(f"{layer.name}/fed"), len(x)
        before = np.concatenate([fed[lags - 1 - j : lags - 1 - j + T] for j in range(lags)], axis=1)
        ins = [np.concatenate([x, before], axis=1)]
        for one in own[:-1]:
            recurs = isinstance(one, Recurrent)
            ins.append(self._buffer(str(one.name), "h" if recurs else "y", T)[int(recurs) :])
        seen, dy = None, None
        if self.back:
            seen = self._buffer(str(own[0].name), "dx", T)
            dfed = np.zeros_like(fed)  # from the layers above, and through later steps
            dfed[len(fed) - len(dys[0]) :] = dys[0]
            for j in range(lags):
                first = x.shape[1] + j * layer.outputs
                dfed[lags - 1 - j : lags - 1 - j + T] += seen[:, first : first + layer.outputs]
            dy = dfed[lags:]
        names = [str(layer.name), *(str(one.name) for one in own)]
        frame = self._lay(node, layer, [x, before], seen, [*reads, names[-1]], kind=OpenedFeedback)
        start = len(self.layers)
        for k in range(len(own) - 1, -1, -1):
            out = fed[lags:] if k == len(own) - 1 else ins[k + 1]
            opened = self._lay(node, own[k], [ins[k]], dy, [names[k]], out=out)
            agree(f"{opened.name}: its output", opened.outputs(), out)
            dy = opened.down()[0] if self.back else None
        self.layers[start:] = self.layers[start:][::-1]
        if seen is not None and dy is not None:
            agree(f"{names[1]}: dx", dy, seen)
        y = fed[lags:] if layer.return_sequences else fed[-1:]
        return [(names[-1], y)], frame.down()[:1]

    # ------------------------------------------------------------------ the whole

    def _ends(self, model: Model) -> None:
        """Note which layers give the model's outputs, and what comes back from the losses."""
        named = {layer.name: layer for layer in self.layers}
        self.slopes: Arrays = {}
        for v, name, head in zip(self.graph.outputs, self.graph.output_names, model.heads, strict=True):
            if self.givers[v] in named:
                named[self.givers[v]].gives.append(name)
            if self.back and head.loss is not None:
                self.slopes[name] = self.numbers(f"slope of {name}")
                handed = self.handed[v]
                if handed is not None:
                    handed.append(self.slopes[name])

    def _check(self) -> None:
        """Assert that all that is handed down is what the run gave, and so are the shares of weights' gradients."""
        arrived = dict(enumerate(self.numbers(f"{name} gradient") for name in input_buffers(self.graph)))
        for node in self.graph.nodes:
            for k, v in enumerate(node.results):
                arrived[v] = self.numbers(f"back to output {k} of {node.called().name}")
        for v, parts in self.handed.items():
            if parts is not None:
                given = sum(parts, np.zeros_like(arrived[v]))
                agree(f"the gradient that reaches {self.givers[v]}", given, arrived[v])
        for weight, found in self.shares.items():
            agree(weight, np.sum([layer.totals[d] for layer, d in found], axis=0), self.totals[weight])
            for layer, d in found if len(found) == 1 else ():
                layer.totals[d] = self.totals[weight]
