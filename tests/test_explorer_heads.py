"""The explorer's page of classifiers, of masked sequences and of what stands between the cell and the output.

In headless Chromium, from file://, without a network; an error in the console fails.
"""

import numpy as np
import pytest
from browsing import TAB, bars, sandbox, shown
from test_explorer import made
from test_explorer_page import numbers_agree, terms_agree
from test_explorer_use import OVER, badge, type_into

import nbrnn
from nbrnn import GRU, LSTM, Activation, Dense, Flatten, Masking, SimpleRNN, Softmax

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore:layer .* ends the mask")]
WALK = "explorer.turn(arguments[0]); explorer.go(arguments[1]); explorer.select(arguments[2], 0)"
HOLES = [1, 0, 1, 1, 0]
CASES = {  # layers, loss, mask
    "classes": (lambda: [GRU(2), Dense(3), Softmax()], "sparse_categorical_crossentropy", HOLES),
    "softmax": (lambda: [LSTM(2), Dense(3, "softmax")], "categorical_crossentropy", None),
    "each step": (
        lambda: [SimpleRNN(2, return_sequences=True), Dense(3, "softmax")],
        nbrnn.CategoricalCrossentropy(label_smoothing=0.1),
        [0, 1, 1, 0, 1],
    ),
    "logits": (lambda: [LSTM(2), Dense(3)], nbrnn.SparseCategoricalCrossentropy(from_logits=True), HOLES),
    "sigmoid": (
        lambda: [GRU(2, return_sequences=True, reset_after=False), Dense(2, "sigmoid")],
        "binary_crossentropy",
        HOLES,
    ),
    "a logit": (lambda: [SimpleRNN(2), Dense(1)], nbrnn.BinaryCrossentropy(True, label_smoothing=0.2), None),
    "no head": (lambda: [SimpleRNN(1, "sigmoid", return_sequences=True)], "binary_crossentropy", HOLES),
    "flat": (lambda: [LSTM(2, return_sequences=True), Flatten(), Dense(1, "sigmoid")], "binary_crossentropy", None),
    "flat, masked": (
        lambda: [GRU(2, return_sequences=True, go_backwards=True), Flatten(), Dense(2), Softmax()],
        "sparse_categorical_crossentropy",
        HOLES,
    ),
    "zeros": (lambda: [LSTM(2, return_sequences=True, zero_output_for_mask=True), Dense(2)], "mae", HOLES),
    "between": (lambda: [SimpleRNN(2, return_sequences=True), Activation("tanh"), Dense(1)], "huber", HOLES),
    "deeper": (lambda: [LSTM(2), Dense(3, "tanh"), Dense(2), Softmax()], "categorical_crossentropy", None),
    "a stack": (lambda: [GRU(2, return_sequences=True), LSTM(2), Dense(2, "softmax")], "mse", HOLES),
}


def case(name, steps=5):
    """Return a model, an input, a target and a mask."""
    layers, loss, mask = CASES[name]
    return *made(layers(), steps, 2, seed=11, loss=loss), mask


@pytest.mark.parametrize("name", CASES)
def test_the_pages_numbers_and_terms_are_the_traces(opened, name):
    model, x, y, mask = case(name)
    browser = sandbox(opened(model, x, y, mask=mask))
    numbers_agree(browser, nbrnn.trace(model, x, y, mask=mask))
    assert abs(browser.run("return explorer.run.loss") - nbrnn.trace(model, x, y, mask=mask).loss) <= 1e-12
    assert badge(browser)[0] == "good" and browser.wait("explorer.checked")
    assert terms_agree(browser, 5) > 20


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("zero", [False, True])
def test_the_layer_that_masks_is_the_engines(opened, back, zero):
    layers = [
        Masking(),
        LSTM(2, return_sequences=True, go_backwards=back, zero_output_for_mask=zero),
        GRU(2, return_sequences=zero),
        Dense(3, "softmax"),
    ]
    model, x, y = made(layers, 6, 2, seed=12, loss="categorical_crossentropy")
    x[[0, 3, 5]] = 0
    for layer in (1, 2):
        browser = opened(model, x, y, layer=layer)
        numbers_agree(browser, nbrnn.trace(model, x, y))
        assert badge(browser)[0] == "good"
    part = opened(model, x, y, layer=1, units=[1], steps=[2, 4])
    assert part.run("return explorer.agreement.error") <= 1e-12


