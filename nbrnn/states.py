"""The states of a stack's recurrent layers: given by the user, returned, or carried from batch to batch.

A state is named by its layer, "lstm/h" and "lstm/c", and has the shape (samples, units).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .arrays import contiguous_dtype
from .graph import Graph
from .program import Layout, Options, aligned
from .stack import Stack


class Stateful(Stack):
    """A stack that can be given first states, and that keeps the last ones of its stateful layers."""

    _carried: np.ndarray | None = None  # the stateful layers' states, as the block that programs read and write
    _rows = 0  # samples of a batch whose states are carried; 0: none yet

    def _allocate(self, graph: Graph) -> None:
        """Make the parameters of a graph; carried states are dropped."""
        super()._allocate(graph)
        self._carried, self._rows = None, 0
        self._know_states()

    def _know_states(self) -> None:
        """Let the layers reach the states that the model carries for them."""
        for layer in self.recurrent():
            layer.reset = self._reset_layer

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.built:
            self._know_states()

    @property
    def stateful(self) -> bool:
        """Whether any layer carries its states from batch to batch."""
        return bool(self._units("stateful"))

    @property
    def states(self) -> dict[str, np.ndarray]:
        """Copies of the carried states by name, (samples of a batch, units); empty before the first batch."""
        return {name: view.copy() for name, view in self._carried_views().items()}

    def set_states(self, states: Any) -> None:
        """Set the states that the stateful layers go on from.

        Parameters
        ----------
        states : dict of name to array (samples, units), or a list in the order of `states`
            A state that the dict leaves out begins at zero. The samples are those of one batch.

        Raises
        ------
        ValueError
            If no layer is stateful, or an array does not fit; nothing is changed then.
        """
        units = self._units("stateful")
        if not units:
            raise ValueError("no layer of the model is stateful; make one with stateful=True.")
        arrays = named_states("states", self._taken("states", states, True), units, None, self.dtype)
        rows = len(next(iter(arrays.values())))
        if not rows:
            raise ValueError("states must be those of at least one sample.")
        if rows != self._rows:  # else in place: a fit may be under way
            self._start(rows)
        for name, view in self._carried_views().items():
            view[...] = arrays[name]

    def reset_states(self, samples: Any = None) -> None:
        """Set carried states back to zero.

        Parameters
        ----------
        samples : indices, slice or boolean array, optional
            Which samples of the batch begin anew; all of them if it is not given, and then the next batch may have
            another size.

        Raises
        ------
        ValueError
            If no layer is stateful, or `samples` names a sample that the batch does not have.
        """
        if not self.stateful:
            raise ValueError("no layer of the model is stateful, so there are no states to reset.")
        if samples is None:
            self._carried, self._rows = None, 0
            return
        try:
            rows = np.arange(self._rows)
            which = rows[samples] if isinstance(samples, slice) else np.asarray(samples)
            if which.ndim > 1 or (which.dtype == bool and which.ndim == 0):
                raise IndexError
            chosen = rows[which] if which.size else rows[:0]
        except (IndexError, TypeError, ValueError) as error:
            raise ValueError(f"samples must name some of the batch's {self._rows}, not {samples!r}.") from error
        for view in self._carried_views().values():
            view[chosen] = 0

    def _reset_layer(self, names: list[str]) -> None:
        """Set the carried states of these names back to zero; once all are, the next batch may have another size."""
        for name, view in self._carried_views().items():
            if name in names:
                view[...] = 0
        if self._carried is not None and not self._carried.any():
            self._carried, self._rows = None, 0

    # ------------------------------------------------------------------ for those who run programs

    def _units(self, flag: str = "") -> dict[str, int]:
        """Return the units of every state that is no value by name; those of layers with a flag, if it is given."""
        values = self.graph.handed[flag == "return_state"] if self.built else ()
        layers = [
            layer for layer in self.recurrent() if layer.name not in values and (not flag or getattr(layer, flag))
        ]
        return {name: layer.units for layer in layers for name in layer.state_names()}

    @property
    def _recurs(self) -> bool:
        """Whether any layer has states."""
        return bool(self._units())

    def _carried_views(self) -> dict[str, np.ndarray]:
        if self._carried is None:
            return {}
        return state_views(self._units("stateful"), self._rows, self._carried)

    def _start(self, rows: int) -> None:
        """Make carried states of zeros for batches of so many samples."""
        self._carried, self._rows = state_block(self._units("stateful"), rows, self.dtype), rows

    def _carry(self, samples: int, batch: int) -> np.ndarray:
        """Return the block of carried states for batches of this size."""
        batch = self._one_size("", samples, batch, self._rows)
        if not self._rows:
            self._start(batch)
        assert self._carried is not None
        if not np.isfinite(self._carried).all():
            raise ValueError("carried states are not finite any more: call reset_states(), or set_states() to go on.")
        return self._carried

    def _one_size(self, what: str, samples: int, batch: int, rows: int) -> int:
        """Return the size of batches that a stateful layer can take; `rows` is the one that it keeps, if any."""
        batch = min(batch, samples)
        name = next(layer.name for layer in self.recurrent() if layer.stateful)
        if samples % batch:
            raise ValueError(
                f"layer {name} is stateful, so all batches must be of one size: {samples} samples{what} do not fall "
                f"into batches of {batch}."
            )
        if rows and batch != rows:
            raise ValueError(
                f"layer {name} is stateful and keeps the states of {rows} samples, but a batch of {batch}{what} came: "
                f"give batches of {rows}, or call reset_states() first."
            )
        return batch

    def _given(self, initial_state: Any, samples: int) -> np.ndarray:
        """Return the block of first states, a row a sample."""
        units = self._units()
        if not units:
            raise ValueError("initial_state was given, but no layer of the model is recurrent.")
        taken = self._taken("initial_state", initial_state, True)
        arrays = named_states("initial_state", taken, units, samples, self.dtype)
        block = state_block(units, samples, self.dtype)
        for name, view in state_views(units, samples, block).items():
            view[...] = arrays[name]
        return block

    def _begin_at(self, initial_state: Any, samples: int, options: Options) -> tuple[Options, np.ndarray | None]:
        """Return the options of a run that begins at given states, if any are, and their block."""
        if initial_state is None:
            return options, None
        if self.stateful:
            raise ValueError("initial_state is for layers that are not stateful; here call set_states first.")
        return replace(options, given=True), self._given(initial_state, samples)

    def _last(self, block: np.ndarray, samples: int, flag: str = "") -> dict[str, np.ndarray]:
        """Return copies of the last states that a run left in the block "final"."""
        views = state_views(self._units(), samples, block)
        return {name: views[name].copy() for name in self._units(flag)}


def named_states(
    argument: str, states: Any, units: dict[str, int], samples: int | None, dtype: np.dtype
) -> dict[str, np.ndarray]:
    """Return every state as an array (samples, units), zeros where none is given.

    Raises
    ------
    ValueError
        If a name is unknown, there are too many or too few arrays, or one has another shape or is not finite.
    """
    known = ", ".join(f"{name} (samples, {n})" for name, n in units.items())
    if isinstance(states, np.ndarray) and len(units) == 1:
        states = [states]
    if isinstance(states, Mapping):
        unknown = [str(name) for name in states if name not in units]
        if unknown or not states:
            wrong = f"the model has no state {unknown[0]!r}" if unknown else "the dict is empty"
            raise ValueError(f"{argument}: {wrong}; the states are {known}.")
    elif isinstance(states, (list, tuple)) and len(states) == len(units):
        states = dict(zip(units, states, strict=True))
    else:
        came = f"{len(states)} of them" if isinstance(states, (list, tuple)) else type(states).__name__
        raise ValueError(f"{argument} must be a dict or a list of {len(units)} arrays ({known}), not {came}.")
    arrays = {}
    for name, value in states.items():
        array = contiguous_dtype(value, dtype, f"{argument} {name}")
        samples = (len(array) if array.ndim else None) if samples is None else samples
        if array.shape != (samples, units[name]):
            wanted = f"(samples, {units[name]})" if array.ndim != 2 else f"({samples}, {units[name]})"
            raise ValueError(f"{argument} {name} has shape {array.shape}, but must have (samples, units) = {wanted}.")
        if not np.isfinite(array).all():
            raise ValueError(f"{argument} {name} holds a number that is not finite in {dtype}.")
        arrays[name] = array
    return {name: arrays[name] if name in arrays else np.zeros((samples or 0, n), dtype) for name, n in units.items()}


def _layout(units: dict[str, int], rows: int, itemsize: int) -> Layout:
    """Place states in a block as a program does that meets the layers in their order."""
    layout = Layout(itemsize)
    for name, n in units.items():
        layout.add(name, (rows, n), "initial")
    return layout


def state_block(units: dict[str, int], rows: int, dtype: np.dtype) -> np.ndarray:
    """Return a block of zeros for states."""
    return aligned(_layout(units, rows, dtype.itemsize).sizes["initial"], dtype)


def state_views(units: dict[str, int], rows: int, block: np.ndarray) -> dict[str, np.ndarray]:
    """Return the parts of a block of states, (rows, units) each."""
    buffers = _layout(units, rows, block.itemsize).buffers
    return {name: block[b.offset : b.offset + b.size].reshape(b.shape) for name, b in buffers.items()}
