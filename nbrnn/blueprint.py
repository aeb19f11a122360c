"""A model as what JSON can hold, and back: layers with their arguments and, of a graph, the values that join them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .chain import Chain
from .checks import whole_number
from .described import described, made
from .graph import Input, Value, checked_shape
from .layers import Layer
from .recurrent import Recurrent
from .wrappers import Bidirectional

if TYPE_CHECKING:
    from .model import Model


def model_config(model: Model) -> dict[str, Any]:
    """Return what makes a model again: `layers`, and for a chain `input_shape`, for a graph `nodes` and its ends.

    A node is a layer's place in the list and the values that it reads, which are numbered: the inputs first, then what
    each node gives. How many it gives stands third where states are among them.
    """
    layers = [described(layer) for layer in model.layers]
    config = {"name": model.name, "dtype": model.dtype.name, "seed": model.seed, "layers": layers}
    if isinstance(model, Chain):
        return config | {"input_shape": list(model.input_shape)}
    graph, places = model.graph, {layer: k for k, layer in enumerate(model.layers)}
    return config | {
        "inputs": [[name, list(shape)] for name, shape in zip(graph.inputs, graph.shapes, strict=False)],
        "nodes": [
            [places[node.layer], list(node.sources), *([len(node.results)] if _gives_states(node.layer) else [])]
            for node in graph.nodes
        ],
        "outputs": [list(end) for end in zip(graph.output_names, graph.outputs, strict=True)],
        "named_outputs": model.named_outputs,
    }


def least_version(config: dict[str, Any]) -> str:
    """Return the least version of a file that holds a model."""
    if "nodes" not in config:
        return "1"
    return "3" if any(len(node) > 2 for node in config["nodes"]) else "2"


def layers_of(config: dict[str, Any]) -> list[Layer]:
    """Return the layers of a configuration."""
    return [made(entry) for entry in config["layers"]]


def join_layers(config: dict[str, Any], layers: list[Layer]) -> tuple[Any, Any]:
    """Return the inputs and outputs of a graph's configuration, as `Model` takes them.

    Raises
    ------
    ValueError
        If a node or an output reads a value that does not come before it, or the layers do not fit each other.
    """
    inputs = {name: Input(checked_shape(shape), name) for name, shape in config["inputs"]}
    values: list[Value] = list(inputs.values())
    for k, (place, sources, *count) in enumerate(config["nodes"]):
        read = [_earlier(f"node {k + 1}", number, values) for number in sources]
        layer = layers[whole_number(f"the layer of node {k + 1}", place, 0)]
        result = layer(read if len(read) > 1 else read[0])
        found = result if isinstance(result, list) else [result]
        if count != ([len(found)] if _gives_states(layer) else []):
            raise ValueError(
                f"layer {layer.title} gives {len(found)} values, its last states among them, but the file does not say "
                "so: it is older; build the model again and give it the weights."
            )
        values += found
    outputs = {name: _earlier(f"output {name}", number, values) for name, number in config["outputs"]}
    if config["named_outputs"]:
        return inputs, outputs
    return inputs, list(outputs.values())


def _gives_states(layer: Layer) -> bool:
    """Return whether a layer that is called on values gives its last states after its outputs."""
    return isinstance(layer, (Recurrent, Bidirectional)) and any(
        getattr(leaf, "return_state", False) for leaf in layer.leaves()
    )


def _earlier(reader: str, number: Any, values: list[Value]) -> Value:
    """Return a value by its number."""
    if not isinstance(number, int) or not 0 <= number < len(values):
        raise ValueError(
            f"{reader} reads value {number!r}, but only {len(values)} come before it: values must not run in a circle."
        )
    return values[number]
