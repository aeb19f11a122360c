"""Graphs of layers: symbolic values, the calls that join them, their order, and what a graph refuses.

A value is numbered: the inputs first, then what each node gives, in the order in which the nodes run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .checks import whole_number
from .kerasways import INPUT, knows

if TYPE_CHECKING:
    from .layers import Layer

Shape = tuple[int | None, ...]


class Value:
    """What an `Input` stands for, or what a layer gives for one: no numbers, but the shape of one sample.

    Attributes
    ----------
    shape : tuple
        (time steps, features) or (features,).
    name : str or None
        Of an input.
    step : Step or None
        The call that gives it; None for an input.
    """

    def __init__(self, shape: Shape, name: str | None = None, step: Step | None = None) -> None:
        self.shape, self.name, self.step = shape, name, step

    @property
    def source(self) -> str:
        """Where it comes from, in words."""
        if self.step is None:
            return f"input {self.name!r}" if self.name else "an input without a name"
        return f"layer {self.step.layer.title}"

    def __iter__(self) -> Any:
        raise ValueError(f"{self.source} gives one value here, which cannot be taken apart.")

    def __repr__(self) -> str:
        return f"<{self.shape} from {self.source}>"


@dataclass(frozen=True, eq=False)
class Step:
    """One call of a layer on values."""

    layer: Layer
    sources: tuple[Value, ...]
    results: list[Value]  # filled once


@knows(INPUT)
def Input(shape: Shape | int | None = None, name: str | None = None, *, batch_shape: Any = None) -> Value:
    """Return a symbolic input of a functional `Model`; call layers on it.

    Parameters
    ----------
    shape : tuple or int
        Of one sample: (time steps, features), where the time steps may be None, or (features,).
    name : str, optional
        By which `fit` and `predict` take its array from a dict; unique within a model, which names it otherwise.
    batch_shape : tuple, optional
        In place of `shape`, with a number of samples before it, which may be None: any number fits all the same.

    Raises
    ------
    ValueError
        If the shape or the name cannot be one.

    Examples
    --------
    >>> import nbrnn
    >>> a = nbrnn.Input((12, 1), name="a")
    >>> model = nbrnn.Model(a, nbrnn.Dense(1)(nbrnn.LSTM(4)(a)), seed=0)
    >>> model.count_params()
    101
    """
    if name is not None and not (isinstance(name, str) and name):
        raise ValueError(f"name of an Input must be text, not {name!r}.")
    if (shape is None) == (batch_shape is None):
        raise ValueError("Input takes shape, that of one sample, or batch_shape, one of the two.")
    if batch_shape is not None:
        if not isinstance(batch_shape, (tuple, list)) or len(batch_shape) < 2:
            raise ValueError(f"batch_shape must be (samples, ...) with the shape of one sample, not {batch_shape!r}.")
        shape = tuple(batch_shape[1:])
    return Value(checked_shape(shape, "shape of an Input"), name)


def checked_shape(shape: Any, name: str = "input_shape") -> Shape:
    """Return an input shape as a tuple, or raise ValueError."""
    if isinstance(shape, (int, np.integer)):
        shape = (shape,)
    if not isinstance(shape, (tuple, list)) or not 1 <= len(shape) <= 2:
        raise ValueError(f"{name} must be (time steps, features) or (features,), not {shape!r}.")
    if shape[-1] is None:
        raise ValueError(
            f"{name} must end in a number of features, not in None: sequences of any length are (None, features), and "
            "(None, 1) where they hold the numbers of classes or tokens."
        )
    steps = [None if n is None else whole_number(name, n) for n in shape[:-1]]
    return (*steps, whole_number(name, shape[-1]))


def call(layer: Layer, inputs: Any) -> Any:
    """Return what a layer gives for values: one, or a list where it gives several.

    Raises
    ------
    ValueError
        If `inputs` is no value, or the layer cannot take values of these shapes.
    """
    several = isinstance(inputs, (list, tuple))
    values: list[Any] = list(inputs) if several else [inputs]
    for value in values:
        if not isinstance(value, Value):
            came = f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
            raise ValueError(
                f"layer {layer.title} is called on nbrnn.Input(...) or on what a layer gives for one, not on {came}; "
                "arrays go through a model's predict."
            )
    if layer.owned:
        raise ValueError(f"layer {layer.title} stands in a model already; make a new one.")
    if layer.input_shape not in (None, values[0].shape if values else ()):
        raise ValueError(
            f"layer {layer.title} was made with input_shape={layer.input_shape}, but its input has the shape "
            f"{values[0].shape}; leave input_shape out."
        )
    step = Step(layer, tuple(values), [])
    step.results.extend(Value(shape, step=step) for shape in layer.shapes([value.shape for value in values]))
    return step.results[0] if len(step.results) == 1 else list(step.results)


@dataclass(frozen=True, eq=False)
class Node:
    """A call of a layer within a graph: the values that it takes and gives, by number."""

    layer: Layer
    number: int  # how many calls of the layer come before it
    sources: tuple[int, ...]
    results: tuple[int, ...]

    def called(self) -> Layer:
        """Return the layer; for a second call a copy with a name of its own, for the program's buffers."""
        return self.layer.again(self.number) if self.number else self.layer


