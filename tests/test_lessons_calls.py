"""The lessons' own calls, in their order, with nbrnn in the place of Keras; the numbers are the lessons'."""

import numpy as np
import pytest

from nbrnn import load_dataset
from nbrnn.callbacks import EarlyStopping, ModelCheckpoint
from nbrnn.joins import Flatten
from nbrnn.layers import GRU, LSTM, Concatenate, Dense, Dropout, Input, SimpleRNN, Softmax
from nbrnn.models import Model, Sequential

# ---------------------------------------------------------------- MachineLearningMastery


def create_RNN(hidden_units, dense_units, input_shape, activation):
    model = Sequential(seed=0)
    model.add(SimpleRNN(hidden_units, input_shape=input_shape, activation=activation[0]))
    model.add(Dense(units=dense_units, activation=activation[1]))
    model.compile(loss="mean_squared_error", optimizer="adam")
    return model


def test_mlm_looks_into_a_network():
    demo_model = create_RNN(2, 1, (3, 1), activation=["linear", "linear"])
    wx, wh, bh, wy, by = (w.shape for w in demo_model.get_weights())
    assert (wx, wh, bh, wy, by) == ((1, 2), (2, 2), (2,), (2, 1), (1,))
    demo_model.set_weights(
        [
            np.array([[0.18662322, -1.2369459]]),
            np.array([[0.86981213, -0.49338293], [0.49338293, 0.8698122]]),
            np.zeros(2),
            np.array([[-0.4635998], [0.6538409]]),
            np.zeros(1),
        ]
    )
    x = np.array([1, 2, 3])
    x_input = np.reshape(x, (1, 3, 1))
    y_pred_model = demo_model.predict(x_input)
    wx, wh, bh, wy, by = demo_model.get_weights()
    h0 = np.zeros(2)
    h1 = np.dot(x[0], wx) + h0 @ wh + bh
    h2 = np.dot(x[1], wx) + np.dot(h1, wh) + bh
    h3 = np.dot(x[2], wx) + np.dot(h2, wh) + bh
    o3 = np.dot(h3, wy) + by
    np.testing.assert_allclose(h1, [[0.18662322, -1.23694587]], atol=1e-6)
    np.testing.assert_allclose(h2, [[-0.07471441, -3.64187904]], atol=1e-6)
    np.testing.assert_allclose(h3, [[-1.30195881, -6.84172557]], atol=1e-6)
    np.testing.assert_allclose([o3, y_pred_model], [[[-3.8698118]]] * 2, atol=1e-6)


def get_train_test(data, split_percent=0.8):
    low, high = data.min(), data.max()
    data = ((data - low) / (high - low)).flatten()
    split = int(len(data) * split_percent)
    return data[:split], data[split:], data


def get_XY(dat, time_steps):
    Y_ind = np.arange(time_steps, len(dat), time_steps)
    Y = dat[Y_ind]
    rows_x = len(Y)
    X = dat[range(time_steps * rows_x)]
    return np.reshape(X, (rows_x, time_steps, 1)), Y


def test_mlm_predicts_sunspots():
    train_data, test_data, _ = get_train_test(load_dataset("sunspots").values.astype("f4"))
    assert (len(train_data), len(test_data)) == (2256, 564)
    trainX, trainY = get_XY(train_data, 12)
    testX, testY = get_XY(test_data, 12)
    assert trainX.shape == (187, 12, 1) and testX.shape == (46, 12, 1)
    assert trainY[0] == pytest.approx(0.2888100867, abs=1e-7)
    model = create_RNN(hidden_units=3, dense_units=1, input_shape=(12, 1), activation=["tanh", "tanh"])
    assert model.count_params() == 19
    history = model.fit(trainX, trainY, epochs=20, batch_size=1, verbose=2)
    assert len(history.history["loss"]) == 20
    train_rmse, test_rmse = (
        np.sqrt(np.mean((Y - model.predict(X).reshape(-1)) ** 2)) for X, Y in ((trainX, trainY), (testX, testY))
    )
    assert 0.04 < train_rmse < 0.13 and 0.06 < test_rmse < 0.2  # one seed; the medians are tested elsewhere


