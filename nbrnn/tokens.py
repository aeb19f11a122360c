"""Inputs whose numbers name rows of an Embedding: which ones they are, and their check at the door."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import arrays_of
from .graph import Graph
from .layers import Layer


def token_inputs(graph: Graph) -> dict[int, Layer]:
    """Return the inputs whose numbers name rows, each with the layer that has the fewest.

    Raises
    ------
    ValueError
        If such a layer reads anything else.
    """
    found: dict[int, Layer] = {}
    for node in (node for node in graph.nodes if node.layer.tokens):
        layer, (source,) = node.layer, node.sources
        if source >= len(graph.inputs):
            raise ValueError(f"layer {layer.title} reads whole numbers, so it must read an input of the model.")
        found[source] = min(layer, found.get(source, layer), key=lambda one: one.tokens)
    return found


def check_tokens(x: Any, graph: Graph) -> None:
    """Raise ValueError unless such inputs hold whole numbers of rows."""
    for k, layer in token_inputs(graph).items():
        array = arrays_of(x)[k].real
        good = (array >= 0) & (array < layer.tokens) & (array == np.floor(array))
        if not good.all():
            sample = int(np.flatnonzero(~good.reshape(len(array), -1).all(axis=1))[0])
            wrong = array[sample][~good[sample]].flat[0]
            name = "x" if len(graph.inputs) == 1 else f"x of input {graph.inputs[k]!r}"
            raise ValueError(
                f"{name} must hold whole numbers from 0 to {layer.tokens - 1}, the rows of layer {layer.name}, but "
                f"sample {sample} holds {wrong:g}."
            )
