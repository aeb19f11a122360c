"""Windows and models as pictures: which squares, numbers and sums are drawn."""

import doctest
import io
import re

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Circle, FancyBboxPatch, Rectangle

import nbrnn
from nbrnn import GRU, LSTM, Dense, Flatten, Sequential, SimpleRNN, sliding_windows
from nbrnn.plots import diagram, plot_model, plot_step_errors, plot_windows
from nbrnn.plots.diagram import parameter_terms
from nbrnn.plots.steps import FLOOR
from nbrnn.plots.style import BLUE, GREEN, INPUT, PALE_BLUE, PALE_ORANGE, SMALL, TARGET


def texts(axes):
    return [text.get_text() for text in axes.texts]


def squares(axes, color):
    """Return the rows of the squares of a colour, by lane."""
    found = {}
    for patch in axes.patches:
        if isinstance(patch, Rectangle) and to_hex(patch.get_facecolor()) == color.lower():
            lane = round(patch.get_y() + patch.get_height() / 2)
            found.setdefault(lane, []).append(round(patch.get_x() + patch.get_width() / 2))
    return found


def overlapping(figure):
    """Return pairs of texts that lie over each other once the figure is drawn."""
    figure.savefig(io.BytesIO(), format="png")
    drawn = [t for axes in figure.axes for t in axes.texts if t.get_text().strip()]
    boxes = [(t.get_text(), t.get_window_extent()) for t in drawn]
    return [(a, b) for k, (a, box) in enumerate(boxes) for b, other in boxes[:k] if box.overlaps(other)]


def smallest_font(figure):
    return min(text.get_fontsize() for axes in figure.axes for text in axes.texts)


# ---------------------------------------------------------------- windows


@pytest.mark.parametrize(("length", "horizon", "stride"), [(1, 1, 1), (3, 1, 1), (3, 1, 3), (2, 3, 2), (4, 0, 1)])
def test_squares_stand_where_sliding_windows_cuts(length, horizon, stride):
    series = np.random.default_rng(length).normal(size=(11, 2))
    figure = plot_windows(series, length, horizon, stride, target=1, shown=3)
    above, below = figure.axes
    numbers = np.stack([np.arange(11)] * 2, axis=1)
    X, y = sliding_windows(numbers, length, horizon, stride, target=1)
    assert squares(below, INPUT) == {n: (X[n, :, 0] + 1).tolist() for n in range(min(3, len(X)))}
    assert squares(below, TARGET) == {n: (y[n] + 1).tolist() for n in range(min(3, len(X)))}
    for c in range(2):
        x, values = above.lines[c].get_data()
        np.testing.assert_array_equal(values, series[: len(x), c])
        assert x.tolist() == list(range(1, len(x) + 1)) and len(x) >= max(squares(below, TARGET)[0])
    assert figure.get_supxlabel().startswith("How to read this: ") and not overlapping(figure)


def test_the_numbers_in_the_squares_are_the_tables():
    below = plot_windows(range(1, 11), 3, stride=3).axes[1]
    assert texts(below) == ["1", "2", "3", "4", "4", "5", "6", "7", "7", "8", "9", "10"]
    assert [label.get_text() for label in below.get_yticklabels()] == ["window 1", "window 2", "window 3"]
    assert below.get_xlabel() == "row of the series, counted from 1 (10 rows; no more windows)"
    rows = [(2, 3, 3), (3, 4, 4), (2, 4, 4), (3, 5, 5), (4, 6, 6)]
    below = plot_windows(rows, 3, horizon=0, target=2, shown=1).axes[1]
    assert texts(below) == ["2\n3", "3\n4", "2\n4", "4"] and "2 more windows" in below.get_xlabel()


def test_many_rows_bear_no_numbers_and_a_count_of_what_is_not_drawn():
    airline = nbrnn.load_dataset("airline").values
    figure = plot_windows(airline, 20, title="$a", unit="$b")
    above, below = figure.axes
    assert texts(below) == [] and "144 rows; and 120 more windows" in below.get_xlabel()
    assert above.get_title() == "$a" and above.get_ylabel() == "$b"
    assert smallest_font(plot_windows(airline, 10)) >= SMALL - 0.5


