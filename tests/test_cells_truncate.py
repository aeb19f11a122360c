"""Truncated backpropagation through custom cells is that through the package's own."""

import numpy as np
import pytest
from cases_cells import own_cell
from support import assert_close

import nbrnn
from nbrnn.testing import random_model


@pytest.mark.parametrize("truncate", (None, 1, 3, 7, 9))
@pytest.mark.parametrize("every", (False, True))
def test_a_truncated_cell_is_the_packages_lstm(every, truncate):
    rng, trained, first = np.random.default_rng(0), [], None
    x, y = rng.normal(size=(6, 7, 2)), rng.normal(size=(6, 7, 2) if every else (6, 2))
    for cell in (nbrnn.LSTM, own_cell("OwnLSTM")):
        layers = [cell(3, return_sequences=True), cell(4, return_sequences=every), nbrnn.Dense(2)]
        model = random_model(layers, (7, 2), seed=1, loss="mse")
        first = model.get_weights() if first is None else first
        model.set_weights(first)
        model.fit(x, y, batch_size=3, epochs=3, shuffle=False, verbose=0, truncate=truncate)
        trained.append(model.get_weights())
    for ours, theirs, before in zip(*trained, first, strict=True):
        assert_close(theirs, ours, 1e-12)
        assert not np.array_equal(ours, before)
