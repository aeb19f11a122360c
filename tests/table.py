"""One table of layers and their options: whatever is to hold for every layer is tested over its rows.

A row makes a model anew, with random weights. A layer that joins the package gets a row here and a naive twin in
reference_layers.py; test_table.py and test_parity_keras.py take the rest from there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from support import random_weights

import nbrnn
from nbrnn import (
    GRU,
    LSTM,
    Activation,
    Add,
    Bidirectional,
    Concatenate,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Input,
    Permute,
    RepeatVector,
    Reshape,
    SimpleRNN,
    Softmax,
    TimeDistributed,
)
from nbrnn.tokens import token_inputs

CELLS = {
    "SimpleRNN": SimpleRNN,
    "LSTM": LSTM,
    "GRU": GRU,
    "GRU before": lambda units, **options: GRU(units, reset_after=False, **options),
}
SHAPE = (4, 3)  # of a sample: time steps, features


@dataclass(frozen=True)
class Row:
    """A model of the table.

    Attributes
    ----------
    make : callable
        Returns the layers of a chain, or the inputs and outputs of a functional model.
    shape : tuple
        Of one sample, for a chain.
    trace : str
        What refuses a trace, a word of its sentence; empty where a trace shows the model.
    keras : bool
        Whether Keras has the same.
    """

    make: Callable[[], Any]
    shape: tuple[int, ...] = SHAPE
    trace: str = ""
    keras: bool = True

    def model(self, dtype="float64", seed=1, scale=0.4):
        """Return the row's model with random weights."""
        made = self.make()
        if isinstance(made, tuple):
            model = nbrnn.Model(*made, seed=seed, dtype=dtype)
        else:
            model = nbrnn.Sequential(made, self.shape, seed=seed, dtype=dtype)
        return random_weights(model, seed, scale)


def data(model, samples=3, seed=0):
    """Return inputs and targets that fit a model, each a list; lengths that are open are 4."""
    rng, graph = np.random.default_rng(seed), model.graph
    shapes = [tuple(4 if n is None else n for n in shape) for shape in graph.shapes[: len(graph.inputs)]]
    sides = (shapes, graph.resolve(shapes))
    x, y = ([rng.normal(size=(samples, *s)).astype(model.dtype) for s in shapes] for shapes in sides)
    for k, layer in token_inputs(graph).items():
        x[k] = rng.integers(0, layer.tokens, x[k].shape).astype(model.dtype)
    return x, y


def one(arrays):
    """Return a list's only array, or the list."""
    return arrays[0] if len(arrays) == 1 else arrays


def listed(outputs):
    """Return what `predict` gives as a list."""
    if isinstance(outputs, dict):
        return list(outputs.values())
    return outputs if isinstance(outputs, list) else [outputs]


# ---------------------------------------------------------------- recurrent layers

OPTIONS = {
    "plain": {},
    "sequences": {"return_sequences": True},
    "backwards": {"go_backwards": True, "return_sequences": True, "use_bias": False, "activation": "softsign"},
    "last state": {"return_state": True, "activation": "elu"},
    "relu": {"activation": "relu", "recurrent_activation": "hard_sigmoid"},
    "linear": {"activation": "linear", "recurrent_activation": "tanh"},
    "penalties": {"kernel_regularizer": "l2", "recurrent_regularizer": nbrnn.L1(0.3), "bias_regularizer": "l1_l2"},
    "dropout": {"dropout": 0.3, "recurrent_dropout": 0.4},
    "dropout sequences": {"dropout": 0.5, "return_sequences": True, "go_backwards": True},
}


def options_of(kind, options):
    """Return options that a cell has."""
    return {name: value for name, value in options.items() if kind != "SimpleRNN" or name != "recurrent_activation"}


ROWS = {
    f"{kind} {name}": Row(lambda kind=kind, name=name: [CELLS[kind](5, **options_of(kind, OPTIONS[name])), Dense(2)])
    for kind in CELLS
    for name in OPTIONS
}
ROWS |= {
    f"{kind} wide": Row(lambda cell=cell: [cell(17, return_sequences=True), cell(9), Dense(10, "tanh"), Dense(1)])
    for kind, cell in CELLS.items()
}
ROWS |= {f"{kind} one step": Row(lambda cell=cell: [cell(3), Dense(1)], (1, 4)) for kind, cell in CELLS.items()}

