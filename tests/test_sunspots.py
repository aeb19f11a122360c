"""The sunspots lesson: its windows, its leaky scaler, its scores and what is said of them."""

import numpy as np
import pytest

from nbrnn.datasets import load_dataset
from nbrnn.lesson import (
    EPOCHS,
    SPLIT,
    lesson_forecaster,
    lesson_model,
    lesson_parts,
    lesson_remarks,
    lesson_rmse,
    lesson_scores,
    lesson_text,
    strongest_period,
)
from nbrnn.targets import cpu

needs_jit = pytest.mark.skipif(not cpu.JIT, reason="takes minutes in plain Python")


def test_the_lesson_has_its_windows_and_its_leaky_scaler():
    forecaster = lesson_forecaster(0, epochs=1)
    table = load_dataset("sunspots")
    X, y = forecaster.windows(table[:SPLIT])
    assert X.shape == (187, 12, 1) and y[0, 0] == pytest.approx(0.2888100867, abs=1e-7)
    assert len(table) - SPLIT == 564
    assert forecaster.scaler.scale == 253.8  # the largest of ALL rows
    assert lesson_model(0).count_params() == 19
    assert "187 to train on, 46 to test on" in " ".join(lesson_text().split())


@needs_jit
def test_the_lesson_scores_as_the_reference_says():
    train, test = np.median(lesson_scores(range(20)), axis=0)
    assert 0.057 <= train <= 0.066 and 0.080 <= test <= 0.105


def test_the_lessons_baselines_and_remarks():
    forecaster = lesson_forecaster(0, epochs=EPOCHS if cpu.JIT else 1)
    parts = lesson_parts(forecaster)
    assert [len(part.rows) for part in parts] == [187, 46]
    assert [int(part.rows[0]) for part in parts] == [12, SPLIT + 12]
    assert lesson_rmse(forecaster, parts, "last value") == pytest.approx((0.0629, 0.0796), abs=5e-5)
    assert lesson_rmse(forecaster, parts, "least-squares AR(12)") == pytest.approx((0.0514, 0.0781), abs=5e-5)
    scores = np.array([[0.057, 0.081], [0.06, 0.09], [0.07, 0.17]])
    text = " ".join(lesson_remarks(forecaster, parts, scores).split())
    for words in ("train 0.058, test 0.077", "0.060 (0.057 to 0.070)", "253.8 in 1957-10", "is 134 months", "tanh"):
        assert words in text


def test_the_strongest_period_of_sunspots_is_the_solar_cycle():
    assert strongest_period(load_dataset("sunspots").column("Sunspots")) == 134
