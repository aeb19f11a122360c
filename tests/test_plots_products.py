"""The terms of a pre-activation as bars: they are the trace's numbers, and they sum to it."""

import re

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from test_itemise import traced
from test_tracing import CELLS

import nbrnn
from nbrnn import GRU, LSTM, Dense, Flatten, SimpleRNN
from nbrnn.plots.products import plot_products, products


def bars(axes):
    """Return the heights of the bars by what they are called."""
    return {c.get_label(): np.array([bar.get_height() for bar in c]) for c in axes.containers}


@pytest.mark.parametrize("cell", CELLS)
def test_the_bars_are_the_products_and_sum_to_a(cell):
    found = traced([CELLS[cell](3), Dense(1)], steps=5, features=2)
    layer = found.layers[0]
    figure = plot_products(found, steps=(0, 4), features=["wind", "rain"])
    gates = list(layer.gates) or [""]
    charts = np.array(figure.axes).reshape(len(gates), 2)
    for column, step in zip(charts.T, (0, 4), strict=True):
        taken = layer.steps[step]
        assert column[0].get_title() == f"step {step + 1}"
        for k, (axes, gate) in enumerate(zip(column, gates, strict=True)):
            drawn, own = bars(axes), slice(3 * k, 3 * k + 3)
            assert list(drawn) == ["wind", "rain", "state and bias"]
            for j, name in enumerate(("wind", "rain")):
                np.testing.assert_array_equal(drawn[name], taken.x[j] * layer.weights["Wx"][j, own])
            (line,) = axes.collections
            heights = [segment[0][1] for segment in line.get_segments()]
            np.testing.assert_allclose(sum(drawn.values()), heights, rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(heights, taken.a[own], rtol=1e-12, atol=1e-14)
            if axes is charts[k, 0]:
                assert axes.get_ylabel() == (f"terms of a_{gate}" if gate else "terms of a")


def test_the_rest_of_a_simple_rnn_is_its_state_and_its_bias():
    found = traced([SimpleRNN(4), Dense(1)], steps=3, features=3)
    for t, step in enumerate(found.steps):
        terms = products(found.layers[0], t)
        assert terms.shape == (4, 4)
        np.testing.assert_allclose(terms[3], step.hWh + step.b, rtol=1e-12, atol=1e-14)


def test_four_steps_are_shown_unless_others_are_named():
    found = traced([SimpleRNN(2), Dense(1)], steps=6, features=1)
    assert [axes.get_title() for axes in plot_products(found).axes] == [f"step {k}" for k in (1, 2, 3, 4)]
    assert [axes.get_title() for axes in plot_products(found, steps=[5]).axes] == ["step 6"]
    assert plot_products(found, title="mine").get_suptitle() == "mine"


@pytest.mark.parametrize(("units", "features"), [(2, 2), (8, 5), (1, 6)])
@pytest.mark.parametrize("cell", (SimpleRNN, GRU))
def test_legend_title_and_caption_do_not_meet(cell, units, features):
    figure = plot_products(traced([cell(units), Dense(1)], features=features))
    figure.set_dpi(120)
    FigureCanvasAgg(figure).draw()
    assert figure.get_supxlabel().startswith("How to read this: ")
    boxes = [part.get_window_extent() for part in (*figure.legends, figure._suptitle, figure._supxlabel)]
    boxes += [axes.get_window_extent() for axes in figure.axes]
    for k, box in enumerate(boxes):
        assert figure.bbox.padded(1).contains(box.x0, box.y0) and figure.bbox.padded(1).contains(box.x1, box.y1)
        assert not any(box.overlaps(other) for other in boxes[:k])


def test_bad_input_is_refused():
    found = traced([LSTM(2, return_sequences=True), GRU(2), Dense(1)], steps=5)
    model = nbrnn.Sequential([SimpleRNN(2), Dense(1)], (3, 1), seed=0)
    masked = nbrnn.trace(model, [1, 2, 3], mask=[True, False, True])
    for arguments, options, sentence in [
        ((found,), {}, "the model has 2 recurrent layers; choose with layer= one of lstm, gru."),
        ((found.model,), {}, "trace must be what nbrnn.trace returns, not Sequential."),
        ((traced([Flatten(), Dense(1)]),), {}, "the model has no recurrent layer"),
        ((found, "lstm"), {"steps": []}, "steps must name 1 to 4 steps, not 0."),
        ((found, "lstm"), {"steps": range(5)}, "steps must name 1 to 4 steps, not 5."),
        ((found, "gru"), {"steps": [5]}, "gru has 5 steps, so a step must be at most 4, not 5."),
        ((found, "gru"), {"steps": [-1]}, "a step must be a whole number of at least 0"),
        ((found, "gru"), {"features": ["a"]}, "features must hold 2 names, one a feature, not 1."),
        ((masked,), {}, "step 1 of simple_rnn is masked: it has no products."),
        ((traced([GRU(2), Dense(1)], features=7),), {}, "gru reads 7 features, but at most 6 can be told apart."),
    ]:
        with pytest.raises(ValueError, match=re.escape(sentence)):
            plot_products(*arguments, **options)


def test_the_picture_is_public():
    assert nbrnn.plot_products is plot_products
