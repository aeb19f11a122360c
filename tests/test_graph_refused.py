"""Functional models: what graphs refuse, and by which name."""

import numpy as np
from support import random_weights
from table import data
from test_bad_input import refused
from test_graph import made

import nbrnn
from nbrnn import LSTM, Add, Concatenate, Dense, Input, Model, Softmax


def test_what_a_graph_refuses_by_name():
    a, b = Input((3, 2), "a"), Input((3, 2), "b")
    h = Dense(1)(Concatenate()([a, b]))
    refused(lambda: Model(a, h), "layer concatenate reads input 'b'", "not among inputs")
    refused(lambda: Model([a, b], Dense(1)(a)), "input 'b' is not used")
    refused(lambda: Model([a, h], h), "inputs[1]", "layer dense")
    refused(lambda: Model(a, b), "input 'b'", "not among inputs")
    refused(lambda: Model(a, a), "no layers")
    refused(lambda: Model([a, a], h), "twice")
    refused(lambda: Model([a, b], [h, h]), "twice", "layer dense")
    refused(lambda: Model([], h), "inputs is empty")
    refused(lambda: Model(np.ones(3), h), "inputs must be nbrnn.Input(...)")
    refused(lambda: Model([a, b], Dense(1)), "outputs must be what layers give")
    c = Input((3, 2), "a")
    refused(lambda: Model([a, c], Add()([a, c])), "two inputs have the name 'a'")
    twins = Dense(1, name="d")(Dense(2, name="d")(a))
    refused(lambda: Model(a, twins), "two layers have the name 'd'")


def test_what_calls_refuse():
    a, v = Input((3, 2), "a"), Input((4,), "v")
    refused(lambda: Dense(1)(np.ones((3, 2))), "layer dense", "array of shape (3, 2)", "predict")
    refused(lambda: Dense(1)([[1.0]]), "layer dense", "list")
    refused(lambda: LSTM(2)(v), "layer lstm needs sequences", "(4,)")
    refused(lambda: Dense(1)([a, a]), "layer dense takes one input, not 2")
    refused(lambda: Concatenate()([a, v]), "sequences with vectors", "(3, 2), (4,)")
    refused(lambda: Concatenate()([a, Input((4, 2))]), "same number of time steps", "(3, 2), (4, 2)")
    refused(lambda: Concatenate(axis=1)([a, Input((4, 3))]), "same number of features")
    refused(lambda: Concatenate(axis=2)([v, v]), "vectors, whose axis is -1")
    refused(lambda: Concatenate()(a), "list of two or more")
    refused(lambda: Concatenate(axis=0), "axis of Concatenate", "not 0")
    refused(lambda: Softmax(axis=1), "axis of Softmax", "not 1")
    refused(lambda: Add()([a, Input((3, 3))]), "same shape", "(3, 2), (3, 3)")
    refused(lambda: nbrnn.Sequential([Dense(1), Add()], (3,)), "layer add takes several inputs", "nbrnn.Model")
    refused(lambda: Dense(1, input_shape=(9,))(a), "input_shape=(9,)", "(3, 2)")
    refused(lambda: Input((3, 2, 1)), "shape of an Input")
    refused(lambda: Input(3, name=""), "name of an Input")
    refused(lambda: [*LSTM(2)(a)], "layer lstm gives one value")


def test_a_layer_belongs_to_one_model():
    a, b = Input((3, 2)), Input((3, 4))
    layer = Dense(1)
    h = layer(a)
    model = Model(a, h)
    refused(lambda: layer(a), "layer dense stands in a model already")
    refused(lambda: Model(a, h), "layer dense stands in a model already")
    refused(lambda: nbrnn.Sequential([layer]), "stands in a model already")
    refused(lambda: model(a), "called on arrays, not on symbolic values")
    shared = Dense(1)
    refused(lambda: Model([a, b], Add()([shared(a), shared(b)])), "layer dense cannot share", "(3, 2) and (3, 4)")
    state = LSTM(2, stateful=True, return_sequences=True)
    refused(lambda: Model(a, state(state(a))), "layer lstm is stateful", "only once")


def test_a_model_that_is_refused_leaves_its_layers_unnamed():
    a, d = Input((3, 2)), Dense(2)
    refused(lambda: Model(a, Dense(1, name="n")(Dense(2, name="n")(d(a)))), "two layers")
    assert d.name is None and not d.owned


def test_arrays_that_do_not_fit_are_refused_by_the_inputs_and_outputs_names():
    model = made("two_in")
    (x, z), (y,) = data(model)
    refused(lambda: model.predict(x), "x must be a dict or a list", "(a, b)")
    refused(lambda: model.predict([x]), "1 of them")
    refused(lambda: model.predict({"a": x}), "x lacks the input 'b'")
    refused(lambda: model.predict({"a": x, "c": z}), "names the input 'c'", "a, b")
    refused(lambda: model.predict([x, z[:2]]), "3 samples for input 'a', but 2 for 'b'")
    refused(lambda: model.predict([x, z[:, :3]]), "input 'b' has 3 time steps")
    refused(lambda: model.predict([x, z * np.nan]), "input 'b'", "not finite")
    model.compile("sgd", "mse")
    refused(lambda: model.fit([x, z], y[:2]), "x has 3 samples, but y has 2")
    both = made("two_out")
    refused(lambda: both.compile("sgd", {"lost": "mse"}), "names the output 'lost' (did you mean 'last'?)")
    refused(lambda: both.compile("sgd", ["mse"]), "loss must be a dict or a list", "steps, last")
    refused(lambda: both.compile("sgd", {"last": None}), "loss is None for every output")
    refused(lambda: both.compile("sgd", "mse", loss_weights={"last": -1}), "loss_weights of last")
    refused(lambda: both.compile("sgd", "mse", loss_weights=2.0), "loss_weights must be a dict or a list")
    refused(lambda: both.compile("sgd", "mse", ["mae"]), "metrics must be a dict or a list")
    both.compile("sgd", "mse")
    x, (steps, last) = data(both)
    refused(lambda: both.fit(x[0], last), "y must be a dict or a list")
    refused(lambda: both.fit(x[0], {"last": last}), "y lacks the output 'steps'")
    refused(lambda: both.fit(x[0], [last, steps]), "y of output 'steps' has shape (3, 1)")
    open_steps = [Input((None, 1), n) for n in "ab"]
    model = Model(open_steps, Concatenate()(open_steps))
    refused(
        lambda: model.predict([np.ones((1, 3, 1)), np.ones((1, 4, 1))]), "same number of time steps", "(3, 1), (4, 1)"
    )


def test_what_needs_a_chain_says_which_layer_makes_it_none():
    model = random_weights(made("skip"), 0)
    refused(lambda: nbrnn.plot_model(model), "draws a chain", "layer add")
    refused(lambda: nbrnn.trace(made("two_in"), np.ones((4, 2))), "x must be a dict or a list, one for each input")
