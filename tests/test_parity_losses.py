"""Losses and metrics are those of Keras, where it is installed: values and gradients, weighted, masked or not."""

import numpy as np
import pytest

import nbrnn
from nbrnn import losses

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.parity

PAIRS = {
    "mse": ("mse", "MeanSquaredError", {}),
    "mae": ("mae", "MeanAbsoluteError", {}),
    "mape": ("mape", "MeanAbsolutePercentageError", {}),
    "huber": (nbrnn.Huber(0.4), "Huber", {"delta": 0.4}),
    **{
        f"{name} {from_logits} {smooth}": (
            getattr(nbrnn, name)(from_logits, smooth),
            name,
            {"from_logits": from_logits, "label_smoothing": smooth},
        )
        for name in ("BinaryCrossentropy", "CategoricalCrossentropy")
        for from_logits in (False, True)
        for smooth in (0.0, 0.2)
    },
    **{
        f"sparse {from_logits}": (
            nbrnn.SparseCategoricalCrossentropy(from_logits),
            "SparseCategoricalCrossentropy",
            {"from_logits": from_logits},
        )
        for from_logits in (False, True)
    },
}


@pytest.fixture
def keras(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras", reason="Keras is not installed")


@pytest.mark.parametrize("weights", ["none", "samples", "steps"])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("name", PAIRS)
def test_a_loss_and_its_gradient_are_keras(name, sequences, weights, keras):
    loss, theirs, options = PAIRS[name]
    rng = np.random.default_rng(len(name))
    shape = (6, 3, 4) if sequences else (6, 4)
    logits = options.get("from_logits", True)
    raw = rng.normal(0, 3, shape) if logits else rng.uniform(0.02, 0.98, shape)
    loss = losses.get_loss(loss)
    y = loss.example(shape, rng)
    if loss.name == "categorical_crossentropy":  # shares, not only ones and zeros
        y = 0.5 * y + 0.5 * rng.dirichlet(np.ones(4), shape[:-1])
    w = {"none": None, "samples": rng.uniform(0, 2, 6), "steps": rng.uniform(0, 2, shape[:-1])}[weights]

    model = nbrnn.Sequential([nbrnn.Dense(4, use_bias=False)], input_shape=shape[1:], seed=0)
    model.set_weights([np.eye(4)])
    model.compile("sgd", loss)
    ours = nbrnn.check_gradients(model, raw, y, sample_weight=w)
    outputs = torch.tensor(raw, dtype=torch.float32, requires_grad=True)
    wide = w if w is None or w.ndim == len(shape) - 1 else np.repeat(w[:, None], 3, 1)
    target = (y[..., 0].astype("i4") if loss.targets == losses.LABELS else y.astype("f4")).copy()
    value = getattr(keras.losses, theirs)(**options)(target, outputs, None if wide is None else wide.astype("f4"))
    value.backward()
    expected = float(value.detach())
    assert model.evaluate(raw, y, sample_weight=w) == pytest.approx(expected, rel=1e-5)
    assert ours.loss == pytest.approx(expected, rel=1e-5)
    gradient = outputs.grad.numpy()
    np.testing.assert_allclose(ours.gradients["x"], gradient, rtol=1e-5, atol=1e-5 * np.abs(gradient).max())


@pytest.mark.parametrize("labels", [False, True])
def test_metrics_of_classes_are_keras(labels, keras):
    rng = np.random.default_rng(1)
    p, classes = rng.uniform(0, 1, (50, 4)).astype("f4"), rng.integers(0, 4, 50)
    one_hot = np.eye(4, dtype="f4")[classes]
    figures = ["accuracy", nbrnn.Precision(0.3), nbrnn.Recall(0.6, 2), "precision", "recall"]
    model = nbrnn.Sequential([nbrnn.Dense(4, use_bias=False)], input_shape=(4,), seed=0)
    model.set_weights([np.eye(4)])
    model.compile("sgd", f"{'sparse_' * labels}categorical_crossentropy", figures)
    found = model.evaluate(p, classes if labels else one_hot, batch_size=7)[1:]
    for value, metric in zip(
        found,
        [
            keras.metrics.CategoricalAccuracy(),
            keras.metrics.Precision(thresholds=0.3),
            keras.metrics.Recall(thresholds=0.6, class_id=2),
            keras.metrics.Precision(),
            keras.metrics.Recall(),
        ],
        strict=True,
    ):
        assert value == pytest.approx(float(metric(one_hot, p)), rel=1e-5)


def test_metrics_of_numbers_are_keras(keras):
    rng = np.random.default_rng(2)
    y, t = rng.normal(size=(2, 40, 3)).astype("f4")
    t += y
    model = nbrnn.Sequential([nbrnn.Dense(3, use_bias=False)], input_shape=(3,), seed=0)
    model.set_weights([np.eye(3)])
    model.compile("sgd", "mse", ["mae", "rmse", "r2", nbrnn.BinaryAccuracy(0.1)])
    found = model.evaluate(y, t, batch_size=9)[1:4]
    for value, metric in zip(
        found,
        [keras.metrics.MeanAbsoluteError(), keras.metrics.RootMeanSquaredError(), keras.metrics.R2Score()],
        strict=True,
    ):
        assert value == pytest.approx(float(metric(t, y)), rel=1e-5)


def test_weights_in_fit_are_keras(keras):
    """Class weights and sample weights move the weights as Keras' fit does."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(20, 5)).astype("f4"), rng.integers(0, 3, 20)
    for given in ({"class_weight": {0: 0.5, 2: 3.0}}, {"sample_weight": rng.uniform(0, 2, 20).astype("f4")}):
        model = nbrnn.Sequential([nbrnn.Dense(3)], input_shape=(5,), seed=1)
        model.compile(nbrnn.SGD(0.1), nbrnn.SparseCategoricalCrossentropy(from_logits=True))
        theirs = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
        theirs.set_weights(model.get_weights())
        theirs.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        settings = {"epochs": 3, "batch_size": 8, "shuffle": False, "verbose": 0}
        ours, other = model.fit(x, y, **settings, **given), theirs.fit(x, y, **settings, **given)
        np.testing.assert_allclose(ours.history["loss"], other.history["loss"], rtol=1e-5)
        for w, v in zip(model.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_allclose(w, v, rtol=1e-4, atol=1e-6)
