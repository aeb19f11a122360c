"""The picture of a gradient on its way back: the norms are the trace's, by lag."""

import re

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from test_itemise import traced
from test_tracing import CELLS

import nbrnn
from nbrnn import GRU, LSTM, Dense, Flatten, SimpleRNN
from nbrnn.plots.flow import gradient_norms, plot_gradient_flow


def rotated(factor, steps=50):
    """Return the trace of lesson 2's cell with its Wh times a factor, on random numbers."""
    model = nbrnn.Sequential([SimpleRNN(2, "linear"), Dense(1)], (steps, 1), dtype="float64")
    Wh = [[0.86981213, -0.49338293], [0.49338293, 0.8698122]]
    weights = [[[0.18662322, -1.2369459]], factor * np.array(Wh), [0, 0], [[-0.4635998], [0.6538409]], [0]]
    model.set_weights(weights)
    model.compile(loss="mse")
    return nbrnn.trace(model, np.random.default_rng(0).normal(size=(steps, 1)), 4.0)


def curves(figure):
    """Return the y of each curve by its name."""
    (axes,) = figure.axes
    return {line.get_label(): line.get_ydata() for line in axes.lines if not line.get_label().startswith("_")}


@pytest.mark.parametrize(("factor", "known"), [(0.9, 0.0052), (1, 1), (1.1, 117.39)])
def test_the_published_rotation_keeps_shrinks_and_grows_the_gradient(factor, known):
    (drawn,) = curves(plot_gradient_flow(rotated(factor))).values()
    assert len(drawn) == 51 and drawn[0] == 1
    assert drawn[50] == pytest.approx(known, rel=0.01) and drawn[50] == pytest.approx(factor**50, rel=1e-5)
    np.testing.assert_allclose(drawn, float(factor) ** np.arange(51), rtol=1e-5)


@pytest.mark.parametrize("options", ({}, {"return_sequences": True}, {"go_backwards": True}))
@pytest.mark.parametrize("cell", CELLS)
def test_the_norms_are_those_of_the_gradients_of_each_state(cell, options):
    found = traced([CELLS[cell](3, **options), Dense(1)], steps=6)
    norms = gradient_norms(found)
    back = found.layers[0].backward
    wanted = [np.linalg.norm(b.dh_loss + b.dh_future) for b in back[::-1]]
    np.testing.assert_allclose(norms[:-1], wanted, rtol=1e-12)
    assert norms[-1] == np.linalg.norm(back[0].dh_prev)
    drawn = curves(plot_gradient_flow(found, relative=False))
    first = next(iter(drawn.values()))
    np.testing.assert_array_equal(first, norms)
    assert (len(drawn) == 2) == (cell == "lstm")


def test_the_norm_at_a_lag_is_that_of_a_numeric_derivative():
    model = nbrnn.Sequential([GRU(2), Dense(1)], (3, 1), seed=3, dtype="float64")
    model.compile(loss="mse")
    x, y, eps = np.array([[0.5], [-1.0], [2.0]]), 0.7, 1e-6

    def loss(h0):
        return float((model.predict(x[None], initial_state={"gru/h": [h0]})[0, 0] - y) ** 2)

    slopes = [(loss(e) - loss(-e)) / (2 * eps) for e in eps * np.eye(2)]
    assert gradient_norms(nbrnn.trace(model, x, y))[-1] == pytest.approx(np.linalg.norm(slopes), rel=1e-6)


def test_an_lstm_has_a_dashed_curve_of_its_cell_state():
    found = traced([LSTM(3), Dense(1)], steps=5)
    figure = plot_gradient_flow({"mine": found}, title="a title")
    solid, dashed = figure.axes[0].lines[:2]
    assert (solid.get_label(), solid.get_linestyle()) == ("mine, h", "-")
    assert (dashed.get_label(), dashed.get_linestyle()) == ("mine, c", "--")
    norms = gradient_norms(found)
    np.testing.assert_array_equal(dashed.get_ydata(), gradient_norms(found, state="c") / norms[0])
    assert figure.axes[0].get_title() == "a title" and figure.axes[0].get_yscale() == "log"


