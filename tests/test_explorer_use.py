"""Using the explorer's page: the badge, changes, predictions, the tour, keys and looks.

In headless Chromium, from file://, without a network; an error in the console fails.
"""

import itertools

import numpy as np
import pytest
from browsing import ENTER, HOME, TAB, bars, sandbox, shown
from test_explorer import HOSTILE, made
from test_tracing import CELLS, MLM

import nbrnn
from nbrnn import GRU, LSTM, Dense, SimpleRNN
from nbrnn.explorer import assemble
from nbrnn.explorer.data import whole
from nbrnn.saving import read_model

pytestmark = pytest.mark.browser
OVER = """
    const page = document.documentElement, wide = page.scrollWidth > page.clientWidth ? ['the page'] : [];
    return wide.concat([...document.querySelectorAll('section, .row, .chips, .line-body, .bar, .walk, header')]
      .filter((n) => n.getClientRects().length && n.scrollWidth > n.clientWidth + 1)
      .map((n) => n.className || n.id))
"""


def type_into(browser, label, text):
    """Type a number into the input of that name and leave it."""
    field = browser.find(f'input[aria-label="{label}"]')
    field.clear()
    field.send_keys(text, TAB)


# ---------------------------------------------------------------- the badge


def badge(browser):
    browser.wait("document.getElementById('badge').dataset.state !== 'waiting'")
    return browser.find("#badge").get_attribute("data-state"), browser.run(
        "return document.getElementById('badge').textContent"
    )


def test_the_badge_is_green_for_right_gradients(opened):
    state, said = badge(opened())
    assert (
        state == "good"
        and "agree on every number" in said
        and "complex step" in said
        and "differences of the loss" in said
    )


@pytest.mark.parametrize("place", ["backward", "totals", "numeric", "steps"])
def test_a_corrupted_number_turns_the_badge_red(browser, tmp_path, place):
    found = nbrnn.trace(read_model(MLM), [1, 2, 3], 4, numeric=True)
    data = whole(found, 0)
    layer = data["trace"]["layers"][0]
    if place == "numeric":
        data["numeric"]["rows"]["simple_rnn/recurrent_kernel"] = {"rel_err": 0.3, "passed": False}
    elif place == "totals":
        layer["totals"]["dWh"][0][1] += 1e-6
    else:
        layer[place][1]["dWh" if place == "backward" else "h"][0] = [0.5, 0.25] if place == "backward" else 7.0
    (tmp_path / "page.html").write_text(assemble(data), encoding="utf-8")
    browser.open(tmp_path / "page.html")
    state, said = badge(browser)
    assert state == "bad" and "failed" in said and ("recurrent_kernel" if place == "numeric" else "differ") in said


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("fault", ["future", "slope", "last", "twice"])
def test_a_broken_backward_pass_turns_the_badge_red_until_it_is_mended(opened, cell, fault):
    browser = sandbox(opened(*made([CELLS[cell](2), Dense(1)], 4, seed=1)))
    assert badge(browser)[0] == "good"
    browser.find(f'#fault option[value="{fault}"]').click()
    browser.wait("explorer.checked")
    state, said = badge(browser)
    assert state == "bad" and "is wrong: differences of the loss" in said
    browser.find("#reset").click()
    browser.wait("explorer.checked")
    assert badge(browser)[0] == "good"


# ---------------------------------------------------------------- changes


