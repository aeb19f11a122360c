"""Pictures: the arrays that are drawn, the red line, dates and units on the axes, and no global state."""

import io

import numpy as np
import pytest
from matplotlib.colors import to_rgb

import nbrnn
from nbrnn.backtest import Backtest
from nbrnn.csvfile import Table
from nbrnn.plots import ACTUAL, PREDICTED, SPLIT, VALIDATION, plot_backtest, plot_history, plot_predictions

MONTHS = [f"{1900 + k // 12}-{k % 12 + 1:02d}" for k in range(900)]


def series(count=600, first=100):
    rows = np.arange(first, first + count)
    actual = 50 + 20 * np.sin(rows / 20)
    return rows, actual, actual + np.cos(rows)


def png(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def drawn(axes, color):
    """Return the (x, y) of the one line of a colour."""
    (line,) = [line for line in axes.lines if line.get_color() == color and len(line.get_xdata()) > 2]
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def red_lines(axes):
    return [line.get_xdata()[0] for line in axes.lines if line.get_color() == SPLIT]


def ticks(figure, axes):
    png(figure)  # labels exist once a figure is drawn
    low, high = axes.get_xlim()
    return {round(x): t.get_text() for x, t in zip(axes.get_xticks(), axes.get_xticklabels()) if low <= x <= high}  # noqa: B905


def test_predictions_are_drawn_as_they_are():
    rows, actual, predicted = series()
    figure = plot_predictions(actual, predicted, 500, rows, MONTHS, "m/s", "wind")
    whole, close, errors = figure.axes
    for axes, shown in ((whole, slice(None)), (close, slice(-120, None))):
        for color, values in ((ACTUAL, actual), (PREDICTED, predicted)):
            x, y = drawn(axes, color)
            np.testing.assert_array_equal(x, rows[shown])
            np.testing.assert_array_equal(y, values[shown])
        assert axes.get_ylabel() == "m/s"
    x, y = drawn(errors, PREDICTED)
    np.testing.assert_array_equal(x, rows)
    np.testing.assert_array_equal(y, actual - predicted)
    assert whole.get_title() == "wind" and "last 120 predictions" in close.get_title()
    assert [t.get_text() for t in whole.get_legend().get_texts()] == ["actual", "predicted, one step ahead"]


def test_the_red_line_stands_before_the_first_test_row_where_it_is_in_sight():
    rows, actual, predicted = series()
    whole, close, errors = plot_predictions(actual, predicted, 500, rows).axes
    assert red_lines(whole) == red_lines(errors) == [499.5] and red_lines(close) == []
    assert [t.get_text().strip() for t in whole.texts] == ["training rows", "test rows"]
    close = plot_predictions(actual, predicted, 690, rows).axes[1]
    assert red_lines(close) == [689.5]


def test_the_rows_bear_the_years_of_their_dates():
    rows, actual, predicted = series()
    figure = plot_predictions(actual, predicted, 500, rows, MONTHS)
    whole, close, _ = figure.axes
    labels = ticks(figure, whole)
    assert len(labels) >= 4 and all(MONTHS[row] == f"{label}-01" for row, label in labels.items())
    assert all(int(label) % 5 == 0 for label in labels.values())
    close_labels = ticks(figure, close)
    assert len(close_labels) >= 4 and all(MONTHS[row] == f"{label}-01" for row, label in close_labels.items())


def test_a_short_span_bears_whole_dates_and_no_dates_bear_rows():
    days = [f"2014-03-{k:02d}" for k in range(1, 31)]
    rows, actual, predicted = series(30, 0)
    figure = plot_predictions(actual, predicted, 20, rows, days)
    labels = ticks(figure, figure.axes[0])
    assert len(labels) >= 3 and all(days[row] == label for row, label in labels.items())
    figure = plot_predictions(actual, predicted, 20)
    assert figure.axes[0].get_xlabel() == "row"
    assert all(str(row) == label for row, label in ticks(figure, figure.axes[0]).items())


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_handful_of_predictions_can_be_drawn(count):
    rows, actual, predicted = series(count)
    assert png(plot_predictions(actual, predicted, int(rows[0]), rows, MONTHS)).startswith(b"\x89PNG")


def test_a_dollar_sign_is_text_and_no_formula():
    rows, actual, predicted = series(40)
    figure = plot_predictions(actual, predicted, 120, rows, MONTHS, "$ of {$x_$", "$a$ ^ \\b$")
    assert png(figure) and figure.axes[0].get_title() == "$a$ ^ \\b$"


def test_every_picture_says_how_to_read_it():
    rows, actual, predicted = series(40)
    for figure in (plot_predictions(actual, predicted, 120, rows), plot_history({"loss": [2.0, 1.0]})):
        assert figure.get_supxlabel().startswith("How to read this: ")


def test_colours_differ_in_lightness():
    lightness = [np.dot([0.2126, 0.7152, 0.0722], np.power(to_rgb(color), 2.2)) for color in (ACTUAL, PREDICTED)]
    assert abs(lightness[0] - lightness[1]) > 0.15 and len({ACTUAL, PREDICTED, SPLIT, VALIDATION}) == 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"predicted": np.zeros(39)}, "one length"),
        ({"rows": np.arange(39)}, "one length"),
        ({"actual": np.zeros(0), "predicted": np.zeros(0), "rows": np.zeros(0, int)}, "one length"),
        ({"actual": np.zeros((40, 1)), "predicted": np.zeros((40, 1)), "rows": np.zeros((40, 1))}, "one length"),
        ({"dates": MONTHS[:100]}, "a label for each row up to 139, not 100 labels"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes, words):
    rows, actual, predicted = series(40)
    with pytest.raises(ValueError, match=words):
        plot_predictions(**{"actual": actual, "predicted": predicted, "split": 120, "rows": rows} | changes)


