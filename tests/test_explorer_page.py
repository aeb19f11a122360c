"""The numbers of the explorer's page: the lesson's, the trace's, and terms that sum to what they say.

In headless Chromium, from file://, without a network; an error in the console fails.
"""

import numpy as np
import pytest
from browsing import END, HOME, LEFT, RIGHT, TAB, bars, sandbox, shown
from test_explorer import made
from test_tracing import CELLS, MLM

import nbrnn
from nbrnn import GRU, LSTM, Dense, SimpleRNN
from nbrnn.kernels.activations import ACTIVATIONS
from nbrnn.saving import read_model

pytestmark = pytest.mark.browser
PUBLISHED_H3 = (-1.30195881, -6.84172557)  # MachineLearningMastery's lesson
DWH = [1.5868809615, -0.2297678111, -40.7057794592, 44.0985643947]
TERMS = """
    return [...document.querySelectorAll('#formula .line')].map((line) => ({
      terms: [...line.querySelectorAll('.term')].map((term) => Number(term.dataset.value)),
      result: Number(line.querySelector('.result').dataset.value), wrapped: line.textContent.includes('(') }))
"""


# ---------------------------------------------------------------- the lesson's cell


def test_arrow_right_to_step_3_shows_the_published_h3(opened):
    browser = sandbox(opened())
    browser.keys(RIGHT, RIGHT)
    assert browser.text("#where") == "step 3 of 3, forward"
    assert np.allclose(shown(browser, "h"), PUBLISHED_H3, rtol=0, atol=1e-6)
    strip = browser.run("return [...document.querySelectorAll('.step.now [data-strip=\"h\"]')].map(t => t.textContent)")
    assert strip == ["−1.302", "−6.8417"]


def test_backward_to_step_1_shows_dwh(opened):
    browser = sandbox(opened())
    browser.find("#backward").click()
    assert browser.text("#where") == "step 3 of 3, backward"
    first = bars(browser, "Wh")
    browser.keys(LEFT, LEFT)
    assert browser.text("#where") == "step 1 of 3, backward"
    assert np.allclose(bars(browser, "Wh"), DWH, rtol=0, atol=1e-8)
    assert not np.allclose(first, DWH)
    found = nbrnn.trace(read_model(MLM), [1, 2, 3], 4)
    assert np.allclose(first, found.backward[2].dWh.ravel(), rtol=0, atol=1e-12)


def test_keys_walk_and_stay_within_the_sequence(opened):
    browser = sandbox(opened())
    for keys, step in (((END,), 3), ((RIGHT,), 3), ((HOME,), 1), ((LEFT,), 1), ((RIGHT,), 2)):
        browser.keys(*keys)
        assert browser.text("#where") == f"step {step} of 3, forward"
        assert browser.find("#slider").get_attribute("aria-valuetext") == f"step {step} of 3, forward"
    browser.find('input[aria-label="Wx[1,1]"]').click()
    browser.keys(LEFT)  # moves the cursor within the number
    assert browser.text("#where") == "step 2 of 3, forward"


def test_tab_reaches_every_term_and_lights_its_sources(opened):
    browser = sandbox(opened())
    browser.keys(RIGHT)
    browser.find('#cell button[data-q="a"][data-unit="0"]').click()
    terms = browser.run("return document.querySelectorAll('#formula .term').length")
    assert terms == 4  # x Wx, two of h Wh, b
    lit = []
    for _ in range(40):
        browser.keys(TAB)
        if browser.run("return document.activeElement.classList.contains('term')"):
            lit.append(set(browser.run("return [...document.querySelectorAll('.lit')].map(n => n.dataset.ref)")))
    name = "simple_rnn"
    assert lit == [
        {"x@1:0", f"{name}/Wx:0:0"}, {"h@0:0", f"{name}/Wh:0:0"}, {"h@0:1", f"{name}/Wh:1:0"}, {f"{name}/b::0"},
    ]  # fmt: skip


def test_the_focus_stays_on_a_term_while_the_reader_walks(opened):
    browser = sandbox(opened())
    browser.run("document.querySelectorAll('#formula .term')[1].focus()")
    lit = "return [...document.querySelectorAll('.lit')].map((node) => node.dataset.ref)"
    for t in (1, 2):
        browser.keys(RIGHT)
        assert set(browser.run(lit)) == {f"h@{t - 1}:0", "simple_rnn/Wh:0:0"}


def test_hovering_a_term_lights_the_step_before(opened):
    from selenium.webdriver.common.action_chains import ActionChains

    browser = sandbox(opened())
    browser.keys(RIGHT)
    ActionChains(browser.driver).move_to_element(browser.find('#formula [data-key="0.1"]')).perform()
    assert browser.run(
        "return document.querySelector('[data-step=\"0\"] [data-strip=\"h\"]').classList.contains('lit')"
    )


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("every", [False, True])
def test_the_pages_numbers_are_the_traces_at_every_step(opened, cell, every):
    model, x, y = made([CELLS[cell](3, return_sequences=every), Dense(2, "tanh")], 5, 2, seed=7)
    found = nbrnn.trace(model, x, y)
    browser = opened(model, x, y)
    numbers_agree(browser, found)


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_every_activation_is_the_engines(opened, act):
    gate = "hard_sigmoid" if act == "relu" else "sigmoid"
    model, x, y = made([LSTM(3, act, gate), Dense(1, act)], 4, 2, seed=3)
    browser = opened(model, x, y)
    assert browser.run("return explorer.agreement.error") <= 1e-12
    assert browser.wait("explorer.checked") and browser.run("return explorer.verdict().good")


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_every_loss_is_the_engines(opened, loss):
    model, x, y = made([GRU(2, return_sequences=True), Dense(2)], 4, loss=loss, seed=5)
    y[0, 0] += 5  # beyond Huber's delta
    browser = opened(model, x, y)
    assert browser.run("return explorer.agreement.error") <= 1e-12
    assert abs(browser.run("return explorer.run.loss") - nbrnn.trace(model, x, y).loss) <= 1e-12


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_stacks_and_reversed_layers_are_the_engines(opened, layer):
    layers = [GRU(2, return_sequences=True, reset_after=False), LSTM(3, go_backwards=True, return_sequences=True),
              SimpleRNN(2, use_bias=False, go_backwards=True), Dense(3), Dense(1)]  # fmt: skip
    browser = opened(*made(layers, 4, 2, seed=2), layer=layer)
    assert browser.run("return explorer.agreement.error") <= 1e-12
    assert browser.wait("explorer.checked") and browser.run("return explorer.verdict().good")


