"""Layers with their parameters in one block, what they say about themselves, and what arrays may enter them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .arrays import Samples, arrays_of, native, one_or_several
from .checks import by_name, flag, one_of, whole_number
from .graph import Graph, Shape
from .heads import Asked, Head, all_figures, make_heads, places_of
from .initializers import check, draw_seed, initialize
from .kerasways import SUMMARY, knows
from .layers import Layer, Weight, assign, known
from .losses import NUMBERS
from .lowering import TRAIN, parameter_layout
from .memory import Memory
from .optimizers import Optimizer
from .placed import Placed
from .program import Layout, aligned, aligned_copy
from .ragged import is_ragged, one_mask, padded, with_masks
from .recurrent import Recurrent
from .summary import kernel_lines, plan_of, summary_lines
from .supervision import checked_targets, checked_weights, own_weights
from .targets.compiling import MODELS
from .tokens import check_tokens, token_inputs
from .variables import Variable, variables_of


class Stack(Placed):
    """A graph of layers with their parameters; `Model` and `Sequential` train it."""

    compiled = False
    loss: Any = None  # a Loss, or a dict of them by output
    loss_weights: Mapping[str, float] = {}  # by output; 1 where there is none
    metrics: Any = ()  # of one output, or a dict by output
    optimizer: Optimizer | None = None
    input_shape: Any = None  # of several inputs a list; the output's likewise
    output_shape: Any = None
    named_outputs = False  # whether the outputs came in a dict
    graph: Graph
    _of: Any = None  # what `_asked` was made of, and what it gives

    def __init__(self, seed: int | None, dtype: str, name: str) -> None:
        self.name = name
        self.dtype = np.dtype(one_of("dtype", getattr(dtype, "name", dtype), MODELS))
        drawn = draw_seed() if seed is None else seed
        self.seed, self.seed_drawn = whole_number("seed", drawn, 0), seed is None
        self.layers: list[Layer] = []
        self.built = False

    def _allocate(self, graph: Graph) -> None:
        """Make the parameters of a graph; weights that are there already and fit are kept."""
        token_inputs(graph)  # refuses what cannot be read
        self.graph = graph
        self.layers = [layer for layer, _ in graph.owners]
        self.input_shapes = [shape for _, shape in graph.owners]
        ends = [graph.shapes[v] for v in graph.outputs]
        self.input_shape = graph.shapes[0] if len(graph.inputs) == 1 else list(graph.shapes[: len(graph.inputs)])
        self.output_shape = ends[0] if len(ends) == 1 else ends
        self.layout: Layout = parameter_layout(self)
        self.params = aligned(self.layout.sizes["params"], self.dtype)
        for k, (layer, before) in enumerate(graph.owners):
            kept, views = layer.views or {}, {}
            for j, weight in enumerate(layer.declared(before)):
                view = views[weight.name] = self._view(layer, weight)
                old = kept.get(weight.name)
                if old is not None and old.shape == view.shape:
                    view[...] = old
                else:
                    begin = check(f"the initializer of {layer.title}/{weight.name}", weight.initializer)
                    view[...] = initialize(begin, weight.shape, (self.seed, k, j))
                    if weight.ones is not None:
                        view[weight.ones] = 1
            layer.bind(views)
        self.built = True
        self._watch()

    @property
    def heads(self) -> list[Head]:
        """What is asked of each output."""
        return self._asked()[0]

    @property
    def asked(self) -> list[Asked]:
        """The figures of all outputs, the loss first."""
        return self._asked()[1]

    @property
    def places(self) -> list[slice]:
        """The place of each figure's statistics."""
        return self._asked()[2]

    def places_under(self, masked: Sequence[bool]) -> list[slice]:
        """Return the place of each figure's statistics where the figures of some outputs see a mask."""
        if not any(masked):
            return self.places
        return places_of(self.asked, [known(self.graph.shapes[v][-1]) for v in self.graph.outputs], masked)

    def histories_of(self, sums: np.ndarray, samples: int, masked: Sequence[bool] = ()) -> dict[str, list[float]]:
        """Return the figures of epochs of so many samples, from the sums of each epoch's log, a row an epoch.

        `masked` says which outputs have a mask, if any has.
        """
        under = masked or (False,) * len(self.heads)
        asked = zip(self.asked, self.places_under(masked), strict=True)
        return {
            one.name: [one.figure.finish(row, samples, one.head >= 0 and under[one.head]) for row in sums[:, place]]
            for one, place in asked
        }

    def figures_of(self, sums: np.ndarray, samples: int, masked: Sequence[bool] = ()) -> dict[str, float]:
        """Return the figures of so many samples from the sums of a log."""
        return {name: values[0] for name, values in self.histories_of(sums[None], samples, masked).items()}

    def _asked(self) -> tuple[list[Head], list[Asked], list[slice]]:
        """Return the heads and their named figures, made anew only after a change: a tiny model's epoch is short."""
        names = self.graph.output_names if self.built else ("",)
        now = (names, self.loss, self.loss_weights, self.metrics)
        if self._of is None or not all(map(operator.is_, now, self._of[0])):
            heads = make_heads(*now)
            asked = all_figures(heads)
            outputs = [known(self.graph.shapes[v][-1]) for v in self.graph.outputs] if self.built else [1]
            self._of = now, (heads, asked, places_of(asked, outputs))
        return self._of[1]

    def recurrent(self) -> list[Recurrent]:
        """Return the recurrent layers in the order of the graph, those within others too, once for every call."""
        leaves = self.graph.leaves() if self.built else [leaf for layer in self.layers for leaf in layer.leaves()]
        return [leaf for leaf in leaves if isinstance(leaf, Recurrent)]

    def _view(self, layer: Layer, weight: Weight) -> np.ndarray:
        """Return a weight's place in the block of parameters."""
        buffer = self.layout.buffers[f"{layer.name}/{weight.name}"]
        return self.params[buffer.offset : buffer.offset + buffer.size].reshape(buffer.shape)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Become a copy (copy.deepcopy, pickle): the layers' weights are parts of the copy's own block again."""
        self.__dict__.update(state)
        if self.built:
            self.params = aligned_copy(self.params)
            for layer, shape in self.graph.owners:
                layer.bind({weight.name: self._view(layer, weight) for weight in layer.declared(shape)})

    def _built(self) -> None:
        if not self.layers:
            raise ValueError("the model has no layers; add some first.")
        if not self.built:
            raise ValueError("the model does not know its input_shape yet: give it, or call fit or predict first.")

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return a layer by its name or by its place.

        Parameters
        ----------
        name : str, optional
        index : int, optional
            Counted from 0; one of the two.

        Raises
        ------
        ValueError
            If both or none are given, or there is no such layer.
        """
        if (name is None) == (index is None):
            raise ValueError("get_layer takes a name or an index, one of the two.")
        if name is not None:
            names = [str(layer.name) for layer in self.layers]
            return self.layers[names.index(one_of("layer", name, names))]
        place = whole_number("index", index, 0)
        if place >= len(self.layers):
            raise ValueError(f"index must be below {len(self.layers)}, the number of layers, not {place}.")
        return self.layers[place]

    def count_params(self) -> int:
        """Return the number of trainable numbers."""
        self._built()
        return sum(layer.count_params() for layer in self.layers)

    @property
    def weights(self) -> list[Variable]:
        """All weights with their names, in Keras' order: `path`, `shape`, `numpy()`, `assign(value)`."""
        self._built()
        return variables_of(self.layers)

    trainable_weights = trainable_variables = variables = weights

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of all weights, in Keras' order and layouts."""
        self._built()
        return [w for layer in self.layers for w in layer.get_weights()]

    def set_weights(self, weights: list[Any]) -> None:
        """Set all weights from a list in Keras' order.

        Raises
        ------
        ValueError
            If there are too many or too few, or one has another shape or is not finite; nothing is changed then.
        """
        self._built()
        assign([pair for layer in self.layers for pair in layer._named()], weights, "the model")

    @knows(SUMMARY)
    def summary(
        self,
        print_fn: Callable[[str], Any] = print,
        kernels: bool = False,
        batch_size: int = 32,
        steps: int | None = None,
    ) -> None:
        """Print the layers with their output shapes and numbers of parameters, as Keras does.

        Parameters
        ----------
        print_fn : callable, default print
            Called with each line.
        kernels : bool, default False
            Whether every layer's kernels follow, of a training step or, where there is no optimizer, of a prediction,
            with the code path that each takes.
        batch_size : int, default 32
            Samples of that step.
        steps : int, optional
            Its time steps, where the model's input shape leaves them open.

        Raises
        ------
        ValueError
            If an argument is out of range, or the model does not know its input shape yet.
        """
        self._built()
        for line in summary_lines(self):
            print_fn(line)
        if flag("kernels", kernels):
            for line in kernel_lines(self, batch_size, steps):
                print_fn(line)

    def memory(
        self, batch_size: int = 32, samples: int | None = None, steps: int | None = None, mode: str = TRAIN
    ) -> Memory:
        """Return how many bytes a run holds in memory, and what for; print it for a table.

        Parameters
        ----------
        batch_size : int, default 32
            Samples of a batch.
        samples : int, optional
            Of the whole run, whose inputs, targets and outputs count; one batch if it is not given.
        steps : int, optional
            Time steps, where the model's input shape leaves them open.
        mode : {"train", "evaluate", "predict"}

        Returns
        -------
        Memory
            `total` is the sum of its `parts`; a part is read by its name, `model.memory()["work"]`.

        Raises
        ------
        ValueError
            If an argument is out of range, or the model lacks what the mode needs.
        """
        batch = whole_number("batch_size", batch_size)
        plan = plan_of(self, mode, batch, whole_number("samples", batch if samples is None else samples), steps)
        return Memory.of(plan, self._on_the_card(plan))

    def _inputs(self, x: Any, mask: Any = None, lengths: Any = None) -> Any:
        """Return checked inputs, with their masks if there are any; sequences of different lengths are padded."""
        shape = self.input_shape
        x, mask = self._taken("x", x, self._reads_tokens), self._taken("mask", mask, True)
        lengths = self._taken("lengths", lengths, True)
        if isinstance(x, Samples):
            checked = x
        elif is_ragged(x) and not (isinstance(shape, list) and len(shape) == len(x)):
            x, own = padded(
                "x", x, self.dtype, shape[0] if isinstance(shape, tuple) and len(shape) == 2 else None, False
            )
            checked = self._samples(x)
            checked = with_masks(checked, self.graph, self.dtype, None, own)
        else:
            checked = self._samples(x)
        if not isinstance(x, Samples):
            check_tokens(checked, self.graph)
        return with_masks(checked, self.graph, self.dtype, mask, lengths)

    def _samples(self, x: Any, name: str = "x") -> Any:
        """Return the inputs as an array that the kernels can read, or as Samples where there are several."""
        graph = self.graph
        if len(graph.inputs) == 1:
            if isinstance(x, Mapping):
                x = _all_of(name, x, graph.inputs, "input")[graph.inputs[0]]
            return self._one_input(native(name, x, self.dtype), graph.shapes[0], name)
        given = _all_of(name, x, graph.inputs, "input")
        arrays = [
            self._one_input(
                native(f"{name} of input {own!r}", given[own], self.dtype), shape, f"{name} of input {own!r}"
            )
            for own, shape in zip(graph.inputs, graph.shapes, strict=False)
        ]
        for own, array in zip(graph.inputs, arrays, strict=True):
            if len(array) != len(arrays[0]):
                raise ValueError(
                    f"{name} has {len(arrays[0])} samples for input {graph.inputs[0]!r}, but {len(array)} for {own!r}; "
                    "they must be as many."
                )
        samples = Samples(arrays)
        self._ends(samples)
        return samples

    def _one_input(self, x: np.ndarray, shape: Shape | None, name: str) -> np.ndarray:
        """Return an array that fits an input's shape."""
        if shape is None or x.ndim != len(shape) + 1:
            dimensions = 3 if shape is None or len(shape) == 2 else 2
            wanted_text = "(samples, time steps, features)" if dimensions == 3 else "(samples, features)"
            hint = ""
            if dimensions == 3 and x.ndim == 2:
                array = name.partition(" ")[0]
                hint = (
                    f"; for one feature a step write {array}[..., None] or {array}.reshape({len(x)}, {x.shape[1]}, 1)"
                )
            raise ValueError(f"{name} must have the shape {wanted_text}, but its shape is {x.shape}{hint}.")
        if x.shape[-1] != shape[-1]:
            raise ValueError(f"{name} has {x.shape[-1]} features, but the model was built for {shape[-1]}.")
        if len(shape) == 2 and shape[0] not in (None, x.shape[1]):
            raise ValueError(f"{name} has {x.shape[1]} time steps, but the model was built for {shape[0]}.")
        return x

    def _ends(self, x: Any) -> list[tuple[int, ...]]:
        """Return the shapes of one sample's outputs for inputs."""
        if self.graph.is_chain and None not in self.output_shape:
            return [self.output_shape]
        shapes = self.graph.resolve([array.shape[1:] for array in arrays_of(x)])
        return [tuple(known(n) for n in shape) for shape in shapes]

    def _pair(self, x: Any, y: Any, mask: Any = None, lengths: Any = None) -> tuple[Any, Any]:
        """Return inputs, with their masks, and targets, checked against the model and each other."""
        if self.loss is None:
            raise ValueError("the model has no loss yet: call compile() first.")
        x = self._inputs(x, mask, lengths)
        ends, heads = self._ends(x), self.heads
        names, kept = [head.name for head in heads], one_mask(x)

        def targets_of(name: str, head: Head, y: Any, end: tuple[int, ...]) -> np.ndarray:
            y = self._taken(name, y, head.loss is not None and head.loss.targets != NUMBERS)
            if is_ragged(y) and len(end) == 2:
                y = padded(name, y, self.dtype, end[0], True)[0]
            return checked_targets(head.loss, y, len(x), end, self.dtype, name, kept)

        if len(heads) == 1:
            if isinstance(y, Mapping):
                y = _all_of("y", y, names, "output")[names[0]]
            return x, targets_of("y", heads[0], y, ends[0])
        fed = [head.name for head in heads if head.figures]
        given = _all_of("y", y, names, "output", fed)
        wanted = [(head, end) for head, end in zip(heads, ends, strict=True) if head.figures]
        targets = [targets_of(f"y of output {head.name!r}", head, given[head.name], end) for head, end in wanted]
        return x, one_or_several(targets)

    def _held(self, given: Any) -> tuple[Any, Any]:
        """Return checked validation data, and their weights."""
        if not isinstance(given, (tuple, list)) or len(given) not in (2, 3, 4):
            raise ValueError("validation_data must be (x, y), (x, y, sample_weight) or (x, y, sample_weight, mask).")
        held = self._pair(*given[:2], *given[3:])
        return held, self._weighted(held[1], *given[2:3]) if given[2:3] else None

    def _weighted(self, y: Any, sample_weight: Any, class_weight: Any = None) -> Any:
        """Return the weights of checked targets, of samples or of time steps; None where there are none."""
        if self.loss is None or (sample_weight is None and class_weight is None):
            return None
        sample_weight = self._taken("sample_weight", sample_weight, True)
        fed, targets = [head for head in self.heads if head.figures], arrays_of(y)
        if len(self.heads) == 1:
            loss, outputs = fed[0].loss, known(self.output_shape[-1])
            assert loss is not None
            return checked_weights(loss, targets[0], sample_weight, class_weight, outputs, self.dtype)
        if class_weight is not None:
            raise ValueError(f"class_weight is for a model with one output, but this one has {len(self.heads)}.")
        names = [head.name for head in self.heads]
        several = isinstance(sample_weight, (Mapping, list, tuple))
        given = (
            by_name("sample_weight", sample_weight, names, "output") if several else dict.fromkeys(names, sample_weight)
        )
        return one_or_several(
            [
                own_weights(target, given.get(head.name), self.dtype, head.name)
                for head, target in zip(fed, targets, strict=True)
            ]
        )


def _all_of(name: str, given: Any, names: Sequence[str], what: str, needed: Sequence[str] | None = None) -> Any:
    """Return arrays by name; ValueError if one that is needed is missing."""
    found = by_name(name, given, names, what)
    for own in names if needed is None else needed:
        if found.get(own) is None:
            raise ValueError(f"{name} lacks the {what} {own!r}; the model has {', '.join(names)}.")
    return found