def test_mlms_exercise_a_second_recurrent_layer():
    model = Sequential()
    model.add(SimpleRNN(3, return_sequences=True, input_shape=(12, 1)))
    model.add(SimpleRNN(3))
    model.add(Dense(1))
    assert model.count_params() == 15 + 21 + 4


# ---------------------------------------------------------------- DataTechNotes


def convert_to_matrix(data, step):
    X, Y = [], []
    for i in range(len(data) - step):
        X.append(data[i : i + step])
        Y.append(data[i + step])
    return np.array(X), np.array(Y)


def test_dtn_predicts_a_noisy_sine(capsys):
    step, N, Tp = 4, 1000, 800
    t = np.arange(0, N)
    x = np.sin(0.02 * t) + 2 * np.random.default_rng(0).random(N)
    train, test = x[:Tp], x[Tp:]
    test = np.append(test, np.repeat(test[-1], step))
    train = np.append(train, np.repeat(train[-1], step))
    trainX, trainY = convert_to_matrix(train, step)
    testX, _ = convert_to_matrix(test, step)
    assert (len(trainX), len(testX)) == (800, 200)
    trainX = np.reshape(trainX, (trainX.shape[0], 1, trainX.shape[1]))
    testX = np.reshape(testX, (testX.shape[0], 1, testX.shape[1]))
    model = Sequential(seed=0)
    model.add(SimpleRNN(units=32, input_shape=(1, step), activation="relu"))
    model.add(Dense(8, activation="relu"))
    model.add(Dense(1))
    model.compile(loss="mean_squared_error", optimizer="rmsprop")
    model.summary()
    shown = capsys.readouterr().out
    assert all(number in shown for number in ("1184", "264", "9", "Total params: 1457"))
    before = model.get_weights()[1]
    model.fit(trainX, trainY, epochs=100, batch_size=16, verbose=2)
    assert "100/100" in capsys.readouterr().out
    trainPredict, testPredict = model.predict(trainX), model.predict(testX)
    assert np.concatenate((trainPredict, testPredict), axis=0).shape == (1000, 1)
    trainScore = model.evaluate(trainX, trainY, verbose=0)
    assert 0.3 < trainScore < 0.42 and capsys.readouterr().out == ""  # the noise floor is 4/12
    np.testing.assert_array_equal(model.get_weights()[1], before)  # of one step: the recurrence never runs
    longer = Sequential([SimpleRNN(32, "relu"), Dense(8, "relu"), Dense(1)], input_shape=(4, 1))
    assert longer.count_params() == 1361


def test_dtns_windows():
    X, Y = convert_to_matrix(np.arange(1, 11), 3)
    assert X[0].tolist() == [1, 2, 3] and Y[0] == 4 and X[-1].tolist() == [7, 8, 9] and Y[-1] == 10


# ---------------------------------------------------------------- Weights & Biases


def create_dataset(dataset, look_back):
    ends = range(look_back, len(dataset))
    return np.array([dataset[k - look_back : k] for k in ends]), np.array([dataset[k] for k in ends])


MODELS = {
    "perceptron": ([Flatten, lambda: Dense(1)], 11),
    "SimpleRNN(1)": ([lambda: SimpleRNN(1)], 3),
    "SimpleRNN(5)": ([lambda: SimpleRNN(5), lambda: Dense(1, activation="sigmoid")], 41),
}


