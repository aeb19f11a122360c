"""Pictures of gates and of the state's paths: what is drawn are the trace's numbers, readably."""

import re

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from test_itemise import traced
from test_plots_traces import smaller, visible_texts

import nbrnn
from nbrnn import GRU, LSTM, Dense, Flatten, SimpleRNN
from nbrnn.plots.gates import plot_gates
from nbrnn.plots.style import DIVERGING
from nbrnn.plots.trajectories import COLORS, plot_trajectories
from nbrnn.testing import random_array, random_model

CELLS = {
    "lstm": lambda units=3, **options: LSTM(units, **options),
    "gru": lambda units=3, **options: GRU(units, **options),
    "gru before": lambda units=3, **options: GRU(units, reset_after=False, **options),
    "hard": lambda units=3, **options: LSTM(units, "softsign", "hard_sigmoid", **options),
    "elu": lambda units=3, **options: GRU(units, "elu", **options),
    "relu": lambda units=3, **options: LSTM(units, "relu", **options),
}


def saturating(cell, steps=6, scale=6.0, **options):
    """Return a trace of a model whose large inputs drive gates into saturation."""
    model = random_model([CELLS[cell](**options), Dense(1)], (steps, 2), seed=5)
    return nbrnn.trace(model, scale * random_array((steps, 2), seed=1))


def strips(figure):
    """Return the axes of a figure by what they show."""
    found = {axes.get_title(loc="left").split(",")[0]: axes for axes in figure.axes if axes.images}
    return found


@pytest.mark.parametrize("cell", CELLS)
def test_every_gate_is_a_strip_of_its_numbers(cell):
    found = saturating(cell)
    layer = found.layers[0]
    drawn = strips(plot_gates(found))
    state = "c" if layer.kind == "LSTM" else "h"
    assert list(drawn) == [*layer.gates, state]
    largest = max(1.0, *(np.abs(step[gate]).max() for gate in layer.gates for step in layer.steps))
    for name, axes in drawn.items():
        (image,) = axes.images
        wanted = np.array([step[name] for step in layer.steps]).T
        assert (np.asarray(image.get_array()) == wanted).all()
        limit = np.abs(wanted).max() if name == state else largest
        assert image.get_cmap().name == DIVERGING and (image.norm.vmin, image.norm.vmax) == (-limit, limit)
        np.testing.assert_allclose([float(t.get_text()) for t in axes.texts], wanted.ravel(), rtol=0.05, atol=1e-12)


def numeric_slope(layer, gate, a):
    """Return the slope of a gate's activation at a pre-activation, by differences, and the steepest there is."""
    name = layer.layer.activation if gate == "n" else layer.layer.recurrent_activation
    model = nbrnn.Sequential([nbrnn.Activation(name)], (1,), dtype="float64")
    at = np.concatenate([a.ravel(), np.linspace(-3, 3, 601)])[:, None]
    slope = (model.predict(at + 1e-6) - model.predict(at - 1e-6)).ravel() / 2e-6
    return slope[: a.size].reshape(a.shape), slope.max()


@pytest.mark.parametrize("cell", CELLS)
def test_cells_are_hatched_where_the_slope_is_below_a_tenth_of_the_steepest(cell):
    found = saturating(cell)
    layer = found.layers[0]
    drawn, hatched = strips(plot_gates(found)), 0
    for k, gate in enumerate(layer.gates):
        (shade,) = drawn[gate].collections
        corners = {tuple(path.vertices[:4].mean(axis=0).round(6)) for path in shade.get_paths()}
        a = np.array([np.split(step.a, len(layer.gates))[k] for step in layer.steps])
        slope, steepest = numeric_slope(layer, gate, a)
        assert corners == {(t + 1, j + 1) for t, j in np.argwhere(slope < 0.1 * steepest)}
        assert shade.get_hatch()
        hatched += len(corners)
    assert hatched > 0
    axes = drawn["c" if layer.kind == "LSTM" else "h"]
    assert not axes.collections


def test_masked_steps_are_empty_and_the_caption_says_so():
    model = random_model([GRU(2), Dense(1)], (5, 1), seed=0)
    found = nbrnn.trace(model, random_array((5, 1)), mask=[True, False, True, True, False])
    figure = plot_gates(found)
    drawn = strips(figure)
    for gate in "zrn":
        mask = np.ma.getmaskarray(np.ma.masked_invalid(drawn[gate].images[0].get_array()))
        assert (mask == np.array([[False, True, False, False, True]] * 2)).all()
    assert np.isfinite(drawn["h"].images[0].get_array()).all()
    assert figure.get_supxlabel().endswith("Grey steps are masked.")
    assert "Grey" not in plot_gates(traced([GRU(2), Dense(1)])).get_supxlabel()


# ---------------------------------------------------------------- paths


def trajectories(counts=(3, 2), units=4, steps=(3, 5)):
    """Return traces of a model of sequences of two classes and lengths."""
    model = random_model([LSTM(units), Dense(2)], (None, 2), seed=3)
    labels = [k for k, n in enumerate(counts) for _ in range(n)]
    return [nbrnn.trace(model, random_array((steps[k], 2), seed=j)) for j, k in enumerate(labels)], labels