def test_softmax_and_cross_entropy_hand_back_p_less_y_and_light_it(opened):
    model, x, _, mask = case("classes")
    browser = sandbox(opened(model, x, 2, mask=mask))
    assert "= −ln" in browser.text("#result") and "class, from 0: 2" in browser.text("#result")
    p = np.array(shown_at(browser, "out", 4))
    assert abs(p.sum() - 1) <= 1e-12 and np.allclose(p, nbrnn.trace(model, x, mask=mask).output, rtol=0, atol=1e-12)
    browser.find("#backward").click()
    assert np.allclose(shown(browser, "head"), p - [0, 0, 1], rtol=0, atol=1e-12)
    browser.find('#cell button[data-q="head"][data-unit="2"]').click()
    assert "p − y: softmax and cross-entropy together" in browser.text("#formula")
    lit = """
        document.querySelectorAll('#formula .line:last-child .term')[arguments[0]].focus();
        return [...document.querySelectorAll('.lit')].map((node) => node.dataset.ref)
    """
    assert set(browser.run(lit, 0)) == {"y@4:2"}
    browser.find('#cell button[data-q="dh_loss"][data-unit="1"]').click()
    assert set(browser.run(lit, 2)) == {"dy@4:2", "dense/W:1:2"}


def shown_at(browser, quantity, t):
    browser.run("explorer.go(arguments[0])", t)
    return shown(browser, quantity)


def test_a_probability_that_the_loss_holds_hands_back_nothing(opened):
    model, x, _, _ = case("softmax")
    weights = model.get_weights()
    weights[-1] = np.array([50.0, 0.0, 0.0])
    model.set_weights(weights)
    browser = sandbox(opened(model, x, [0, 1, 0]))
    browser.find("#backward").click()
    browser.find('#cell button[data-q="head"]').click()
    assert badge(browser)[0] == "good" and "held at the loss' limit" in browser.text("#formula")
    assert shown(browser, "head") == [0, 0, 0]


# ---------------------------------------------------------------- masked steps


@pytest.mark.parametrize("cell", [SimpleRNN, LSTM, GRU])
def test_a_masked_step_is_grey_and_says_so_and_hands_on_what_it_gets(opened, cell):
    model, x, y = made([cell(2, return_sequences=True), Dense(1)], 4, 1, seed=3)
    browser = sandbox(opened(model, x, y, mask=[1, 1, 0, 1]))
    grey = "return [...document.querySelectorAll('.step.masked')].map((node) => node.getAttribute('aria-label'))"
    assert browser.run(grey) == ["step 3, masked"]
    before = shown_at(browser, "h", 1)
    assert shown_at(browser, "h", 2) == before
    assert browser.text("#where") == "step 3 of 4, forward, masked"
    assert browser.find("#slider").get_attribute("aria-valuetext") == "step 3 of 4, forward, masked"
    assert "step 3 of 4, forward, masked: h =" in browser.run("return document.getElementById('said').textContent")
    assert "masked: the memory stays" in browser.text("#cell") and shown(browser, "a") == []
    colour = "return getComputedStyle(document.querySelector(arguments[0])).backgroundColor"
    tiles = [browser.run(colour, f'[data-step="{t}"] [data-strip="h"]') for t in (1, 2)]
    assert tiles[0] != tiles[1]
    browser.find("#backward").click()
    browser.run("explorer.go(3)")
    grown = bars(browser, "Wh")
    assert shown_at(browser, "dh_prev", 2) == shown(browser, "dh") and bars(browser, "Wh") == grown
    browser.find('[data-bar^="Wh:0:"]').click()
    assert "the step is masked and adds nothing" in browser.text("#formula")


