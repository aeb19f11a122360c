"""States as values of a graph, cells within RNN, and layers that give samples other shapes."""

import numpy as np
import pytest
import reference_layers
from support import assert_close, random_model, random_weights
from table import CELLS, ROWS, data, one
from test_bad_input import refused

import nbrnn
from nbrnn import GRU, LSTM, RNN, Bidirectional, Dense, Input, Model, Sequential, SimpleRNN

rng = np.random.default_rng


def translator(kind, seed=1):
    """Return an encoder and a decoder, and arrays for them."""
    a, b = Input((None, 2), "a"), Input((None, 3), "b")
    _, *states = CELLS[kind](3, return_state=True, name="encoder")(a)
    y = CELLS[kind](3, return_sequences=True, name="decoder")(b, initial_state=states)
    model = random_weights(Model([a, b], Dense(2)(y), seed=seed, dtype="float64"), seed)
    return model, [rng(0).normal(size=(9, 5, 2)), rng(1).normal(size=(9, 4, 3))]


@pytest.mark.parametrize("kind", CELLS)
def test_a_decoder_begins_where_predict_would_be_told_to(kind):
    model, (a, b) = translator(kind)
    encoder = Sequential([CELLS[kind](3, return_state=True)], (None, 2), dtype="float64")
    decoder = Sequential([CELLS[kind](3, return_sequences=True), Dense(2)], (None, 3), dtype="float64")
    encoder.set_weights(model.layers[0].get_weights())
    decoder.set_weights([w for layer in model.layers[1:] for w in layer.get_weights()])
    _, *states = encoder.predict(a)
    np.testing.assert_allclose(model.predict([a, b]), decoder.predict(b, initial_state=states), rtol=1e-13)


@pytest.mark.parametrize("kind", CELLS)
def test_states_that_are_values_have_no_name_to_be_given_by(kind):
    model, x = translator(kind)
    names = list(model._units())
    assert names and all(name.startswith("encoder/") for name in names)
    refused(lambda: model.predict(x, initial_state={"decoder/h": np.zeros((9, 3))}), "no state 'decoder/h'")
    first = {name: rng(2).normal(size=(9, 3)) for name in names}
    given = nbrnn.check_gradients(model, x, initial_state=first)
    assert given.passed and set(names) == {n[:-1] for n in given.gradients if n.startswith("encoder/") and n[-1] == "0"}


@pytest.mark.parametrize("kind", CELLS)
def test_states_go_on_under_masks(kind):
    model, x = translator(kind)
    lengths = {"a": np.array([5, 1, 3, 2, 5, 4, 1, 0, 2]), "b": np.array([4, 4, 1, 0, 2, 3, 4, 1, 2])}
    mask = {name: np.arange(steps) < lengths[name][:, None] for name, steps in (("a", 5), ("b", 4))}
    report = nbrnn.check_gradients(model, x, mask=mask)
    assert report.passed, report
    whole = model.predict(x, mask=mask)
    for i in range(9):
        n, m = lengths["a"][i], lengths["b"][i]
        if n and m:
            alone = model.predict([x[0][i : i + 1, :n], x[1][i : i + 1, :m]])
            np.testing.assert_allclose(whole[i, :m], alone[0], rtol=1e-12)


def test_a_truncated_fit_ends_gradients_within_the_decoder():
    model, x = ROWS["states, last output"].model(), [rng(0).normal(size=(9, 3, 2)), rng(1).normal(size=(9, 4, 3))]
    model.compile(nbrnn.SGD(0.1), "mse")
    before, y = model.layers[0].get_weights(), rng(3).normal(size=(9, 2))
    model.fit(x, y, truncate=2, verbose=0)
    assert all((v == w).all() for v, w in zip(before, model.layers[0].get_weights(), strict=True))
    model.fit(x, y, truncate=9, verbose=0)
    assert not any((v == w).all() for v, w in zip(before, model.layers[0].get_weights(), strict=True))


