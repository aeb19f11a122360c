"""The picture of a confusion matrix: its squares, counts and names."""

import numpy as np
import pytest
from test_plots_windows import overlapping, smallest_font, texts

import nbrnn
from nbrnn.plots import plot_confusion
from nbrnn.plots.style import SMALL

COUNTS = np.random.default_rng(0).integers(0, 2000, (5, 5))
NAMES = ["running", "standing", "sitting", "walking", "$x$"]


def test_squares_are_shares_of_their_rows_and_texts_their_counts():
    counts = np.concatenate([COUNTS[:4], np.zeros((1, 5), int)])
    figure = plot_confusion(nbrnn.ConfusionMatrix(counts), NAMES, "Movements")
    axes = figure.axes[0]
    shares = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(shares[:4], counts[:4] / counts[:4].sum(axis=1, keepdims=True))
    assert (shares[4] == 0).all() and axes.images[0].get_clim() == (0, 1)
    assert texts(axes) == [f"{n:,}" for n in counts.reshape(-1)]
    assert [t.get_position() for t in axes.texts[:6]] == [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (0, 1)]
    assert [t.get_text() for t in axes.get_yticklabels()] == NAMES == [t.get_text() for t in axes.get_xticklabels()]
    assert axes.get_title() == "Movements" and axes.get_ylabel() == "class of the sample"


@pytest.mark.parametrize("classes", [2, 5, 14, 30])
def test_counts_can_be_read(classes):
    counts = np.random.default_rng(1).integers(0, 100_000 if classes < 15 else 1000, (classes, classes))
    figure = plot_confusion(counts, [f"class {k}" for k in range(classes)])
    assert not overlapping(figure) and smallest_font(figure) >= SMALL


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([[1, 2]],), "2 to 30 classes, not (1, 2)"),
        ((np.ones((31, 31)),), "2 to 30 classes, not (31, 31)"),
        (([[1, -2], [0, 1]],), "matrix must hold counts"),
        (([[0.5, 2], [0, 1]],), "matrix must hold counts"),
        ((COUNTS, ["a"]), "labels must be 5 names, one a class, not 1"),
        ((3,), "matrix must be (classes, classes)"),
    ],
)
def test_what_is_no_matrix_is_refused(arguments, words):
    with pytest.raises(ValueError) as caught:
        plot_confusion(*arguments)
    assert words in str(caught.value)
