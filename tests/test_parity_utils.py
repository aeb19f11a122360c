"""Keras' helpers, histories and first weights are met, where it is installed."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nbrnn
from nbrnn import metrics, utils

pytestmark = pytest.mark.parity
plain = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def keras(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras", reason="Keras is not installed")


@plain
@given(st.lists(st.integers(0, 6), min_size=1), st.booleans(), st.integers(0, 2))
def test_classes_become_keras_rows(keras, labels, column, more):
    x = np.array(labels)[:, None] if column else labels
    classes = max(labels) + 1 + more if more else None
    ours, theirs = utils.to_categorical(x, classes), keras.utils.to_categorical(x, classes)
    assert ours.dtype == theirs.dtype and (ours == theirs).all()


ends = st.sampled_from(("pre", "post"))
lists = st.lists(st.lists(st.integers(1, 99), max_size=5), min_size=1).filter(any)


@plain
@given(lists, st.integers(1, 7) | st.none(), ends, ends, st.sampled_from(("int32", "float32")))
def test_sequences_are_padded_as_keras_pads_them(keras, sequences, maxlen, padding, truncating, dtype):
    given = dict(maxlen=maxlen, dtype=dtype, padding=padding, truncating=truncating, value=-1.5)
    ours, theirs = (module.utils.pad_sequences(sequences, **given) for module in (nbrnn, keras))
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape and (ours == theirs).all()


def pair(keras, **settings):
    """Return a model of ours and Keras' with the same weights, compiled alike."""
    ours = nbrnn.Sequential([nbrnn.LSTM(3), nbrnn.Dense(1)], (4, 2), seed=1)
    theirs = keras.Sequential([keras.Input((4, 2)), keras.layers.LSTM(3), keras.layers.Dense(1)])
    theirs.set_weights(ours.get_weights())
    ours.compile(nbrnn.SGD(0.1), "mse", **{k: [make(metrics) for make in v] for k, v in settings.items()})
    theirs.compile(
        keras.optimizers.SGD(0.1), "mse", **{k: [make(keras.metrics) for make in v] for k, v in settings.items()}
    )
    return ours, theirs


NAMED = [
    lambda place: "mae",
    lambda place: "mean_absolute_error",
    lambda place: "MAE",
    lambda place: "MeanSquaredError",
    lambda place: "root_mean_squared_error",
    lambda place: place.RootMeanSquaredError(),
    lambda place: place.RootMeanSquaredError(name="e"),
    lambda place: place.MeanAbsoluteError(),
    lambda place: place.R2Score(),
    lambda place: place.BinaryAccuracy(name="right"),
]


@pytest.mark.parametrize("when", [1, 2, 3, [1, 4]], ids=str)
@pytest.mark.parametrize("metric", NAMED, ids=range(len(NAMED)))
def test_a_history_is_keras(keras, metric, when):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 4, 2)).astype("f4"), rng.normal(size=(12, 1)).astype("f4")
    ours, theirs = pair(keras, metrics=[metric])
    given = dict(epochs=5, batch_size=4, shuffle=False, verbose=0, validation_data=(x[:5], y[:5]), validation_freq=when)
    found, expected = (made.fit(x, y, **given) for made in (ours, theirs))
    assert found.epoch == expected.epoch and found.history.keys() == expected.history.keys()
    for name, values in expected.history.items():
        assert found.history[name] == pytest.approx(values, rel=1e-4, abs=1e-6), name


@pytest.mark.parametrize(
    ("name", "numbers"), [("Identity", {"gain": 0.5}), ("Constant", {"value": -2.0}), ("Zeros", {}), ("Ones", {})]
)
def test_first_weights_without_chance_are_keras(keras, name, numbers):
    ours = nbrnn.SimpleRNN(3, recurrent_initializer=getattr(nbrnn.initializers, name)(**numbers))
    model = nbrnn.Sequential([ours], (4, 2), seed=1)
    theirs = getattr(keras.initializers, name)(**numbers)((3, 3))
    assert (model.get_weights()[1] == keras.ops.convert_to_numpy(theirs)).all()


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("RandomNormal", {"mean": 1.0, "stddev": 0.2}),
        ("TruncatedNormal", {"mean": -1.0, "stddev": 0.2}),
        ("RandomUniform", {"minval": 1.0, "maxval": 2.0}),
        ("Orthogonal", {"gain": 3.0}),
        ("HeNormal", {}),
    ],
)
def test_drawn_first_weights_are_distributed_as_keras(keras, name, numbers):
    model = nbrnn.Sequential(
        [nbrnn.Dense(120, kernel_initializer=getattr(nbrnn.initializers, name)(**numbers))], (150,), seed=1
    )
    ours = model.get_weights()[0]
    theirs = keras.ops.convert_to_numpy(getattr(keras.initializers, name)(seed=1, **numbers)((150, 120)))
    quantiles = np.linspace(0.01, 0.99, 15)
    spread = theirs.std()
    np.testing.assert_allclose(np.quantile(ours, quantiles), np.quantile(theirs, quantiles), atol=0.06 * spread)
