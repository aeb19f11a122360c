"""One table of layers and their options: whatever is to hold for every layer is tested over its rows.

A row makes a model anew, with random weights. A layer that joins the package gets a row here and a naive twin in
reference_layers.py; test_table.py and test_parity_keras.py take the rest from there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from cases_cells import TEXTS, own_cell
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
    Feedback,
    Flatten,
    Input,
    Jordan,
    Masking,
    Permute,
    RepeatVector,
    Reshape,
    ScheduledSampling,
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
    keras : bool
        Whether Keras has the same.
    masked : bool
        Whether steps of the inputs are masked.
    trace : str
        What refuses a trace, words of its sentence; empty where a trace shows the model.
    """

    make: Callable[[], Any]
    shape: tuple[int, ...] = SHAPE
    keras: bool = True
    masked: bool = False
    trace: str = ""

    def model(self, dtype="float64", seed=1, scale=0.4):
        """Return the row's model with random weights."""
        made = self.make()
        if isinstance(made, tuple):
            model = nbrnn.Model(*made, seed=seed, dtype=dtype)
        else:
            model = nbrnn.Sequential(made, self.shape, seed=seed, dtype=dtype)
        return random_weights(model, seed, scale)

    def given(self, x, seed=0):
        """Return what `fit` and `predict` take beside inputs: a mask of each, with holes, and some without a step."""
        return {"mask": one([mask_of(array, seed + k) for k, array in enumerate(x)])} if self.masked else {}


def mask_of(x, seed):
    """Return a mask (samples, time steps)."""
    mask = np.random.default_rng(seed).random(x.shape[:2]) < 0.6
    mask[0], mask[1:2] = np.arange(x.shape[1]) != 1, False
    return mask


def data(model, samples=3, seed=0):
    """Return inputs and targets that fit a model, each a list; lengths that are open are 4.

    Of a model with a Masking layer some steps are those that it masks.
    """
    rng, graph = np.random.default_rng(seed), model.graph
    shapes = [tuple(4 if n is None else n for n in shape) for shape in graph.shapes[: len(graph.inputs)]]
    sides = (shapes, graph.resolve(shapes))
    x, y = ([rng.normal(size=(samples, *s)).astype(model.dtype) for s in shapes] for shapes in sides)
    for k, layer in token_inputs(graph).items():
        x[k] = rng.integers(0, layer.tokens, x[k].shape).astype(model.dtype)
    for layer in model.layers:
        for k, array in enumerate(x) if isinstance(layer, Masking) else ():
            array[~mask_of(array, seed + k)] = layer.mask_value
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
    "dropout sequences": {
        "dropout": 0.5,
        "recurrent_dropout": 0.4,
        "return_sequences": True,
        "go_backwards": True,
    },
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

ROWS |= {
    f"Bidirectional {kind} {merge} {'sequences' * every}": Row(
        lambda cell=cell, merge=merge, every=every: [
            Bidirectional(cell(3, return_sequences=every), merge),
            Dense(2, "tanh"),
        ]
    )
    for kind, cell in CELLS.items()
    for merge, every in (("concat", False), ("concat", True), ("sum", True), ("ave", False), ("mul", True))
}
ROWS |= {
    "Bidirectional of two cells": Row(
        lambda: [Bidirectional(LSTM(3, go_backwards=True), backward_layer=GRU(2, "relu", name="other")), Dense(1)],
        keras=False,  # it takes both for as wide as the first
    ),
    "Bidirectional dropout": Row(
        lambda: [Bidirectional(GRU(3, dropout=0.3, recurrent_dropout=0.2, kernel_regularizer="l2"), "sum"), Dense(1)]
    ),
    "TimeDistributed Dense": Row(lambda: [TimeDistributed(Dense(3, "tanh")), SimpleRNN(2)]),
    "TimeDistributed Activation": Row(lambda: [TimeDistributed(Activation("elu")), GRU(2)]),
    "TimeDistributed Softmax": Row(lambda: [TimeDistributed(Softmax()), Dense(2)]),
    "TimeDistributed Flatten": Row(lambda: [TimeDistributed(Flatten()), LSTM(2)]),
}

# ---------------------------------------------------------------- layers without time

