"""The faulty layers of lessons 10 and 12: forward they are right, and each fault of the way back has its signature."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import random_data, random_model, seeds

import nbrnn
from nbrnn.tutorial.broken import GATED, MASKED, GatedSuspect, question

INNER = {"W", "U", "b", "x", "h0"}
SIGNATURES = {  # the gradients that are wrong at one step, and at three; the gates whose columns are, at one step
    "F": ({"c0"}, INNER | {"c0"}, ""),
    "G": (INNER | {"c0"}, INNER | {"c0"}, "ifn"),
    "H": (set(), set(), ""),
    "I": (INNER, INNER | {"c0"}, "if"),
    "J": ({"h0"}, INNER | {"c0"}, ""),
    "K": (INNER, INNER | {"c0"}, "f"),
}
RAGGED = [5, 1, 3]


def names(report):
    return {row.name.split("/")[-1] for row in report.rows if row.relative_error > 1e-6}


def pair(layer, plain, steps):
    """Return a model of a layer, and one of another with the same weights."""
    models = [random_model([one(3), nbrnn.Dense(1)], (steps, 2), seed=2) for one in (layer, plain)]
    models[1].set_weights(models[0].get_weights())
    return models


@pytest.mark.parametrize("letter", GATED)
def test_a_gated_suspect_has_its_own_signature(letter):
    one, three, gates = SIGNATURES[letter]
    wrong, columns = question(GATED[letter], 1)
    assert set(wrong.split()) - {"none"} == one and columns.replace(" ", "") == (gates or "none")
    assert set(question(GATED[letter], 3)[0].split()) - {"none"} == three


def test_an_lstm_is_not_accused():
    assert question(nbrnn.LSTM, 1) == question(nbrnn.LSTM, 3) == ("none", "none")


def test_signatures_tell_the_gated_suspects_apart():
    assert len({(frozenset(one), frozenset(three), gates) for one, three, gates in SIGNATURES.values()}) == len(GATED)


@given(
    letter=st.sampled_from(sorted(GATED)),
    steps=st.integers(2, 4),
    features=st.integers(1, 3),
    units=st.integers(1, 4),
    seed=seeds,
)
def test_a_fault_is_found_whatever_the_sizes_and_the_weights(letter, steps, features, units, seed):
    model = random_model([GATED[letter](units), nbrnn.Dense(1)], (steps, features), seed=seed)
    x = np.random.default_rng(seed).normal(size=(2, steps, features))
    assert nbrnn.check_gradients(model, x, tolerance=1e-9).passed == (letter == "H")


@pytest.mark.parametrize("letter", GATED)
def test_forward_a_gated_suspect_is_an_lstm(letter):
    model, plain = pair(GATED[letter], nbrnn.LSTM, 4)
    x = random_data(model, 5, 3)[0]
    np.testing.assert_allclose(model.predict(x), plain.predict(x), rtol=0, atol=1e-14)


def test_the_gated_cell_without_a_fault_passes_with_a_mask_and_by_its_steps():
    model = random_model([GatedSuspect(2, return_sequences=True), nbrnn.Dense(1)], (5, 2))
    assert nbrnn.check_gradients(model, random_data(model, 3, 1)[0], lengths=RAGGED).passed


@pytest.mark.parametrize("options", [{}, {"return_sequences": True}])
@pytest.mark.parametrize("letter", MASKED)
def test_one_of_the_two_goes_back_through_masked_steps(letter, options):
    model, plain = pair(lambda units: MASKED[letter](units, **options), lambda u: nbrnn.SimpleRNN(u, **options), 5)
    x = random_data(model, 3, 1)[0]
    assert nbrnn.check_gradients(model, x).passed
    assert (model.predict(x, lengths=RAGGED) == plain.predict(x, lengths=RAGGED)).all()
    report = nbrnn.check_gradients(model, x, lengths=RAGGED)
    padding = np.arange(5) >= np.array(RAGGED)[:, None]
    assert names(report) == ({"kernel", "recurrent_kernel", "bias", "x", "h0"} if letter == "L" else set())
    assert report.gradients["x"][padding].any() == (letter == "L")
    assert report.gradients["x"][~padding].any()


def test_with_targets_the_one_is_still_wrong_and_the_other_right():
    for letter, layer in MASKED.items():
        model = random_model([layer(3), nbrnn.Dense(1)], (5, 2))
        model.compile("sgd", "mse")
        x, y = random_data(model, 3, 1)
        assert nbrnn.check_gradients(model, x, y, lengths=RAGGED).passed == (letter == "M")
