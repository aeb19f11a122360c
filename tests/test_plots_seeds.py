"""The picture of scores by seed: the dots are the scores, the lines the baselines."""

import io
import re

import numpy as np
import pytest

import nbrnn
from nbrnn.plots.style import PREDICTED


def test_a_dot_for_each_seed_and_a_line_for_each_baseline():
    scores = np.random.default_rng(0).uniform(1, 2, 7)
    naive = {"last value": 1.5, "AR(12)": 1.25}
    figure = nbrnn.plot_seeds(scores, naive, "RMSE", "Seven seeds")
    (axes,) = figure.axes
    dots, *lines = axes.lines
    np.testing.assert_array_equal(dots.get_xdata(), scores)
    assert len(set(dots.get_ydata())) == 7 and dots.get_color() == PREDICTED and dots.get_linestyle() == "None"
    assert [line.get_xdata() for line in lines] == [[1.5, 1.5], [1.25, 1.25]]
    assert len({line.get_color() for line in axes.lines}) == 3 and len({line.get_linestyle() for line in lines}) == 2
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()][1:] == ["last value: 1.5", "AR(12): 1.25"]
    assert axes.get_xlabel() == "RMSE" and axes.get_title() == "Seven seeds"
    assert figure.get_supxlabel().startswith("How to read this: left is better.")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    assert file.getvalue().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("scores", "baselines", "words"),
    [
        ([], {}, "scores must be a row of finite numbers, one a seed, not an array of shape (0,)."),
        ([[1.0]], {}, "not an array of shape (1, 1)."),
        ([1.0, np.nan], {}, "scores must be a row of finite numbers"),
        ([1.0], dict.fromkeys("abcdef", 1.0), "baselines holds 6 errors; at most 5 can be told apart."),
    ],
)
def test_what_cannot_be_drawn_is_refused(scores, baselines, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        nbrnn.plot_seeds(scores, baselines)
