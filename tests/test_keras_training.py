"""Keras' ways to train: names in the history, validation now and then, layers' weights and states, classes' names."""

import copy
import csv
import json
import pickle

import numpy as np
import pytest
from support import random_data, random_model
from test_bad_input import refused

import nbrnn
from nbrnn import LSTM, Bidirectional, Dense, Sequential, SimpleRNN
from nbrnn.metrics import R2Score, RootMeanSquaredError


def model(layers=None, **settings):
    made = random_model(layers or [LSTM(2), Dense(1)], (4, 3), seed=1)
    made.compile(**{"optimizer": "adam", "loss": "mse"} | settings)
    return made


X, Y = random_data(model(), 12, 0)


# ---------------------------------------------------------------- losses and metrics by their names


@pytest.mark.parametrize(
    ("metric", "name", "same"),
    [
        ("mean_absolute_error", "mean_absolute_error", "mae"),
        ("MAE", "MAE", "mae"),
        ("MeanAbsoluteError", "MeanAbsoluteError", "mae"),
        ("root_mean_squared_error", "root_mean_squared_error", "rmse"),
        (RootMeanSquaredError(), "root_mean_squared_error", "rmse"),
        (RootMeanSquaredError(name="e"), "e", "rmse"),
        (R2Score(), "r2_score", "r2"),
        (nbrnn.metrics.MeanSquaredError(dtype=None), "mean_squared_error", "mse"),
        (nbrnn.BinaryAccuracy(0.2, name="right"), "right", nbrnn.BinaryAccuracy(0.2)),
        (nbrnn.Precision(0.2, name="p"), "p", nbrnn.Precision(0.2)),
        (nbrnn.Recall(name="r"), "r", "recall"),
    ],
)
def test_a_metric_has_the_name_that_it_was_given(metric, name, same, tmp_path):
    made = model(metrics=[metric, same])
    assert made.metrics_names[:2] == ["loss", name]
    history = made.fit(X, Y, verbose=0, validation_split=0.5).history
    assert history[name] == history[made.metrics_names[2]] and f"val_{name}" in history
    made.save(tmp_path / "m")
    assert nbrnn.load_model(tmp_path / "m").evaluate(X, Y, return_dict=True) == made.evaluate(X, Y, return_dict=True)


@pytest.mark.parametrize("loss", ["MeanSquaredError", "MSE", "mean_squared_error"])
def test_a_loss_is_known_by_its_class(loss):
    assert model(loss=loss).evaluate(X, Y) == model().evaluate(X, Y)
    refused(lambda: model(loss="MeanSquaredErorr"), "loss 'MeanSquaredErorr' is unknown")


def test_a_name_that_is_no_text_is_refused():
    refused(lambda: nbrnn.Precision(name=3), "name of the metric precision must be text, not 3")


