"""Targets and weights that do not fit a loss: one sentence that says what came and what is wanted."""

import numpy as np
import pytest
from test_losses import made

import nbrnn


def refused(name, y, text, sequences=False, outputs=4, fit=None):
    model = made(name, sequences, outputs=outputs)
    x = np.zeros((len(np.atleast_1d(y)), 3, 2))
    with pytest.raises(ValueError, match=text):
        model.fit(x, y, verbose=0, **(fit or {}))


@pytest.mark.parametrize(
    ("name", "y", "text"),
    [
        ("sparse", [0, 4, 1], r"y holds 4 in sample 1, but the model has 4 outputs: labels must be whole .* 0 to 3\."),
        ("sparse", [0, 1.5], r"y holds 1\.5 in sample 1, but"),
        ("sparse logits", [[-1], [0]], r"y holds -1 in sample 0"),
        ("sparse", np.eye(4), r"y has shape \(4, 4\), a number for each of the 4 classes.*argmax\(axis=-1\), or take"),
        ("categorical", [0, 1, 3], r"y has shape \(3,\), one number for all classes, .* np\.eye\(4\)\[y\], or take"),
        ("categorical", [[0], [1]], r"y has shape \(2, 1\), one number for all classes"),
        (
            "categorical",
            np.eye(4) * 2,
            r"y holds 2 in sample 0, but categorical_crossentropy takes targets from 0 to 1",
        ),
        ("categorical", np.eye(4)[[0, 1]] + np.eye(4)[[0, 2]] * [[0], [1]], r"of sample 1 sum to 2, .*binary_cross"),
        ("binary", np.full((2, 4), -0.1), r"y holds -0\.1 in sample 0, but binary_crossentropy takes targets from 0"),
        (
            "quantiles",
            np.zeros((3, 4)),
            r"\(3, 4\), but the model's output has shape \(3, 4\), whose targets for qu.*2\)",
        ),
        ("mse", np.zeros((3, 2)), r"y has shape \(3, 2\), but the model's output has shape \(3, 4\)\."),
    ],
)
def test_targets_that_do_not_suit_the_loss_are_refused(name, y, text):
    refused(name, y, text)


@pytest.mark.parametrize(
    ("name", "outputs", "text"),
    [
        ("categorical", 1, "needs an output for each class, 2 or more, but the model has 1"),
        ("sparse", 1, "needs an output for each class"),
        ("quantiles", 3, "Quantile of 2 quantiles needs as many outputs for every target, but the model has 3"),
    ],
)
def test_outputs_that_do_not_suit_the_loss_are_refused(name, outputs, text):
    refused(name, np.zeros(3), text, outputs=outputs)


@pytest.mark.parametrize(
    ("given_", "text"),
    [
        (dict(sample_weight=np.ones(4)), "sample_weight has 4 weights, but there are 3 samples"),
        (dict(sample_weight=[1, -1, 1]), "sample_weight must not be negative, as it is in sample 1"),
        (dict(sample_weight=[1, np.nan, 1]), "sample_weight holds a number that is not finite .* in sample 1"),
        (dict(sample_weight=np.ones((3, 2))), r"shape \(3, 2\), but must have the shape \(3,\), a number a sample\."),
        (dict(class_weight={4: 1.0}), "class_weight names the class 4, but the classes are 0 to 3"),
        (dict(class_weight={"no": 1.0}), "a class in class_weight must be a whole number"),
        (dict(class_weight={0: -1.0}), r"class_weight\[0\] must be a number of at least 0"),
        (dict(class_weight=[1.0, 2.0]), "class_weight must be a dict of class to weight"),
        (dict(validation_data=(1, 2, 3, 4, 5)), r"validation_data must be \(x, y\), \(x, y, sample_weight\) or"),
    ],
)
def test_weights_that_do_not_fit_are_refused(given_, text):
    refused("sparse", [0, 1, 2], text, fit=given_)


def test_weights_of_steps_are_named_for_sequences_and_classes_for_what_has_some():
    ones = np.ones((2, 2))
    refused(
        "mse",
        np.zeros((2, 3, 4)),
        r"\(2,\), a number a sample or \(2, 3\), a number",
        True,
        fit={"sample_weight": ones},
    )
    for name in ("mse", "binary"):
        refused(name, np.zeros((2, 4)), "class_weight needs targets that name a class", fit={"class_weight": {0: 2.0}})
    with pytest.raises(ValueError, match="sample_weight was given without y"):
        nbrnn.check_gradients(made("mse", False), np.zeros((2, 3, 2)), sample_weight=[1, 2])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nbrnn.Quantile(1.0), "q must be a number above 0 and below 1, or a list of such"),
        (lambda: nbrnn.Quantile([]), "or a list of such numbers, not \\[\\]"),
        (lambda: nbrnn.Quantile([0.5, 0]), "q must be a number above 0"),
        (lambda: nbrnn.BinaryCrossentropy(1), "from_logits must be True or False, not 1"),
        (lambda: nbrnn.CategoricalCrossentropy(label_smoothing=2), "label_smoothing must be a number .* at most 1"),
        (
            lambda: made("mse", False).compile(loss="categorical_crossentropi"),
            "did you mean 'categorical_crossentropy'",
        ),
        (lambda: made("mse", False).compile(loss=nbrnn.Precision()), "loss .* is unknown"),
    ],
)
def test_settings_that_are_out_of_range_are_refused(make, text):
    with pytest.raises(ValueError, match=text):
        make()
