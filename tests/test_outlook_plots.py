"""Pictures of forecasts beyond the end and of errors by horizon: the arrays that are drawn, dates, units, names."""

import io
from dataclasses import replace

import numpy as np
import pytest
from forecast_models import fitted, wave
from matplotlib.collections import PolyCollection

import nbrnn
from nbrnn.backtest import backtest
from nbrnn.outlook import look_ahead
from nbrnn.plots import ACTUAL, PREDICTED, SPLIT, plot_errors_by_horizon, plot_forecast, plot_scrambled
from nbrnn.plots.outlook import FREE
from nbrnn.problems import Problem
from nbrnn.scrambling import Scrambled


def problem_of(table, season=12):
    parts = {"training": slice(0, 50), "validation": slice(50, 65), "test": slice(65, len(table))}
    return Problem(table, table.columns[:1], parts, (), season, {table.columns[0]: "m/s"})


def outlook_of(steps=6, seeds=(0,), rows=80, season=12):
    forecaster, _ = fitted(seeds=seeds)
    return look_ahead(problem_of(wave(rows), season), forecaster, steps), forecaster


def png(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def curves(axes):
    """Return the (x, y) of each curve by its name."""
    lines = {line.get_label(): line for line in axes.lines}
    return {name: (np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for name, line in lines.items()}


def test_the_forecast_begins_where_the_series_ends_and_the_curves_are_the_forecasters():
    outlook, forecaster = outlook_of()
    table = outlook.problem.table
    figure = plot_forecast(outlook)
    (axes,) = figure.axes
    drawn = curves(axes)
    x, y = drawn["what came"]
    assert x.tolist() == list(range(40, 80))  # what is shown of 80 rows, six ahead
    np.testing.assert_array_equal(y, table.column(0)[40:])
    x, y = drawn["network, beyond the end"]
    assert x.tolist() == list(range(80, 86))
    np.testing.assert_allclose(y, forecaster.forecast(6, table)[:, 0], rtol=1e-12)
    x, y = drawn["network, begun 6 rows before the end"]
    assert x.tolist() == list(range(74, 80))
    np.testing.assert_allclose(y, forecaster.forecast(6, table[:74])[:, 0], rtol=1e-12)
    x, y = drawn["network, one step ahead from true rows"]
    assert x.tolist() == list(range(40, 80))
    np.testing.assert_allclose(y, [forecaster.forecast(1, table[:k])[0, 0] for k in range(40, 80)], rtol=1e-12)
    x, y = drawn["seasonal-naive"]
    np.testing.assert_array_equal(y, table.column(0)[68:74])
    (border,) = [line for line in axes.lines if line.get_color() == SPLIT]
    assert list(border.get_xdata()) == [79.5, 79.5] and axes.get_ylabel() == "m/s"
    assert png(figure).startswith(b"\x89PNG") and figure.get_supxlabel().startswith("How to read this: ")


def test_the_band_is_the_fans_and_one_path_has_none():
    outlook, _ = outlook_of(seeds=(0, 1, 2))
    (axes,) = plot_forecast(outlook).axes
    (band,) = [c for c in axes.collections if isinstance(c, PolyCollection)]
    corners = band.get_paths()[0].vertices
    low, high = outlook.fan.band(0.8)
    for k in range(6):
        heights = corners[corners[:, 0] == 80 + k, 1]
        assert heights.min() == pytest.approx(low[k, 0]) and heights.max() == pytest.approx(high[k, 0])
    assert "the middle 80 % of 3 paths" in band.get_label()
    assert not plot_forecast(outlook_of()[0]).axes[0].collections


def test_dates_go_on_beyond_the_end_and_long_histories_are_cut():
    outlook, _ = outlook_of(steps=24, rows=400)
    figure = plot_forecast(outlook)
    (axes,) = figure.axes
    png(figure)
    dates = [*outlook.problem.table.dates, *outlook.labels]
    low, high = axes.get_xlim()
    labels = {round(x): t.get_text() for x, t in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)}
    assert all(dates[row][:4] == text for row, text in labels.items() if low <= row <= high and row < len(dates))
    assert any(row >= 400 for row in labels) and curves(axes)["what came"][0][0] == 400 - 72


def test_without_a_season_the_last_value_is_the_baseline_and_a_single_step_is_seen():
    outlook, _ = outlook_of(steps=1, season=None, seeds=(0, 1))
    (axes,) = plot_forecast(outlook).axes
    drawn = curves(axes)
    assert "seasonal-naive" not in drawn and drawn["last value"][1] == outlook.problem.table.column(0)[-1]
    marks = {line.get_label(): line.get_marker() for line in axes.lines}
    assert marks["last value"] == marks["network, beyond the end"] == "."
    assert axes.get_xlim()[1] > 81


def test_a_series_no_longer_than_the_window_has_a_forecast_and_nothing_to_compare():
    forecaster, _ = fitted()
    outlook = look_ahead(Problem(wave(5), ("a",), {"training": slice(0, 5)}), forecaster, 3)
    assert set(curves(plot_forecast(outlook).axes[0])) >= {"what came", "network, beyond the end", "last value"}
    assert len(outlook.free) == len(outlook.one_step) == 0
    np.testing.assert_allclose(outlook.fan.mean, forecaster.forecast(3, wave(5)), rtol=1e-12)


def scores(steps):
    forecaster, table = fitted()
    return backtest(forecaster, table, slice(60, 80), slice(0, 60), steps, 12)


def test_errors_are_drawn_by_steps_ahead_and_named_in_the_order_of_the_last():
    found = scores(4)
    figure = plot_errors_by_horizon(found, "m/s")
    (axes,) = figure.axes
    drawn = curves(axes)
    assert set(drawn) == set(found.predicted)
    for name, (x, y) in drawn.items():
        assert x.tolist() == [1, 2, 3, 4]
        np.testing.assert_allclose(y, [found.score("rmse", name, s) for s in (1, 2, 3, 4)])
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == sorted(drawn, key=lambda name: -drawn[name][1][-1])
    colors = {line.get_label(): line.get_color() for line in axes.lines}
    assert colors["network"] == PREDICTED and len(set(colors.values())) == len(colors)
    assert axes.get_ylabel() == "RMSE (m/s)" and axes.get_ylim()[0] == 0 and png(figure)


def test_a_baseline_that_is_far_off_is_named_and_does_not_press_the_others_together():
    found = scores(4)
    off = replace(found, predicted=found.predicted | {"drift": found.actual + 1000.0})
    (axes,) = plot_errors_by_horizon(off).axes
    drawn = curves(axes)
    assert len(drawn.pop("drift: 1000 and more")[0]) == 0 and axes.get_ylim()[1] < 500
    assert set(drawn) == set(found.predicted) - {"drift"}


def test_errors_of_one_step_are_bars_with_their_figures_the_best_uppermost():
    found = scores(1)
    (axes,) = plot_errors_by_horizon(found).axes
    widths = [bar.get_width() for bar in axes.patches]
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert widths == sorted(widths, reverse=True)
    assert set(names) == set(found.predicted)
    np.testing.assert_allclose(widths, [found.score("rmse", name) for name in names])
    assert [t.get_text().strip() for t in axes.texts] == [
        f"{w:.4g}" for w in widths
    ] and axes.get_xlabel() == "RMSE (a)"


def test_a_baseline_that_does_not_answer_to_every_value_is_left_out():
    found = scores(2)
    gaps = {"drift": np.full_like(found.actual, np.nan)}
    assert "drift" not in curves(plot_errors_by_horizon(replace(found, predicted=found.predicted | gaps)).axes[0])


def test_permuted_steps_are_bars_of_both_networks():
    draws = ((2.0, 9.0, 2.5), (1.0, 6.0, 2.0), (4.0, 5.0, 7.0))
    rows = [Scrambled("Flatten -> Dense", ((3.0, 5.0, 3.0),)), Scrambled("network", draws)]
    figure = plot_scrambled(rows, "m/s")
    (axes,) = figure.axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    drawn = dict(zip(names, [bar.get_width() for bar in axes.patches], strict=True))
    assert drawn["network: in order"] == 2 and drawn["network: permuted at test time"] == 6
    assert drawn["network: trained anew on permuted steps"] == 2.5 and drawn["Flatten -> Dense: in order"] == 3
    dots = [sorted(line.get_xdata()) for line in axes.lines]
    assert dots == [[3], [5], [3], [2, 2.5, 7], [5, 6, 9], [1, 2, 4]] and axes.get_xlim()[1] > 9
    assert list(drawn)[-1] == "network: in order" and axes.get_xlabel() == "RMSE (m/s)" and png(figure)
    with pytest.raises(ValueError, match="nothing to draw"):
        plot_scrambled([])


def test_colours_are_those_of_the_other_pictures():
    (axes,) = plot_forecast(outlook_of()[0]).axes
    colors = {line.get_label(): line.get_color() for line in axes.lines}
    assert colors["what came"] == ACTUAL and colors["network, beyond the end"] == PREDICTED
    assert colors["network, begun 6 rows before the end"] == FREE
    assert nbrnn.plot_forecast is plot_forecast
