"""Every number of one sample's way through a model and back, read from a run of the ordinary program.

The program is lowered with a full tape (nothing is overwritten) and run once in float64; the named buffers are then
read. `trace` gives the numbers, `Trace` prints them as formulas filled in, and writes JSON or CSV.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..cases import Case, plain_copy, read_gradients, run_loss
from ..cells import Cell
from ..files import write_whole
from ..gradcheck import GradientReport, check_gradients
from ..layers import SOFTMAX, Dense, known
from ..lowering import PREDICT, TRAIN
from ..masking import Masking
from ..postmortem import first_not_finite
from ..recurrent import Recurrent
from ..series import real_array
from ..supervision import target_shape
from .cells import OPENED, Arrays, Opened, agree
from .custom import OpenedCell

if TYPE_CHECKING:
    from ..model import Model


class Step:
    """The numbers of one step, by name: `step.h`, `step["h"]`; `step.names` lists them."""

    def __init__(self, numbers: Arrays) -> None:
        self._numbers = numbers

    @property
    def names(self) -> list[str]:
        """The quantities' names, in the order in which they are computed."""
        return list(self._numbers)

    def __getitem__(self, name: str) -> np.ndarray:
        return self._numbers[name]

    def __getattr__(self, name: str) -> np.ndarray:
        if name.startswith("_") or name not in self._numbers:
            raise AttributeError(f"a step here has no {name!r}; it has {', '.join(self.__dict__.get('_numbers', {}))}.")
        return self._numbers[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._numbers]

    def __repr__(self) -> str:
        return "\n".join(f"{name} = {np.array2string(numbers)}" for name, numbers in self._numbers.items())


class LayerTrace:
    """One layer's numbers.

    Attributes
    ----------
    name, kind : str
        The layer's name, and its class: "SimpleRNN", "LSTM", "GRU", "Dense", "Flatten", or a custom cell's.
    layer : Layer
        A copy, in float64.
    weights : dict of str to numpy.ndarray
        Wx, Wh, b.
    steps, backward : list of Step
        In the order in which the layer takes its steps; `backward[t]` belongs to `steps[t]`. A layer on vectors has
        one step. Without targets `backward` is empty.
    totals : dict of str to numpy.ndarray
        dWx, dWh, db: the run's own gradients, the sums over all steps.
    """

    def __init__(self, opened: Opened) -> None:
        self.name, self.kind, self.layer = str(opened.name), type(opened.layer).__name__, opened.layer
        self.weights, self.totals = opened.weights, opened.totals if opened.backward else {}
        self.steps, self.backward = _steps(opened.forward), _steps(opened.backward)
        self.gates = opened.gates

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as what JSON can hold."""
        config = {key: value for key, value in self.layer.config().items() if key not in ("name", "input_shape")}
        return {
            "name": self.name,
            "cell": self.kind,
            "config": config,
            "params": _lists(self.weights),
            "steps": [_lists(step._numbers) for step in self.steps],
            "backward": [_lists(step._numbers) for step in self.backward],
            "totals": _lists(self.totals),
        }


@dataclass(eq=False, repr=False)
class Trace:
    """What `trace` found; print it to read the formulas filled in.

    Attributes
    ----------
    layers : list of LayerTrace
        From the input to the output.
    x, output : numpy.ndarray
        The sample, (T, D) or (F,), and what the model makes of it.
    target : numpy.ndarray or None
    loss : float or None
        The loss of this sample, if a target was given.
    totals : dict of str to numpy.ndarray
        The gradients of the run, by name: "simple_rnn/kernel", ..., and "x".
    numeric : GradientReport or None
        The numeric check, if it was asked for.
    model : Sequential or Model
        A copy in float64.
    """

    layers: list[LayerTrace]
    x: np.ndarray
    output: np.ndarray
    target: np.ndarray | None
    loss: float | None
    totals: Arrays
    numeric: GradientReport | None
    model: Model

    @property
    def recurrent(self) -> LayerTrace:
        """The only recurrent layer.

        Raises
        ------
        ValueError
            If there is none, or more than one.
        """
        found = [layer for layer in self.layers if isinstance(layer.layer, Recurrent)]
        if len(found) != 1:
            names = ", ".join(f"layers[{k}] ({layer.name})" for k, layer in enumerate(self.layers))
            raise ValueError(f"the model has {len(found)} recurrent layers; choose a layer of the trace: {names}.")
        return found[0]

    @property
    def steps(self) -> list[Step]:
        """The forward steps of the only recurrent layer."""
        return self.recurrent.steps

    @property
    def backward(self) -> list[Step]:
        """The backward steps of the only recurrent layer, `backward[t]` of `steps[t]`."""
        return self.recurrent.backward

    def text(self, steps: Sequence[int] | None = None, layers: Sequence[str] | None = None, digits: int = 6) -> str:
        """Return the formulas with their numbers, at most 80 columns wide.

        Parameters
        ----------
        steps : sequence of int, optional
            Only these steps, counted from 0; the totals are left out then.
        layers : sequence of str, optional
            Only these layers, by name.
        digits : int, default 6
            Significant digits.

        Raises
        ------
        ValueError
            If a step or a layer does not exist, or the text would have more than 3000 lines.
        """
        from .text import trace_text

        return trace_text(self, steps, layers, digits)

    def __str__(self) -> str:
        from .text import MOST_LINES, count_lines, outline

        return self.text() if count_lines(self) <= MOST_LINES else outline(self)

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers as what JSON can hold; lists are indexed from 0."""
        model, check = self.model, self.numeric
        numeric = None
        if check is not None:
            rows = {row.name: {"rel_err": row.relative_error, "passed": row.relative_error <= check.tolerance}
                    for row in check.rows}  # fmt: skip
            numeric = {"method": check.method, "tolerance": check.tolerance, "rows": rows}
        loss = None if self.loss is None else {"name": model.loss and model.loss.name, "value": self.loss}
        return {
            "meta": {"version": 1, "nbrnn": __version__, "model": model.name, "dtype": "float64"},
            "x": self.x.tolist(),
            "layers": [layer.to_dict() for layer in self.layers],
            "output": self.output.tolist(),
            "target": None if self.target is None else self.target.tolist(),
            "loss": loss,
            "totals": _lists(self.totals),
            "numeric": numeric,
        }

    def to_json(self, path: str | Path | None = None) -> str:
        """Return everything as JSON, and write it to a file if a path is given.

        Parameters
        ----------
        path : str or Path, optional
        """
        text = json.dumps(self.to_dict())
        if path is not None:
            write_whole(path, text.encode())
        return text

    def to_csv(self, path: str | Path | None = None) -> str:
        """Return a row a number, and write them to a file if a path is given; steps, rows and columns count from 1.

        Parameters
        ----------
        path : str or Path, optional
        """
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["layer", "pass", "step", "quantity", "row", "column", "value"])
        for layer in self.layers:
            for what, steps in (("forward", layer.steps), ("backward", layer.backward)):
                for t, step in enumerate(steps):
                    for name in step.names:
                        rows.writerows(_cells((layer.name, what, t + 1, name), step[name]))
            for name, total in layer.totals.items():
                rows.writerows(_cells((layer.name, "total", "", name), total))
        if path is not None:
            write_whole(path, text.getvalue().encode())
        return text.getvalue()


