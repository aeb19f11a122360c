"""States as values of a graph: those that a recurrent layer begins at, handed to it, and its last ones, handed on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .graph import Shape, Value, call
from .program import Buffer, Program

if TYPE_CHECKING:
    from .layers import Backwards, Layer
    from .recurrent import Recurrent


def begun(layer: Layer, inputs: Any, initial_state: Any) -> Any:
    """Return what a layer gives for a value, if it begins at the states that are handed to it."""
    if initial_state is None:
        return call(layer, inputs)
    own = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    if len(own) > 1:
        raise ValueError(f"layer {layer.title} got states in its list of inputs and as initial_state; give them once.")
    states = list(initial_state) if isinstance(initial_state, (list, tuple)) else [initial_state]
    for state in states:
        if not isinstance(state, Value):
            raise ValueError(
                f"initial_state of layer {layer.title} takes what layers give for nbrnn.Input(...), not "
                f"{type(state).__name__}; arrays go through predict(initial_state=...)."
            )
    return call(layer, [*own, *states])


def last_shapes(layer: Layer, leaves: Sequence[Recurrent], handed: Sequence[Shape]) -> list[Shape]:
    """Return the shapes of the states that a layer gives after its outputs, for those that it begins at.

    Raises
    ------
    ValueError
        If these are too many or too few, or have other units, or the layer has states of its own to go on from.
    """
    if any(len(shape) != 1 for shape in handed):
        count = 1 + len(handed)
        raise ValueError(f"layer {layer.title} takes one input, not {count}; join them with Concatenate().")
    units = [(state, leaf.units) for leaf in leaves for state in leaf.states]
    if handed and any(leaf.stateful for leaf in leaves):
        raise ValueError(f"layer {layer.title} is stateful and goes on from its own states, so it takes no others.")
    if handed and [tuple(shape) for shape in handed] != [(n,) for _, n in units]:
        wanted, came = ", ".join(f"{state} ({n},)" for state, n in units), ", ".join(map(str, handed))
        raise ValueError(f"initial_state of layer {layer.title} must be the states {wanted}; the shapes {came} came.")
    return [(n,) for _, n in units] if any(leaf.return_state for leaf in leaves) else []


def lower_states(
    p: Program,
    leaves: Sequence[Recurrent],
    inputs: list[Buffer],
    lower: Callable[[Buffer], tuple[list[Buffer], Backwards]],
) -> tuple[list[Buffer], Backwards]:
    """Lower a layer that may begin at states that are handed to it; its last states come after its outputs."""
    names = [name for leaf in leaves for name in leaf.state_names()]
    p.handed.update(zip(names, inputs[1:], strict=False))
    results, back = lower(inputs[0])

    def backward(dys: list[Buffer], wanted: list[bool]) -> list[Buffer | None]:
        for name, d in zip(names, dys[len(results) :], strict=False):
            if name in p.from_last:
                p.call("accumulate", v=p.from_last[name], into=d)
            p.from_last[name] = d
        found = back(dys[: len(results)], wanted[:1])
        for name, yes in zip(names, wanted[1:], strict=False):
            layer, _, state = name.rpartition("/")
            found.append(p[f"{layer}/d{state}0"] if yes else None)
        return found

    return [*results, *(p.last[name] for name in names)], backward