def test_paths_are_the_states_seen_from_where_they_spread_most():
    found, labels = trajectories()
    figure = plot_trajectories(found, labels)
    (axes,) = figure.axes
    lines = [line for line in axes.lines if line.get_alpha() is not None]
    assert len(lines) == len(found)
    every = [np.vstack([np.zeros(4), [step.h for step in trace.steps]]) for trace in found]
    stacked = np.vstack(every)
    values = np.linalg.eigvalsh(np.cov(stacked.T))[::-1]
    drawn = np.vstack([line.get_xydata() for line in lines])
    # The plane is orthonormal and catches the two largest variances: centred points have their covariance.
    np.testing.assert_allclose(np.cov(drawn.T), np.diag(values[:2]), atol=1e-12)
    assert f"({values[0] / values.sum():.0%})" in axes.get_xlabel()
    assert f"({values[1] / values.sum():.0%})" in axes.get_ylabel()
    plane = np.linalg.lstsq(stacked, drawn, rcond=None)[0]
    for line, path, label in zip(lines, every, labels, strict=True):
        np.testing.assert_allclose(line.get_xydata(), path @ plane, atol=1e-12)
        assert (line.get_xydata()[0] == 0).all() and to_hex(line.get_color()) == COLORS[label].lower()
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["0", "1"]


def test_a_path_begins_at_the_state_that_was_given_and_the_caption_says_what_is_seen():
    model = random_model([GRU(3, return_sequences=True), Dense(2)], (4, 2), seed=1)
    start = random_array((1, 3), seed=2)
    found = [nbrnn.trace(model, random_array((4, 2), seed=j), initial_state=[start]) for j in range(2)]
    figure = plot_trajectories(found, ["a", "b"])
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    assert len(crosses) == 2 and np.abs(crosses[0].get_xydata()).max() > 0.01
    every = np.vstack([[step.h for step in trace.steps] for trace in found] + [start] * 2)
    lines = [line.get_xydata() for line in figure.axes[0].lines if line.get_alpha() is not None]
    assert (lines[0][0] == crosses[0].get_xydata()[0]).all() and len(lines[0]) == 5
    spread = np.linalg.eigvalsh(np.cov(every.T, bias=True))[::-1]
    np.testing.assert_allclose(np.cov(np.vstack(lines).T, bias=True), np.diag(spread[:2]), atol=1e-12)
    assert "all that the next layer sees" not in figure.get_supxlabel()
    assert "all that the next layer sees" in plot_trajectories(*trajectories()).get_supxlabel()


# ---------------------------------------------------------------- readable, and what is refused

DRAWN = {
    "two units": lambda: plot_gates(saturating("lstm", 8, units=2)),
    "one": lambda: plot_gates(saturating("gru", 1, units=1)),
    "many": lambda: plot_gates(saturating("gru before", 50, units=32)),
    "wide lstm": lambda: plot_gates(traced([LSTM(12, go_backwards=True), Dense(1)], steps=15, features=6)),
    "paths": lambda: plot_trajectories(*trajectories((4, 5))),
}


@pytest.mark.parametrize("case", DRAWN)
def test_nothing_overlaps_and_nothing_is_cut(case):
    figure = DRAWN[case]()
    figure.set_dpi(120)
    FigureCanvasAgg(figure).draw()
    assert figure.canvas.manager is None and figure.get_supxlabel().startswith("How to read this: ")
    found = visible_texts(figure)
    for k, (text, box) in enumerate(found):
        assert text.get_fontsize() >= 8, text
        assert figure.bbox.padded(1).contains(box.x0, box.y0) and figure.bbox.padded(1).contains(box.x1, box.y1), text
        for other, its in found[:k]:
            assert not smaller(box, 0.5).overlaps(smaller(its, 0.5)), (text, other)


def test_gates_that_cannot_be_drawn_are_refused():
    stack = traced([LSTM(2, return_sequences=True), GRU(2), Dense(1)])
    for found, layer, sentence in [
        (stack, None, "the model has 2 recurrent layers; choose with layer= one of lstm, gru."),
        (stack, "dense", "layer 'dense' is not recurrent; layer must be one of lstm, gru."),
        (traced([SimpleRNN(2), Dense(1)]), None, "layer 'simple_rnn' is a SimpleRNN, which has no gates: give an LSTM"),
        (traced([Flatten(), Dense(1)]), None, "the model has no recurrent layer; there is nothing to draw."),
    ]:
        with pytest.raises(ValueError, match=re.escape(sentence)):
            plot_gates(found, layer)
    for state in ("h", "c"):
        broken = traced([LSTM(2), Dense(1)])
        broken.steps[1][state][0] = np.nan
        with pytest.raises(ValueError, match=r"states .*of lstm are not all finite; they cannot be drawn\."):
            plot_gates(broken)


def test_paths_that_cannot_be_drawn_are_refused():
    found, labels = trajectories()
    seven = [found[0]] * 7
    mixed = [found[0], traced([LSTM(3), Dense(1)])]
    for traces, classes, sentence in [
        ([], [], "traces must hold at least one trace."),
        (found, labels[:-1], "labels must be 5, one for each trace, not 4."),
        (seven, range(7), "labels hold 7 classes; at most 6 can be told apart in one picture."),
        (mixed, [0, 1], "traces must be of one layer of two units or more, not of [3, 4] units."),
        ([traced([GRU(1)])], [0], "traces must be of one layer of two units or more, not of [1] units."),
    ]:
        with pytest.raises(ValueError, match=re.escape(sentence)):
            plot_trajectories(traces, classes)
