"""The sunspots lesson of MachineLearningMastery ("Understanding simple recurrent neural networks in Keras"), as it
stands there, mistakes included; `nbrnn train sunspots --lesson` runs it and says what they are.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from .catalogue import WIDTH
from .datasets import DATASETS, load_dataset
from .forecasting import NETWORK, Comparison, Forecaster
from .layers import Dense
from .optimizers import Adam
from .problems import Problem
from .sequential import Sequential
from .simple import SimpleRNN

WINDOW, UNITS, EPOCHS, BATCH_SIZE, SPLIT = 12, 3, 20, 1, 2256
PUBLISHED = (0.058, 0.077)  # RMSE, scaled, train and test


def lesson_problem() -> Problem:
    """Return the lesson's windows (187 and 46 that do not overlap) and its scaler, which has seen the test rows."""
    known = DATASETS["sunspots"]
    unit, title = known.units[known.target], f"The lesson on sunspots: {known.description}"
    table = load_dataset("sunspots")
    return Problem(table, known.target, WINDOW, SPLIT, known.season, unit, title, lesson=True)


def lesson_model(seed: int) -> Sequential:
    """Return the lesson's model, 19 parameters, with Adam and the mean squared error."""
    layers = [SimpleRNN(UNITS, activation="tanh"), Dense(1, activation="tanh")]
    model = Sequential(layers, input_shape=(WINDOW, 1), seed=seed)
    model.compile(Adam(), "mse")
    return model


def lesson_scores(problem: Problem, seeds: Iterable[int]) -> np.ndarray:
    """Train with each seed and return the RMSE, scaled: an array (seeds, 2) of train and test."""
    scores = []
    for seed in seeds:
        forecaster = problem.forecaster(lesson_model(seed))
        problem.fit(forecaster, epochs=EPOCHS, batch_size=BATCH_SIZE, verbose=0)
        train, _, test, _ = problem.compare(forecaster).rmse()
        scores.append((train, test))
    return np.array(scores)


def strongest_period(series: ArrayLike) -> int:
    """Return the period, in rows, of the largest peak in a series' spectrum.

    Examples
    --------
    >>> strongest_period(np.sin(2 * np.pi * np.arange(200) / 25))
    25
    """
    values = np.asarray(series, np.float64)
    power = np.abs(np.fft.rfft(values - values.mean()))
    return round(len(values) / int(power.argmax()))


def lesson_remarks(problem: Problem, forecaster: Forecaster, comparison: Comparison, scores: np.ndarray) -> str:
    """Return in words how this run stands to the published scores, and what the lesson gets wrong."""
    values, dates = problem.table.column(problem.target), problem.table.dates
    assert dates is not None
    top = int(values.argmax())
    train, _, test, _ = comparison.rmse()
    period = strongest_period(values)
    reach = max(float(part.predicted[NETWORK].max()) for part in (comparison.train, comparison.test))
    last = comparison.rmse("last value")
    spread = [f"{np.median(s):.3f} ({s.min():.3f} to {s.max():.3f})" for s in scores.T]
    remarks = [
        f"Published RMSE, scaled: train {PUBLISHED[0]}, test {PUBLISHED[1]}. This run: train {train:.3f}, test "
        f"{test:.3f}.",
        "What the lesson gets wrong:",
        f"1. One seed says little: over {len(scores)} seeds the train RMSE has the median {spread[0]}, the test RMSE "
        f"{spread[1]}.",
        f"2. It names no baseline: to repeat the last value scores {last[0]:.3f} and {last[2]:.3f}.",
        f"3. The scaler has seen the test rows: the largest value, {values[top]:g} in {dates[top]}, is one of them.",
        "4. The head is a tanh: its output stays below 1, so the scaled maximum cannot be reached (largest prediction "
        f"here {reach:.4g} of {values[top]:g}).",
        f"5. A window of 12 suggests a year's season, but the strongest period is {period} months, the solar cycle.",
        "`nbrnn train sunspots` without --lesson does it otherwise.",
    ]
    return "\n".join(textwrap.fill(text, WIDTH, subsequent_indent="   " * text[0].isdigit()) for text in remarks)