@pytest.mark.parametrize(("horizon", "target_rows"), [(1, (3.5, 4.5)), (2, (3.5, 5.5)), (0, (2.5, 3.5))])
def test_the_first_window_is_shaded_over_the_series(horizon, target_rows):
    series = np.random.default_rng(1).normal(size=(9, 2))
    figure = plot_windows(series, 3, horizon, target=0, names=["speed", "wind"])
    spans = {to_hex(p.get_facecolor()): (p.get_x(), p.get_x() + p.get_width()) for p in figure.axes[0].patches}
    assert spans == {PALE_BLUE.lower(): (0.5, 3.5), PALE_ORANGE.lower(): target_rows}
    legend = [t.get_text() for t in figure.axes[0].get_legend().get_texts()]
    assert legend == ["speed", "wind", "window 1: inputs", "window 1: target"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (((1, 2, 3), 3), "series holds 3 rows"),
        (((1, 2, np.nan, 4), 2), "row 2, column 0"),
        (((1, 2, 3, 4), 0), "length must be a whole number"),
        (((1, 2, 3, 4), 2, 1, 1, None, 0), "shown must be a whole number of at least 1, not 0"),
        (((1, 2, 3, 4), 2, 1, 1, None, 4, ["a", "b"]), "a name for each of the 1 columns, not 2 names"),
    ],
)
def test_windows_that_cannot_be_drawn_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        plot_windows(*arguments)


# ---------------------------------------------------------------- models

MODELS = {
    "simple": ([SimpleRNN(32, "relu"), Dense(8, "relu"), Dense(1)], (1, 4)),
    "gru": ([GRU(10), Dense(1)], (50, 1)),
    "gru before": ([GRU(10, reset_after=False), Dense(1)], (50, 1)),
    "lstm": ([LSTM(32), Dense(2)], (3, 8)),
    "no bias": ([SimpleRNN(5, use_bias=False, return_sequences=True), LSTM(2), Dense(1, use_bias=False)], (None, 3)),
    "flat": ([Flatten(), Dense(1)], (12, 1)),
    "vectors": ([Dense(3), Dense(1)], (7,)),
}


@pytest.fixture(params=MODELS)
def model(request):
    layers, shape = MODELS[request.param]
    return Sequential([type(layer)(**layer.config()) for layer in layers], input_shape=shape, seed=0)


def test_every_layer_is_a_box_with_its_shape_and_its_arithmetic(model):
    figure = plot_model(model)
    (axes,) = figure.axes
    assert sum(isinstance(p, FancyBboxPatch) for p in axes.patches) == len(model.layers) + 1
    found = texts(axes)
    sums = [re.match(r"(.*) = (\d+)\n", text) for text in found]
    sums = [(match[1], int(match[2])) for match in sums if match]
    assert [total for _, total in sums] == [n for n in (layer.count_params() for layer in model.layers) if n]
    for arithmetic, total in sums:
        parts = [np.prod([int(n) for n in product.split("*")]) for product in arithmetic.split(" + ")]
        assert sum(parts) == total
    for layer, shape in zip(model.layers, [*model.input_shapes[1:], model.output_shape], strict=True):
        at = found.index(f"{layer.name} ({type(layer).__name__})")
        assert found[at + 1] == str(shape).replace("None", "any")
    assert found[-1].endswith(f"= {model.count_params()}")
    assert not overlapping(figure) and smallest_font(figure) >= 8


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("simple", ("4*32 + 32*32 + 32 = 1184", "32*8 + 8 = 264", "8*1 + 1 = 9", "1184 + 264 + 9 = 1457")),
        ("gru", ("1*10*3 + 10*10*3 + 2*10*3 = 390", "10*1 + 1 = 11", "390 + 11 = 401")),
        ("gru before", ("1*10*3 + 10*10*3 + 10*3 = 360", "10*1 + 1 = 11", "360 + 11 = 371")),
        ("lstm", ("8*32*4 + 32*32*4 + 32*4 = 5248", "32*2 + 2 = 66", "5248 + 66 = 5314")),
        ("flat", ("no parameters: it only moves numbers", "12*1 + 1 = 13")),
    ],
)
def test_the_published_counts_stand_in_the_picture(name, lines):
    layers, shape = MODELS[name]
    model = Sequential([type(layer)(**layer.config()) for layer in layers], input_shape=shape, seed=0)
    found = "\n".join(texts(plot_model(model).axes[0]))
    assert all(line in found for line in lines), found