def test_several_traces_and_a_layer_of_a_stack():
    stacks = {f"net {k}": traced([GRU(2, return_sequences=True), LSTM(2), Dense(1)], 4 + k, seed=k) for k in (0, 1)}
    drawn = curves(plot_gradient_flow(stacks, layer="gru"))
    assert list(drawn) == ["net 0", "net 1"] and [len(y) for y in drawn.values()] == [5, 6]
    for name, y in drawn.items():
        norms = gradient_norms(stacks[name], "gru")
        np.testing.assert_array_equal(y, norms / norms[0])


def test_a_masked_step_hands_on_what_comes_to_it():
    model = nbrnn.Sequential([LSTM(2), Dense(1)], (4, 1), seed=1, dtype="float64")
    model.compile(loss="mse")
    found = nbrnn.trace(model, [1, 2, 3, 4], 1.0, mask=[True, False, True, True])
    assert found.steps[1].masked
    h, c = gradient_norms(found), gradient_norms(found, state="c")
    assert len(h) == len(c) == 5 and h[2] > 0 and h[2] == pytest.approx(h[3], rel=1e-12)
    assert c[2] == pytest.approx(np.linalg.norm(found.backward[0].dc_future), rel=1e-12)


def test_a_gradient_of_zero_stands_at_the_foot_and_says_so():
    layers = [SimpleRNN(2, "linear"), Dense(1)]
    model = nbrnn.Sequential(layers, (4, 1), seed=0, dtype="float64")
    weights = model.get_weights()
    model.set_weights([weights[0], 0 * weights[1], *weights[2:]])
    model.compile(loss="mse")
    figure = plot_gradient_flow(nbrnn.trace(model, [1, 2, 3, 4], 1.0))
    (drawn,) = curves(figure).values()
    assert drawn[0] == 1 and (drawn[1:] == 1e-18).all()
    assert "zero, or too small to be drawn" in [text.get_text() for text in figure.axes[0].texts]
    assert not plot_gradient_flow(rotated(1, 5)).axes[0].texts


@pytest.mark.parametrize("factor", (0.9, 1.1))
def test_the_picture_says_how_to_read_it_and_nothing_is_cut(factor):
    figure = plot_gradient_flow({"a": rotated(factor), "b": traced([LSTM(3), Dense(1)])}, title="flow")
    figure.set_dpi(120)
    FigureCanvasAgg(figure).draw()
    assert figure.get_supxlabel().startswith("How to read this: ")
    axes = figure.axes[0]
    for text in (axes.title, axes.xaxis.label, axes.yaxis.label, figure._supxlabel):
        box = text.get_window_extent()
        assert figure.bbox.padded(1).contains(box.x0, box.y0) and figure.bbox.padded(1).contains(box.x1, box.y1)


def test_bad_input_is_refused():
    found = traced([LSTM(2, return_sequences=True), GRU(2), Dense(1)])
    blind = traced([SimpleRNN(2), Dense(1)])
    blind.backward[-1].dh[:] = 0
    for arguments, sentence in [
        (({},), "traces must hold 1 to 6 traces, not 0."),
        (({str(k): found for k in range(7)}, "gru"), "traces must hold 1 to 6 traces, not 7."),
        ((found,), "the model has 2 recurrent layers; choose with layer= one of lstm, gru."),
        ((found.model,), "trace must be what nbrnn.trace returns, not Sequential."),
        ((traced([Flatten(), Dense(1)]),), "the model has no recurrent layer"),
        ((traced([GRU(2), Dense(1)], target=False),), "has no backward pass: give nbrnn.trace a target y."),
        (({"one": blind},), "the gradient at the last step of one is zero, so nothing can be measured by it"),
    ]:
        with pytest.raises(ValueError, match=re.escape(sentence)):
            plot_gradient_flow(*arguments)
    with pytest.raises(ValueError, match=r"gru has no state 'c'; it has h\."):
        gradient_norms(found, "gru", "c")


def test_the_picture_is_public():
    assert nbrnn.plot_gradient_flow is plot_gradient_flow
