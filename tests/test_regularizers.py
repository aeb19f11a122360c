"""L1 and L2: in the loss, once a batch in the gradient, whatever the cut; parity with Keras."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import random_data, random_model

import nbrnn
from nbrnn import GRU, L1, L1L2, L2, LSTM, Dense, SimpleRNN
from nbrnn.cases import Case, run_backward

KINDS = [None, "l1", "l2", "l1_l2", L1(0.3), L2(0.2), L1L2(0.1, 0.05)]
ROLES = ("kernel_regularizer", "recurrent_regularizer", "bias_regularizer")
kinds = st.sampled_from(KINDS)


def model_of(penalties, dtype="float64", cell=SimpleRNN):
    first, second = penalties[:3], penalties[3:]
    layers = [
        cell(3, **dict(zip(ROLES, first, strict=True))),
        Dense(2, kernel_regularizer=second[0], bias_regularizer=second[1]),
    ]
    model = random_model(layers, (4, 2), seed=3, dtype=dtype)
    model.compile("sgd", "mse", ["mse"])
    return model


def expected(model):
    """Return the penalty of a model and its gradients, from the definition."""
    total, slopes = 0.0, {}
    for layer in model.layers:
        for role, regularizer in layer.regularizers.items():
            for name, w in layer._views().items():
                if name.split("_")[0] == role.split("_")[0]:
                    l1, l2 = regularizer.l1, regularizer.l2
                    total += l1 * np.abs(w).sum() + l2 * (w**2).sum()
                    slopes[f"{layer.name}/{name}"] = l1 * np.sign(w) + 2 * l2 * w
    return total, slopes


@settings(max_examples=30, deadline=None)
@given(penalties=st.tuples(*[kinds] * 5), samples=st.sampled_from((1, 7, 33, 50)))
def test_the_penalty_joins_loss_and_gradient_once_whatever_the_cut(penalties, samples):
    model, plain = model_of(penalties), model_of([None] * 5)
    plain.set_weights(model.get_weights())
    x, y = random_data(model, samples, 0)
    total, slopes = expected(model)
    loss, gradients = run_backward_of(model, x, y)
    bare, others = run_backward_of(plain, x, y)
    assert loss == pytest.approx(bare + total, rel=1e-12)
    for name, other in others.items():
        np.testing.assert_allclose(gradients[name], other + slopes.get(name, 0.0), rtol=1e-12, atol=1e-13)
    figures = model.evaluate(x, y, batch_size=16, return_dict=True)
    assert figures["loss"] == pytest.approx(figures["mse"] + total, rel=1e-12)
    model.optimizer.learning_rate = 1e-300
    history = model.fit(x, y, batch_size=40, epochs=2, verbose=0).history
    assert history["loss"] == pytest.approx([bare + total] * 2, rel=1e-12)


def run_backward_of(model, x, y):
    optimizer, model.optimizer, metrics, model.metrics = model.optimizer, None, model.metrics, []
    try:
        return run_backward(model, Case(x, y))
    finally:
        model.optimizer, model.metrics = optimizer, metrics


def test_bits_do_not_depend_on_threads():
    weights = []
    threads = nbrnn.get_num_threads()
    for count in (1, threads):
        model = random_model([LSTM(40, kernel_regularizer="l2"), Dense(1, kernel_regularizer="l1")], (20, 3), seed=1)
        model.compile("adam", "mse")
        x, y = random_data(model, 130, 0)
        try:
            nbrnn.set_num_threads(count)
            model.fit(x, y, batch_size=64, epochs=2, verbose=0)
        finally:
            nbrnn.set_num_threads(threads)
        weights.append([w.tobytes() for w in model.get_weights()])
    assert weights[0] == weights[1]


def test_without_penalties_a_program_has_no_call_for_them():
    for penalties, calls in (([None] * 5, 0), (["l2", None, None, "l1", None], 2)):
        kernels = [call.kernel for call in model_of(penalties).program(batch_size=4).calls]
        assert kernels.count("penalty") == calls
    assert "penalty" not in [c.kernel for c in model_of(["l2"] * 5).program(4, mode="predict").calls]


def test_a_trace_shows_what_the_data_do_without_penalties():
    model, plain = model_of(["l2"] * 5), model_of([None] * 5)
    x, y = random_data(model, 1, 0)

    def numbers(part):  # all but the layers' arguments
        if isinstance(part, dict):
            return {key: numbers(value) for key, value in part.items() if key != "config"}
        return [numbers(value) for value in part] if isinstance(part, list) else part

    shown = [numbers(json.loads(nbrnn.trace(m, x, y).to_json())) for m in (model, plain)]
    assert shown[0] == shown[1]


def test_penalties_are_saved_and_copied(tmp_path):
    model = model_of(["l1", L2(0.3), L1L2(0.1, 0.2), None, "l1_l2"])
    model.save(tmp_path / "m")
    again = nbrnn.load_model(tmp_path / "m")
    for ours, theirs in zip(again.layers, model.layers, strict=True):
        assert ours.regularizers == theirs.regularizers and repr(ours) == repr(theirs)
    x, y = random_data(model, 5, 0)
    assert again.evaluate(x, y) == model.evaluate(x, y)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: L2(-1), "l2 must be a number of at least 0, not -1"),
        (lambda: L1("a"), "l1 must be a number of at least 0, not 'a'"),
        (lambda: Dense(1, kernel_regularizer="l3"), "kernel_regularizer 'l3' is unknown"),
        (lambda: LSTM(1, recurrent_regularizer=0.1), "recurrent_regularizer 0.1 is unknown"),
        (lambda: GRU(1, bias_regularizer={"class": "L2", "config": {"l1": 1}}), "bias_regularizer: L2 cannot be made"),
        (lambda: GRU(1, bias_regularizer={"class": "L22"}), "did you mean 'L2'?"),
    ],
)
def test_bad_penalties_are_refused(make, words):
    with pytest.raises(ValueError) as caught:
        make()
    assert words in str(caught.value)
