"""The sunspots lesson of MachineLearningMastery ("Understanding simple recurrent neural networks in Keras"), as it
stands there, mistakes included; `nbrnn train sunspots --lesson` runs it and says what they are.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .backtest import NETWORK, Backtest, beside
from .catalogue import WIDTH
from .datasets import DATASETS, load_dataset
from .forecasting import Forecaster
from .layers import Dense
from .optimizers import Adam
from .scalers import MinMaxScaler
from .sequential import Sequential
from .simple import SimpleRNN

WINDOW, UNITS, EPOCHS, BATCH_SIZE, SPLIT = 12, 3, 20, 1, 2256
TARGET = "Sunspots"
PUBLISHED = (0.058, 0.077)  # RMSE, scaled, train and test


def lesson_model(seed: int) -> Sequential:
    """Return the lesson's model, 19 parameters, with Adam and the mean squared error."""
    layers = [SimpleRNN(UNITS, activation="tanh"), Dense(1, activation="tanh")]
    model = Sequential(layers, input_shape=(WINDOW, 1), seed=seed)
    model.compile(Adam(), "mse")
    return model


def lesson_forecaster(seed: int, **options: Any) -> Forecaster:
    """Return the lesson's forecaster, trained on windows that do not overlap; its scaler has seen the test rows."""
    table = load_dataset("sunspots")
    forecaster = Forecaster(lesson_model(seed), WINDOW, MinMaxScaler().fit(table), stride=WINDOW)
    options = {"epochs": EPOCHS, "batch_size": BATCH_SIZE, "verbose": 0} | options
    return forecaster.fit(table[:SPLIT], **options)


def lesson_parts(forecaster: Forecaster) -> tuple[Backtest, Backtest]:
    """Return the scores of the 187 training and the 46 test windows, which do not look back over the split."""
    table = load_dataset("sunspots")
    train, test = table[:SPLIT], table[SPLIT:]
    season = DATASETS["sunspots"].season
    how: dict[str, Any] = {"name": "training", "season": season, "learned_stride": WINDOW}
    first = beside(forecaster, train, train, 1, WINDOW, first=WINDOW, **how)
    how |= {"name": "test", "history": train}
    return first, beside(forecaster, test, train, 1, WINDOW, first=SPLIT + WINDOW, **how)


def lesson_rmse(forecaster: Forecaster, parts: Iterable[Backtest], name: str = NETWORK) -> tuple[float, ...]:
    """Return a forecast's RMSE of each part, scaled."""
    assert forecaster.scaler is not None and forecaster.scaler.scale is not None
    return tuple(part.score("rmse", name) / float(forecaster.scaler.scale[0]) for part in parts)


def lesson_scores(seeds: Iterable[int]) -> np.ndarray:
    """Train with each seed and return the RMSE, scaled: an array (seeds, 2) of train and test."""
    found = []
    for seed in seeds:
        forecaster = lesson_forecaster(seed)
        found.append(lesson_rmse(forecaster, lesson_parts(forecaster)))
    return np.array(found)


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


def lesson_text() -> str:
    """Return a few lines that say what the lesson does."""
    known, table = DATASETS["sunspots"], load_dataset("sunspots")
    dates = table.dates or ()
    lines = {
        "predicts": f"{TARGET} ({known.units[TARGET]}), from its own past",
        "training": f"{SPLIT} rows, {dates[0]} to {dates[SPLIT - 1]}",
        "test": f"{len(table) - SPLIT} rows, {dates[SPLIT]} to {dates[-1]}; never trained on",
        "scaling": f"0 to {table.values.max():g} becomes 0 to 1, measured on ALL rows, the test rows too",
        "windows": f"{WINDOW} rows -> the row after them; 187 to train on, 46 to test on, not overlapping",
    }
    told = [
        textwrap.fill(text, WIDTH, initial_indent=f"  {name:<10}", subsequent_indent=" " * 12)
        for name, text in lines.items()
    ]
    return "\n".join([textwrap.fill(f"The lesson on sunspots: {known.description}", WIDTH), *told])


def lesson_remarks(forecaster: Forecaster, parts: tuple[Backtest, Backtest], scores: np.ndarray) -> str:
    """Return in words how this run stands to the published scores, and what the lesson gets wrong."""
    table = load_dataset("sunspots")
    values, dates = table.column(TARGET), table.dates
    assert dates is not None
    top = int(values.argmax())
    train, test = lesson_rmse(forecaster, parts)
    period = strongest_period(values)
    reach = max(float(part.predicted[NETWORK].max()) for part in parts)
    last = lesson_rmse(forecaster, parts, "last value")
    spread = [f"{np.median(s):.3f} ({s.min():.3f} to {s.max():.3f})" for s in scores.T]
    remarks = [
        f"Published RMSE, scaled: train {PUBLISHED[0]}, test {PUBLISHED[1]}. This run: train {train:.3f}, test "
        f"{test:.3f}.",
        "What the lesson gets wrong:",
        f"1. One seed says little: over {len(scores)} seeds the train RMSE has the median {spread[0]}, the test RMSE "
        f"{spread[1]}.",
        f"2. It names no baseline: to repeat the last value scores {last[0]:.3f} and {last[1]:.3f}.",
        f"3. The scaler has seen the test rows: the largest value, {values[top]:g} in {dates[top]}, is one of them.",
        "4. The head is a tanh: its output stays below 1, so the scaled maximum cannot be reached (largest prediction "
        f"here {reach:.4g} of {values[top]:g}).",
        f"5. A window of 12 suggests a year's season, but the strongest period is {period} months, the solar cycle.",
        "`nbrnn train sunspots` without --lesson does it otherwise.",
    ]
    return "\n".join(textwrap.fill(text, WIDTH, subsequent_indent="   " * text[0].isdigit()) for text in remarks)