def test_a_changed_weight_recomputes_everything_and_stays_on_the_screen(opened):
    browser = sandbox(opened())
    type_into(browser, "Wh[1,1]", "0.5")
    type_into(browser, "x₂[1]", "-1.5")
    type_into(browser, "dense W[1,1]", "1")
    model = read_model(MLM)
    weights = model.get_weights()
    weights[1][0, 0], weights[3][0, 0] = 0.5, 1.0
    model.set_weights(weights)
    x = [1, -1.5, 3]
    found = nbrnn.trace(model, x, 4)
    browser.find("#backward").click()
    browser.keys(HOME)
    # The lesson's weights were read as float32: only what was typed differs from the page's.
    assert np.allclose(bars(browser, "Wh"), found.totals["simple_rnn/recurrent_kernel"].ravel(), rtol=1e-6, atol=1e-6)
    said = browser.text("#changes")
    assert "Wh[1,1] 0.8698 → 0.5" in said and "x₂[1] 2 → −1.5" in said and "since the start" in said
    assert badge(browser)[0] == "good"  # the page's own check, of the new numbers
    browser.find("#tour-mode").click()
    assert "Wh[1,1] 0.8698 → 0.5" in browser.text("#changes")
    browser.find("#reset").click()
    assert abs(browser.run("return explorer.run.loss") - nbrnn.trace(read_model(MLM), [1, 2, 3], 4).loss) <= 1e-12


def test_undo_takes_the_last_change_back_and_text_is_no_number(opened):
    browser = sandbox(opened())
    type_into(browser, "target 1[1]", "-3")
    type_into(browser, "b[2]", "0.25")
    browser.find("#changes button").click()
    assert browser.run("return [explorer.model.layers[0].b[1], explorer.model.target[0][0]]") == [0, -3]
    type_into(browser, "b[2]", "")
    assert browser.run("return explorer.model.layers[0].b[1]") == 0
    assert "needs a number" in browser.run("return document.getElementById('said').textContent")


def test_numbers_that_overflow_turn_the_badge_red(opened):
    browser = sandbox(opened())
    type_into(browser, "Wh[1,1]", "1e200")
    state, said = badge(browser)
    assert state == "bad" and "overflow" in said
    browser.find("#changes button").click()
    assert browser.wait("explorer.checked") and badge(browser)[0] == "good"


def test_a_part_that_ends_early_tells_of_the_steps_around_it(opened):
    browser = opened(*made([GRU(3), Dense(1)], 6), units=[0], steps=[2, 3])
    texts = browser.run("return explorer.stops.map((stop) => stop.text(explorer)).join(' ')")
    assert (
        "what step 2 left" in texts and "later steps, which are not on this page" in texts and "used 6 times" in texts
    )
    assert "the memory that step 2 left" in browser.text("#cell")


# ---------------------------------------------------------------- predict before you look


def asked(browser):
    """Go to the tour's question."""
    stop = browser.run("return explorer.stops.findIndex((stop) => stop.predict)")
    browser.run("explorer.visit(arguments[0])", stop)
    return browser


def answer(browser, text):
    field = browser.find("#predict-guess")
    field.clear()
    field.send_keys(text, ENTER)


def test_the_box_refuses_a_wrong_answer_and_says_what_is_missing(opened):
    browser = asked(opened())
    hidden = "return [...document.querySelectorAll('#cell [data-q=\"h\"], #formula .result')].map(n => n.textContent)"
    assert browser.run(hidden)[0] == "?" and "−1.30" not in browser.text("main")
    number = "Write a number"
    for wrong, said in (("1.302", "the sign is not"), ("-1.34", "Too large"), ("", number), ("many", number)):
        answer(browser, wrong)
        assert browser.find("#predict").get_attribute("data-state") == "wrong", wrong
        assert browser.run(hidden)[0] == "?"
        assert said in browser.text("#predict-say"), wrong
    answer(browser, "-1.30")
    assert browser.find("#predict").get_attribute("data-state") == "right"
    assert browser.run(hidden)[0] == "−1.302"


def test_a_term_that_was_forgotten_is_named(opened):
    browser = asked(opened())
    found = nbrnn.trace(read_model(MLM), [1, 2, 3], 4)
    h, a = found.steps[2].h_prev, found.steps[2].a[0]
    answer(browser, f"{a - h[1] * 0.49338293:.4f}")
    assert "That is the sum without h₂[2] · Wh[2,1]." in browser.text("#predict-say")
    browser.find("#predict-reveal").click()
    assert "h₃[1] = −1.302" in browser.text("#predict")


