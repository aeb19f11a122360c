"""Keras' way of writing recurrent layers: RNN around a cell gives the very layer, LSTM for RNN(LSTMCell(8))."""

from __future__ import annotations

import inspect
from typing import Any

from .checks import one_of
from .gated import GRU, LSTM
from .graph import Shape
from .recurrent import Recurrent
from .simple import SimpleRNN

RNNS_OWN = (
    *("return_sequences", "return_state", "go_backwards", "stateful", "zero_output_for_mask"),
    *("input_shape", "name"),
)
DOC = """The cell of {0}, for `RNN`.

Parameters
----------
units : int
    Number of hidden units.
*arguments, **options
    Those of {0}, but for what `RNN` takes: activation, use_bias, initializers, regularizers, dropout, seed ...

Raises
------
ValueError
    If an option is unknown, belongs to RNN, or is out of range.
"""


class LayerCell:
    """The cell of a packaged recurrent layer; see DOC."""

    layer: type[Recurrent]

    def __init__(self, units: int, *arguments: Any, **options: Any) -> None:
        kind = type(self).__name__
        names = [name for name in inspect.signature(self.layer).parameters if name not in (*RNNS_OWN, "units")]
        if len(arguments) > len(names):
            raise ValueError(f"{kind} takes units and {', '.join(names)}; {1 + len(arguments)} arguments came.")
        self.units, self.options = units, dict(zip(names, arguments, strict=False)) | options
        for name in options:
            if name in RNNS_OWN:
                raise ValueError(
                    f"{name} is an option of RNN, not of {kind}: write RNN({kind}({units!r}), {name}=...)."
                )
            one_of(f"option of {kind}", name, names)
        self.layer(units, **self.options)  # refuses what is out of range

    def __repr__(self) -> str:
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"{type(self).__name__}({self.units!r}{options})"


class SimpleRNNCell(LayerCell):  # noqa: D101 (DOC)
    __doc__ = DOC.format("SimpleRNN")
    layer = SimpleRNN


class LSTMCell(LayerCell):  # noqa: D101 (DOC)
    __doc__ = DOC.format("LSTM")
    layer = LSTM


class GRUCell(LayerCell):  # noqa: D101 (DOC)
    __doc__ = DOC.format("GRU")
    layer = GRU


def RNN(
    cell: LayerCell,
    return_sequences: bool = False,
    return_state: bool = False,
    go_backwards: bool = False,
    stateful: bool = False,
    zero_output_for_mask: bool = False,
    *,
    input_shape: Shape | None = None,
    name: str | None = None,
) -> Recurrent:
    """Return the recurrent layer of a cell: RNN(LSTMCell(8)) is LSTM(8).

    Parameters
    ----------
    cell : SimpleRNNCell, LSTMCell or GRUCell
        Cells of one's own are layers as they stand: subclasses of `nbrnn.Cell`.
    return_sequences, return_state, go_backwards, stateful, zero_output_for_mask : bool, default False
        As for LSTM.
    input_shape, name
        As for every layer.

    Returns
    -------
    Recurrent
        A SimpleRNN, LSTM or GRU.

    Raises
    ------
    ValueError
        If it is no such cell, or an option is out of range.
    """
    if isinstance(cell, (list, tuple)):
        raise ValueError("RNN takes one cell, not a list of them: put a layer for each on top of the one before.")
    if not isinstance(cell, LayerCell):
        hint = ""
        if isinstance(cell, Recurrent) or (isinstance(cell, type) and issubclass(cell, Recurrent)):
            hint = "; a layer, also one of a Cell of your own, goes into a model as it stands"
        raise ValueError(f"cell of RNN must be nbrnn.LSTMCell(8), GRUCell(8) or SimpleRNNCell(8), not {cell!r}{hint}.")
    flags = (return_sequences, return_state, go_backwards, stateful, zero_output_for_mask, input_shape, name)
    return cell.layer(cell.units, **(cell.options | dict(zip(RNNS_OWN, flags, strict=True))))