def test_a_history_is_drawn_epoch_by_epoch_from_1():
    model = nbrnn.Sequential([nbrnn.Dense(1)], input_shape=(2,), seed=0)
    model.compile("sgd", "mse", ["mae"])
    x = np.random.default_rng(0).normal(size=(20, 2))
    history = model.fit(x, x[:, 0] + 3, epochs=4, validation_split=0.25, verbose=0)
    figure = plot_history(history, "learning")
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "mae"]
    assert figure.axes[-1].get_xlabel() == "epoch" and figure.get_suptitle() == "learning"
    for axes, name in zip(figure.axes, ("loss", "mae"), strict=True):
        for color, key in ((PREDICTED, name), (VALIDATION, f"val_{name}")):
            x, y = drawn(axes, color)
            assert x.tolist() == [1, 2, 3, 4] and y.tolist() == history.history[key]
        assert axes.get_yscale() == "log"
    assert png(figure)


def test_a_history_with_a_zero_is_drawn_on_a_plain_scale():
    assert plot_history({"loss": [1.0, 0.0, 0.0]}).axes[0].get_yscale() == "linear"


@pytest.mark.parametrize("history", [{}, {"loss": []}])
def test_a_history_without_epochs_is_refused(history):
    with pytest.raises(ValueError, match="no finished epoch"):
        plot_history(history)


def test_pyplot_is_not_touched(run_python):
    code = (
        "import sys, io; from nbrnn.plots import plot_predictions\n"
        "plot_predictions([1, 2, 3], [1, 2, 2], 2).savefig(io.BytesIO()); print('matplotlib.pyplot' in sys.modules)"
    )
    assert run_python(code).strip() == "False"


def test_rows_between_two_parts_are_not_bridged():
    rng = np.random.default_rng(0)

    def part(first, last, name):
        shape = (last - first, 1, 1)
        numbers = {"network": rng.normal(size=shape)}
        return Backtest(np.arange(first, last), rng.normal(size=shape), numbers, ("y",), np.ones(1), name)

    table = Table(rng.normal(size=(60, 1)), ("y",))
    for start, gap in ((30, False), (40, True)):
        figure = plot_backtest([part(5, 30, "training"), part(start, 60, "test")], table)
        drawn = figure.axes[0].lines[0].get_ydata()
        assert np.isnan(drawn).any() == gap and np.isfinite(drawn).sum() == 25 + 60 - start
        assert "test rows" in [text.get_text().strip() for text in figure.axes[0].texts]
