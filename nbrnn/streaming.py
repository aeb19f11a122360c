"""Streams: a model that is given its rows one by one, or as they arrive, and keeps the recurrent layers' states."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .arrays import contiguous_dtype
from .feedback import Feedback
from .joins import Concatenate, Flatten, Join
from .layers import Dense, Layer, known
from .lowering import PREDICT, Feed, make_plan
from .masking import Masking
from .pointwise import Pointwise
from .program import Options, Weights, aligned
from .recurrent import Recurrent
from .states import named_states, state_block, state_views
from .targets import cpu
from .training import SLICE, first_guess
from .wrappers import TimeDistributed

if TYPE_CHECKING:
    from .model import Model

ROWS = 256  # that one native call takes
NUMBERS = 2**16  # in the place of those rows


class Stream:
    """A model that goes on from row to row; `model.stream()` makes one.

    Its states are its own: neither `predict` nor another stream changes them, and those that a stateful model carries
    stay as they are. Weights that are changed later (by `fit`, `set_weights` ...) count from the next row on.

    Parameters
    ----------
    model : Sequential or Model
        Of one input and one output. Layers that can go step by step: recurrent ones that read forward, Dense,
        Feedback, Jordan, Activation, Softmax, TimeDistributed, Add, Concatenate of features, Flatten of vectors.
    batch_size : int
        How many sequences go side by side.

    Raises
    ------
    ValueError
        If a layer needs the whole sequence.
    """

    def __init__(self, model: Model, batch_size: int) -> None:
        assert model.input_shape is not None and model.output_shape is not None
        graph = model.graph
        if len(graph.inputs) + len(graph.outputs) > 2:
            raise ValueError(
                f"a model with the inputs {', '.join(graph.inputs)} and the outputs {', '.join(graph.output_names)} "
                "cannot be streamed: a stream takes one row and gives one."
            )
        nodes = [replace(n, layer=_by_steps(n.called(), graph.shapes[n.sources[0]]), number=0) for n in graph.nodes]
        for node in graph.nodes:
            if len(node.sources) > 1 and not node.layer.joins:
                raise ValueError(
                    f"layer {node.layer.title} begins at what another layer gives at the end of its sequence, so the "
                    "model cannot be streamed."
                )
        if any(node.number for node in graph.nodes):
            raise ValueError(f"{graph.why_no_chain()}, so the model cannot be streamed.")
        layers = [node.layer for node in nodes]
        self._model, self._params, self._dtype = model, model.params, model.dtype
        leaves = [leaf for layer in layers for leaf in layer.leaves() if isinstance(leaf, Recurrent)]
        self._fed = [layer for layer in layers if isinstance(layer, Feedback)]
        self._units = {name: leaf.units for leaf in leaves for name in leaf.state_names()}
        self.batch_size = batch_size
        features, outputs = known(model.input_shape[-1]), known(model.output_shape[-1])
        most = max(1, min(ROWS, NUMBERS // (batch_size * max(features, outputs))))
        self._inputs = aligned((most, batch_size, features), self._dtype)
        self._results = aligned((most, batch_size, outputs), self._dtype)
        self._carried = state_block(self._units, batch_size, self._dtype) if self._units else aligned(1, self._dtype)
        if batch_size == 1:
            self._inputs, self._results = self._inputs[:, 0], self._results[:, 0]
        self._x, self._y, self._shape = self._inputs[0], self._results[0], self._inputs.shape[1:]
        feed = Feed(most * batch_size, 1, features, (features, 0, 1), len(model.input_shape) == 1)
        row = replace(graph, nodes=tuple(nodes))
        lowered = SimpleNamespace(dtype=model.dtype, graph=row, name=f"{model.name}, a row", asked=[])
        plan = make_plan(cast("Model", lowered), PREDICT, feed, None, batch_size, Options(streamed=True))
        arrays = {"x": self._inputs, "output": self._results, "carried": self._carried, "params": self._params}
        flat = {name: array.reshape(-1) for name, array in arrays.items()}
        self._executor = cpu.Executor(plan, flat | {"order": np.arange(most * batch_size)})
        self._most = max(1, min(most, int(SLICE / first_guess(self._executor))))
        self._run = self._executor.entry(self._inputs, self._most)
        self._numbers = int(self._executor.table[0, 1]) // most  # that are looked at, of a row
        self._seen = -1
        self._expect(1)

    def step(self, x: Any, out: np.ndarray | None = None) -> np.ndarray:
        """Take one row and return the model's outputs for it.

        Parameters
        ----------
        x : array (features,), or (batch_size, features) where several sequences go side by side
        out : array (outputs,) or (batch_size, outputs), optional
            Where the outputs shall be written.

        Returns
        -------
        array (outputs,) or (batch_size, outputs)
            `out`; where it is not given, an array that the next step or run writes over: copy it to keep it.

        Raises
        ------
        ValueError
            If `x` or `out` does not fit, or a number is not finite; the states are then what they were.
        """
        if type(x) is not np.ndarray or x.dtype is not self._dtype or x.shape != self._shape:
            x = self._fitting("x", x, "")
        if out is not None:
            self._check_out(out)
        self._x[...] = x
        if self._seen != Weights.changes:
            self._look_again()
        if self._run() == cpu.REFUSED:
            raise ValueError("x holds a number that is not finite (NaN or infinite).")
        if out is None:
            return self._y
        out[...] = self._y
        return out

    def run(self, rows: Any) -> np.ndarray:
        """Take rows one after the other, in a compiled loop.

        Parameters
        ----------
        rows : array (rows, features), or (rows, batch_size, features) where several sequences go side by side

        Returns
        -------
        array (rows, outputs) or (rows, batch_size, outputs)
            What `step` returns for each row, as an array of its own.

        Raises
        ------
        ValueError
            If `rows` does not fit, or a number is not finite; the states are then what they were.
        KeyboardInterrupt
            On Ctrl-C, within about 50 ms; the states are then what they were.
        """
        rows = self._fitting("rows", rows, "rows, ")
        results = np.empty((len(rows), *self._y.shape), self._dtype)
        before = self._carried.copy()
        self._look_again()
        try:
            for start in range(0, len(rows), self._most):
                part = rows[start : start + self._most]
                self._inputs[: len(part)] = part
                self._expect(len(part))
                if self._run() == cpu.REFUSED:
                    (bad, *_), *_ = np.argwhere(~np.isfinite(part))
                    raise ValueError(f"rows holds a number that is not finite (NaN or infinite) in row {start + bad}.")
                results[start : start + len(part)] = self._results[: len(part)]
        except BaseException:
            self._carried[:] = before
            raise
        finally:
            self._expect(1)
        return results

    @property
    def states(self) -> dict[str, np.ndarray]:
        """Copies of the states by name, (batch_size, units)."""
        return {name: view.copy() for name, view in self._views().items()}

    def set_states(self, states: Any) -> None:
        """Set the states that the next row goes on from.

        Parameters
        ----------
        states : dict of name to array (batch_size, units), or a list in the order of `states`
            A state that the dict leaves out becomes zero.

        Raises
        ------
        ValueError
            If an array does not fit, or no layer is recurrent; nothing is changed then.
        """
        if not self._units:
            raise ValueError("no layer of the model is recurrent, so there are no states to set.")
        arrays = named_states("states", states, self._units, self.batch_size, self._dtype)
        for name, view in self._views().items():
            view[...] = arrays[name]

    def teach(self, y: Any) -> None:
        """Say what the last row's output truly was: the next row sees it in place of the model's own output.

        Parameters
        ----------
        y : array (outputs,), or (batch_size, outputs) where several sequences go side by side
            Of the layer that feeds its outputs back.

        Raises
        ------
        ValueError
            If `y` does not fit or is not finite, or not just one layer of the model feeds its outputs back.
        """
        if len(self._fed) != 1:
            raise ValueError(f"teach is for a model with one Feedback or Jordan layer; this one has {len(self._fed)}.")
        (layer,), array = self._fed, contiguous_dtype(y, self._dtype, "y")
        wanted = (*self._shape[:-1], layer.outputs)
        if array.shape != wanted or not np.isfinite(array).all():
            problem = f"its shape is {array.shape}" if array.shape != wanted else "it holds one that is not finite"
            raise ValueError(f"y must hold the numbers of layer {layer.name}'s output, {wanted}, but {problem}.")
        self._views()[layer.memory.state_names()[0]][:, : layer.outputs] = array

    def reset(self) -> None:
        """Set all states to zero: the next row is the first of a sequence."""
        self._carried[:] = 0

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse to be copied: a copy would work in this stream's memory."""
        raise TypeError("a stream cannot be copied or saved; make another with model.stream() and set its states.")

    def __repr__(self) -> str:
        return f"Stream({self._model.name!r}, batch_size={self.batch_size})"

    # ------------------------------------------------------------------ what the calls share

    def _views(self) -> dict[str, np.ndarray]:
        return state_views(self._units, self.batch_size, self._carried)

    def _expect(self, rows: int) -> None:
        """Tell the runner how many rows the next call takes."""
        self._executor.expect(rows, rows * self._numbers)

    def _look_again(self) -> None:
        """See what has become of the weights."""
        if self._model.params is not self._params:
            raise ValueError("the model was built anew since this stream was made: make another with model.stream().")
        self._executor.renew()
        self._seen = Weights.changes

    def _fitting(self, name: str, value: Any, first: str) -> np.ndarray:
        """Return a row, or rows where their axis is named, in the model's dtype; ValueError if the shape is wrong."""
        array = contiguous_dtype(value, self._dtype, name)
        if array.ndim != len(self._shape) + bool(first) or array.shape[bool(first) :] != self._shape:
            axes = "features" if self.batch_size == 1 else "batch_size, features"
            sizes = ", ".join(map(str, self._shape))
            what = "one sequence" if self.batch_size == 1 else f"{self.batch_size} sequences"
            raise ValueError(
                f"{name} of a stream of {what} must have the shape ({first}{axes}) = ({first}{sizes}), but its shape "
                f"is {array.shape}."
            )
        if array.size == 0:
            raise ValueError(f"{name} holds no rows: its shape is {array.shape}.")
        return array

    def _check_out(self, out: Any) -> None:
        fits = isinstance(out, np.ndarray) and out.shape == self._y.shape and out.dtype == self._dtype
        if not fits or not out.flags.writeable:
            came = f"an array {out.shape} of {out.dtype}" if isinstance(out, np.ndarray) else type(out).__name__
            came = f"{came} that cannot be written to" if fits else came
            raise ValueError(f"out must be an array {self._y.shape} of {self._dtype} to write to, not {came}.")


def _by_steps(layer: Layer, shape: Any) -> Layer:
    """Return a layer as it goes step by step; ValueError if it cannot."""
    problem = f"layer {layer.name} needs the whole sequence, so the model cannot be streamed"
    if isinstance(layer, Recurrent):
        if layer.go_backwards:
            raise ValueError(f"{problem}: it reads it from its end (go_backwards=True).")
        twin = copy.copy(layer)
        twin.stateful = True
        return twin
    if isinstance(layer, Feedback):
        return layer.carrying()
    if isinstance(layer, Masking):
        raise ValueError(f"{problem}: it masks steps, and a stream takes the rows that count alone; leave them out.")
    if isinstance(layer, Flatten) and len(shape) == 2:
        raise ValueError(f"{problem}: it puts its steps side by side.")
    if isinstance(layer, Concatenate) and layer.axis in (1, -2) and len(shape) == 2:
        raise ValueError(f"{problem}: it joins sequences in time.")
    if not isinstance(layer, (Dense, Flatten, Pointwise, Join, TimeDistributed)):
        raise ValueError(f"layer {layer.name} cannot go step by step, so the model cannot be streamed.")
    return layer
