"""Metrics against NumPy, over batches and shards; the confusion matrix; what is refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import few, random_model, seeds

import nbrnn
from nbrnn import metrics
from nbrnn.losses import Rows
from nbrnn.program import Layout, Program

SPARSE = "sparse_categorical_crossentropy"
ERRORS = ("mse", "mae", "rmse", "huber", "r2")
CLASSES = ("accuracy", "precision", "recall", nbrnn.Precision(0.3, 1), nbrnn.Recall(0.4, 2))


def made(loss, outputs, sequences, figures, activation=None, seed=1):
    layers = [nbrnn.SimpleRNN(3, return_sequences=sequences), nbrnn.Dense(outputs, activation)]
    model = random_model(layers, (3, 2), seed)
    model.compile("sgd", loss, metrics=figures)
    return model


def data(model, samples, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(samples, 3, 2)), model.loss.example((samples, *model.output_shape), rng)


def r2(y, t):
    y, t = y.reshape(-1, y.shape[-1]), t.reshape(-1, t.shape[-1])
    return float(np.mean(1 - ((y - t) ** 2).sum(0) / ((t - t.mean(0)) ** 2).sum(0)))


def share(hits, whole):
    return hits.sum() / whole.sum() if whole.any() else 0.0


@given(outputs=few, sequences=st.booleans(), samples=st.integers(2, 9), batch=few, seed=seeds)
def test_errors_are_those_by_hand_whatever_the_batch(outputs, sequences, samples, batch, seed):
    model = made("mse", outputs, sequences, ERRORS)
    x, t = data(model, samples, seed)
    e = model.predict(x) - t
    mse = (e**2).mean()
    huber = np.where(np.abs(e) <= 1, e**2 / 2, np.abs(e) - 0.5).mean()
    expected = [mse, mse, np.abs(e).mean(), math.sqrt(mse), huber, r2(e + t, t)]
    assert model.evaluate(x, t, batch_size=batch) == pytest.approx(expected, rel=1e-9)
    weights = np.random.default_rng(seed).uniform(0, 1, samples)
    weighed = model.evaluate(x, t, batch_size=batch, sample_weight=weights)
    assert weighed[1:] == pytest.approx(expected[1:], rel=1e-9) and weighed[0] != pytest.approx(mse, rel=1e-6)


@pytest.mark.parametrize("loss", [SPARSE, "categorical_crossentropy"])
@given(outputs=st.sampled_from((3, 5)), sequences=st.booleans(), samples=few, batch=few, seed=seeds)
def test_figures_of_classes_are_those_by_hand(loss, outputs, sequences, samples, batch, seed):
    own = f"{'sparse_' * loss.startswith('sparse')}categorical_accuracy"
    model = made(loss, outputs, sequences, [*CLASSES, own], "sigmoid")
    x, t = data(model, samples, seed)
    p = model.predict(x).reshape(-1, outputs)
    labels = (t.argmax(-1) if loss.startswith("cat") else t[..., 0].astype(int)).reshape(-1)
    yes, right = np.eye(outputs)[labels] > 0, (p.argmax(-1) == labels).mean()
    expected = [right, share(yes & (p > 0.5), p > 0.5), share(yes & (p > 0.5), yes)]
    expected += [share((yes & (p > 0.3))[:, 1], p[:, 1] > 0.3), share((yes & (p > 0.4))[:, 2], yes[:, 2]), right]
    assert model.evaluate(x, t, batch_size=batch)[1:] == pytest.approx(expected, abs=1e-12)
    matrix = nbrnn.confusion_matrix(t, model.predict(x))
    assert matrix.accuracy == pytest.approx(right) and matrix.counts.shape == (outputs, outputs)


@given(outputs=few, sequences=st.booleans(), samples=few, batch=few, seed=seeds)
def test_binary_accuracy_looks_at_each_output(outputs, sequences, samples, batch, seed):
    chosen = ["binary_accuracy", nbrnn.BinaryAccuracy(0.2)] + ["accuracy"] * (outputs == 1)
    model = made("binary_crossentropy", outputs, sequences, chosen, "sigmoid")
    x, t = data(model, samples, seed)
    t, p = np.round(t), model.predict(x)
    half, low = ((p > at) == t for at in (0.5, 0.2))
    expected = [half.mean(), low.mean()] + [half.mean()] * (outputs == 1)
    assert model.evaluate(x, t, batch_size=batch)[1:] == pytest.approx(expected, abs=1e-12)
    if outputs == 1:
        matrix = nbrnn.confusion_matrix(t[..., 0], p)
        assert matrix.accuracy == pytest.approx(half.mean()) and matrix.counts.shape == (2, 2)


def test_several_shards_and_a_fit_give_the_same_figures():
    model = made(SPARSE, 4, True, [*CLASSES, "accuracy"], "sigmoid")
    x, t = data(model, 300, 3)
    whole = model.evaluate(x, t, batch_size=300)
    assert model.evaluate(x, t, batch_size=7) == pytest.approx(whole, rel=1e-12)
    assert model.train_on_batch(x, t) == pytest.approx(whole, rel=1e-12)
    assert model.metrics_names[-1] == "accuracy_1" and whole[1] == whole[-1]
    model.compile(nbrnn.SGD(1e-12), SPARSE, CLASSES)
    history = model.fit(x, t, batch_size=64, verbose=0, validation_split=0.5).history
    assert history["val_precision"][0] == pytest.approx(model.evaluate(x[150:], t[150:])[2], rel=1e-9)


def test_r2_of_targets_that_do_not_vary():
    model = made("mse", 2, False, ["r2"])
    x, _ = data(model, 5, 0)
    assert model.evaluate(x, model.predict(x))[1] == 1.0
    model.set_weights([w * 0 for w in model.get_weights()])
    assert model.evaluate(x, np.zeros((5, 2)))[1] == 1.0 and model.evaluate(x, np.full((5, 2), 0.1))[1] == 0.0
    t = np.array([[1.0, 5.0]] * 4 + [[2.0, 5.0]])  # the first column varies, the second is missed everywhere
    assert model.evaluate(x, t)[1] == pytest.approx((1 - (t[:, 0] ** 2).sum() / 0.8) / 2)


def test_nothing_found_or_asked_for_is_zero():
    model = made("binary_crossentropy", 1, False, ["precision", "recall"], "sigmoid")
    model.set_weights([*model.get_weights()[:-1], np.array([-50.0])])
    x, _ = data(model, 4, 0)
    assert model.evaluate(x, np.ones((4, 1)))[1:] == [0.0, 0.0] and model.evaluate(x, np.zeros((4, 1)))[1:] == [0, 0]


@pytest.mark.parametrize("name", ["r2", "precision", "categorical_accuracy", "rmse"])
def test_words_and_calls_agree_under_a_mask(name):
    """The program's statistics are as many as the figure says, its last one the count where it is a mean."""
    p, figure = Program(np.dtype("f8"), 3, Layout(8), "by hand", 8), metrics.get_metric(name)
    p.buffer("control", 8, block="control")
    y, target, mask, valid = (
        p.buffer(n, *s) for n, s in (("y", (2, 3, 4)), ("t", (2, 3, 4)), ("m", (6,)), ("v", (1,)))
    )
    p.buffer("stats", 20, block="stats")
    figure.lower(p, Rows.pair(p, Rows(y, target, 3, None, mask, valid))[1], 2, None)
    assert [call.kernel for call in p.calls[1:]] == (["count_rows"] if name in ("categorical_accuracy", "rmse") else [])
    assert p.calls[0].arguments["weight"] is mask and p.calls[-1].arguments["slot"] - 2 < figure.words(4, masked=True)


