"""Custom cells under masks: what they give and their gradients are those of the valid steps alone."""

import numpy as np
import pytest
from cases_cells import TEXTS, own_cell
from support import assert_close

import nbrnn
from nbrnn.testing import random_model


@pytest.mark.parametrize("backwards", (False, True))
@pytest.mark.parametrize("every", (False, True))
@pytest.mark.parametrize("name", TEXTS)
def test_gradients_are_exact_under_a_mask(name, every, backwards):
    lower = own_cell(name)(3, return_sequences=True, go_backwards=backwards, zero_output_for_mask=True)
    layers = [nbrnn.Masking(), lower, own_cell(name)(2, return_sequences=every), nbrnn.Dense(1)]
    x = np.random.default_rng(0).normal(size=(4, 5, 2))
    x[0, 3:] = x[1, 1:3] = x[2] = 0
    assert nbrnn.check_gradients(random_model(layers, (5, 2), loss="mse"), x).passed


def test_a_masked_cell_is_the_packages_lstm():
    models = [random_model([cell(4, return_state=True)], (6, 3)) for cell in (nbrnn.LSTM, own_cell("OwnLSTM"))]
    models[1].set_weights(models[0].get_weights())
    rng = np.random.default_rng(0)
    x, mask = rng.normal(size=(5, 6, 3)), rng.random((5, 6)) < 0.6
    for ours, theirs in zip(*(model.predict(x, mask=mask) for model in models), strict=True):
        assert_close(theirs, ours, 1e-12)
