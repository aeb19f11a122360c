"""The pictures of `nbrnn bench`: every number of a report stands where it belongs."""

import io

import numpy as np
import pytest
from matplotlib.colors import to_hex

from nbrnn.plots.benchmarks import CELLS, GOAL, plot_ratios, plot_roofline

SIZES = (3, 64, 1024)


def made_report(threads=(1, 2), modes=("train", "forward"), cells=tuple(CELLS), peers=("torch", "jax")):
    rng = np.random.default_rng(0)
    results = []
    for t in threads:
        for mode in modes:
            for cell in cells:
                for size in SIZES:
                    entries = {name: {"median_s": float(rng.uniform(1, 2))} for name in ("nbrnn", *peers)}
                    results.append(
                        {
                            "group": "layer",
                            **{"name": cell, "size": size, "mode": mode, "dtype": "float32", "threads": t},
                            **{"flops": 10 * size**2, "bytes": 100 * size, "gflops": float(rng.uniform(1, 200))},
                            "goals": {"best": float(rng.uniform(1, 3))} if t == 1 else {},
                            "contestants": entries,
                            "ratio": float(rng.uniform(0.3, 8)) if peers else None,
                        }
                    )
    peaks = [{"dtype": "float32", "threads": t, "gflops": 250.0 * t, "gigabytes_per_s": 40.0} for t in threads]
    return {"peaks": peaks, "results": results}


def png(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def lines_of(axes, cell):
    return [line for line in axes.lines if to_hex(line.get_color()) == CELLS[cell][1].lower()]


def test_every_layer_is_a_labelled_point_under_the_roof():
    report = made_report()
    figure = plot_roofline(report)
    titles = [f"{CELLS[cell][0]}, float32, {t} thread{'s' * (t > 1)}" for t in (1, 2) for cell in CELLS]
    assert [axes.get_title() for axes in figure.axes] == titles
    for axes, (t, cell) in zip(figure.axes, [(t, cell) for t in (1, 2) for cell in CELLS], strict=True):
        train, forward = lines_of(axes, cell)
        assert [line.get_label() for line in (train, forward)] == ["train", "forward"]
        for line, mode in ((train, "train"), (forward, "forward")):
            rows = [r for r in report["results"] if (r["threads"], r["name"], r["mode"]) == (t, cell, mode)]
            np.testing.assert_allclose(line.get_xdata(), [r["flops"] / r["bytes"] for r in rows])
            np.testing.assert_allclose(line.get_ydata(), [r["gflops"] for r in rows])
        texts = [text.get_text() for text in axes.texts]
        assert [text for text in texts if text.isdigit()] == [str(size) for size in SIZES] * 2
        assert f"peak {250 * t} GFLOP/s, memory 40 GB/s" in texts
        (roof,) = [line for line in axes.lines if line.get_linewidth() == 2]
        x, y = (np.asarray(values) for values in roof.get_data())
        np.testing.assert_allclose(y, np.minimum(250.0 * t, 40.0 * x))
        assert axes.get_xscale() == axes.get_yscale() == "log" and x[1] == 250 * t / 40
    assert png(figure)


def test_every_ratio_and_every_goal_is_drawn():
    report = made_report()
    figure = plot_ratios(report)
    assert len(figure.axes) == 4 and all(axes.get_yscale() == "log" for axes in figure.axes)
    for axes, (t, mode) in zip(figure.axes, [(t, m) for t in (1, 2) for m in ("train", "forward")], strict=True):
        own = [r for r in report["results"] if (r["threads"], r["mode"]) == (t, mode)]
        for cell in CELLS:
            (line,) = lines_of(axes, cell)
            rows = [r for r in own if r["name"] == cell]
            assert list(line.get_ydata()) == [r["ratio"] for r in rows]
            assert [round(x) for x in line.get_xdata()] == [0, 1, 2]
        goals = [line.get_ydata()[0] for line in axes.lines if to_hex(line.get_color()) == GOAL.lower()]
        assert sorted(goals) == sorted(r["goals"]["best"] for r in own if r["goals"])
        assert any(list(line.get_ydata()) == [1, 1] for line in axes.lines)
        low, high = axes.get_ylim()
        assert low < min(r["ratio"] for r in own) and high > max(r["ratio"] for r in own)
        assert [label.get_text() for label in axes.get_xticklabels()] == [str(size) for size in SIZES]
    assert "fastest of jax, torch" in figure.get_supxlabel() and png(figure)


def test_a_single_panel_and_three_panels_are_drawn():
    for options in ({"threads": (1,), "modes": ("train",), "cells": ("gru",)}, {"threads": (1,), "modes": ("train",)}):
        report = made_report(**options)
        assert png(plot_roofline(report)) and png(plot_ratios(report))
    figure = plot_ratios(made_report(threads=(1,), modes=("train",), cells=("gru",), peers=("jax",)))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["GRU", "goal"]
    assert "above 1 nbrnn is faster than jax, " in " ".join(figure.get_supxlabel().split())
    report = made_report(modes=("train",), cells=("gru", "lstm"))
    report["results"] = report["results"][:-3]  # the last panel is missing
    assert len(plot_roofline(report).axes) == 3 and png(plot_roofline(report))


def test_every_picture_says_how_to_read_it():
    for figure in (plot_roofline(made_report()), plot_ratios(made_report())):
        assert figure.get_supxlabel().startswith("How to read this: ")


def test_a_report_with_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="compares no layer with a peer"):
        plot_ratios(made_report(peers=()))
    report = made_report()
    for peak in report["peaks"]:
        del peak["gigabytes_per_s"]
    with pytest.raises(ValueError, match="there is no roofline to draw"):
        plot_roofline(report)
