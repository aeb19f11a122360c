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
from ..arrays import arrays_of
from ..cases import Case, plain_copy, read_gradients, run_loss
from ..files import write_whole
from ..gradcheck import GradientReport, check_gradients
from ..lowering import PREDICT, TRAIN, input_buffers
from ..postmortem import first_not_finite
from ..recurrent import Recurrent
from .cells import Arrays
from .opening import Opening
from .sample import by_names, check_followed, one_sample, one_target
from .steps import LayerTrace, Step, lists

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["LayerTrace", "Step", "Trace", "trace"]


@dataclass(eq=False, repr=False)
class Trace:
    """What `trace` found; print it to read the formulas filled in.

    Attributes
    ----------
    layers : list of LayerTrace
        Every call of a layer, from the inputs to the outputs; of Bidirectional both directions, then what joins them.
    x, output : numpy.ndarray
        The sample, (T, D) or (F,), and what the model makes of it; of several inputs or outputs a dict by their names.
    target : numpy.ndarray, dict or None
    loss : float or None
        The loss of this sample, if a target was given.
    slopes : dict of str to numpy.ndarray
        The loss' gradient at each output that it sees, by the output's name.
    totals : dict of str to numpy.ndarray
        The gradients of the run, by name: "simple_rnn/kernel", ..., and "x", or "x a" of an input named a.
    numeric : GradientReport or None
        The numeric check, if it was asked for.
    model : Sequential or Model
        A copy in float64.
    """

    layers: list[LayerTrace]
    x: Any
    output: Any
    target: Any
    loss: float | None
    slopes: Arrays
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
        losses = [head.loss.name for head in model.heads if head.loss is not None]
        loss = None if self.loss is None else {"name": " + ".join(losses), "value": self.loss}
        return {
            "meta": {"version": 1, "nbrnn": __version__, "model": model.name, "dtype": "float64"},
            "x": _listed(self.x),
            "layers": [layer.to_dict() for layer in self.layers],
            "output": _listed(self.output),
            "target": _listed(self.target),
            "loss": loss,
            "slopes": lists(self.slopes),
            "totals": lists(self.totals),
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
                    if step.masked:
                        rows.writerow([layer.name, what, t + 1, "masked", "", "", 1])
                    for name in step.names:
                        rows.writerows(_cells((layer.name, what, t + 1, name), step[name]))
            for name, total in layer.totals.items():
                rows.writerows(_cells((layer.name, "total", "", name), total))
        if path is not None:
            write_whole(path, text.getvalue().encode())
        return text.getvalue()


def trace(
    model: Model,
    x: Any,
    y: Any = None,
    *,
    initial_state: Any = None,
    mask: Any = None,
    lengths: Any = None,
    numeric: bool = False,
) -> Trace:
    """Run one sample forward and, with a target, backward, and keep every number of every step, in float64.

    Parameters
    ----------
    model : Sequential or Model
        Built, and compiled where a target is given; its weights are used, whatever its dtype.
    x : array (T, D), (1, T, D), or (T,) for one feature; (F,) or (1, F) for a model of vectors
        One sample; of several inputs a list or dict.
    y : number or array of the output's shape, optional
        Its target, of several outputs a list or dict; without it there is no backward pass.
    initial_state : dict or list of arrays (1, units), optional
        The recurrent layers' first states, as for `Sequential.predict`; zeros if not given.
    mask : array (T,) or (1, T) of bool, optional
        Which time steps count; of several inputs a list or dict.
    lengths : int, optional
        How many of the first time steps count, instead of a mask; of several inputs a list or dict.
    numeric : bool, default False
        Whether the gradients are checked by the complex step too; it costs a forward pass a number.

    Returns
    -------
    Trace
        Of the model as it predicts: nothing is dropped, and what is fed back are the outputs.

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
    real._built()
    check_followed(real)
    case = Case(one_sample(real, x, mask, lengths))
    if y is not None:
        case = Case(case.x, one_target(real, case.x, y))
    if initial_state is not None:
        case = Case(case.x, case.y, real._given(initial_state, 1))
    executor = case.executor(real, PREDICT if y is None else TRAIN, tape=True)
    loss = run_loss(executor, real).real
    overflow = first_not_finite(executor, executor.plan.programs[1], 0)
    if overflow is not None:
        where = str(overflow).replace("stats", "the loss")
        raise ValueError(f"the numbers overflow: the first that is not finite stands in {where}.")
    totals = {} if y is None else read_gradients(real, case, executor)
    opened, graph = Opening(real, executor, totals), real.graph
    for name in input_buffers(graph):
        totals |= {name: totals[name][0]} if totals else {}
    ends = {
        name: opened.values[v][0] if len(graph.shapes[v]) == 1 else opened.values[v]
        for name, v in zip(graph.output_names, graph.outputs, strict=True)
    }
    slopes = {name: slope.reshape(ends[name].shape) for name, slope in opened.slopes.items()}
    output = ends if len(ends) > 1 else next(iter(ends.values()))
    report, fed = None, tuple(head.name for head in real.heads if head.figures)
    if numeric:
        named = None if case.y is None else dict(zip(fed, arrays_of(case.y), strict=True))
        report = check_gradients(real, case.x, named, initial_state=initial_state, training=False)
    target = None if case.y is None else by_names(fed, case.y, len(graph.outputs) > 1)
    inputs = by_names(graph.inputs, case.x, len(graph.inputs) > 1)
    value = None if y is None else loss
    return Trace(opened.layers, inputs, output, target, value, slopes, totals, report, real)


def _listed(arrays: Any) -> Any:
    """Return arrays as lists, by name where they have names."""
    return lists(arrays) if isinstance(arrays, dict) else None if arrays is None else arrays.tolist()


def _cells(head: tuple[Any, ...], array: np.ndarray) -> list[list[Any]]:
    """Return a row of the CSV file for every number."""
    flat = np.atleast_1d(array)
    rows = []
    for index in np.ndindex(flat.shape):
        place = ["", *(k + 1 for k in index)] if flat.ndim == 1 else [k + 1 for k in index]
        rows.append([*head, *place, repr(float(flat[index]))])
    return rows