def test_early_stopping_knows_which_way_a_named_metric_is_better():
    class Scores(nbrnn.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_p"] = float(epoch)  # rises: better for a precision

    stop = nbrnn.EarlyStopping("val_p", patience=1)
    made = model(metrics=[nbrnn.Precision(name="p")])
    assert len(made.fit(X, Y, epochs=5, validation_split=0.5, verbose=0, callbacks=[Scores(), stop]).epoch) == 5


# ---------------------------------------------------------------- validation now and then


@pytest.mark.parametrize(("when", "epochs"), [(1, [0, 1, 2, 3, 4]), (2, [1, 3]), (7, []), ([1, 4, 9], [0, 3])])
def test_the_validation_is_evaluated_after_some_epochs(when, epochs, tmp_path):
    given = dict(epochs=5, validation_split=0.5, verbose=0)
    every = model().fit(X, Y, **given).history
    path = tmp_path / "log.csv"
    found = model().fit(X, Y, validation_freq=when, callbacks=nbrnn.CSVLogger(path), **given)
    assert found.history["loss"] == every["loss"] and found.validated == epochs
    assert found.history.get("val_loss", []) == [every["val_loss"][e] for e in epochs]
    rows = list(csv.DictReader(path.open()))
    assert [row["val_loss"] != "NA" for row in rows] == [e in epochs for e in range(5)]
    if epochs:
        lines = nbrnn.plot_history(found).axes[0].get_lines()
        assert list(lines[1].get_xdata()) == [e + 1 for e in epochs]


def test_callbacks_wait_for_the_validation(tmp_path):
    rates = []

    class Rates(nbrnn.Callback):
        def on_epoch_end(self, epoch, logs=None):
            rates.append(self.model.optimizer.learning_rate)

    stop = nbrnn.EarlyStopping(min_delta=1e9, patience=2)
    slower = nbrnn.ReduceLROnPlateau(min_delta=1e9, patience=1, factor=0.5)
    keep = nbrnn.ModelCheckpoint(tmp_path / "m-{epoch}-{val_loss:.3f}", save_best_only=True)
    fit = model().fit(
        X, Y, epochs=20, validation_split=0.5, validation_freq=2, verbose=0, callbacks=[stop, slower, keep, Rates()]
    )
    assert len(fit.epoch) == 6 and fit.validated == [1, 3, 5]  # patience counts validations
    assert [rate == rates[0] for rate in rates] == [True] * 3 + [False] * 3
    assert {path.name.split("-")[1] for path in tmp_path.iterdir()} <= {"2", "4", "6"} and any(tmp_path.iterdir())


def test_a_fit_that_goes_on_validates_after_the_same_epochs(tmp_path):
    given = dict(validation_split=0.5, verbose=0, validation_freq=2)
    whole = model().fit(X, Y, epochs=6, **given)
    kept = nbrnn.Checkpoint(tmp_path / "c")
    model().fit(X, Y, epochs=3, callbacks=[kept], **given)
    again = model().fit(X, Y, epochs=6, callbacks=[nbrnn.Checkpoint(tmp_path / "c")], resume=True, **given)
    assert again.history == whole.history and again.validated == whole.validated == [1, 3, 5]
    other = given | {"validation_freq": 3}
    refused(lambda: model().fit(X, Y, epochs=6, resume=tmp_path / "c", **other), "validation_freq")


@pytest.mark.parametrize("bad", [0, 1.5, "2", [0], [1, "2"], None], ids=repr)
def test_a_validation_freq_that_is_none_is_refused(bad):
    refused(lambda: model().fit(X, Y, verbose=0, validation_freq=bad), "validation_freq must be a whole number")


def test_a_schedule_may_take_the_epoch_alone():
    one, two = (model(optimizer=nbrnn.SGD(0.5)) for _ in range(2))
    histories = [
        made.fit(X, Y, epochs=3, verbose=0, callbacks=nbrnn.LearningRateScheduler(schedule)).history
        for made, schedule in ((one, lambda epoch: 0.1 / (epoch + 1)), (two, lambda epoch, rate: 0.1 / (epoch + 1)))
    ]
    assert histories[0] == histories[1] and histories[0]["learning_rate"] == [0.1, 0.05, 0.1 / 3]


def test_callbacks_stand_where_keras_has_them():
    """By place too: x, y, batch_size, epochs, verbose, callbacks, validation_split."""
    stop = nbrnn.EarlyStopping(min_delta=1e9)
    assert len(model().fit(X, Y, 4, 9, 0, [stop], 0.5).epoch) == 2


# ---------------------------------------------------------------- layers


def test_a_layer_lists_its_weights():
    made = model([Bidirectional(SimpleRNN(2)), Dense(1)])
    first, last = made.layers
    assert [w.path for layer in made.layers for w in layer.weights] == [w.path for w in made.weights]
    assert [w.shape for w in last.weights] == [(4, 1), (1,)] and len(first.trainable_weights) == 6
    assert all((w.numpy() == v).all() for w, v in zip(first.weights, first.get_weights(), strict=True))
    last.weights[0].assign(np.zeros((4, 1)))
    assert (made.predict(X) == last.weights[1].numpy()).all()
    refused(lambda: Dense(1).weights, "layer dense has no weights yet")

    def hide():
        class Hidden(Dense):
            def weights(self, shape):
                return []

    refused(hide, "Hidden.weights would hide the layer's weights: declare them in declared(shape)")


def test_a_layer_resets_its_states():
    """The idiom of Keras 3, whose models have no reset_states."""
    layers = [Bidirectional(SimpleRNN(2, return_sequences=True, stateful=True)), LSTM(2, stateful=True), Dense(1)]
    made = random_model(layers, (4, 3), seed=1)
    fresh = made.predict(X[:4], batch_size=4)
    again = made.predict(X[:4], batch_size=4)
    assert (fresh != again).all()
    for twin in (made, copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        twin.layers[1].reset_states()
        assert not twin.states["lstm/c"].any() and twin.states["bidirectional/forward_simple_rnn/h"].any()
        for layer in twin.layers:
            if hasattr(layer, "reset_states"):
                layer.reset_states()
        assert twin.states == {} and (twin.predict(X[:4], batch_size=4) == fresh).all()
        twin.layers[0].reset_state()
        twin.layers[1].reset_state()
        twin.predict(X, batch_size=12)  # after all are reset, batches may have another size
    plain = random_model([SimpleRNN(2)], (4, 3))
    plain.layers[0].reset_states()
    SimpleRNN(2, stateful=True).reset_states()


def test_states_are_reset_between_the_epochs_of_a_fit():
    class Reset(nbrnn.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.layers[0].reset_states()

    def losses(callbacks):
        made = model([LSTM(2, stateful=True), Dense(1)], optimizer=nbrnn.SGD(1e-12))
        return made.fit(X, Y, 4, 3, 0, callbacks, shuffle=False).history["loss"]

    kept, reset = losses([]), losses([Reset()])
    assert reset == pytest.approx([reset[0]] * 3, rel=1e-9) and abs(kept[1] - kept[0]) > 1e-6


def test_a_shape_may_come_with_the_samples():
    with_samples, without = (Sequential([LSTM(2), Dense(1)], seed=0) for _ in range(2))
    with_samples.build((None, 4, 3))
    without.build((4, 3))
    assert with_samples.input_shape == without.input_shape == (4, 3)
    assert Sequential([nbrnn.layers.InputLayer((4, 3)), LSTM(2)]).input_shape == (4, 3)


# ---------------------------------------------------------------- optimizers and initializers


@pytest.mark.parametrize(
    "optimizer", [nbrnn.SGD(0.1, momentum=0.5), nbrnn.AdamW(nbrnn.CosineDecay(0.1, 5), clipnorm=1)]
)
def test_an_optimizer_is_made_again_from_its_config(optimizer):
    twin = type(optimizer).from_config(json.loads(json.dumps(optimizer.get_config())))
    assert repr(twin) == repr(optimizer) and twin is not optimizer


I = nbrnn.initializers
DRAWN = {
    "TruncatedNormal": (I.TruncatedNormal(1.0, 0.5), lambda w: (abs(w - 1) <= 1).all() and 0.42 < w.std() < 0.46),
    "RandomNormal": (I.RandomNormal(stddev=0.001), lambda w: 0.0009 < w.std() < 0.0011 and abs(w.mean()) < 1e-4),
    "RandomUniform": (I.RandomUniform(1.0, 3.0), lambda w: w.min() >= 1 and w.max() <= 3 and abs(w.mean() - 2) < 0.05),
    "Orthogonal": (I.Orthogonal(gain=2.0), lambda w: np.allclose(w.T @ w, 4 * np.eye(40))),
    "Identity": (I.Identity(0.5), lambda w: (w == 0.5 * np.eye(60, 40)).all()),
    "Constant": (I.Constant(-2), lambda w: (w == -2).all()),
    "he_normal": (I.HeNormal(), lambda w: abs(w.std() - (2 / 60) ** 0.5) < 0.005),
    "zero": ("zero", lambda w: not w.any()),
    "normal": ("normal", lambda w: 0.045 < w.std() < 0.055),
    "GlorotUniform": ("GlorotUniform", lambda w: abs(w).max() <= (6 / 100) ** 0.5 < 1.02 * abs(w).max()),
}


@pytest.mark.parametrize("name", DRAWN)
def test_weights_begin_as_an_initializer_says(name, tmp_path):
    initializer, holds = DRAWN[name]
    made = Sequential([Dense(40, kernel_initializer=initializer, use_bias=False)], (60,), seed=3, dtype="float64")
    assert holds(made.get_weights()[0])
    twin = type(made).from_config(json.loads(json.dumps(made.get_config())))
    assert (twin.get_weights()[0] == made.get_weights()[0]).all() and repr(twin.layers[0]) == repr(made.layers[0])
    made.save(tmp_path / "m")
    assert nbrnn.load_model(tmp_path / "m").get_config() == made.get_config()


def test_usual_numbers_are_the_name():
    assert I.RandomNormal() == "random_normal" and I.Orthogonal(1) == "orthogonal" and I.Zeros() == "zeros"
    assert I.Ones() == "ones" and I.LecunUniform() == "lecun_uniform"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: I.RandomNormal(stddev=-1), ("stddev of random_normal must be a number of at least 0, not -1",)),
        (lambda: I.RandomUniform(2, 1), ("minval of random_uniform must be at most maxval, 1, not 2",)),
        (lambda: I.Constant("a"), ("value of constant must be a number", "not 'a'")),
        (lambda: LSTM(2, kernel_initializer=I.Identity), ("must be made by calling Identity: write Identity()",)),
        (lambda: LSTM(2, kernel_initializer={"class": "Identiti"}), ("class 'Identiti' is unknown", "'Identity'")),
        (
            lambda: LSTM(2, kernel_initializer={"class": "Identity", "config": {"size": 1}}),
            ("kernel_initializer: Identity takes gain, not {'size': 1}",),
        ),
        (lambda: LSTM(2, kernel_initializer="glorot"), ("kernel_initializer 'glorot' is unknown (did you mean",)),
        (
            lambda: Sequential([Dense(2, bias_initializer="identity")], (3,)),
            ("the initializer identity is for matrices, not for a weight of shape (2,)",),
        ),
    ],
)
def test_an_initializer_that_cannot_be_is_refused(call, words):
    refused(call, *words)