def test_an_input_that_is_changed_may_begin_or_cease_to_count(opened):
    model, x, y = made([Masking(), SimpleRNN(2), Dense(1)], 3, 1, seed=4)
    x[:, 0] = [0.5, 0.0, 0.0]
    browser = sandbox(opened(model, x, y, layer=1))
    masked = "return explorer.run.layers[1].steps.map((step) => Boolean(step.masked))"
    assert browser.run(masked) == [False, True, True]
    stops = browser.run("return explorer.stops.length")
    type_into(browser, "x₂[1]", "-1")
    assert browser.run(masked) == [False, False, True] and browser.run("return explorer.stops.length") > stops
    type_into(browser, "x₂[1]", "0")
    type_into(browser, "x₁[1]", "0")
    assert browser.run(masked) == [False, True, True]
    assert "no step would count" in browser.run("return document.getElementById('said').textContent")
    assert badge(browser)[0] == "good"


def test_a_target_that_is_no_class_is_refused(opened):
    browser = sandbox(opened(*case("classes")[:2], 1))
    for wrong in ("1.5", "3", "-1"):
        type_into(browser, "target 1[1]", wrong)
        assert browser.run("return explorer.model.target[0][0]") == 1
        assert "a whole number from 0 to 2" in browser.run("return document.getElementById('said').textContent")
    type_into(browser, "target 1[1]", "2")
    model, x, *_ = case("classes")
    assert abs(browser.run("return explorer.run.loss") - nbrnn.trace(model, x, 2).loss) <= 1e-12
    browser = sandbox(opened(*case("sigmoid")[:3]))
    type_into(browser, "target 1[1]", "1.5")
    assert "needs a number from 0 to 1" in browser.run("return document.getElementById('said').textContent")


# ---------------------------------------------------------------- the tour, the looks


@pytest.mark.parametrize("name", CASES)
def test_the_tour_leads_through_all_of_it(opened, name):
    model, x, y, mask = case(name)
    browser = opened(model, x, y, mask=mask)
    titles = []
    for _ in range(browser.run("return explorer.stops.length")):
        titles.append(browser.text("#guide-title"))
        assert "undefined" not in browser.text("main") and "NaN" not in browser.text("main")
        browser.find("#guide-next").click()
    assert len(set(titles)) == len(titles)
    assert any("does not count" in title for title in titles) == (mask is not None)
    assert ("p − y" in titles) == (name in ("classes", "softmax", "each step", "sigmoid", "flat", "flat, masked"))


@pytest.mark.parametrize("width", [375, 1024])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nine_classes_overflow_nothing(opened, width, scheme):
    layers = [GRU(6), Dense(9), Softmax()]
    model, x, y = made(layers, 12, 6, seed=9, loss="sparse_categorical_crossentropy")
    browser = sandbox(opened(model, x, y, lengths=10))
    browser.size(width)
    browser.colours(scheme)
    for direction, t, q in (("forward", 11, "out"), ("backward", 11, "head"), ("backward", 11, "dh_loss"),
                            ("backward", 10, "dh")):  # fmt: skip
        browser.run(
            "explorer.turn(arguments[0]); explorer.go(arguments[1]); explorer.select(arguments[2], 0)", direction, t, q
        )
        assert browser.run(OVER) == [], (direction, t, q)


def test_tab_reaches_every_class(opened):
    model, x, y, mask = case("classes")
    browser = sandbox(opened(model, x, y, mask=mask))
    browser.run("explorer.go(4); document.querySelector('#cell button').focus()")
    seen = []
    for _ in range(6):
        seen.append(browser.run("return document.activeElement.getAttribute('aria-label') || ''"))
        browser.keys(TAB)
    assert [label.split(" = ")[0] for label in seen if label.startswith("p")] == ["p₅[1]", "p₅[2]", "p₅[3]"]
