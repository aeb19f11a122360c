"""Bad input to layers, models and fits: one sentence that names the argument, what came and what is wanted."""

import numpy as np
import pytest
from support import random_data, random_model

import nbrnn
from nbrnn import SGD, Adam, Dense, Flatten, RMSprop, Sequential, SimpleRNN

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(10, 4, 2)), RNG.normal(size=(10, 1))


def model(**settings):
    made = Sequential([SimpleRNN(3), Dense(1)], input_shape=(4, 2), seed=0)
    made.compile(**{"optimizer": "adam", "loss": "mse"} | settings)
    return made


def refused(call, *words, error=ValueError):
    """Call; it must be refused in one sentence that holds the words."""
    with pytest.raises(error) as raised:
        call()
    text = str(raised.value)
    assert raised.type is error and "\n" not in text and text.endswith((".", "?")), text
    for word in words:
        assert word in text, f"{word!r} is not in: {text}"


# ---------------------------------------------------------------- numbers

WHOLE = "must be a whole number of at least 1"


@pytest.mark.parametrize("bad", [0, -3, 2.5, 3.0, "3", True, np.nan, [3]], ids=repr)
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("units", lambda bad: SimpleRNN(bad)),
        ("units", lambda bad: Dense(bad)),
        ("epochs", lambda bad: model().fit(X, Y, epochs=bad, verbose=0)),
        ("batch_size", lambda bad: model().fit(X, Y, batch_size=bad, verbose=0)),
        ("batch_size", lambda bad: model().predict(X, batch_size=bad)),
        ("batch_size", lambda bad: model().evaluate(X, Y, batch_size=bad)),
        ("batch_size", lambda bad: model().program(batch_size=bad)),
    ],
    ids=["SimpleRNN", "Dense", "epochs", "fit", "predict", "evaluate", "program"],
)
def test_counts_are_whole_and_positive(name, call, bad):
    refused(lambda: call(bad), f"{name} {WHOLE}, not {bad!r}")


def test_nothing_is_no_count_but_of_a_batch_it_is_the_default():
    for name, call in (
        ("units", lambda: SimpleRNN(None)),
        ("epochs", lambda: model().fit(X, Y, epochs=None, verbose=0)),
        ("batch_size", lambda: model().program(batch_size=None)),
    ):
        refused(call, f"{name} {WHOLE}, not None")
    figures = [model().fit(X, Y, verbose=0, **settings).history for settings in ({}, {"batch_size": None})]
    assert figures[0] == figures[1]


def test_numpys_whole_numbers_are_whole():
    assert SimpleRNN(np.int32(3)).units == 3 and len(model().fit(X, Y, epochs=np.int64(2), verbose=0).epoch) == 2


