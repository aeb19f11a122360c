"""Custom cells under masks: what they give and their gradients are those of the valid steps alone."""

import numpy as np
import pytest
from cases_cells import LEAKY, MIN_GRU, OWN_LSTM, written
from support import assert_close

import nbrnn
from nbrnn.testing import random_model

TEXTS = {"MinGRU": MIN_GRU, "OwnLSTM": OWN_LSTM, "Leaky": LEAKY}


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Return the custom cells by name."""
    folder = tmp_path_factory.mktemp("cells")
    return {name: getattr(written(folder, name.lower(), text), name) for name, text in TEXTS.items()}


@pytest.mark.parametrize("backwards", (False, True))
@pytest.mark.parametrize("every", (False, True))
@pytest.mark.parametrize("name", TEXTS)
def test_gradients_are_exact_under_a_mask(cells, name, every, backwards):
    lower = cells[name](3, return_sequences=True, go_backwards=backwards, zero_output_for_mask=True)
    layers = [nbrnn.Masking(), lower, cells[name](2, return_sequences=every), nbrnn.Dense(1)]
    x = np.random.default_rng(0).normal(size=(4, 5, 2))
    x[0, 3:] = x[1, 1:3] = x[2] = 0
    assert nbrnn.check_gradients(random_model(layers, (5, 2), loss="mse"), x).passed


def test_a_masked_cell_is_the_packages_lstm(cells):
    models = [random_model([cell(4, return_state=True)], (6, 3)) for cell in (nbrnn.LSTM, cells["OwnLSTM"])]
    models[1].set_weights(models[0].get_weights())
    rng = np.random.default_rng(0)
    x, mask = rng.normal(size=(5, 6, 3)), rng.random((5, 6)) < 0.6
    for ours, theirs in zip(*(model.predict(x, mask=mask) for model in models), strict=True):
        assert_close(theirs, ours, 1e-12)