@dataclass(frozen=True, eq=False)
class Graph:
    """Layers joined: nodes in the order in which they run, and the shape of every value."""

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]  # names; they are the first values
    outputs: tuple[int, ...]  # values
    output_names: tuple[str, ...]
    shapes: tuple[Shape, ...]

    @classmethod
    def chain(cls, layers: Sequence[Layer], shapes: Sequence[Shape]) -> Graph:
        """Return a chain; `shapes` are the input's and that of every layer's output."""
        nodes = tuple(Node(layer, 0, (k,), (k + 1,)) for k, layer in enumerate(layers))
        return cls(nodes, ("x",), (len(layers),), (str(layers[-1].name) if layers else "",), tuple(shapes))

    @cached_property
    def owners(self) -> list[tuple[Layer, Shape]]:
        """The layers in the order of their first calls, with the shape of the first input there."""
        return [(node.layer, self.shapes[node.sources[0]]) for node in self.nodes if not node.number]

    def leaves(self) -> list[Layer]:
        """Return the layers of all calls, those within wrappers in their place."""
        if len(self.owners) == len(self.nodes):
            return self._leaves
        return [leaf for node in self.nodes for leaf in node.called().leaves()]

    @cached_property
    def _leaves(self) -> list[Layer]:
        return [leaf for node in self.nodes for leaf in node.layer.leaves()]

    @cached_property
    def handed(self) -> tuple[frozenset[str], frozenset[str]]:
        """The names of the layers, those within others too, whose first states are values, and whose last ones are."""
        calls = [
            ({str(leaf.name) for leaf in node.called().leaves()}, len(node.sources) > 1, len(node.results) > 1)
            for node in self.nodes
            if not node.layer.joins
        ]
        first, last = ([name for names, *which in calls if which[k] for name in names] for k in range(2))
        return frozenset(first), frozenset(last)

    @cached_property
    def is_chain(self) -> bool:
        """Whether every layer reads what the one before it gives, and nothing else."""
        straight = all(node.sources == (k,) and node.results == (k + 1,) for k, node in enumerate(self.nodes))
        return straight and self.outputs == (len(self.nodes),) and not any(node.number for node in self.nodes)

    def why_no_chain(self) -> str:
        """Return what keeps the graph from being a chain, by name."""
        for k, node in enumerate(self.nodes):
            if node.number:
                return f"layer {node.layer.title} is called more than once"
            if len(node.sources) > 1:
                return f"layer {node.layer.title} joins several values"
            if len(node.results) > 1:
                return f"layer {node.layer.title} gives several values"
            if node.sources != (k,):
                return f"layer {node.layer.title} does not read what the layer before it gives"
        return f"it has {len(self.inputs)} inputs and {len(self.outputs)} outputs"

    def needed(self, every: bool) -> set[int]:
        """Return the values whose gradient weights need; all of them, where the inputs' gradients are wanted."""
        if every:
            return set(range(len(self.shapes)))
        found: set[int] = set()
        trained = {layer for layer, shape in self.owners if layer.declared(shape)}
        for node in self.nodes:
            if node.layer in trained or not found.isdisjoint(node.sources):
                found.update(node.results)
        return found

    def resolve(self, inputs: Sequence[Shape]) -> list[Shape]:
        """Return the outputs' shapes for inputs of these shapes, which leave nothing open."""
        shapes = dict(enumerate(inputs))
        for node in self.nodes:
            shapes.update(zip(node.results, node.layer.shapes([shapes[v] for v in node.sources]), strict=False))
        return [shapes[v] for v in self.outputs]