# ---------------------------------------------------------------- wrappers

OTHER, GRAPH = "cannot look into layer", "a trace follows a chain of layers"
ROWS |= {
    f"Bidirectional {kind} {merge} {'sequences' * every}": Row(
        lambda cell=cell, merge=merge, every=every: [
            Bidirectional(cell(3, return_sequences=every), merge),
            Dense(2, "tanh"),
        ],
        trace=OTHER,
    )
    for kind, cell in CELLS.items()
    for merge, every in (("concat", False), ("concat", True), ("sum", True), ("ave", False), ("mul", True))
}
ROWS |= {
    "Bidirectional of two cells": Row(
        lambda: [Bidirectional(LSTM(3, go_backwards=True), backward_layer=GRU(2, "relu", name="other")), Dense(1)],
        trace=OTHER,
        keras=False,  # it takes both for as wide as the first
    ),
    "Bidirectional dropout": Row(
        lambda: [Bidirectional(GRU(3, dropout=0.3, recurrent_dropout=0.2, kernel_regularizer="l2"), "sum"), Dense(1)],
        trace=OTHER,
    ),
    "TimeDistributed Dense": Row(lambda: [TimeDistributed(Dense(3, "tanh")), SimpleRNN(2)], trace=OTHER),
    "TimeDistributed Activation": Row(lambda: [TimeDistributed(Activation("elu")), GRU(2)], trace=OTHER),
    "TimeDistributed Softmax": Row(lambda: [TimeDistributed(Softmax()), Dense(2)], trace=OTHER),
    "TimeDistributed Flatten": Row(lambda: [TimeDistributed(Flatten()), LSTM(2)], trace=OTHER),
}

# ---------------------------------------------------------------- layers without time

ROWS |= {
    f"Dense {name}": Row(lambda name=name: [Dense(4, name), Dense(2)], (5,))
    for name in ("linear", "tanh", "sigmoid", "relu", "softsign", "elu", "hard_sigmoid")
}
ROWS |= {f"Activation {name}": Row(lambda name=name: [Dense(4), Activation(name)]) for name in ("tanh", "elu")}
ROWS |= {
    "Dense softmax": Row(lambda: [Dense(4, "tanh"), Dense(3, "softmax"), Dense(2)], trace=OTHER),
    "Dense on steps": Row(lambda: [Dense(4, "tanh", use_bias=False), Dense(3, kernel_regularizer="l1_l2")]),
    "Flatten": Row(lambda: [Flatten(), Dense(3, "tanh"), Dense(2)]),
    "Flatten of vectors": Row(lambda: [Flatten(), Dense(2, "tanh")], (5,)),
    "Softmax": Row(lambda: [Dense(4), Softmax()]),
    "Activation softmax": Row(lambda: [Dense(4), Activation("softmax")]),
    "Dropout": Row(lambda: [Dropout(0.4), Flatten(), Dropout(0.5, seed=4), Dense(2, "tanh")]),
    "Dropout between": Row(
        lambda: [SimpleRNN(4, return_sequences=True), Dropout(0.4), LSTM(3), Dropout(0.3), Dense(2)]
    ),
}

# ---------------------------------------------------------------- graphs


def two_in():
    a, b = Input((4, 2), "a"), Input((4, 1), "b")
    return [a, b], Dense(2)(LSTM(3)(Concatenate()([a, b])))


def two_out():
    a = Input((4, 2))
    h = GRU(3, return_sequences=True)(a)
    return a, {"steps": Softmax()(Dense(3)(h)), "last": Dense(1)(SimpleRNN(4)(h))}


def skip():
    a = Input((3, 4))
    h = LSTM(4, return_sequences=True)(a)
    return a, Dense(1)(Add()([a, h, SimpleRNN(4, return_sequences=True)(h)]))


def in_time():
    a, b = Input((3, 2), "a"), Input((None, 2), "b")
    h = Concatenate(axis=1)([SimpleRNN(2, return_sequences=True)(a), b])
    return [a, b], [GRU(3, go_backwards=True)(h), LSTM(2, return_sequences=True)(h)]


def mixed():
    a, b = Input((3, 2)), Input((5,))
    h = Concatenate()([LSTM(3)(a), Dense(2, "tanh")(b), Flatten()(a)])
    return {"x1": a, "x2": b}, [Add()([Dense(2)(h), Dense(2)(h)]), h]