@pytest.mark.parametrize("name", MODELS)
def test_wb_learns_the_airlines_passengers(name):
    passengers = load_dataset("airline").values.astype("f4").reshape(-1)
    assert len(passengers) == 144 and len(create_dataset(passengers, 20)[0]) == 124
    scaled = (passengers - passengers.min()) / np.ptp(passengers)
    trainX, trainY = create_dataset(scaled, 10)
    trainX = trainX[:, :, np.newaxis]
    assert trainX.shape == (134, 10, 1)
    makers, count = MODELS[name]
    model = Sequential([Input(shape=(10, 1)), *(make() for make in makers)], seed=1)
    assert model.count_params() == count
    model.compile(loss="mse", optimizer="adam", metrics=["mae"])
    history = model.fit(trainX, trainY, epochs=30, batch_size=1, validation_data=(trainX, trainY), verbose=0)
    assert list(history.history) == ["loss", "mae", "val_loss", "val_mae"]
    assert history.history["val_loss"][-1] < min(0.06, history.history["val_loss"][0])


# ---------------------------------------------------------------- the question about Mathematica


def test_wls_chain_predicts_a_sine_and_goes_on_by_itself():
    wave = np.sin(np.arange(0, 100.01, 0.04))
    assert len(wave) == 2501
    X, Y = create_dataset(wave, 50)
    assert X.shape == (2451, 50)
    model = Sequential([GRU(10, reset_after=False, input_shape=(50, 1)), Dense(1)], seed=0)
    assert model.count_params() == 360 + 11
    model.compile("adam", "mse")
    model.fit(X[..., None], Y, epochs=3, batch_size=64, verbose=0)
    window = list(X[-1])
    for _ in range(500):
        window.append(float(model.predict(np.array(window[-50:]).reshape(1, 50, 1))[0, 0]))
    assert np.isfinite(window).all() and np.abs(window).max() < 3
    assert Sequential([GRU(10)], input_shape=(50, 1)).count_params() == 390


def test_wls_four_series_with_dropout_on_input_and_state():
    layers = [GRU(300, reset_after=False, dropout=0.1, recurrent_dropout=0.5), Dense(4)]
    assert Sequential(layers, input_shape=(300, 4)).count_params() == 274_500 + 1_204
    rng = np.random.default_rng(0)
    series = np.cumsum(rng.normal(size=(120, 4)), axis=0)
    series /= np.abs(series).max(axis=0)
    X, Y = create_dataset(series, 30)
    small = Sequential([GRU(12, dropout=0.1, recurrent_dropout=0.5), Dropout(0.1), Dense(4)], seed=0)
    small.compile("adam", "mse")
    history = small.fit(X, Y, epochs=30, verbose="auto").history["loss"]
    assert history[-1] < history[0] and small.predict(X).shape == (90, 4)


@pytest.mark.parametrize(("axis", "joined"), [(-1, (50, 3)), (1, (150, 1))])
def test_wls_ports_are_joined_in_both_senses(axis, joined):
    ports = [Input(shape=(50, 1), name=name) for name in ("open", "high", "low")]
    together = Concatenate(axis=axis)(ports)
    assert together.shape == joined
    model = Model(inputs=ports, outputs=Dense(1)(GRU(4)(together)), seed=0)
    model.compile(loss="mse", optimizer="adam")
    x = np.random.default_rng(0).normal(size=(3, 20, 50, 1))
    history = model.fit(dict(zip(("open", "high", "low"), x, strict=True)), x[0, :, -1], epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2 and model.predict(list(x)).shape == (20, 1)


def test_wls_classes_no_and_yes(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3, 8))
    names = np.where(x.sum(axis=(1, 2)) > 0, "yes", "no")
    classes, labels = np.unique(names, return_inverse=True)
    model = Sequential([Input(shape=(3, 8)), LSTM(32), Dense(2), Softmax()], seed=0)
    assert [layer.count_params() for layer in model.layers] == [5248, 66, 0]
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    best = tmp_path / "best.safetensors"
    callbacks = [EarlyStopping(monitor="val_loss", patience=5, restore_best_weights=True), ModelCheckpoint(best)]
    history = model.fit(x, labels, epochs=20, validation_split=0.2, callbacks=callbacks, verbose=0)
    assert max(history.history["val_accuracy"]) > 0.7 and best.exists()
    shares = model.predict(x[:5])
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
    assert set(classes[shares.argmax(axis=1)]) <= {"no", "yes"}