def test_units_are_dots_up_to_a_limit():
    model = Sequential([SimpleRNN(5), Dense(2)], input_shape=(4, 3), seed=0)

    def dots(**options):
        (axes,) = plot_model(model, **options).axes
        circles = [p for p in axes.patches if isinstance(p, Circle)]
        counts = [sum(to_hex(p.get_facecolor()) == c.lower() for p in circles) for c in (INPUT, BLUE, GREEN)]
        return counts, texts(axes).count("...")

    assert dots() == ([3, 5, 2], 0) and dots(limit=5) == ([3, 5, 2], 0)
    assert dots(limit=4) == ([3, 3, 2], 1)  # the first two and the last one
    assert dots(limit=3) == ([3, 2, 2], 1)


def test_only_recurrent_layers_have_a_loop():
    for name, loops in (("simple", 1), ("no bias", 2), ("flat", 0)):
        layers, shape = MODELS[name]
        figure = plot_model(Sequential([type(la)(**la.config()) for la in layers], input_shape=shape), title="$x")
        assert texts(figure.axes[0]).count("next step") == loops
        assert ("The loop" in figure.get_supxlabel()) == bool(loops) and figure.axes[0].get_title() == "$x"


def test_terms_are_the_sizes_of_the_weights(model):
    for layer, shape in zip(model.layers, model.input_shapes, strict=True):
        terms = parameter_terms(layer, shape)
        assert [size for *_, size in terms] == [w.size for w in layer.get_weights()]
        assert all(np.prod([int(n) for n in product.split("*")]) == size for _, product, size in terms)


def test_a_model_without_a_shape_and_a_small_limit_are_refused():
    with pytest.raises(ValueError, match="input_shape"):
        plot_model(Sequential([SimpleRNN(2)]))
    with pytest.raises(ValueError, match="limit must be a whole number of at least 3, not 2"):
        plot_model(Sequential([SimpleRNN(2)], input_shape=(3, 1)), limit=2)


# ---------------------------------------------------------------- sizes of steps

STEPS = [1e-1, 1e-2, 1e-3]


def test_errors_are_drawn_step_by_step_and_zero_stands_at_the_foot():
    errors = {"forward": [1e-1, 1e-2, 1e-1], "complex": [0.0, 1e-16, 0.0]}
    figure = plot_step_errors(STEPS, errors, "$x$")
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.lines if line.get_label() in errors}
    for name, drawn in (("forward", errors["forward"]), ("complex", [FLOOR, 1e-16, FLOOR])):
        assert lines[name].get_xdata().tolist() == STEPS and lines[name].get_ydata().tolist() == drawn
    assert axes.get_xscale() == axes.get_yscale() == "log" and axes.get_title() == "$x$"
    low, high = axes.get_xlim()
    assert low > high  # large steps to the left
    assert texts(axes) == ["no error at all"] and axes.get_ylim()[0] < FLOOR
    assert figure.get_supxlabel().startswith("How to read this: ") and smallest_font(figure) >= 8
    assert texts(plot_step_errors(STEPS, {"forward": STEPS}).axes[0]) == []


@pytest.mark.parametrize(
    ("steps", "errors", "words"),
    [
        (STEPS, {}, "errors must hold 1 to 4 methods, not 0"),
        (STEPS, dict.fromkeys("abcde", STEPS), "errors must hold 1 to 4 methods, not 5"),
        ([1, 0.1, 0], {"a": STEPS}, "steps must be a list of finite numbers above zero"),
        ([], {"a": []}, "steps must be a list of finite numbers above zero"),
        (STEPS, {"a": [1, 2]}, "the errors of 'a' must be 3 finite numbers of at least zero, one a step"),
        (STEPS, {"a": [1, 2, np.nan]}, "the errors of 'a' must be 3 finite numbers"),
        (STEPS, {"a": [1, 2, -1]}, "the errors of 'a' must be 3 finite numbers"),
    ],
)
def test_errors_that_cannot_be_drawn_are_refused(steps, errors, words):
    with pytest.raises(ValueError, match=words):
        plot_step_errors(steps, errors)


def test_the_examples_of_the_pictures_print_what_they_say():
    assert doctest.testmod(diagram) == (0, 4)
