"""Custom cells under truncation, and within layers that get their outputs back."""

import numpy as np
import pytest
from cases_cells import own_cell
from feedback_models import MODES, SEEN
from support import assert_close, random_data, random_model
from test_truncation import step, summed

import nbrnn
from nbrnn import Dense, Feedback


@pytest.fixture(params=["MinGRU", "OwnLSTM"])
def cell(request):
    return own_cell(request.param)


def test_a_custom_cell_is_truncated_as_others_are(cell):
    for every in (True, False):
        model = random_model([cell(3, return_sequences=every, return_state=True), Dense(2)], (None, 2), 1)
        x, y = random_data(model, 3, 1, 5)
        for k in (1, 2, 3, 7):
            for ours, theirs in zip(step(model, x, y, truncate=k), summed(model, x, y, k), strict=True):
                assert_close(ours, theirs, 1e-11, least=SEEN)


@pytest.mark.parametrize("mode", sorted(MODES))
def test_a_custom_cell_gets_its_outputs_back(cell, mode, tmp_path):
    model = random_model([Feedback([cell(3), Dense(2)], 2, training=MODES[mode])], (4, 2), 1)
    model.compile("sgd", "mse")
    x, y = random_data(model, 2, 2)
    for arguments in ({"y": y}, {}, {"y": y, "training": False}):
        report = nbrnn.check_gradients(model, x, **arguments)
        assert report.passed, report
    model.save(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(nbrnn.load_model(tmp_path / "m.safetensors").predict(x), model.predict(x))
