"""The map of a loss: every point is what evaluate says of those weights, and the ways are where they were."""

import re

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm

import nbrnn
from nbrnn import Dense, SimpleRNN
from nbrnn.plots.surface import loss_surface, plot_loss_surface

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(6, 4, 2)), RNG.normal(size=(6, 1))


def made(seed=0, metrics=()):
    model = nbrnn.Sequential([SimpleRNN(2), Dense(1)], (4, 2), seed, "float64")
    model.compile("sgd", "mse", metrics=list(metrics))
    return model


def way(seed, points=4):
    """Return weights that go somewhere at random."""
    rng = np.random.default_rng(seed)
    weights = [made().get_weights()]
    for _ in range(points - 1):
        weights.append([w + 0.3 * rng.normal(size=w.shape) for w in weights[-1]])
    return weights


def flat(weights):
    return np.concatenate([np.ravel(w) for w in weights])


def moved(row):
    """Return a row as the model's weights."""
    model, parts = made(), []
    for w in model.get_weights():
        parts.append(row[: w.size].reshape(w.shape))
        row = row[w.size :]
    model.set_weights(parts)
    return model


@pytest.mark.parametrize("metrics", ((), ("mae",)))
def test_every_point_is_the_loss_of_its_weights(metrics):
    model, path = made(metrics=metrics), way(1)
    before = flat(model.get_weights())
    found = loss_surface(model, X, Y, [path], size=5)
    assert found.losses.shape == (5, 5) and (flat(model.get_weights()) == before).all()
    centre = flat(path[-1])
    for j, i in ((0, 0), (1, 3), (4, 2)):
        offset = found.axes[0][i] * found.directions[0] + found.axes[1][j] * found.directions[1]
        assert found.losses[j, i] == pytest.approx(moved(centre + offset).evaluate(X, Y), rel=1e-12)


def test_the_directions_are_those_in_which_the_ways_go_farthest():
    paths = [way(1), way(2, 6)]
    found = loss_surface(made(), X, Y, paths, size=2)
    np.testing.assert_allclose(found.directions @ found.directions.T, np.eye(2), atol=1e-12)
    centre = flat(paths[0][-1])
    offsets = np.array([flat(point) for path in paths for point in path]) - centre
    np.testing.assert_allclose(np.concatenate(found.paths), offsets @ found.directions.T, atol=1e-12)
    assert [len(path) for path in found.paths] == [4, 6] and np.abs(found.paths[0][-1]).max() < 1e-12
    best = np.linalg.eigvalsh(offsets.T @ offsets)
    assert found.share == pytest.approx(best[-2:].sum() / best.sum(), rel=1e-10) and 0.5 < found.share < 1
    for k in (0, 1):
        projected = np.concatenate(found.paths)[:, k]
        assert found.axes[k][0] < projected.min() and found.axes[k][-1] > projected.max()


def test_given_directions_are_kept_and_made_perpendicular():
    size = flat(way(1)[0]).size
    first, second = np.eye(size)[3] * 2, np.eye(size)[3] + np.eye(size)[5]
    pair = tuple(moved(row).get_weights() for row in (first, second))
    found = loss_surface(made(), X, Y, [way(1)], pair, size=2)
    np.testing.assert_allclose(found.directions, np.eye(size)[[3, 5]], atol=1e-15)
    assert 0 < found.share < 1


def test_a_way_within_a_plane_is_seen_whole():
    start = flat(way(1)[0])
    a, b = np.eye(start.size)[[0, 4]]
    path = [moved(start + u * a + v * b).get_weights() for u, v in ((0, 0), (1, 0.5), (2, -1), (1, 3))]
    assert loss_surface(made(), X, Y, [path], size=2).share == pytest.approx(1)


def test_what_is_drawn_are_the_losses_and_the_ways():
    paths = {"one": way(1), "two": way(2)}
    figure = plot_loss_surface(made(), X, Y, paths, size=7, title="a map")
    found = loss_surface(made(), X, Y, list(paths.values()), size=7)
    axes, scale = figure.axes
    mesh = axes.collections[0]
    np.testing.assert_array_equal(np.asarray(mesh.get_array()).reshape(7, 7), found.losses)
    lines = {line.get_label(): line.get_xydata() for line in axes.lines if not line.get_label().startswith("_")}
    assert list(lines) == ["one", "two"] and axes.get_title() == "a map" and scale.get_ylabel().startswith("loss (")
    for drawn, path in zip(lines.values(), found.paths, strict=True):
        np.testing.assert_array_equal(drawn, path)
    marks = [line.get_xydata()[0] for line in axes.lines if line.get_marker() == "*"]
    np.testing.assert_array_equal(marks, [path[-1] for path in found.paths])
    assert f"{found.share:.1%}" in " ".join(figure.get_supxlabel().split())
    low, high = found.losses.min(), found.losses.max()
    assert isinstance(mesh.norm, LogNorm) == (high / low > 20)


def test_losses_that_are_not_finite_stay_empty():
    path = [[1e160 * w for w in made(seed).get_weights()] for seed in (1, 2)] + [made(3).get_weights()]
    found = loss_surface(made(), X, Y, [path], size=3)
    assert np.isnan(found.losses).any() and not np.isinf(found.losses).any()


@pytest.mark.parametrize("paths", [{"one": way(1), "two": way(2), "three": way(3), "four": way(4)}, way(5)])
def test_nothing_is_cut_and_the_legend_stands_outside(paths):
    figure = plot_loss_surface(made(), X, Y, paths, size=4, title="a title")
    figure.set_dpi(120)
    FigureCanvasAgg(figure).draw()
    assert figure.get_supxlabel().startswith("How to read this: ")
    axes = figure.axes[0]
    boxes = [part.get_window_extent() for part in (*figure.legends, axes.title, axes, figure._supxlabel)]
    for k, box in enumerate(boxes):
        assert figure.bbox.padded(1).contains(box.x0, box.y0) and figure.bbox.padded(1).contains(box.x1, box.y1)
        assert not any(box.overlaps(other) for other in boxes[:k])


def test_bad_input_is_refused():
    bare = nbrnn.Sequential([SimpleRNN(2), Dense(1)], (4, 2), seed=0)
    one, path = way(1), way(1)
    line = [moved(k * np.ones(flat(one[0]).size)).get_weights() for k in (1, 2, 3)]
    for arguments, sentence in [
        ((bare, X, Y, path), "the model has no loss to draw: call compile() first."),
        ((made(), X, Y, {}), "paths must hold 1 to 4 paths, not 0."),
        ((made(), X, Y, {str(k): path for k in range(5)}), "paths must hold 1 to 4 paths, not 5."),
        ((made(), X, Y, []), "paths must hold at least one path, and each at least one point."),
        ((made(), X, Y, line), "the paths go along a single line, which spans no plane; give two directions"),
        ((made(), X, Y, path, (one[0], one[0])), "directions point along a single line"),
        ((made(), X, Y, [one[0][:-1]]), "weights must have the model's shapes (2, 2), (2, 2), (2,), (2, 1), (1,), not"),
        ((made(), X, Y, [[np.nan * w for w in one[0]], one[1]]), "weights must be finite numbers"),
        ((made(), X, Y, path, None, 1), "size must be a whole number of at least 2"),
    ]:
        with pytest.raises(ValueError, match=re.escape(sentence)):
            plot_loss_surface(*arguments)


def test_the_picture_is_public():
    assert nbrnn.plot_loss_surface is plot_loss_surface
