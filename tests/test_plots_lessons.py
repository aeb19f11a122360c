"""Pictures that lesson 4 draws: gradients side by side, and forecasts at the right and at a wrong row."""

import re

import numpy as np
import pytest
from matplotlib.colors import to_rgba

import nbrnn
from nbrnn.plots.style import ACTUAL, BACKWARD, PREDICTED


def traced(shape, target=True):
    layers = [nbrnn.SimpleRNN(3), nbrnn.Dense(1)]
    model = nbrnn.Sequential(layers, shape, seed=1)
    model.compile(loss="mse")
    x = np.random.default_rng(0).normal(size=shape)
    return nbrnn.trace(model, x, 2.0) if target else nbrnn.trace(model, x)


def test_bars_are_the_norms_of_a_layers_gradients():
    traces = [traced((1, 4)), traced((4, 1))]
    figure = nbrnn.plot_gradient_norms(traces, ["one step", "four"])
    for axes, trace, title in zip(figure.axes, traces, ("one step", "four"), strict=True):
        assert axes.get_title() == title
        assert [label.get_text() for label in axes.get_xticklabels()] == ["dWx", "dWh", "db"]
        heights = [bar.get_height() for bar in axes.patches]
        names = ("kernel", "recurrent_kernel", "bias")
        squares = [np.sum(trace.totals[f"simple_rnn/{name}"] ** 2) for name in names]
        np.testing.assert_allclose(heights, np.sqrt(squares), rtol=1e-12)
    assert figure.axes[0].patches[1].get_height() == 0 < figure.axes[1].patches[1].get_height()
    assert figure.axes[1].patches[0].get_facecolor() == to_rgba(BACKWARD)
    assert "How to read this" in figure.get_supxlabel()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (lambda: ([],), "traces must hold 1 to 4 traces, not 0."),
        (lambda: ([traced((4, 1))], ["a", "b"]), "titles holds 2 names for 1 traces."),
        (lambda: ([traced((4, 1), target=False)],), "give nbrnn.trace a target"),
    ],
)
def test_what_has_no_gradients_is_refused(arguments, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        nbrnn.plot_gradient_norms(*arguments())


def test_forecasts_stand_at_their_shift():
    series = np.random.default_rng(1).normal(size=50)
    figure = nbrnn.plot_shifts(series, series[4:], [0, 4], rows=20)
    for axes, shift in zip(figure.axes, (0, 4), strict=True):
        grey, blue = axes.lines
        assert (grey.get_color(), blue.get_color()) == (ACTUAL, PREDICTED)
        np.testing.assert_array_equal(grey.get_ydata(), series[:20])
        np.testing.assert_array_equal(blue.get_xdata(), np.arange(shift, 20))
        np.testing.assert_array_equal(blue.get_ydata(), series[4 : 24 - shift])
    grey, blue = figure.axes[1].lines
    np.testing.assert_array_equal(blue.get_ydata(), grey.get_ydata()[4:])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([[1, 2]], [1], [0]), "series must be one row of numbers, not an array of the shape (1, 2)."),
        (([1, 2], [], [0]), "forecasts must be one row of numbers"),
        (([1, 2], [1], []), "shifts must hold a whole number"),
        (([1, 2], [1], [2]), "a shift must be below the 2 rows that are drawn, not 2."),
        (([1, 2], [1], [-1]), "a shift must be"),
    ],
)
def test_shifts_that_cannot_be_drawn_are_refused(arguments, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        nbrnn.plot_shifts(*arguments)