def test_a_model_file_keeps_the_metrics(tmp_path):
    figures = ["accuracy", nbrnn.Recall(0.3, 1), "r2", nbrnn.BinaryAccuracy(0.1), "categorical_accuracy"]
    model = made("categorical_crossentropy", 3, False, figures, "sigmoid")
    model.save(tmp_path / "m.safetensors")
    again, (x, t) = nbrnn.load_model(tmp_path / "m.safetensors"), data(model, 9, 0)
    assert again.metrics == model.metrics and again.evaluate(x, t) == model.evaluate(x, t)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: made("mse", 1, False, ["accurracy"]), "did you mean 'accuracy'"),
        (lambda: nbrnn.Precision([0.1, 0.2]), "thresholds must be one number, not .*: give a metric for each"),
        (lambda: nbrnn.Recall(class_id=-1), "class_id must be a whole number of at least 0"),
        (lambda: nbrnn.BinaryAccuracy(np.nan), "threshold must be a number"),
        (
            lambda: made("mse", 2, False, [nbrnn.Recall(class_id=2)]).program(mode="evaluate"),
            "class_id must be below .* 2",
        ),
        (
            lambda: made("sparse_categorical_crossentropy", 3, False, ["mae"]).program(),
            "metric mae wants 3 numbers .* 1;",
        ),
        (lambda: made("mse", 1, False, ["categorical_accuracy"]).program(), 'one output: take "binary_accuracy"'),
        (lambda: made(nbrnn.Quantile([0.1, 0.9]), 4, True, ["r2"]).program(), "r2 wants 4 numbers .* quantile it is 2"),
    ],
)
def test_metrics_that_do_not_fit_are_refused(make, text):
    with pytest.raises(ValueError, match=text):
        make()


