"""The sunspots lesson: its data, its split and windows, and its scores over 20 seeds."""

import csv
from functools import cache
from importlib import resources

import numpy as np
import pytest

from nbrnn import Dense, Sequential, SimpleRNN

SEEDS = 20


@cache
def lesson():
    """Return (train x, train y, test x, test y), made as the lesson makes them, without nbrnn's own helpers."""
    text = (resources.files("nbrnn") / "datasets" / "monthly-sunspots.csv").read_text()
    series = np.array([float(row[1]) for row in list(csv.reader(text.splitlines()))[1:] if row])
    assert len(series) == 2820
    scaled = (series - series.min()) / (series.max() - series.min())  # over the test rows too: the lesson's leak
    parts = []
    for part in (scaled[:2256], scaled[2256:]):
        places = np.arange(12, len(part), 12)  # windows that do not overlap, each with the row after it
        parts += [np.array([part[k - 12 : k] for k in places])[..., None], part[places][:, None]]
    return parts


def rmse(model, x, y):
    return float(np.sqrt(np.mean((model.predict(x) - y) ** 2)))


def test_the_windows_are_those_of_the_lesson():
    x, y, test_x, test_y = lesson()
    assert (x.shape, y.shape, test_x.shape, test_y.shape) == ((187, 12, 1), (187, 1), (46, 12, 1), (46, 1))
    assert y[0, 0] == pytest.approx(0.2888100867, abs=5e-11)


def test_the_last_value_gives_the_lessons_baseline():
    x, y, test_x, test_y = lesson()
    assert np.sqrt(np.mean((x[:, -1] - y) ** 2)) == pytest.approx(0.0629, abs=5e-5)
    assert np.sqrt(np.mean((test_x[:, -1] - test_y) ** 2)) == pytest.approx(0.0796, abs=5e-5)


def test_the_scores_over_20_seeds_lie_in_their_bands():
    x, y, test_x, test_y = lesson()
    scores = []
    for seed in range(SEEDS):
        model = Sequential([SimpleRNN(3, "tanh"), Dense(1, "tanh")], input_shape=(12, 1), seed=seed)
        model.compile("adam", "mean_squared_error")
        model.fit(x, y, epochs=20, batch_size=1, verbose=0)
        scores.append((rmse(model, x, y), rmse(model, test_x, test_y)))
    train, test = np.median(scores, axis=0)
    assert 0.057 <= train <= 0.066 and 0.080 <= test <= 0.105, (train, test)
    assert len({score for score, _ in scores}) == SEEDS
