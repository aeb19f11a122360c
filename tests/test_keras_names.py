"""Keras' names and habits: scripts whose imports were changed run, and what is not there is refused in a sentence."""

import importlib
import json

import numpy as np
import pytest
from support import random_data, random_model
from test_bad_input import refused

import nbrnn
from nbrnn import LSTM, Bidirectional, Dense, Input, Sequential, SimpleRNN

PLACES = {
    "layers": (
        *("Input", "SimpleRNN", "LSTM", "GRU", "Dense", "Bidirectional", "TimeDistributed", "Dropout", "Add"),
        *("RNN", "SimpleRNNCell", "LSTMCell", "GRUCell", "Embedding", "RepeatVector", "Reshape", "Permute", "Masking"),
        *("add", "concatenate", "Concatenate", "Flatten", "Activation", "Softmax"),
    ),
    "models": ("Model", "Sequential", "load_model"),
    "callbacks": ("Callback", "EarlyStopping", "ModelCheckpoint", "CSVLogger", "TerminateOnNaN", "LambdaCallback"),
    "losses": ("MeanSquaredError", "MeanAbsoluteError", "Huber", "BinaryCrossentropy"),
    "optimizers": ("SGD", "RMSprop", "Adam", "AdamW"),
    "regularizers": ("L1", "L2", "L1L2", "l1", "l2", "l1_l2"),
}


@pytest.mark.parametrize("place", PLACES)
def test_names_stand_where_keras_has_them(place):
    module = importlib.import_module(f"nbrnn.{place}")
    for name in PLACES[place]:
        assert getattr(module, name) is getattr(nbrnn, name, getattr(module, name))
    assert getattr(nbrnn, place) is module
    with pytest.raises(AttributeError, match=f"module 'nbrnn.{place}' has no attribute 'load_dataset'"):
        _ = module.load_dataset
    with pytest.raises(ImportError, match="cannot import name 'Lstm'"):
        exec(f"from nbrnn.{place} import Lstm")


def test_modules_need_no_import_of_their_own(run_python):
    code = "import nbrnn; print(nbrnn.layers.LSTM(2).units, nbrnn.models.Sequential.__name__)"
    assert run_python(code) == "2 Sequential\n"


@pytest.mark.parametrize("added", [False, True])
def test_an_input_stands_first_in_a_sequential(added):
    layers = [Input(shape=(6, 3)), LSTM(4), Dense(1)]
    model = Sequential(seed=1) if added else Sequential(layers, seed=1)
    for layer in layers if added else ():
        model.add(layer)
    plain = Sequential([LSTM(4, input_shape=(6, 3)), Dense(1)], seed=1)
    assert model.input_shape == (6, 3) and repr(model.layers[1]) == repr(plain.layers[1])
    assert all((v == w).all() for v, w in zip(model.get_weights(), plain.get_weights(), strict=True))
    assert Sequential([Input((6, 3))]).input_shape == (6, 3)
    refused(lambda: model.add(Input((6, 3))), "a model takes layers such as nbrnn.Dense(1)")
    refused(lambda: Sequential([Dense(2)(Input((3,)))]), "a model takes layers such as nbrnn.Dense(1)")


def test_softmax_is_an_activation_of_dense():
    model = random_model([SimpleRNN(3), Dense(4, activation="softmax")], (5, 2), seed=1)
    split = random_model([SimpleRNN(3), Dense(4), nbrnn.Softmax()], (5, 2), seed=1)
    x, _ = random_data(model, 5, 0)
    np.testing.assert_array_equal(model.predict(x), split.predict(x))
    labels = np.arange(5) % 4
    for one in (model, split):
        one.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
        one.fit(x, labels, epochs=3, verbose=0)
    assert all((v == w).all() for v, w in zip(model.get_weights(), split.get_weights(), strict=True))
    refused(lambda: LSTM(2, activation="softmax"), "activation 'softmax' is unknown")