@pytest.mark.parametrize("bad", [-1, 0.0, "fast", None, np.nan, np.inf, True, 1j], ids=repr)
@pytest.mark.parametrize("kind", [SGD, RMSprop, Adam])
def test_a_learning_rate_is_above_zero(kind, bad):
    refused(lambda: kind(learning_rate=bad), f"learning_rate must be a number above 0, not {bad!r}")
    optimizer = kind()
    refused(lambda: setattr(optimizer, "learning_rate", bad), f"learning_rate must be a number above 0, not {bad!r}")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: SGD(momentum=1.5), ["momentum must be a number of at least 0 and at most 1, not 1.5"]),
        (lambda: SGD(momentum=-0.1), ["momentum", "-0.1"]),
        (lambda: RMSprop(rho=2), ["rho", "at most 1", "2"]),
        (lambda: RMSprop(epsilon=0), ["epsilon must be a number above 0, not 0"]),
        (lambda: Adam(beta_1=1.0), ["beta_1", "1.0"]),
        (lambda: Adam(beta_2=-1), ["beta_2", "-1"]),
        (lambda: Adam(global_clipnorm=0), ["global_clipnorm must be a number above 0, not 0"]),
        (lambda: nbrnn.Huber(0), ["delta must be a number above 0, not 0"]),
        (lambda: nbrnn.Huber(np.nan), ["delta", "nan"]),
        (lambda: Sequential(seed=-1), ["seed must be a whole number of at least 0, not -1"]),
        (lambda: Sequential(seed=0.5), ["seed", "0.5"]),
        (lambda: Sequential(seed=2**70), ["seed"]),
        (lambda: nbrnn.set_num_threads(0), ["number of threads must be from 1 to", "not 0"]),
        (lambda: nbrnn.set_num_threads(10**6), ["number of threads", "1000000"]),
        (lambda: nbrnn.set_num_threads("all"), ["number of threads", "'all'"]),
    ],
)
def test_a_number_out_of_range_is_named(call, words):
    refused(call, *words)


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32, 2**63 - 1])
def test_large_seeds_work(seed):
    made = Sequential([Dense(1)], input_shape=(3,), seed=seed)
    made.compile("sgd", "mse")
    made.fit(RNG.normal(size=(5, 3)), np.ones(5), batch_size=2, verbose=0)
    assert np.isfinite(made.get_weights()[0]).all()


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("call", "bad", "near"),
    [
        (lambda: SimpleRNN(3, activation="Tanh"), "activation 'Tanh'", "'tanh'"),
        (lambda: SimpleRNN(3, activation="thanh"), "activation 'thanh'", "'tanh'"),
        (lambda: Dense(3, activation="sigmoidal"), "activation 'sigmoidal'", "'sigmoid'"),
        (lambda: Dense(3, activation="hard-sigmoid"), "activation 'hard-sigmoid'", "'hard_sigmoid'"),
        (lambda: Dense(3, kernel_initializer="glorot"), "kernel_initializer 'glorot'", "'glorot_"),
        (lambda: SimpleRNN(3, recurrent_initializer="ortogonal"), "recurrent_initializer", "'orthogonal'"),
        (lambda: Dense(3, bias_initializer="zeroes"), "bias_initializer 'zeroes'", "'zeros'"),
        (lambda: model(optimizer="adm"), "optimizer 'adm'", "'adam'"),
        (lambda: model(optimizer="rms_prop"), "optimizer 'rms_prop'", "'rmsprop'"),
        (lambda: model(loss="msee"), "loss 'msee'", "'mse'"),
        (lambda: model(loss="mean_square_error"), "loss 'mean_square_error'", "'mean_squared_error'"),
        (lambda: model(metrics=["rsme"]), "metric 'rsme'", "'rmse'"),
        (lambda: Sequential(dtype="flaot32"), "dtype 'flaot32'", "'float32'"),
        (lambda: Sequential(dtype="float16"), "dtype 'float16'", "'float"),
        (lambda: model().program(mode="trian"), "mode 'trian'", "'train'"),
        (lambda: nbrnn.check_gradients(model(), X, method="complx"), "method 'complx'", "'complex'"),
    ],
)
def test_a_wrong_name_is_met_with_the_nearest(call, bad, near):
    refused(call, bad, f"did you mean {near}")


@pytest.mark.parametrize("bad", [5, 0, "", ["tanh"], np.tanh], ids=["5", "0", "nothing", "list", "function"])
def test_what_is_no_name_is_refused(bad):
    refused(lambda: SimpleRNN(3, activation=bad), "activation", "is unknown", "known are linear, tanh")
    refused(lambda: model(optimizer=bad), "optimizer", "known are sgd, rmsprop, adam")
    refused(lambda: model(loss=bad), "loss", "mse, mean_squared_error")


def test_names_of_optimizers_may_be_written_large():
    assert isinstance(model(optimizer="Adam").optimizer, Adam) and model(optimizer="SGD").optimizer.momentum == 0


