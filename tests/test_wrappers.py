"""Bidirectional and TimeDistributed: what they compute, their gradients, states, names, files, and what they refuse."""

import json

import numpy as np
import pytest
from support import random_data, random_model, random_weights
from test_bad_input import refused

import nbrnn
from nbrnn import (
    GRU,
    LSTM,
    Bidirectional,
    Concatenate,
    Dense,
    Input,
    Sequential,
    TimeDistributed,
)
from nbrnn.saving import read_model
from nbrnn.targets import cpu


def alone(wrapper, k, x):
    """Return what one of the two layers gives, in a model of its own; sequences in the order of time."""
    layer = wrapper.both[k]
    twin = type(layer).from_config(layer.config() | {"name": None, "return_state": False})
    model = Sequential([twin], x.shape[1:], dtype="float64")
    model.set_weights(layer.get_weights())
    y = model.predict(x)
    return y[:, ::-1] if layer.return_sequences and k else y


@pytest.mark.parametrize("sequences", [False, True])
def test_without_a_merge_there_are_two_outputs(sequences):
    a = Input((4, 2))
    layer = Bidirectional(GRU(3, return_sequences=sequences), None)
    y, z = layer(a)
    model = random_weights(nbrnn.Model(a, [Dense(1)(y), z], dtype="float64"), 0)
    x = np.random.default_rng(0).normal(size=(3, 4, 2))
    report = nbrnn.check_gradients(model, x)
    assert report.passed, f"\n{report}"
    np.testing.assert_allclose(model.predict(x)[1], alone(layer, 1, x), rtol=1e-13)
    b = Input((4, 2))
    half = random_weights(nbrnn.Model(b, Bidirectional(LSTM(2), None)(b)[1], dtype="float64"), 1)
    assert nbrnn.check_gradients(half, x).passed


def test_a_layer_that_reads_backwards_and_another_way_back():
    layer = Bidirectional(LSTM(3, go_backwards=True), backward_layer=GRU(2, "relu", name="other"), name="both")
    model = random_model([layer], (4, 2))
    x, _ = random_data(model, 3, 1)
    expected = np.concatenate([alone(layer, 0, x), alone(layer, 1, x)], axis=-1)
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-13)
    assert [one.name for one in layer.both] == ["both/forward_lstm", "both/backward_other"]
    assert [one.go_backwards for one in layer.both] == [True, False] and nbrnn.check_gradients(model, x).passed


def test_names_weights_and_first_weights():
    layer = Bidirectional(LSTM(3), name="b")
    model = Sequential([layer], (4, 2), seed=0)
    names = [name for name, _ in layer._named()]
    assert names == [
        f"b/{way}_lstm/{w}" for way in ("forward", "backward") for w in ("kernel", "recurrent_kernel", "bias")
    ]
    weights = model.get_weights()
    assert [w.shape for w in weights] == [(2, 12), (3, 12), (12,)] * 2 and (weights[0] != weights[3]).all()
    assert (weights[2][3:6] == 1).all() and (weights[5] == weights[2]).all() and model.count_params() == 144
    layer.set_weights([w + 1 for w in weights])
    assert (layer.both[1].get_weights()[0] == weights[3] + 1).all()


def test_states_are_given_returned_and_carried():
    layer = Bidirectional(LSTM(2, return_state=True))
    model = random_model([layer], (4, 2))
    x, _ = random_data(model, 3, 1)
    names = [f"bidirectional/{way}_lstm/{s}" for way in ("forward", "backward") for s in "hc"]
    given = {name: np.full((3, 2), 0.1 * k) for k, name in enumerate(names)}
    y, *states = model.predict(x, initial_state=given)
    assert len(states) == 4 and (y == np.concatenate([states[0], states[2]], axis=-1)).all()
    carried = random_model([Bidirectional(LSTM(2, stateful=True))], (4, 2))
    carried.set_states(given)
    assert (carried.predict(x) == y).all()
    assert all((carried.states[name] == state).all() for name, state in zip(names, states, strict=True))
    again = model.predict(x, initial_state=states)[0]
    assert (carried.predict(x) == again).all()
    carried.reset_states([1])
    assert (carried.states[names[0]][1] == 0).all() and (carried.states[names[0]][0] != 0).all()


@pytest.mark.skipif(not cpu.JIT, reason="takes minutes in plain Python")
@pytest.mark.parametrize("batch", [1, 33])
def test_wrappers_learn_in_float32(batch):
    stack = [Bidirectional(GRU(8, return_sequences=True), "ave"), TimeDistributed(Dense(4, "relu")), Dense(1)]
    model = Sequential(stack, (6, 2), seed=0)
    model.compile(nbrnn.Adam(0.02), "mse")
    x = np.random.default_rng(0).normal(size=(66, 6, 2)).astype("f4")
    y = x.sum(axis=-1, keepdims=True) + x.sum(axis=(1, 2), keepdims=True)
    losses = model.fit(x, y, batch_size=batch, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]


def test_a_person_writes_a_wrapper_in_json(tmp_path):
    path = tmp_path / "m.json"
    layers = [
        {"class": "Bidirectional", "layer": {"class": "LSTM", "units": 2}, "merge_mode": "sum"},
        {"class": "Dense", "units": 1},
    ]
    path.write_text(json.dumps({"layers": layers, "input_shape": [3, 1]}))
    assert read_model(path).count_params() == 2 * 32 + 3
    layers[0]["layer"] = {"class": "LSTM", "unit": 2}
    path.write_text(json.dumps({"layers": layers, "input_shape": [3, 1]}))
    refused(lambda: read_model(path), "LSTM: got an unexpected key 'unit'")


def test_what_wrappers_refuse():
    refused(lambda: Bidirectional(Dense(1)), "Bidirectional takes recurrent layers", "Dense")
    refused(lambda: Bidirectional(LSTM(2), "add"), "merge_mode 'add' is unknown")
    refused(lambda: Bidirectional(LSTM(2), backward_layer=LSTM(2)), "go_backwards the other way round")
    other = LSTM(2, go_backwards=True, return_sequences=True)
    refused(lambda: Bidirectional(LSTM(2), backward_layer=other), "same return_sequences, not False and True")
    wide = LSTM(3, go_backwards=True)
    refused(lambda: Bidirectional(LSTM(2), "sum", backward_layer=wide), "same units, not 2 and 3")
    refused(lambda: Sequential([Bidirectional(LSTM(2), None)], (3, 1)), "merge_mode=None", "layer bidirectional")
    refused(lambda: Sequential([Bidirectional(LSTM(2))], (3,)), "layer bidirectional needs sequences")
    twice = [Bidirectional(LSTM(2)), LSTM(2)]
    refused(lambda: Sequential(twice, (3, 1)), "layer lstm needs sequences", "within bidirectional")
    owned = LSTM(2)
    Sequential([owned], (3, 1))
    refused(lambda: Bidirectional(owned), "layer lstm stands in a model already")
    for layer in (LSTM(2), Bidirectional(LSTM(2)), Concatenate()):
        refused(lambda layer=layer: TimeDistributed(layer), "TimeDistributed must take vectors", type(layer).__name__)
    refused(lambda: TimeDistributed(3), "layer must be a layer")
    refused(lambda: Sequential([TimeDistributed(Dense(1))], (3,)), "layer time_distributed needs sequences")
    model = random_model([Bidirectional(LSTM(2)), Dense(1)], (3, 1))
    refused(model.stream, "layer bidirectional")
    assert nbrnn.plot_model(model).axes
