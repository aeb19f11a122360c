"""Pictures of what comes back to a step, and of truncated gradients: boxes, loops, points."""

import io
import re

import numpy as np
import pytest
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

import nbrnn
from nbrnn import LSTM, Activation, Bidirectional, Dense, Feedback, Flatten, Jordan, SimpleRNN
from nbrnn.plots.style import BACKWARD, GREY
from nbrnn.plots.wiring import plot_wiring, wiring


def chain(*layers, features=2):
    return nbrnn.Sequential(list(layers), input_shape=(None, features), seed=0)


def elman():
    return chain(SimpleRNN(3, return_sequences=True), Dense(1))


def jordan():
    return chain(Jordan(3, 1))


def png(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def test_elmans_state_and_jordans_output_come_back():
    boxes, loops = wiring(elman())
    assert [text for text, _ in boxes] == ["x_t: 2 numbers", "h_t: 3 numbers", "y_t: 1 number"]
    assert loops == [(1, 1, "1", "h_(t-1)\n3x3 weights")]
    same, loops = wiring(jordan())
    assert same == boxes and loops == [(2, 1, "1", "y_(t-1)\n1x3 weights")]


@pytest.mark.parametrize("layer", [SimpleRNN(3), LSTM(4), Jordan(5, 2)])
def test_the_weights_that_a_loop_names_are_those_of_the_layer(layer):
    model = chain(layer)
    (loop,) = wiring(model)[1]
    rows, columns = map(int, re.search(r"(\d+)x(\d+) weights", loop[3]).groups())
    kernel, recurrent = model.get_weights()[:2]
    shape = (kernel.shape[0] - 2, kernel.shape[1]) if isinstance(layer, Jordan) else recurrent.shape
    assert (rows, columns) == shape


def test_layers_within_feedback_keep_their_own_states_and_stacked_ones_are_told_apart():
    boxes, loops = wiring(chain(Feedback([LSTM(3), Dense(1)], lags=2)))
    assert loops == [(1, 1, "1", "h_(t-1), c_(t-1)\n3x12 weights"), (2, 1, "1-2", "y_(t-1) ... y_(t-2)\n2x12 weights")]
    boxes, loops = wiring(chain(SimpleRNN(3, return_sequences=True), SimpleRNN(4, return_sequences=True), Dense(1)))
    assert [text for text, _ in boxes][1:3] == ["h_t: 3 numbers", "h'_t: 4 numbers"]
    assert [loop[3] for loop in loops] == ["h_(t-1)\n3x3 weights", "h'_(t-1)\n4x4 weights"]


def test_the_picture_holds_every_box_loop_and_title():
    figure = plot_wiring([elman(), jordan()], ["Elman", "Jordan"])
    assert [axes.get_title() for axes in figure.axes] == ["Elman", "Jordan"]
    for axes, model, side in zip(figure.axes, (elman(), jordan()), (1, -1), strict=True):
        boxes, loops = wiring(model)
        patches = [[p for p in axes.patches if type(p) is kind] for kind in (FancyBboxPatch, Rectangle)]
        drawn, squares = patches
        assert len(drawn) == len(boxes) == 3 and len(squares) == len(loops) == 1
        texts = {text.get_text() for text in axes.texts}
        assert texts == {text for text, _ in boxes} | {text for *_, steps, what in loops for text in (steps, what)}
        arrows = [p for p in axes.patches if isinstance(p, FancyArrowPatch)]
        assert len(arrows) == len(boxes) - 1 + len(loops)
        middle = drawn[0].get_x() + drawn[0].get_width() / 2
        assert (squares[0].get_x() - middle) * side > 0
    assert png(figure).startswith(b"\x89PNG") and figure.get_supxlabel().startswith("How to read this: ")
    (axes,) = plot_wiring(elman()).axes
    assert axes.get_title() == "sequential"


def test_no_text_of_a_wiring_lies_upon_another_or_outside():
    figure = plot_wiring([chain(Feedback([LSTM(30), Dense(10)], lags=12)), elman()])
    figure.canvas.draw()
    for axes in figure.axes:
        places = [text.get_window_extent() for text in axes.texts]
        assert all(not a.overlaps(b) for k, a in enumerate(places) for b in places[:k])
        for place in places:
            assert place.x0 >= 0 and place.x1 <= figure.bbox.width


@pytest.mark.parametrize(
    ("models", "titles", "words"),
    [
        (lambda: [], (), "models must hold 1 to 4 models, not 0."),
        (lambda: [elman()], ("a", "b"), "titles holds 2 names for 1 models."),
        (lambda: chain(Bidirectional(LSTM(2))), (), "draws layers of units, such as SimpleRNN, Dense and Jordan, not"),
        (lambda: chain(Feedback([Dense(2), Activation("tanh")])), (), "draws layers of units"),
        (lambda: nbrnn.Sequential([Flatten(), Dense(1)], (3, 1)), (), "draws layers of units"),
    ],
)
def test_what_has_no_wiring_is_refused(models, titles, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        plot_wiring(models(), titles)


def test_noise_and_bias_stand_at_their_steps_and_a_bias_of_zero_is_an_arrow():
    noise, bias = {1: 1.2, 5: 1.4, 20: 1.5}, {1: 0.2, 5: 0.03, 20: 1e-16}
    figure = nbrnn.plot_truncation(noise, bias, "Two")
    (axes,) = figure.axes
    grey, squares = axes.lines
    assert grey.get_color() == GREY and squares.get_color() == BACKWARD and axes.get_yscale() == "log"
    np.testing.assert_array_equal(grey.get_xydata(), list(noise.items()))
    np.testing.assert_array_equal(squares.get_xydata(), [(1, 0.2), (5, 0.03)])
    (zero,) = [text for text in axes.texts if text.get_text() == "0"]
    assert zero.get_position()[0] == 20 and list(axes.get_xticks()) == [1, 5, 20]
    assert png(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("noise", "bias", "words"),
    [
        ({}, {}, "noise and bias must hold the same k, not [] and []."),
        ({1: 1.0}, {2: 1.0}, "noise and bias must hold the same k, not [1] and [2]."),
        ({1: 0.0}, {1: 0.0}, "noise must hold distances above 0, not 0."),
    ],
)
def test_truncations_that_cannot_be_drawn_are_refused(noise, bias, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        nbrnn.plot_truncation(noise, bias)