@pytest.mark.parametrize("cell", CELLS)
def test_a_part_of_a_model_agrees_too(opened, cell):
    browser = opened(
        *made([CELLS[cell](12, return_sequences=True), Dense(1)], 9, 11, seed=4), units=[1, 5, 7], steps=[3, 6]
    )
    assert browser.run("return explorer.agreement.error") <= 1e-12
    assert "units 2, 6, 8 of 12, steps 4 to 7 of 9, inputs 1 to 8 of 11" in browser.text("#partial")
    told = "How the output is made from h (dense) is not on this page; the output and the loss stand here as numbers."
    assert browser.text("#partial").endswith(told) and "Its input" not in browser.text("#partial")
    sandbox(browser).keys(END)
    assert browser.text("#where") == "step 7 of 7, forward"
    assert browser.run("return document.querySelectorAll('main input[type=number]').length") == 0


def test_a_part_says_which_layers_it_leaves_out(opened):
    layers = [GRU(3, return_sequences=True), LSTM(9), Dense(2), Dense(1)]
    model, x, _ = made(layers, 4)
    browser = opened(model, x, None, layer=1, units=[0])
    names = [layer.name for layer in model.layers]
    said = (
        f"Its input x is what {names[0]} made of the sequence. How the output is made from h ({names[2]}, {names[3]})"
    )
    assert f"{said} is not on this page; the output stands here as numbers." in browser.text("#partial")


def terms_agree(browser, steps, part=False):
    """Assert of every number of the cell that the last line gives it, and of each line that its terms sum to it."""
    count = 0
    for direction in ("forward", "backward"):
        browser.find(f"#{direction}").click()
        for t in range(steps):
            browser.run(f"explorer.go({t})")
            for q, j, value in browser.run(
                "return [...document.querySelectorAll('#cell button')].map(({dataset: d}) => [d.q, +d.unit, +d.value])"
            ):
                browser.run("explorer.select(arguments[0], arguments[1])", q, j)
                lines = browser.run(TERMS)
                assert abs(lines[-1]["result"] - value) <= 1e-12, (q, t)
                act = browser.run("return explorer.lines().map((line) => line.wrap || '')")
                for line, wrap in zip(lines, act, strict=True):
                    total, count = sum(line["terms"]), count + 1
                    if line["terms"]:
                        total = {"": lambda v: v, "tanh": np.tanh, "σ": lambda v: 1 / (1 + np.exp(-v))}[wrap](total)
                        assert abs(total - line["result"]) <= 1e-12, (direction, q, t, line)
                    else:
                        assert line["result"] == 0 or part, (q, t)
    return count


def numbers_agree(browser, found):
    """Assert that the page's numbers are the trace's at every step."""
    run = browser.run("return explorer.run.layers")
    for mine, theirs in zip(run, found.layers, strict=True):
        for own, expected in ((mine["steps"], theirs.steps), (mine["backward"], theirs.backward)):
            for t, step in enumerate(expected):
                assert own[t].get("masked", False) == step.masked or expected is theirs.backward
                for name in step.names:
                    assert np.allclose(own[t][name], step[name], rtol=0, atol=1e-12), (theirs.name, name, t)
        for name, total in theirs.totals.items():
            assert np.allclose(mine["totals"][name], total, rtol=0, atol=1e-12)
    assert browser.run("return explorer.agreement.error") <= 1e-12


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("part", [False, True])
def test_the_terms_of_every_formula_give_its_result(opened, cell, part):
    model, x, y = made([CELLS[cell](3, return_sequences=True), Dense(2)], 4, 2, seed=6)
    browser = sandbox(opened(model, x, y, **({"units": [0, 2], "steps": [1, 3]} if part else {})))
    assert terms_agree(browser, 3 if part else 4, part) > 50


def test_bars_are_the_sums_so_far_and_their_terms_add_up(opened):
    model, x, y = made([GRU(1), Dense(1)], 4, 1, seed=8)
    found = nbrnn.trace(model, x, y)
    browser = sandbox(opened(model, x, y))
    browser.find("#backward").click()
    for t in (3, 2, 1, 0):
        browser.run(f"explorer.go({t})")
        for name in ("Wx", "Wh", "b"):
            so_far = sum(back[f"d{name}"] for back in found.backward[t:])
            assert np.allclose(bars(browser, name), so_far.ravel(), rtol=0, atol=1e-12)
        browser.find('[data-bar="Wh:0:2"]').click()
        lines = browser.run(TERMS)
        assert abs(sum(lines[-1]["terms"]) - sum(back.dWh[0, 2] for back in found.backward[t:])) <= 1e-12