# ---------------------------------------------------------------- shapes


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((10, 4), ["x must have the shape (samples, time steps, features), but its shape is (10, 4)", "x[..., None]"]),
        ((10, 4), ["x.reshape(10, 4, 1)"]),
        ((10,), ["(samples, time steps, features)", "(10,)"]),
        ((10, 4, 2, 1), ["(10, 4, 2, 1)"]),
        ((10, 4, 3), ["x has 3 features, but the model was built for 2"]),
        ((10, 5, 2), ["x has 5 time steps, but the model was built for 4"]),
        ((0, 4, 2), ["x holds no samples: its shape is (0, 4, 2)"]),
        ((10, 0, 2), ["x holds no", "(10, 0, 2)"]),
        ((), ["x holds no samples: its shape is ()"]),
    ],
)
def test_inputs_of_a_wrong_shape(shape, words):
    x = np.ones(shape)
    for call in (lambda: model().predict(x), lambda: model().fit(x, Y), lambda: model().evaluate(x, Y)):
        refused(call, *words)


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (Y[:9], ["x has 10 samples, but y has 9"]),
        (np.ones(11), ["x has 10 samples, but y has 11"]),
        (np.ones((10, 2)), ["y has shape (10, 2), but the model's output has shape (10, 1)"]),
        (np.ones((10, 1, 1)), ["y has shape (10, 1, 1)"]),
        (np.ones((1, 10)), ["x has 10 samples, but y has 1"]),
        (np.ones((0, 1)), ["y holds no samples"]),
        (3.0, ["y holds no samples: its shape is ()"]),
    ],
)
def test_targets_of_a_wrong_shape(y, words):
    made = model()
    for call in (made.fit, made.evaluate, made.train_on_batch):
        refused(lambda call=call: call(X, y), *words)


def test_a_model_that_is_not_built_asks_for_the_right_shape():
    refused(
        lambda: Sequential([SimpleRNN(3)]).predict(np.ones((10, 4))),
        "(samples, time steps, features)", "(10, 4)", "x.reshape(10, 4, 1)",
    )  # fmt: skip
    made = Sequential([Dense(3)], input_shape=(4,))
    refused(lambda: made.predict(X), "(samples, features)", "(10, 4, 2)")


NO_NUMBERS = {
    "texts": ["a"] * 10,
    "ragged": [[1.0, 2.0], [3.0]],
    "numbers as texts": X.astype(str),
    "None": [None],
    "a dictionary": {"x": 1},
    "complex": X + 1j,
    "an object": object(),
}


@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_what_holds_no_real_numbers_is_refused(kind):
    refused(lambda: model().predict(NO_NUMBERS[kind]), "x ")
    refused(lambda: model().fit(X, NO_NUMBERS[kind], verbose=0), "y ")


def test_numbers_too_large_for_the_dtype_are_refused():
    x = X.copy()
    x[6] = 1e300
    refused(lambda: model().predict(x), "x holds a number", "sample 6")


@pytest.mark.parametrize("shape", [(), (1, 2, 3), "12", (0, 1), (4, -1), (4, 1.5), (4, None), 2.5])
def test_an_input_shape_has_one_or_two_lengths(shape):
    refused(lambda: Sequential(input_shape=shape), "input_shape")
    refused(lambda: SimpleRNN(2, input_shape=shape), "input_shape")


# ---------------------------------------------------------------- structure


def used():
    layer = Dense(2)
    Sequential([layer], input_shape=(3,))
    return layer


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Sequential([3]), ["a model takes layers such as nbrnn.Dense(1), not 3"]),
        (lambda: Sequential([Dense]), ["a model takes layers"]),
        (lambda: model().add(Dense(1)), ["layers must be added before compile()"]),
        (lambda: Sequential([used()], (3,)), ["layer dense stands in a model already"]),
        (lambda: Sequential([Dense(2, name="a"), Dense(2, name="a")]), ["two layers have the name 'a'"]),
        (lambda: Sequential([Dense(2), Dense(2, input_shape=(3,))]), ["input_shape belongs to the first layer only"]),
        (
            lambda: Sequential([SimpleRNN(2), SimpleRNN(2)], (4, 1)),
            ["simple_rnn_1 needs sequences", "return_sequences"],
        ),
        (lambda: Sequential([SimpleRNN(2)], (4,)), ["simple_rnn needs sequences", "(4,)"]),
        (lambda: Sequential([Flatten()], (None, 2)), ["flatten needs a known number of time steps"]),
        (lambda: Sequential().predict(X), ["the model has no layers"]),
        (lambda: Sequential([Dense(1)]).summary(), ["does not know its input_shape yet"]),
        (lambda: Sequential([Dense(1)]).get_weights(), ["does not know its input_shape yet"]),
        (lambda: Sequential().count_params(), ["the model has no layers"]),
        (lambda: Dense(1).get_weights(), ["layer dense has no weights yet"]),
        (lambda: Sequential([Dense(1)], (2,)).fit(X[:, 0], Y), ["no loss yet: call compile() first"]),
        (lambda: Sequential([Dense(1)], (2,)).evaluate(X[:, 0], Y), ["no loss yet: call compile() first"]),
        (lambda: nbrnn.check_gradients(Sequential([Dense(1)]), X), ["does not know its input_shape yet"]),
    ],
)
def test_a_model_that_cannot_be_is_refused(call, words):
    refused(call, *words)