def read_graph(inputs: Any, outputs: Any) -> tuple[Graph, tuple[list[str | None], list[str | None]]]:
    """Return the graph between values, and the inputs' and outputs' names as far as they were given.

    Raises
    ------
    ValueError
        If something is no value, an output needs an input that is not given, an input is not used, or a layer does not
        fit its calls.
    """
    (entries, names), (ends, end_names) = (_values("inputs", inputs), _values("outputs", outputs))
    for k, value in enumerate(entries):
        if value.step is not None:
            raise ValueError(f"inputs must be what nbrnn.Input made, but inputs[{k}] comes from {value.source}.")
        names[k] = names[k] or value.name
    graph = _traced(entries, ends)
    if not graph.nodes:
        raise ValueError("the model has no layers: its outputs are its inputs.")
    return graph, (names, end_names)


def _values(argument: str, given: Any) -> tuple[list[Value], list[str | None]]:
    """Return values, and their names where a dict gives them."""
    names = list(given) if isinstance(given, Mapping) else None
    listed = list(given.values()) if isinstance(given, Mapping) else given
    values = list(listed) if isinstance(listed, (list, tuple)) else [listed]
    for k, value in enumerate(values):
        if not isinstance(value, Value):
            made = "nbrnn.Input(...)" if argument == "inputs" else "what layers give for nbrnn.Input(...)"
            raise ValueError(f"{argument} must be {made}, one or a list or a dict of them, not {value!r:.80}.")
        if any(value is other for other in values[:k]):
            raise ValueError(f"{argument} names one value twice, that from {value.source}.")
    if not values:
        raise ValueError(f"{argument} is empty.")
    return values, [None] * len(values) if names is None else [str(name) for name in names]


def name_graph(graph: Graph, named: tuple[list[str | None], list[str | None]]) -> Graph:
    """Return the graph with names for its layers, inputs and outputs where they have none.

    Raises
    ------
    ValueError
        If two layers, inputs or outputs have one name.
    """
    taken = [layer.name for layer, _ in graph.owners if layer.name is not None]
    for k, name in enumerate(taken):
        unique_name(name, "", taken[:k])
    kinds: dict[str, int] = {}
    for layer, _ in graph.owners:
        number = kinds[layer.kind] = kinds.get(layer.kind, -1) + 1
        if layer.name is None:
            layer.name = unique_name(None, layer.kind, taken, number)
            taken.append(layer.name)
    inputs, outputs = named
    names: list[str] = []
    for given in inputs:
        if given in names:
            raise ValueError(f"two inputs have the name {given!r}; names must differ.")
        others = [*names, *(name for name in inputs if name is not None)]
        names.append(given or unique_name(None, "input", others, len(names)))
    ends: list[str] = []
    sources = {v: (node.called().name, node.results.index(v)) for node in graph.nodes for v in node.results}
    for given, v in zip(outputs, graph.outputs, strict=True):
        source, place = sources.get(v, (names[v] if v < len(names) else None, 0))
        ends.append(given or f"{source}{f'_{place}' if place else ''}")
    return replace(graph, inputs=tuple(names), output_names=tuple(ends))


