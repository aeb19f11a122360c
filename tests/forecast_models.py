"""Series and forecasters that several test files use."""

import numpy as np

import nbrnn
from nbrnn.csvfile import Table
from nbrnn.forecasting import Forecaster


def wave(rows=80, columns=1, name="wave", seed=0):
    t = np.arange(rows)[:, None]
    noise = np.random.default_rng(seed).normal(size=(rows, 1))
    values = 50 + 30 * np.sin(2 * np.pi * t / 12 + np.arange(columns)) + noise
    dates = tuple(f"{2000 + k // 12}-{k % 12 + 1:02d}" for k in range(rows))
    return Table(values, tuple("abcdef"[:columns]), dates, name)


def small_model(window=5, columns=1, outputs=1, seed=0, dropout=0.0, **options):
    layers = [nbrnn.SimpleRNN(3, recurrent_dropout=dropout), nbrnn.Dense(outputs)]
    model = nbrnn.Sequential(layers, input_shape=(window, columns), seed=seed, **options)
    model.compile(nbrnn.Adam(0.01))
    return model


def fitted(columns=1, outputs=1, window=5, target=None, rows=80, seeds=(0,), dropout=0.0, epochs=2, **options):
    """Return a forecaster that was trained a little, in float64, and its table."""
    models = [small_model(window, columns, outputs, seed, dropout, dtype="float64") for seed in seeds]
    table = wave(rows, columns)
    options = {"scaler": nbrnn.MinMaxScaler()} | options
    return Forecaster(models, window, target=target, **options).fit(table, epochs=epochs, verbose=0), table