def test_keras_defaults_may_be_written_out(capsys):
    model = random_model([LSTM(4), Dense(1)], (6, 3), seed=1, dtype="float32")
    model.compile(loss="MSE", metrics=["MAE"])
    x, y = random_data(model, 9, 0)
    model.fit(x, y, batch_size=None, verbose="auto")
    assert "loss" in capsys.readouterr().out
    assert (model.predict(x, batch_size=None, verbose="auto") == model.predict(x)).all()
    named = model.evaluate(x, y, batch_size=None, return_dict=True)
    assert model.test_on_batch(x, y, return_dict=True) == named
    before = model.train_on_batch(x, y, return_dict=True)
    assert list(before) == ["loss", "MAE"] and before["loss"] == pytest.approx(named["loss"], rel=1e-5)
    refused(lambda: model.fit(x, y, verbose="loud"), "verbose must be 0, 1, 2 or \"auto\", not 'loud'")
    refused(lambda: model.evaluate(x, y, return_dict="no"), "return_dict must be True or False")
    model.optimizer.lr = 0.5
    assert model.optimizer.learning_rate == model.optimizer.lr == 0.5


def test_a_layer_is_found_by_name_or_place():
    model = Sequential([Bidirectional(LSTM(2)), Dense(1, name="head")], (3, 1))
    assert model.get_layer("head") is model.get_layer(index=1) is model.layers[1]
    refused(lambda: model.get_layer("haed"), "layer 'haed' is unknown (did you mean 'head'?)")
    refused(lambda: model.get_layer(index=2), "index must be below 2, the number of layers, not 2")
    refused(model.get_layer, "get_layer takes a name or an index")


def test_a_layer_that_is_not_to_be_trained_is_refused():
    layer = Dense(2, name="head")
    layer.trainable = True

    def freeze():
        layer.trainable = False

    refused(freeze, "trainable of layer head cannot be False", "every layer is trained")
    assert layer.trainable


def absolute(y, t):
    return abs(y - t)


def fitted(**settings):
    model = random_model([LSTM(2), Dense(1)], (4, 3), seed=1)
    model.compile("adam", "mse")
    return model.fit(*random_data(model, 5, 0), verbose=0, **settings)


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (lambda: Sequential(LSTM(2)), ("layers must be a list such as [nbrnn.LSTM(8)", "not LSTM(units=2")),
        (lambda: Sequential([Dense(1)], (3,)).compile(metrics=3), ("metrics must be a list", "not 3")),
        (
            lambda: Sequential([Dense(1)], (3,)).compile(metrics=[nbrnn.Precision]),
            ("a metric must be made by calling Precision: write Precision().",),
        ),
        (
            lambda: Sequential([Dense(1)], (3,)).compile(nbrnn.Adam),
            ("optimizer Adam is unknown (did you mean 'adam'?); known are sgd",),
        ),
        (
            lambda: Dense(1, activation=np.tanh),
            ("activation tanh is unknown (did you mean 'tanh'?); known are linear, tanh",),
        ),
        (lambda: fitted(shuffle="batch"), ("shuffle must be True or False, not 'batch'",)),
        (lambda: nbrnn.Adam(beta_1=1.0), ("beta_1 must be a number of at least 0 and below 1, not 1.0",)),
        (lambda: nbrnn.SGD(nesterov="no"), ("nesterov must be True or False, not 'no'",)),
        (lambda: nbrnn.ModelCheckpoint(None), ("filepath must name a file, not None",)),
        (lambda: nbrnn.Checkpoint(3), ("path must name a file, not 3",)),
        (lambda: nbrnn.CSVLogger("."), ("filename must be that of a file, but . is a folder",)),
        (lambda: LSTM(2)(LSTM(2)(Input((4, 1)))), ("layer lstm needs sequences", "needs return_sequences=True")),
        (lambda: random_model([Dense(1)], (3,)).predict(None), ("x must be an array, not None",)),
        (lambda: fitted(sample_weight=2.0), ("sample_weight must be an array, a number for each of the 5 samples",)),
        (
            lambda: Sequential([Dense(1)], (3,)).compile("sgd", absolute),
            ("loss cannot be a Python function, as absolute is", "nbrnn.Huber(delta)", "mse"),
        ),
        (
            lambda: fitted(callbacks=nbrnn.LearningRateScheduler(lambda epoch, rate: None)),
            ("schedule of LearningRateScheduler returned None for epoch 0", "return"),
        ),
        (lambda: nbrnn.LambdaCallback(on_epoch_end=3), ("on_epoch_end must be a function, not 3",)),
        (Input, ("Input takes shape",)),
        (lambda: Input((3,), batch_shape=(2, 3)), ("one of the two",)),
        (lambda: Input(batch_shape=(2,)), ("batch_shape must be (samples, ...)", "not (2,)")),
        (lambda: nbrnn.Model.from_config({"name": "m"}), ("config must be what get_config returned",)),
    ],
)
def test_what_was_hunted_down_is_refused_in_a_sentence(mistake, words):
    refused(mistake, *words)