def test_the_sandbox_asks_if_it_is_told_to(opened):
    browser = sandbox(opened())
    browser.find("#ask").click()
    browser.find("#backward").click()
    assert "Predict before you look: dh₃[1]" in browser.text("#predict")
    answer(browser, "7.3")
    assert browser.find("#predict").get_attribute("data-state") == "right"


# ---------------------------------------------------------------- the tour, the looks


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("every", "steps"), [(False, 3), (True, 2), (False, 1)])
def test_the_tour_comes_first_and_ends_in_the_sandbox(opened, cell, every, steps):
    browser = opened(*made([CELLS[cell](2, return_sequences=every), Dense(1)], steps))
    stops, seen = browser.run("return explorer.stops.length"), set()
    assert not browser.find("#fault-box").is_displayed()
    for k in range(stops):
        assert browser.text("#guide-count") == f"{k + 1} of {stops}"
        seen.add(browser.text("#guide-title"))
        assert "undefined" not in browser.text("main") and "NaN" not in browser.text("main")
        browser.find("#guide-next").click()
    assert len(seen) == stops and not browser.find("#guide").is_displayed()
    assert browser.find("#fault-box").is_displayed()


def test_without_a_target_there_is_no_way_back(opened):
    model, x, _ = made([LSTM(2)], 3)
    browser = opened(model, x)
    assert not browser.find("#backward").is_enabled() and badge(browser)[0] == "good"
    browser.run("explorer.visit(explorer.stops.length - 2)")
    assert "--target" in browser.text("#guide-text")


@pytest.mark.parametrize("width", [375, 1024, 1280])
@pytest.mark.parametrize("cell", CELLS)
def test_nothing_overflows(opened, width, cell):
    browser = opened(*made([CELLS[cell](6), Dense(2)], 12, 6, seed=9))
    browser.size(width)
    for mode, direction in itertools.product(("tour", "sandbox"), ("forward", "backward")):
        browser.run("explorer.enter(arguments[0]); explorer.turn(arguments[1])", mode, direction)
        for q in browser.run(
            "return [...new Set([...document.querySelectorAll('#cell button')].map(b => b.dataset.q))]"
        ):
            browser.run("explorer.select(arguments[0], 0)", q)
            assert browser.run(OVER) == [], (mode, direction, q)


def test_colours_follow_the_system_and_the_switch(opened):
    browser = opened()
    ground = "return getComputedStyle(document.body).backgroundColor"
    light = browser.run(ground)
    browser.colours("dark")
    dark = browser.run(ground)
    assert light != dark
    for value, colour in (("light", light), ("dark", dark), ("", dark)):
        browser.find(f'#theme option[value="{value}"]').click()
        assert browser.run(ground) == colour


def test_everything_to_press_has_a_name(opened):
    browser = sandbox(opened())
    browser.find("#backward").click()
    nameless = """
        return [...document.querySelectorAll('button, input, select, [tabindex="0"]')]
          .filter((n) => n.getClientRects().length)
          .filter((n) => !(n.getAttribute('aria-label') || n.textContent.trim() || n.labels?.length))
          .map((n) => n.outerHTML)
    """
    assert browser.run(nameless) == []


def test_hostile_names_are_shown_as_text(opened):
    model = nbrnn.Sequential([SimpleRNN(2, name=HOSTILE), Dense(1)], input_shape=(3, 1), seed=0, name=HOSTILE)
    model.compile(loss="mse")
    browser = sandbox(opened(model, [1, 2, 3], 4))
    assert HOSTILE in browser.text("#subtitle") and browser.run("return document.scripts.length") == 2


def test_many_units_are_shown_eight_at_a_time(opened):
    browser = sandbox(opened(*made([SimpleRNN(11), Dense(1)], 3)))
    assert len(shown(browser, "h")) == 8
    browser.find('#units option[value="1"]').click()
    assert len(shown(browser, "h")) == 3
    assert browser.text("#formula-title").endswith("h₁[9]")