def test_a_graph_returns_the_states_that_are_its_outputs_and_no_others():
    a = Input((4, 2))
    y, h, c = LSTM(3, return_sequences=True, return_state=True)(a)
    model = random_weights(Model(a, {"y": y, "c": c}, dtype="float64"), 1)
    x = rng(0).normal(size=(5, 4, 2))
    rows, (_, last) = reference_layers.recurrent(model.layers[0], x)
    assert_close(model.predict(x)["y"], rows, 1e-13)
    assert_close(model.predict(x)["c"], last, 1e-13)
    b = Input((4, 2))
    assert Model(b, LSTM(3, return_state=True)(b)[0]).predict(x).shape == (5, 3)
    assert h.shape == c.shape == (3,) and repr(h) == "<(3,) from layer lstm>"


def test_a_stream_gives_states_and_takes_none_from_other_layers():
    a = Input((None, 2))
    _, h, c = LSTM(3, return_sequences=True, return_state=True)(a)
    model = random_weights(Model(a, Dense(2)(nbrnn.concatenate([h, c])), dtype="float64"), 3)
    rows = rng(0).normal(size=(7, 2))
    each = [model.predict(rows[None, : t + 1])[0] for t in range(7)]
    np.testing.assert_allclose(model.stream().run(rows), each, rtol=1e-13)
    b = Input((None, 2))
    y, h, c = LSTM(3, return_sequences=True, return_state=True)(b)
    again = Model(b, LSTM(3)(y, [h, c]))
    refused(again.stream, "layer lstm_1 begins at what another layer gives at the end of its sequence")


def test_states_that_do_not_fit_are_refused_by_name():
    a, v = Input((4, 2), "a"), Input((3,), "v")
    refused(lambda: LSTM(3, name="d")(a, [v]), "initial_state of layer d must be the states h (3,), c (3,)", "(3,) ca")
    refused(lambda: GRU(4)(a, initial_state=v), "layer gru must be the states h (4,); the shapes (3,) came")
    refused(lambda: Bidirectional(GRU(3))(a, v), "must be the states h (3,), h (3,)")
    refused(lambda: GRU(3)(a, np.ones((2, 3))), "takes what layers give", "not ndarray", "predict(initial_state=...)")
    refused(lambda: GRU(3)([a, v], v), "give them once")
    refused(lambda: GRU(3)([a, a]), "layer gru takes one input, not 2; join them with Concatenate()")
    refused(lambda: GRU(3, stateful=True)(a, v), "layer gru is stateful")
    refused(lambda: [*GRU(3)(a)], "layer gru gives one value")
    assert GRU(3)([a, v]).shape == (3,)


def test_an_older_file_with_states_that_were_no_values_is_refused():
    from nbrnn.blueprint import join_layers, layers_of, model_config

    config = model_config(translator("GRU")[0])
    assert [node[2:] for node in config["nodes"]] == [[2], [], []]
    config["nodes"][0] = config["nodes"][0][:2]
    refused(lambda: join_layers(config, layers_of(config)), "layer encoder gives 2 values", "older")


@pytest.mark.parametrize("name", [name for name in ROWS if name.startswith("states")])
def test_states_keep_their_bits_in_shards_and_batches(name):
    model = ROWS[name].model("float32")
    x, _ = data(model, 70)
    whole, parts = model.predict(one(x)), model.predict(one(x), batch_size=33)
    listed = whole if isinstance(whole, list) else [whole]
    for y, z in zip(listed, parts if isinstance(parts, list) else [parts], strict=True):
        np.testing.assert_array_equal(y, z)


# ---------------------------------------------------------------- RNN and its cells


@pytest.mark.parametrize(
    ("written", "layer"),
    [
        (lambda: RNN(nbrnn.LSTMCell(8), return_sequences=True), LSTM(8, return_sequences=True)),
        (lambda: RNN(nbrnn.GRUCell(3, "relu", "linear", reset_after=False)), GRU(3, "relu", None, reset_after=False)),
        (
            lambda: RNN(nbrnn.SimpleRNNCell(2, dropout=0.1, seed=4), go_backwards=True, name="r", input_shape=(4, 1)),
            SimpleRNN(2, dropout=0.1, seed=4, go_backwards=True, name="r", input_shape=(4, 1)),
        ),
        (lambda: nbrnn.layers.RNN(nbrnn.layers.LSTMCell(1), False, True), LSTM(1, return_state=True)),
    ],
)
def test_rnn_around_a_cell_is_the_layer(written, layer):
    assert type(written()) is type(layer) and written().config() == layer.config()


