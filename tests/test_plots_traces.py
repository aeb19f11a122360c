"""Pictures of a trace: the shares of a gradient are exact, and what is drawn are the trace's numbers, readably."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.transforms import Bbox
from test_itemise import traced
from test_tracing import CELLS, MLM

import nbrnn
from nbrnn import GRU, LSTM, Dense, Flatten, SimpleRNN
from nbrnn.plots.style import DIVERGING
from nbrnn.plots.traces import plot_hidden, plot_itemised, short
from nbrnn.plots.unrolled import plot_unrolled
from nbrnn.saving import read_model
from nbrnn.tracing.itemise import itemise

DRAWINGS = (plot_unrolled, plot_hidden, plot_itemised)


def mlm():
    return nbrnn.trace(read_model(MLM), [1, 2, 3], 4)


# ---------------------------------------------------------------- the map of states


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("options", ({}, {"return_sequences": True}, {"go_backwards": True}))
def test_the_map_shows_every_state_and_the_input_above_it(cell, options):
    found = traced([CELLS[cell](3, **options), Dense(1)], steps=5)
    figure = plot_hidden(found)
    series, cells_, scale = figure.axes
    (image,) = cells_.images
    h = np.array([step.h for step in found.steps])
    assert (np.asarray(image.get_array()) == h.T).all()
    assert image.get_cmap().name == DIVERGING
    assert image.norm.vmax == np.abs(h).max() and image.norm.vmin == -image.norm.vmax
    written = [float(text.get_text()) for text in cells_.texts]
    np.testing.assert_allclose(written, h.T.reshape(-1), rtol=0.05)
    x = found.x[::-1] if options.get("go_backwards") else found.x
    lines = [line for line in series.lines if len(line.get_xdata()) == 5]
    np.testing.assert_array_equal([line.get_ydata() for line in lines], x.T)
    assert all((line.get_xdata() == np.arange(1, 6)).all() for line in lines)
    assert series.get_xlim() == cells_.get_xlim() == (0.5, 5.5) and scale.get_ylabel() == "h"
    assert ("from its end" in cells_.get_xlabel()) == bool(options.get("go_backwards"))
    assert cells_.get_xlabel().startswith("step") and cells_.get_ylabel() == "unit"


def test_a_wide_map_has_no_numbers_and_a_layer_of_a_stack_is_chosen():
    found = traced([LSTM(3, return_sequences=True), GRU(8), Dense(1)], steps=40)
    _, below, _ = plot_hidden(found, "lstm").axes
    series, cells_, _ = plot_hidden(found, "gru").axes
    assert len(below.images[0].get_array()) == 3 and len(cells_.images[0].get_array()) == 8
    assert len(cells_.texts) == 0 and "from\nthe layer below" in series.get_ylabel()
    lines = [line.get_ydata() for line in series.lines if len(line.get_xdata()) == 40]
    np.testing.assert_array_equal(np.array(lines).T, [step.h for step in found.layers[0].steps])


# ---------------------------------------------------------------- the triangle


def of_triangle(figure):
    """Return the shares that are drawn, the bars below and those at the right."""
    triangle, below, *others = sorted(
        figure.axes, key=lambda axes: (not axes.images, "step k" not in axes.get_xlabel())
    )
    right = [axes for axes in others if "row t" in axes.get_xlabel()]
    bars = [[patch.get_height() for patch in below.patches]]
    bars += [[patch.get_width() for patch in axes.patches] for axes in right]
    return triangle.images[0], *bars


@pytest.mark.parametrize("weight", ("dWh", "dWx", "db"))
@pytest.mark.parametrize("cell", CELLS)
def test_the_triangle_shows_the_norms_of_the_shares(cell, weight):
    found = traced([CELLS[cell](3, return_sequences=True), Dense(1)], steps=5)
    image, below, right = of_triangle(plot_itemised(found, weight=weight))
    shares = itemise(found.layers[0])[weight].reshape(5, 5, -1)
    drawn, norm = image.get_array(), np.linalg.norm(shares, axis=2)
    upper = np.triu(np.ones((5, 5), bool), 1)
    assert (np.ma.getmaskarray(drawn) == upper).all()
    np.testing.assert_allclose(np.ma.getdata(drawn)[~upper], norm[~upper], rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(below, np.linalg.norm(shares.sum(axis=0), axis=1), rtol=1e-10)
    np.testing.assert_allclose(right, np.linalg.norm(shares.sum(axis=1), axis=1), rtol=1e-10)


def test_a_last_output_makes_one_row_and_small_norms_a_logarithmic_scale():
    figure = plot_itemised(mlm())
    image, below = of_triangle(figure)
    wanted = [np.linalg.norm(back.dWh) for back in mlm().backward]
    np.testing.assert_allclose(image.get_array(), [wanted], rtol=1e-12)
    np.testing.assert_allclose(below, wanted, rtol=1e-12)
    assert not isinstance(image.norm, LogNorm) and image.norm.vmin == 0
    assert "norm 60.04 in all" in figure.get_suptitle()
    faded, _ = of_triangle(plot_itemised(traced([SimpleRNN(2), Dense(1)], steps=40)))
    assert isinstance(faded.norm, LogNorm) and faded.norm.vmax == faded.get_array().max()


def test_the_axis_says_whose_gradient_comes_back():
    sequences = traced([GRU(2, return_sequences=True), Dense(1)])
    joined = traced([GRU(2, return_sequences=True), LSTM(2), Dense(1)])
    for found, layer, label in (
        (sequences, None, "loss at step t"),
        (joined, "gru", "from above, into step t"),
        (joined, "lstm", "the loss"),
    ):
        assert label in [axes.get_ylabel() for axes in plot_itemised(found, layer).axes]


# ---------------------------------------------------------------- the unrolled graph


def tables(figure):
    """Return the tables of the graph by gid: the heads, and the rows of numbers, None for those left out."""
    found = {}
    for text in figure.axes[0].texts:
        if text.get_gid() and " " in text.get_gid():
            head, *rows = text.get_text().split("\n")
            rows = [[None if cell == "..." else float(cell) for cell in row.split()] for row in rows]
            found[text.get_gid()] = head.split(), rows
    return found


def check_table(drawn, wanted, numbered=False):
    """Assert that a table shows these columns; of more than four numbers the first two and the last."""
    heads, rows = drawn
    assert heads == list(wanted)
    columns = np.array(list(wanted.values())).T
    places = list(range(len(columns)))
    if len(columns) > 4:
        assert set(rows.pop(2)) == {None}
        places = [0, 1, len(columns) - 1]
    if numbered and len(columns) > 1:
        assert [row.pop(0) for row in rows] == [j + 1 for j in places]
    np.testing.assert_allclose(rows, columns[places], rtol=0.05, atol=1e-300)


def per_step(found, layer):
    """Whether each step of a layer has an output of its own."""
    above = found.layers[found.layers.index(layer) + 1 :]
    return all(one.kind == "Dense" for one in above)


@pytest.mark.parametrize("units", (2, 6))
@pytest.mark.parametrize("options", ({}, {"return_sequences": True}, {"go_backwards": True, "return_sequences": True}))
@pytest.mark.parametrize("cell", CELLS)
def test_the_graph_bears_the_traces_numbers(cell, options, units):
    found = traced([CELLS[cell](units, **options), Dense(2)], steps=4, features=3)
    figure = plot_unrolled(found)
    drawn, layer = tables(figure), found.layers[0]
    states = ("h", "c") if cell == "lstm" else ("h",)
    for t, (step, back) in enumerate(zip(layer.steps, layer.backward, strict=True)):
        check_table(drawn.pop(f"x {t + 1}"), {"x": step.x})
        check_table(drawn.pop(f"h {t + 1}"), {s: step[s] for s in states}, numbered=True)
        gates = [f"da_{gate}" for gate in layer.gates] or ["da"]
        check_table(drawn.pop(f"da {t + 1}"), dict(zip(gates, np.split(back.da, len(gates)), strict=True)))
        if t < 3:
            check_table(drawn.pop(f"dh_future {t + 1}"), {f"d{s}_future": back[f"d{s}_future"] for s in states})
        if options.get("return_sequences") or t == 3:
            row = (lambda a, t=t: a[t]) if options.get("return_sequences") else (lambda a: a)
            check_table(drawn.pop(f"o {t + 1}"), {"o": row(found.output), "target": row(found.target)})
            check_table(drawn.pop(f"dh_loss {t + 1}"), {"dh_loss": back.dh_loss})
            check_table(drawn.pop(f"do {t + 1}"), {"do": found.layers[1].backward[-1 if t == 3 else t].dy})
    check_table(drawn.pop("h 0"), {f"{s}0": layer.steps[0][f"{s}_prev"] for s in states}, numbered=True)
    assert not drawn
    words = [text.get_text() for text in figure.axes[0].texts]
    every = bool(options.get("return_sequences"))
    assert words.count("Wx") == 4 and words.count("Wh") == 4 and words.count("Wy") == (4 if every else 1)
    assert f"L (mse) = {short(found.loss, 4, 9)}" in words


def arrows(figure):
    """Return how many arrows are solid, and how many are dashed."""
    styles = [patch.get_linestyle() for patch in figure.axes[0].patches if isinstance(patch, FancyArrowPatch)]
    solid = styles.count("-") + styles.count("solid")
    return solid, len(styles) - solid


def test_the_published_numbers_stand_in_the_graph():
    figure = plot_unrolled(mlm())
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert any("-1.302" in text and "-6.842" in text for text in texts)
    assert any("11.42" in text and "-5.351" in text for text in texts)  # dL/dh2, from the future alone
    assert "  x  \n1.000" in texts and any(text.startswith("    h   \n1 ") for text in texts)  # heads stand above
    assert "L (mse) = 61.93" in texts and any("-3.870" in text for text in texts)
    assert arrows(figure) == (3 + 3 + 2, 3 + 2 + 2)


def test_without_a_target_there_is_no_way_back():
    found = traced([SimpleRNN(2, return_sequences=True), Dense(1)], target=False)
    figure = plot_unrolled(found)
    assert arrows(figure) == (4 + 4 + 4, 0)
    assert {gid.split()[0] for gid in tables(figure)} == {"x", "h", "o"}
    assert "ashed" not in figure.get_supxlabel()


@pytest.mark.parametrize(("cell", "shown"), (("simple_rnn", (1, 2, 10, 11, 12)), ("lstm", (1, 2, 11, 12))))
def test_a_long_sequence_shows_its_first_and_last_steps_and_says_so(cell, shown):
    figure = plot_unrolled(traced([CELLS[cell](7), Dense(1)], steps=12))
    drawn = tables(figure)
    assert sorted(int(gid.split()[1]) for gid in drawn if gid[0] == "x") == list(shown)
    words = [text.get_text() for text in figure.axes[0].texts]
    assert f"...\nsteps\n3 to {shown[2] - 1}\nleft out" in words
    assert "first two and the last are shown" in " ".join(figure.get_supxlabel().split())
    full = plot_unrolled(traced([CELLS[cell](2), Dense(1)], steps=5))
    assert len([gid for gid in tables(full) if gid[0] == "x"]) == 5
    assert "are shown" not in full.get_supxlabel()


def test_layers_that_join_all_steps_make_one_box():
    found = traced([GRU(3, return_sequences=True), LSTM(2), Dense(2), Dense(1)], steps=3)
    lower, upper = plot_unrolled(found, "gru"), plot_unrolled(found, "lstm")
    words = [text.get_text() for text in lower.axes[0].texts]
    assert f"lstm, dense, dense_1:  o = ({short(float(found.output[0]))})" in words
    drawn = tables(lower)
    for t in range(3):
        check_table(drawn[f"dh_loss {t + 1}"], {"dh_loss": found.layers[0].backward[t].dh_loss})
    assert "dense\ndense_1" in [text.get_text() for text in upper.axes[0].texts]
    bare = plot_unrolled(traced([SimpleRNN(2)], steps=3))
    assert "o = h" in [text.get_text() for text in bare.axes[0].texts]
    sequences = traced([SimpleRNN(2, return_sequences=True), GRU(2, return_sequences=True)], steps=2)
    assert "gru" in [text.get_text() for text in plot_unrolled(sequences, "simple_rnn").axes[0].texts]


@given(value=st.floats(-1e300, 1e300, allow_subnormal=False), digits=st.integers(2, 6))
def test_short_numbers_are_the_numbers(value, digits):
    text = short(value, digits, digits + 7)
    assert len(text) <= digits + 7 and float(text) == pytest.approx(value, rel=0.6 * 10 ** (1 - digits))


def test_numbers_stay_short():
    assert [short(v) for v in (46, -1.3, 0, -0.0, 100, 1.2345e-4, -0.00747, 1234567)] == [
        "46.0", "-1.30", "0", "0", "100", "1.23e-4", "-0.0075", "1.23e6",
    ]  # fmt: skip


# ---------------------------------------------------------------- readable


def visible_texts(figure):
    """Return every text that is drawn, with its extent in pixels."""
    found = []
    for axes in figure.axes:
        found += [*axes.texts, axes.title, *(axes.get_legend().get_texts() if axes.get_legend() else [])]
        if axes.axison:
            for axis in (axes.xaxis, axes.yaxis):
                low, high = sorted(axis.get_view_interval())
                ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
                labels = [label for t in ticks if low <= t.get_loc() <= high for label in (t.label1, t.label2)]
                found += [axis.label, *labels]
    found += figure.findobj(lambda a: a in (figure._suptitle, figure._supxlabel))
    return [(t, t.get_window_extent()) for t in found if t.get_visible() and t.get_text()]


def smaller(box, by):
    return Bbox.from_extents(box.x0 + by, box.y0 + by, box.x1 - by, box.y1 - by)


CASES = {
    "mlm": mlm,
    "long lstm": lambda: traced([LSTM(8), Dense(1)], steps=50, features=1),
    "gru": lambda: traced([GRU(3, return_sequences=True), Dense(1)], steps=4),
    "gru before": lambda: traced([CELLS["gru before"](5, return_sequences=True), Dense(2)], steps=7, features=6),
    "rnn backwards": lambda: traced([SimpleRNN(4, return_sequences=True, go_backwards=True), Flatten(), Dense(1)], 6),
    "one": lambda: traced([LSTM(1), Dense(1)], steps=1, features=1),
    "two heads": lambda: traced([LSTM(2), Dense(3), Dense(2)], steps=3),
    "bare": lambda: traced([SimpleRNN(2, return_sequences=True)], steps=30),
}


@pytest.mark.parametrize("draw", DRAWINGS)
@pytest.mark.parametrize("case", CASES)
def test_nothing_overlaps_nothing_is_cut_and_nothing_is_tiny(case, draw):
    figure = draw(CASES[case]())
    figure.set_dpi(120)
    FigureCanvasAgg(figure).draw()
    assert figure.canvas.manager is None and figure.get_supxlabel().startswith("How to read this: ")
    texts = visible_texts(figure)
    assert all(text.get_fontsize() >= 8 for text, _ in texts)
    for text, box in texts:
        assert figure.bbox.padded(1).contains(box.x0, box.y0), text
        assert figure.bbox.padded(1).contains(box.x1, box.y1), text
    for k, (text, box) in enumerate(texts):
        for other, its in texts[:k]:
            assert not smaller(box, 0.5).overlaps(smaller(its, 0.5)), (text, other)
    boxes = [p.get_window_extent() for p in figure.findobj(FancyBboxPatch)]
    for text, box in texts:
        for frame in boxes:
            inside = frame.contains(box.x0, box.y0) and frame.contains(box.x1, box.y1)
            assert inside or not smaller(box, 0.5).overlaps(frame), text


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("draw", DRAWINGS)
def test_bad_input_is_refused(draw):
    found = traced([LSTM(2, return_sequences=True), GRU(2), Dense(1)])
    plain = traced([Flatten(), Dense(1)])
    for arguments, sentence in [
        ((found,), "the model has 2 recurrent layers; choose with layer= one of lstm, gru."),
        ((found, "dense"), "layer 'dense' is not recurrent; layer must be one of lstm, gru."),
        ((found, "lstn"), "layer 'lstn' is unknown (did you mean 'lstm'?); known are lstm, gru, dense."),
        ((plain,), "the model has no recurrent layer; there is nothing to draw."),
        ((found.model,), "trace must be what nbrnn.trace returns, not Sequential."),
    ]:
        with pytest.raises(ValueError, match=re.escape(sentence)):
            draw(*arguments)


def test_a_triangle_needs_a_backward_pass_and_a_weight_that_is_there():
    with pytest.raises(ValueError, match="trace of gru has no backward pass: give "):
        plot_itemised(traced([GRU(2), Dense(1)], target=False))
    found = traced([GRU(2, use_bias=False), Dense(1)])
    with pytest.raises(ValueError, match=r"weight 'db' is unknown.*known are dWx, dWh"):
        plot_itemised(found, weight="db")


@pytest.mark.parametrize("draw", (plot_unrolled, plot_hidden))
def test_states_that_are_not_finite_are_not_drawn(draw):
    found = traced([SimpleRNN(2), Dense(1)], target=False)
    found.steps[1].h[0] = np.inf
    with pytest.raises(ValueError, match="states of simple_rnn are not all finite; they cannot be drawn"):
        draw(found)


def test_the_pictures_are_public():
    assert all(getattr(nbrnn, draw.__name__) is draw for draw in DRAWINGS)