ROWS |= {
    f"Dense {name}": Row(lambda name=name: [Dense(4, name), Dense(2)], (5,))
    for name in ("linear", "tanh", "sigmoid", "relu", "softsign", "elu", "hard_sigmoid")
}
ROWS |= {f"Activation {name}": Row(lambda name=name: [Dense(4), Activation(name)]) for name in ("tanh", "elu")}
ROWS |= {
    "Dense softmax": Row(lambda: [Dense(4, "tanh"), Dense(3, "softmax"), Dense(2)]),
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
ROWS |= {f"graph {name}": Row(make) for name, make in GRAPHS.items()}


# ---------------------------------------------------------------- masked steps

UNDER = {
    "last": {},
    "sequences": {"return_sequences": True, "dropout": 0.3, "kernel_regularizer": "l2"},
    "backwards": {"return_sequences": True, "go_backwards": True, "zero_output_for_mask": True, "activation": "elu"},
}
ROWS |= {
    f"masked {kind} {name}": Row(lambda cell=cell, own=own: [cell(5, **own), Dense(2)], keras=False, masked=True)
    for kind, cell in CELLS.items()
    for name, own in UNDER.items()
}


def masked_graph():
    a, b = Input((4, 3), "a"), Input((4, 3), "b")
    cell = GRU(3, return_sequences=True)
    left, right = cell(Masking()(a)), cell(b)
    both = Concatenate()([Add()([left, right]), left])
    return [a, b], [LSTM(2)(both), Dense(1)(SimpleRNN(2)(Concatenate(1)([left, right])))]


STACKS = {
    "Masking": lambda: [Masking(-1.0), LSTM(3, return_sequences=True), SimpleRNN(2), Dense(2)],
    "Masking within": lambda: [Dense(3, "relu"), Masking(), GRU(2), Dense(1)],
    "masked stack": lambda: [LSTM(3, return_sequences=True), GRU(3, reset_after=False, return_sequences=True), GRU(2)],
    "masked Bidirectional": lambda: [Bidirectional(LSTM(3, return_sequences=True)), Bidirectional(GRU(2), "mul")],
    "masked steps": lambda: [GRU(3, return_sequences=True), TimeDistributed(Dense(3, "tanh")), Dropout(0.3), LSTM(2)],
    "masked graph": masked_graph,
}
ROWS |= {name: Row(make, keras=False, masked=name.startswith("masked")) for name, make in STACKS.items()}

# ---------------------------------------------------------------- outputs fed back

SAMPLED = ScheduledSampling("linear", k=0.01, start=0.5)
FED = {
    "Feedback": lambda: [Feedback([Dense(3, "sigmoid"), Dense(2)], 2)],
    "Feedback free": lambda: [LSTM(2, return_sequences=True), Feedback(GRU(2), 3, "free_running"), Dense(1)],
    "Feedback last": lambda: [Feedback([LSTM(3), Dense(2), Softmax()], 1, "free_running", False), Dense(2)],
    "Feedback sampled": lambda: [Feedback([SimpleRNN(3), GRU(2, reset_after=False), Activation("tanh")], 2, SAMPLED)],
    "Jordan": lambda: [Jordan(3, 2, output_activation="tanh")],
    "Jordan free": lambda: [Jordan(3, 2, training="free_running"), Flatten(), Dense(1)],
}
ROWS |= {name: Row(make, keras=False) for name, make in FED.items()}

# ---------------------------------------------------------------- cells from outside the package

ROWS |= {f"own {name}": Row(lambda name=name: [own_cell(name)(4), Dense(2)], keras=False) for name in TEXTS}
ROWS |= {
    f"own {name} masked": Row(
        lambda name=name: [own_cell(name)(3, return_sequences=True, go_backwards=True), own_cell(name)(2)],
        keras=False,
        masked=True,
    )
    for name in TEXTS
}
ROWS["own Bidirectional"] = Row(
    lambda: [Bidirectional(own_cell("OwnLSTM")(3, return_sequences=True, dropout=0.2), "sum"), Dense(1)], keras=False
)
# ---------------------------------------------------------------- states as values

OTHER, HANDED = "cannot look into layer", "does not follow states from layer to layer"


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
ROWS |= {name: Row(make, trace=HANDED) for name, make in STATES.items()}

# ---------------------------------------------------------------- other shapes

SHAPED = {
    "RepeatVector": lambda: [LSTM(3), RepeatVector(4), GRU(2, return_sequences=True), Dense(1)],
    "Reshape": lambda: [Reshape((3, -1)), SimpleRNN(2, return_sequences=True), Dense(3), Reshape((9,)), Dense(2)],
    "Reshape of vectors": lambda: [GRU(6), Reshape((-1, 2)), LSTM(3)],
    "Permute": lambda: [Permute((2, 1)), LSTM(3, return_sequences=True), Permute([2, 1]), Permute((1, 2)), Dense(2)],
}
ROWS |= {name: Row(make, trace=OTHER) for name, make in SHAPED.items()}

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
    "graph two_languages": Row(two_languages, trace=OTHER),
}