def test_weights_are_saved_and_loaded(tmp_path):
    model, other = (random_model([LSTM(2), Dense(1)], (4, 3), seed=seed) for seed in (1, 2))
    model.compile("adam", "mse")
    x, y = random_data(model, 5, 0)
    best = nbrnn.ModelCheckpoint(tmp_path / "best", "loss", save_best_only=True, save_weights_only=True)
    model.fit(x, y, verbose=0, callbacks=best)
    model.save_weights(str(tmp_path / "own"))
    for name in ("best", "own"):
        other.set_weights([0 * w for w in other.get_weights()])
        other.load_weights(tmp_path / name)
        assert all((v == w).all() for v, w in zip(model.get_weights(), other.get_weights(), strict=True))
    refused(lambda: other.load_weights(tmp_path / "none"), "there is no model file")
    narrow = random_model([LSTM(3), Dense(1)], (4, 3))
    before = narrow.get_weights()
    refused(lambda: narrow.load_weights(tmp_path / "own"), "lstm/kernel has shape (3, 12), but (3, 8) came")
    assert all((v == w).all() for v, w in zip(before, narrow.get_weights(), strict=True))


def test_weights_have_names_and_can_be_set_one_by_one():
    model = random_model([Bidirectional(LSTM(2)), Dense(1, name="head")], (4, 3), seed=1)
    three = ("kernel", "recurrent_kernel", "bias")
    assert [w.path for w in model.weights] == [
        *(f"bidirectional/{way}_lstm/{w}" for way in ("forward", "backward") for w in three),
        *("head/kernel", "head/bias"),
    ]
    kernel = model.trainable_variables[-2]
    assert (kernel.name, kernel.shape, kernel.dtype) == ("kernel", (4, 1), np.dtype("float64"))
    assert all((w.numpy() == v).all() for w, v in zip(model.weights, model.get_weights(), strict=True))
    x, _ = random_data(model, 5, 0)
    before = model.predict(x)
    kernel.assign(2 * np.asarray(kernel))
    bias = model.get_weights()[-1]
    np.testing.assert_allclose(model.predict(x) - bias, 2 * (before - bias), rtol=1e-12)
    refused(lambda: kernel.assign(np.ones(3)), "weight head/kernel", "has shape (4, 1), but (3,) came")
    assert repr(kernel) == "<head/kernel (4, 1) float64>"


@pytest.mark.parametrize("functional", [False, True])
def test_a_model_is_made_again_from_its_config(functional):
    model = Sequential([LSTM(2), Dense(1)], (4, 3), seed=5)
    if functional:
        a = Input(batch_shape=(None, 4, 3))
        _, h, c = LSTM(2, return_state=True)(a)
        model = nbrnn.Model(a, {"y": Dense(1)(nbrnn.add([h, c]))}, seed=5)
    twin = type(model).from_config(json.loads(json.dumps(model.get_config())))
    assert type(twin) is type(model) and twin.get_config() == model.get_config()
    assert all((v == w).all() for v, w in zip(model.get_weights(), twin.get_weights(), strict=True))
    layer = model.layers[0]
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()


def test_a_lambda_callback_calls_functions_at_hooks():
    calls = []
    names = ("on_epoch_begin", "on_epoch_end", "on_train_begin", "on_train_end")
    own = {name: lambda *given, name=name: calls.append((name, len(given))) for name in names}
    fitted(callbacks=nbrnn.LambdaCallback(**own), epochs=2)
    epoch = [("on_epoch_begin", 2), ("on_epoch_end", 2)]
    assert calls == [("on_train_begin", 1), *epoch, *epoch, ("on_train_end", 1)]
    batches = []
    fitted(callbacks=nbrnn.LambdaCallback(on_train_batch_end=lambda k, logs: batches.append((k, *logs))), batch_size=2)
    assert batches == [(0, "loss"), (1, "loss"), (2, "loss")]