def _traced(entries: Sequence[Value], outputs: Sequence[Value]) -> Graph:
    """Return the graph between values, without names."""
    steps = _in_order(outputs)
    known = {id(value) for value in entries}
    for value in outputs:
        if value.step is None and id(value) not in known:
            raise ValueError(f"an output is {value.source}, which is not among inputs.")
    for k, step in enumerate(steps):
        for value in step.sources:
            if value.step is None and id(value) not in known:
                raise ValueError(f"layer {step.layer.title} reads {value.source}, which is not among inputs; add it.")
        if step.layer.owned:
            raise ValueError(f"layer {step.layer.title} stands in a model already; make a new one.")
        _same_weights(step, steps[:k])
    read = {id(value) for step in steps for value in step.sources} | {id(value) for value in outputs}
    for k, value in enumerate(entries):
        if id(value) not in read:
            name = f"inputs[{k}]" if value.name is None else f"input {value.name!r}"
            raise ValueError(f"{name} is not used by any output: leave it out, or let a layer read it.")
    numbers = {id(value): k for k, value in enumerate(entries)}
    shapes, nodes, calls = [value.shape for value in entries], [], dict.fromkeys((s.layer for s in steps), 0)
    for step in steps:
        for value in step.results:
            numbers[id(value)] = len(shapes)
            shapes.append(value.shape)
        places = [tuple(numbers[id(value)] for value in side) for side in (step.sources, step.results)]
        nodes.append(Node(step.layer, calls[step.layer], *places))
        calls[step.layer] += 1
    ends = tuple(numbers[id(value)] for value in outputs)
    return Graph(tuple(nodes), ("",) * len(entries), ends, (), tuple(shapes))


def _same_weights(step: Step, before: Sequence[Step]) -> None:
    """Raise ValueError if a layer that is called again would need other weights, or carries states between batches."""
    for other in before:
        if other.layer is not step.layer:
            continue
        ours, theirs = (s.layer.declared(s.sources[0].shape) for s in (step, other))
        if ours != theirs:
            shapes = f"{other.sources[0].shape} and {step.sources[0].shape}"
            raise ValueError(f"layer {step.layer.title} cannot share its weights between inputs of shapes {shapes}.")
        if any(getattr(leaf, "stateful", False) for leaf in step.layer.leaves()):
            raise ValueError(f"layer {step.layer.title} is stateful, so it can be called only once in a model.")


def _in_order(outputs: Sequence[Value]) -> list[Step]:
    """Return the steps that outputs need: the deepest below the outputs first, as Keras lists a model's layers."""
    finished: list[Step] = []  # every step after those that it reads
    met: set[int] = set()
    places: dict[int, int] = {}  # of layers, in the order in which they are met
    stack: list[tuple[Step, bool]] = []
    for value in outputs:
        if value.step is not None:
            stack.append((value.step, False))
        while stack:
            step, done = stack.pop()
            if done:
                finished.append(step)
            elif id(step) not in met:
                met.add(id(step))
                places.setdefault(id(step.layer), len(places))
                below = [v.step for v in step.sources if v.step is not None]
                stack += [(step, True), *((s, False) for s in reversed(below))]
    depths = dict.fromkeys(map(id, finished), 0)
    deepest: dict[int, int] = {}  # of a layer's calls
    for step in reversed(finished):
        depth = depths[id(step)] = max(depths[id(step)], deepest.get(id(step.layer), 0))
        deepest[id(step.layer)] = depth
        for value in step.sources:
            if value.step is not None:
                depths[id(value.step)] = max(depths[id(value.step)], depth + 1)
    return sorted(finished, key=lambda step: (-depths[id(step)], places[id(step.layer)]))


def unique_name(given: str | None, kind: str, taken: Iterable[str], number: int = 0) -> str:
    """Return a name as it was given, or the kind with the first number from `number` on that is free.

    Raises
    ------
    ValueError
        If the name that was given is taken.
    """
    taken = set(taken)
    if given is not None:
        if given in taken:
            raise ValueError(f"two layers have the name {given!r}; names must differ.")
        return given
    name = f"{kind}_{number}" if number else kind
    while name in taken:
        number += 1
        name = f"{kind}_{number}"
    return name