def shared():
    a, b = Input((4, 3), "a"), Input((4, 3), "b")
    cell = GRU(3, kernel_regularizer="l2")
    return [a, b], Dense(2)(Concatenate()([cell(a), cell(b)]))


def two_ways():
    a = Input((4, 3))
    y, z = Bidirectional(GRU(3), None)(a)
    return a, [Dense(1)(y), Dense(2, "tanh")(z)]


GRAPHS = {f.__name__: f for f in (two_in, two_out, skip, in_time, mixed, shared, two_ways)}
ROWS |= {f"graph {name}": Row(make, trace=GRAPH) for name, make in GRAPHS.items()}

# ---------------------------------------------------------------- states as values


def decoder(kind, every=True):
    """Return an encoder whose last states begin a decoder, which is shorter or longer."""
    a, b = Input((3, 2), "a"), Input((None, 3), "b")
    _, *states = CELLS[kind](3, return_state=True)(a)
    return [a, b], Dense(2)(CELLS[kind](3, return_sequences=every)(b, initial_state=states))


def bridge():
    """Return a model whose states go through layers and out of it, with an encoder that reads from both ends."""
    a, b = Input((4, 2), "a"), Input((4,), "b")
    y, h, c, *back = Bidirectional(LSTM(2, return_sequences=True, return_state=True))(a)
    first = [Concatenate()([h, back[0]]), Dense(4, "tanh")(c)]
    y, *last = LSTM(4, return_sequences=True, return_state=True, go_backwards=True)(y, first)
    return [a, b], [Dense(1)(y), Add()([last[0], b, GRU(4)(y, last[1])])]


def both_ways():
    """Return a model whose states begin a layer that reads from both ends, and end it, its outputs apart."""
    a, b = Input((3, 2), "a"), Input((2,), "b")
    y, _, *last = Bidirectional(GRU(2, return_state=True), None)(a, [b, Dense(2)(b)])
    return [a, b], [y, Dense(2)(Concatenate()(last))]


def twice():
    """Return a model with a layer that begins at zeros first, and then at its own last states."""
    a = Input((3, 2))
    cell = LSTM(2, return_sequences=True, return_state=True)
    y, h, _ = cell(a)
    return a, Dense(1)(cell(y, initial_state=[h, h])[0])


STATES = {f"states {kind}": lambda kind=kind: decoder(kind) for kind in CELLS}
STATES |= {"states, last output": lambda: decoder("LSTM", every=False)}
STATES |= {f"states {f.__name__}": f for f in (bridge, both_ways, twice)}
ROWS |= {name: Row(make, trace=GRAPH) for name, make in STATES.items()}

# ---------------------------------------------------------------- other shapes

SHAPED = {
    "RepeatVector": lambda: [LSTM(3), RepeatVector(4), GRU(2, return_sequences=True), Dense(1)],
    "Reshape": lambda: [Reshape((3, -1)), SimpleRNN(2, return_sequences=True), Dense(3), Reshape((9,)), Dense(2)],
    "Reshape of vectors": lambda: [GRU(6), Reshape((-1, 2)), LSTM(3)],
    "Permute": lambda: [Permute((2, 1)), LSTM(3, return_sequences=True), Permute([2, 1]), Permute((1, 2)), Dense(2)],
}
ROWS |= {name: Row(make) for name, make in SHAPED.items()}

# ---------------------------------------------------------------- rows that numbers name


def two_languages():
    """Return a model of two sequences of tokens that share a table, one of which has another of its own."""
    a, b = Input((4,), "a"), Input((4,), "b")
    words, few = Embedding(7, 3), Embedding(5, 2, "glorot_uniform", "l2")
    h = Concatenate(axis=1)([words(a), words(b)])
    return [a, b], [Dense(2)(LSTM(3)(h)), Dense(1)(few(b))]


ROWS |= {
    "Embedding": Row(lambda: [Embedding(6, 3), LSTM(4), Dense(2)], (5,), trace=OTHER),
    "Embedding of steps": Row(
        lambda: [Embedding(300, 17), GRU(3, return_sequences=True)], (None, 1), trace=OTHER, keras=False
    ),
    "Embedding, flat": Row(lambda: [Embedding(4, 2, "random_normal", "l1"), Flatten(), Dense(2)], (3,), trace=OTHER),
    "graph two_languages": Row(two_languages, trace=GRAPH),
}