def trace(model: Model, x: Any, y: Any = None, *, initial_state: Any = None, numeric: bool = False) -> Trace:
    """Run one sample forward and, with a target, backward, and keep every number of every step, in float64.

    Parameters
    ----------
    model : Sequential or Model
        Built, and compiled where a target is given; its weights are used, whatever its dtype.
    x : array (T, D), (1, T, D), or (T,) for one feature; (F,) or (1, F) for a model of vectors
        One sample.
    y : number or array of the output's shape, optional
        Its target; without it there is no backward pass.
    initial_state : dict or list of arrays (1, units), optional
        The recurrent layers' first states, as for `Sequential.predict`; zeros if not given.
    numeric : bool, default False
        Whether the gradients are checked by the complex step too; it costs a forward pass a number.

    Returns
    -------
    Trace

    Raises
    ------
    ValueError
        If the model is not built, has no loss for a target, an array does not fit it, or a number overflows.
    ArithmeticError
        If the terms of a sum do not give the run's own number: a kernel is wrong.

    Examples
    --------
    >>> import nbrnn
    >>> model = nbrnn.Sequential([nbrnn.SimpleRNN(1, "linear")], input_shape=(2, 1))
    >>> model.set_weights([[[2.0]], [[0.5]], [0.0]])
    >>> t = nbrnn.trace(model, [1.0, 3.0])
    >>> float(t.steps[1].a[0])  # 3 * 2 + 2 * 0.5
    7.0
    """
    real = plain_copy(model, "float64")
    _check_chain(real)
    case = Case(_one_sample(real, x))
    if y is not None:
        case = Case(case.x, _one_target(real, case.x, y))
    if initial_state is not None:
        case = Case(case.x, case.y, real._given(initial_state, 1))
    executor = case.executor(real, PREDICT if y is None else TRAIN, tape=True)
    loss = run_loss(executor, real).real
    program = executor.plan.programs[1]
    overflow = first_not_finite(executor, program, 0)
    if overflow is not None:
        where = str(overflow).replace("stats", "the loss")
        raise ValueError(f"the numbers overflow: the first that is not finite stands in {where}.")

    def numbers(name: str) -> np.ndarray:
        """Return a buffer as (steps, numbers), or (numbers,) for what is no sequence."""
        view = executor.view(program[name]).copy()
        return view[:, 0] if view.ndim == 3 else view

    totals = {} if y is None else read_gradients(real, case, executor)
    if totals:
        totals["x"] = totals["x"][0]
    layers, received = [], []
    for layer in real.layers:
        x_in = _turned(layer, numbers(f"into {layer.name}"))
        dy = None if y is None else numbers(f"back to {layer.name}")

        def read(name: str, layer: Any = layer) -> np.ndarray:
            return numbers(f"out of {layer.name}" if name == "out" else f"{layer.name}/{name}")

        received.append(dy)
        kind = OpenedCell if isinstance(layer, Cell) else OPENED.get(type(layer).__name__, Opened)
        layers.append(LayerTrace(kind(layer, read, x_in, dy, totals)))
    if totals:
        _check_flow(layers, [totals["x"], *received[:-1]])
    output = numbers(f"out of {real.layers[-1].name}")
    output = output if len(real.output_shape) == 2 else output[0]
    report = check_gradients(real, case.x, case.y, initial_state=initial_state) if numeric else None
    target = None if case.y is None else case.y[0]
    return Trace(layers, case.x[0], output, target, None if y is None else loss, totals, report, real)


