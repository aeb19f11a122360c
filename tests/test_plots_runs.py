"""The picture of forecasts that begin at one row: the curves, their errors, the band."""

import io
import re

import numpy as np
import pytest

import nbrnn
from nbrnn.plots import ACTUAL, SPLIT

RNG = np.random.default_rng(0)
KNOWN, CAME = RNG.normal(size=20), RNG.normal(size=8)
FAN = nbrnn.Fan(RNG.normal(size=(5, 8, 2)), ("a", "b"))


def test_curves_and_errors_stand_at_their_rows():
    forecasts = {"free-running": RNG.normal(size=8), "seasonal-naive": RNG.normal(size=8)}
    figure = nbrnn.plot_runs(KNOWN, CAME, forecasts, unit="m", title="Two")
    above, below = figure.axes
    all_, *curves, border = above.lines
    np.testing.assert_array_equal(all_.get_ydata(), np.concatenate([KNOWN, CAME]))
    assert all_.get_color() == ACTUAL and border.get_color() == SPLIT and list(border.get_xdata()) == [19.5, 19.5]
    for curve, error, (name, values) in zip(curves, below.lines[:2], forecasts.items(), strict=True):
        assert curve.get_label() == name and curve.get_color() == error.get_color()
        assert list(curve.get_xdata()) == list(error.get_xdata()) == list(range(20, 28))
        np.testing.assert_array_equal(curve.get_ydata(), values)
        np.testing.assert_array_equal(error.get_ydata(), values - CAME)
    assert len({(c.get_color(), c.get_linestyle()) for c in curves}) == 2 and above.get_ylabel() == "m"
    assert not above.collections and "band" not in figure.get_supxlabel()
    file = io.BytesIO()
    figure.savefig(file, format="png")
    assert file.getvalue().startswith(b"\x89PNG")


def test_the_band_is_the_fans_target_and_stands_below_as_an_error():
    figure = nbrnn.plot_runs(KNOWN, CAME, {}, FAN, target=1, level=0.5)
    low, high = (edge[:, 1] for edge in FAN.band(0.5))
    for axes, truth in zip(figure.axes, (np.zeros(8), CAME), strict=True):
        (band,) = axes.collections
        corners = band.get_paths()[0].vertices
        for k in range(8):
            heights = corners[corners[:, 0] == 20 + k, 1]
            np.testing.assert_allclose([heights.min(), heights.max()], [low[k] - truth[k], high[k] - truth[k]])
    (legend,) = figure.legends
    assert "the middle 50 % of 5 paths" in [text.get_text() for text in legend.get_texts()]
    assert "band" in figure.get_supxlabel()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((KNOWN, CAME, {"mine": CAME[:3]}), "forecast 'mine' must have the shape (8,) of what came, not (3,)."),
        ((KNOWN, CAME[:0], {}), "known and actual must be rows of numbers, not of shapes (20,) and (0,)."),
        ((KNOWN, CAME, dict.fromkeys("abcdef", CAME)), "forecasts holds 6 curves; at most 5 can be told apart."),
        ((KNOWN, CAME[:3], {}, FAN), "fan must go 3 steps ahead, as what came does, not 8."),
        ((KNOWN, CAME, {}, FAN, 2), "target must be from 0 to 1, not 2."),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        nbrnn.plot_runs(*arguments)