def test_a_layer_cannot_stand_in_two_models():
    layer = Dense(1)
    Sequential([layer])
    refused(lambda: Sequential([layer]), "stands in a model already")


def test_complex_models_are_for_gradient_checks():
    made = Sequential([Dense(1)], input_shape=(2,), dtype="complex128")
    made.compile("sgd", "mse")
    refused(lambda: made.fit(X[:, 0], Y, verbose=0), "complex128", "float32 or float64")


# ---------------------------------------------------------------- fits and weights


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"validation_split": 1.0}, ["validation_split=1 of 10 samples leaves a part empty"]),
        ({"validation_split": 0.95}, ["validation_split=0.95", "leaves a part empty"]),
        ({"validation_split": -0.2}, ["validation_split", "-0.2"]),
        ({"validation_split": 1.5}, ["validation_split", "1.5"]),
        ({"validation_split": "half"}, ["validation_split", "'half'"]),
        ({"validation_data": X}, ["validation_data must be (x, y), (x, y, sample_weight) or"]),
        ({"validation_data": (X, Y[:3])}, ["samples", "10", "3"]),
        ({"verbose": 3}, ['verbose must be 0, 1, 2 or "auto", not 3']),
        ({"verbose": "loud"}, ["verbose", "'loud'"]),
    ],
)
def test_what_a_fit_refuses(settings, words):
    made = model()
    before = made.get_weights()
    refused(lambda: made.fit(X, Y, **{"verbose": 0} | settings), *words)
    assert all((a == b).all() for a, b in zip(before, made.get_weights(), strict=True)) and made.epochs == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w[:-1], ["needs a list of 5 arrays", "dense/bias (1,)", "not 4"]),
        (lambda w: [*w, w[0]], ["5 arrays", "not 6"]),
        (lambda w: [w[0].T, *w[1:]], ["simple_rnn/kernel has shape (2, 3), but (3, 2) came"]),
        (lambda w: [*w[:3], w[3][:, 0], w[4]], ["dense/kernel has shape (3, 1), but (3,) came"]),
        (lambda w: [*w[:4], w[4] * np.nan], ["dense/bias holds a number that is not finite"]),
        (lambda w: [*w[:4], ["one"]], ["dense/bias"]),
        (lambda w: [*w[:3], [[1.0], [2.0, 3.0], [4.0]], w[4]], ["dense/kernel"]),
        (lambda w: [*w[:4], w[4] + 1j], ["dense/bias"]),
        (lambda w: w[0], ["needs a list of 5 arrays", "ndarray"]),
        (lambda w: None, ["needs a list of 5 arrays", "NoneType"]),
    ],
)
def test_weights_that_do_not_fit_change_nothing(change, words):
    made = random_model([SimpleRNN(3), Dense(1)], (4, 2), seed=1)
    before = made.get_weights()
    fresh = [w + 1 for w in before]
    refused(lambda: made.set_weights(change(fresh)), "set_weights", *words)
    assert all((a == b).all() for a, b in zip(before, made.get_weights(), strict=True))
    refused(lambda: made.layers[1].set_weights([fresh[3]]), "layer dense", "2 arrays", "not 1")


def test_a_model_without_weights_can_still_predict_and_evaluate():
    made = Sequential([Flatten()], input_shape=(4, 2))
    made.compile("sgd", "mse")
    x, y = random_data(made, 6, 1)
    assert (made.predict(x) == x.reshape(6, 8)).all()
    assert made.evaluate(x, y) == pytest.approx(((x.reshape(6, 8) - y) ** 2).mean())
    made.fit(x, y, verbose=0)