def _check_chain(model: Model) -> None:
    """Raise ValueError unless the model is a chain of layers that can be laid open."""
    if not model.graph.is_chain:
        raise ValueError(f"a trace follows a chain of layers, but {model.graph.why_no_chain()}.")
    for layer in model.layers:
        if isinstance(layer, Masking):
            raise ValueError(
                f"a trace follows every step, and layer {layer.name} leaves some out: trace the same layers without it "
                "on the steps that count, whose numbers are the same."
            )
        if layer.leaves() != [layer] or layer.tokens:
            raise ValueError(f"a trace cannot look into layer {layer.name}, a {type(layer).__name__}.")
        if isinstance(layer, Dense) and layer.activation == SOFTMAX:
            raise ValueError(
                f"a trace cannot look into layer {layer.name} with its softmax: write Dense({layer.units}), Softmax()."
            )


def _turned(layer: Any, x: np.ndarray) -> np.ndarray:
    """Return a layer's input in the order in which it takes its steps."""
    return x[::-1] if getattr(layer, "go_backwards", False) else x


def _check_flow(layers: list[LayerTrace], received: list[Any]) -> None:
    """Assert that every layer hands down what the layer below it, or the input, receives."""
    for layer, below in zip(layers, received, strict=True):
        if "dx" in layer.backward[0].names:
            dx = _turned(layer.layer, np.array([step.dx for step in layer.backward]))
            agree(f"{layer.name}: dx", dx.reshape(below.shape), below)


def _one_sample(model: Model, x: Any) -> np.ndarray:
    """Return one sample as a batch of one."""
    array, shape = real_array("x", x), model.input_shape
    assert shape is not None
    if array.ndim == 1 and len(shape) == 2 and shape[1] == 1:
        array = array[:, None]
    if array.ndim == len(shape):
        array = array[None]
    if array.ndim != len(shape) + 1:
        raise ValueError(f"x has shape {array.shape}, but one sample of the model has shape {shape}.")
    array = model._samples(array)
    if len(array) != 1:
        raise ValueError(f"a trace follows one sample, but x holds {len(array)}: give one of them, such as x[0].")
    return np.array(array)


def _one_target(model: Model, x: np.ndarray, y: Any) -> np.ndarray:
    """Return one sample's target as a batch of one."""
    array = real_array("y", y)
    shape = (*model._ends(x)[0][:-1], known(target_shape(model.loss, model.output_shape)[-1]))
    if array.shape not in (shape, (1, *shape)) and not (array.size == np.prod(shape) and array.ndim < 2):
        raise ValueError(f"y has shape {array.shape}, but the output for this sample has shape {shape}.")
    return np.array(model._pair(x, array.reshape(1, *shape))[1])


def _steps(arrays: Arrays) -> list[Step]:
    count = len(next(iter(arrays.values()))) if arrays else 0
    return [Step({name: array[t] for name, array in arrays.items()}) for t in range(count)]


def _lists(arrays: Arrays) -> dict[str, Any]:
    return {name: array.tolist() for name, array in arrays.items()}


def _cells(head: tuple[Any, ...], array: np.ndarray) -> list[list[Any]]:
    """Return a row of the CSV file for every number."""
    flat = np.atleast_1d(array)
    rows = []
    for index in np.ndindex(flat.shape):
        place = ["", *(k + 1 for k in index)] if flat.ndim == 1 else [k + 1 for k in index]
        rows.append([*head, *place, repr(float(flat[index]))])
    return rows