# ---------------------------------------------------------------- the confusion matrix


def test_a_confusion_matrix_counts():
    matrix = nbrnn.confusion_matrix([0, 1, 2, 2, 1], np.eye(4)[[0, 2, 2, 1, 1]])
    expected = [[1, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert matrix.counts.tolist() == expected and np.asarray(matrix).tolist() == expected
    assert matrix.accuracy == 0.6 and matrix.precision.tolist() == [1, 0.5, 0.5, 0]
    assert matrix.recall.tolist() == [1, 0.5, 0.5, 0]
    text = str(matrix).splitlines()
    assert text[2].split() == ["0", "1", "0", "0", "0", "1.000"] and text[-1] == "accuracy 0.600 of 5"
    for truth in ([[0], [1], [2], [2], [1]], np.eye(3)[[0, 1, 2, 2, 1]]):
        assert nbrnn.confusion_matrix(truth, [0, 2, 2, 1, 1], classes=4).counts.tolist() == expected


@given(classes=st.integers(2, 5), samples=st.integers(1, 30), seed=seeds)
def test_a_confusion_matrix_is_the_loop(classes, samples, seed):
    rng = np.random.default_rng(seed)
    truth, guess = rng.integers(0, classes, (2, samples))
    counts = np.zeros((classes, classes), int)
    for t, g in zip(truth, guess, strict=True):
        counts[t, g] += 1
    assert (nbrnn.confusion_matrix(truth, guess, classes).counts == counts).all()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (([0, 1], [0, 1, 1]), "y_true names the classes of 2 samples, y_pred of 3"),
        (([], []), "they must be as many, and some"),
        (([0, 3], [0, 1], 2), "y_true holds 3, but classes are whole numbers from 0 to 1"),
        (([0, 1], [0, -1]), "y_pred holds -1, but"),
        (([0.5, 1], [0, 1]), r"y_true holds 0\.5"),
        ((np.full((2, 3), 0.5), np.eye(3)[:2]), "one-hot rows of one 1 and zeros else"),
        ((["a"], [0]), "y_true must hold real numbers only"),
        (([0, 1], [0, 1], 1), "classes must be a whole number of at least 2"),
    ],
)
def test_what_is_no_class_is_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        nbrnn.confusion_matrix(*arguments)


def test_a_confusion_matrix_is_made_from_a_model():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(40, 3)), rng.integers(0, 4, 40)
    model = random_model([nbrnn.Dense(4, "softmax")], (3,), seed=1)
    expected = nbrnn.confusion_matrix(labels, model.predict(x))
    assert (nbrnn.ConfusionMatrix.of(model, x, labels).counts == expected.counts).all() and 0 < expected.accuracy < 1
    logit = random_model([nbrnn.Dense(1)], (3,), seed=1)
    outputs = logit.predict(x)
    assert ((outputs > 0) & (outputs < 0.5)).any()
    for loss, threshold in (("mse", 0.5), (nbrnn.BinaryCrossentropy(from_logits=True), 0.0)):
        logit.compile("sgd", loss)
        matrix = nbrnn.ConfusionMatrix.of(logit, x, labels % 2)
        assert (matrix.counts == nbrnn.confusion_matrix(labels % 2, outputs, threshold=threshold).counts).all()
    a = nbrnn.Input((3,))
    two = nbrnn.Model(a, [nbrnn.Dense(2, name="u")(a), nbrnn.Dense(2, name="v")(a)])
    with pytest.raises(ValueError, match="one of one output, but the model has u, v"):
        nbrnn.ConfusionMatrix.of(two, x, labels)
