"""The suspects of lesson 5: forward they are SimpleRNN, and each fault of their backward pass has its own signature."""

import numpy as np
import pytest
from support import random_data, random_model

import nbrnn
from nbrnn.suspects import SUSPECTS

EVERYTHING = {"kernel", "recurrent_kernel", "bias", "x", "h0"}
SIGNATURES = {  # the gradients that are wrong at one step, and at three
    "A": (set(), EVERYTHING),
    "B": (set(), {"bias"}),
    "C": (set(), set()),
    "D": ({"recurrent_kernel"}, {"recurrent_kernel"}),
    "E": (EVERYTHING, EVERYTHING),
}


def model_of(name, steps):
    return random_model([SUSPECTS[name](3), nbrnn.Dense(1)], (steps, 2), seed=2)


@pytest.mark.parametrize("name", SUSPECTS)
@pytest.mark.parametrize("steps", [1, 3])
def test_a_suspect_has_its_own_signature(name, steps):
    model = model_of(name, steps)
    report = nbrnn.check_gradients(model, random_data(model, 2, 1)[0])
    wrong = {row.name.split("/")[-1] for row in report.rows if row.relative_error > 1e-6}
    assert wrong == SIGNATURES[name][steps > 1]


@pytest.mark.parametrize("name", SUSPECTS)
def test_forward_a_suspect_is_a_simple_rnn(name):
    model, plain = model_of(name, 4), random_model([nbrnn.SimpleRNN(3), nbrnn.Dense(1)], (4, 2))
    plain.set_weights(model.get_weights())
    x, _ = random_data(model, 5, 3)
    assert (model.predict(x) == plain.predict(x)).all()
    assert np.isfinite(model.predict(x)).all()