def test_cells_that_are_none_are_refused():
    refused(lambda: RNN([nbrnn.LSTMCell(2)]), "RNN takes one cell, not a list")
    refused(lambda: RNN(LSTM(2)), "cell of RNN must be nbrnn.LSTMCell(8)", "a layer", "as it stands")
    refused(lambda: RNN(8), "cell of RNN must be", "not 8.")
    refused(lambda: nbrnn.LSTMCell(0), "units must be a whole number of at least 1, not 0")
    refused(lambda: nbrnn.LSTMCell(2, return_state=True), "write RNN(LSTMCell(2), return_state=...)")
    refused(lambda: nbrnn.GRUCell(2, actvation="tanh"), "option of GRUCell 'actvation' is unknown", "'activation'")
    refused(lambda: nbrnn.SimpleRNNCell(2, *range(20)), "SimpleRNNCell takes units and activation", "21 arguments")
    assert repr(nbrnn.GRUCell(2, "relu")) == "GRUCell(2, activation='relu')"


# ---------------------------------------------------------------- other shapes


def test_shapes_that_do_not_fit_are_refused():
    refused(lambda: Sequential([nbrnn.RepeatVector(3)], (4, 1)), "repeats vectors", "(4, 1)")
    refused(lambda: nbrnn.RepeatVector(0), "n must be a whole number of at least 1")
    refused(lambda: Sequential([nbrnn.Reshape((5, 2))], (4, 3)), "cannot see (4, 3), 12 numbers, as (5, 2)")
    refused(lambda: Sequential([nbrnn.Reshape((-1, 5))], (4, 3)), "cannot see (4, 3)")
    refused(lambda: Sequential([nbrnn.Reshape((12,))], (None, 3)), "known number of time steps", "(-1, features)")
    refused(lambda: nbrnn.Reshape((-1, -1)), "target_shape must be")
    refused(lambda: nbrnn.Reshape((1, 2, 3)), "target_shape must be")
    refused(lambda: nbrnn.Reshape((0, 2)), "target_shape must be a whole number of at least 1, not 0")
    refused(lambda: nbrnn.Permute((2, 3)), "dims of Permute must be (2, 1) or (1, 2), not (2, 3)")
    refused(lambda: Sequential([nbrnn.Permute((2, 1))], (None, 3)), "known number of time steps")
    refused(
        lambda: Sequential([nbrnn.TimeDistributed(nbrnn.RepeatVector(2))], (4, 3)),
        "makes a sequence (2, 3)",
    )
    for layer in (nbrnn.RepeatVector(2), nbrnn.Reshape((2, 2)), nbrnn.Permute((2, 1))):
        shape = (4,) if isinstance(layer, nbrnn.RepeatVector) else (4, 1)
        refused(Sequential([layer], shape).stream, f"layer {layer.kind} cannot go step by step")


def test_open_time_steps_are_seen_when_a_sequence_comes():
    model = random_model([nbrnn.Reshape((-1, 2)), LSTM(3)], (None, 3), seed=1)
    x = rng(0).normal(size=(5, 4, 3))
    expected = reference_layers.cell(model.layers[1], x.reshape(5, 6, 2))[0]
    assert_close(model.predict(x), expected, 1e-13)
    refused(lambda: model.predict(x[:, :3]), "layer reshape cannot see (3, 3)", "(-1, 2)")


def test_a_layer_of_other_shapes_says_that_it_ends_a_mask():
    model = random_model([nbrnn.Masking(), nbrnn.Reshape((-1, 2)), LSTM(3)], (4, 3), seed=1)
    with pytest.warns(UserWarning, match="layer reshape ends the mask of its input"):
        model.predict(rng(0).normal(size=(5, 4, 3)))
