"""nbrnn: learn, run and measure recurrent neural networks, with kernels at C speed.

Names are loaded when they are first used, so that `import nbrnn` and `nbrnn --help` stay fast.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "backtest": ("Backtest",),
    "callbacks": ("Callback", "EarlyStopping", "LearningRateScheduler", "ReduceLROnPlateau"),
    "cells": ("Cell",),
    "checkpoint": ("Checkpoint",),
    "confusion": ("ConfusionMatrix", "confusion_matrix"),
    "csvfile": ("Table", "read_csv"),
    "data": ("MaxScaler", "MinMaxScaler", "StandardScaler", "chronological_split", "sliding_windows"),
    "datasets": ("load_dataset",),
    "dates": ("Calendar", "calendar", "parse_dates"),
    "dropout": ("Dropout",),
    "explorer": ("explore",),
    "fans": ("Coverage", "Fan", "measure_coverage"),
    "feedback": ("Feedback", "Jordan"),
    "forecasting": ("Forecaster",),
    "generators": ("driven_series",),
    "frames": ("as_table",),
    "masking": ("Masking",),
    "gated": ("GRU", "LSTM"),
    "gradcheck": ("GradientReport", "check_gradients"),
    "graph": ("Input",),
    "joins": ("Add", "Concatenate", "Flatten", "add", "concatenate"),
    "layers": ("Dense",),
    "losses": (
        "BinaryCrossentropy",
        "CategoricalCrossentropy",
        "Huber",
        "MeanAbsoluteError",
        "MeanAbsolutePercentageError",
        "MeanSquaredError",
        "Quantile",
        "SparseCategoricalCrossentropy",
    ),
    "metrics": ("BinaryAccuracy", "Precision", "Recall"),
    "model": ("Model",),
    "sequential": ("Sequential",),
    "optimizers": ("Adam", "AdamW", "RMSprop", "SGD"),
    "outlook": ("Outlook", "look_ahead"),
    "plots.diagram": ("plot_model",),
    "plots.forecasts": ("plot_backtest", "plot_history", "plot_predictions", "plot_series"),
    "plots.flow": ("plot_gradient_flow",),
    "plots.gates": ("plot_gates",),
    "plots.norms": ("plot_gradient_norms",),
    "plots.outlook": ("plot_errors_by_horizon", "plot_forecast", "plot_scrambled"),
    "plots.products": ("plot_products",),
    "plots.runs": ("plot_runs",),
    "plots.seeds": ("plot_seeds",),
    "plots.shifts": ("plot_shifts",),
    "plots.steps": ("plot_step_errors",),
    "plots.surface": ("plot_loss_surface",),
    "plots.sweeps": ("plot_sweep",),
    "plots.traces": ("plot_hidden", "plot_itemised"),
    "plots.trajectories": ("plot_trajectories",),
    "plots.truncation": ("plot_truncation",),
    "plots.unrolled": ("plot_unrolled",),
    "plots.windows": ("plot_windows",),
    "plots.wiring": ("plot_wiring",),
    "pointwise": ("Activation", "Softmax"),
    "postmortem": ("DivergedError",),
    "recording": ("CSVLogger", "LambdaCallback", "ModelCheckpoint", "TerminateOnNaN"),
    "simple": ("SimpleRNN",),
    "problems": ("Problem", "make_problem"),
    "recipes": ("Recipe",),
    "regularizers": ("L1", "L1L2", "L2"),
    "reopening": ("reopen_problem",),
    "sampling": ("ScheduledSampling",),
    "saving": ("load_model",),
    "schedules": (
        "CosineDecay",
        "CosineDecayRestarts",
        "ExponentialDecay",
        "InverseTimeDecay",
        "PiecewiseConstantDecay",
        "PolynomialDecay",
    ),
    "scrambling": ("Scrambled", "scramble_time"),
    "targets.cpu": ("get_num_threads", "set_num_threads"),
    "tracing": ("Trace", "trace"),
    "sweeping": ("Range", "random_recipes", "recipe_grid", "sweep"),
    "sweeptable": ("Sweep", "SweepRow"),
    "training": ("History",),
    "wrappers": ("Bidirectional", "TimeDistributed"),
    "celled": ("GRUCell", "LSTMCell", "RNN", "SimpleRNNCell"),
    "shaping": ("Permute", "RepeatVector", "Reshape"),
    "embedding": ("Embedding",),
    "plots.confusion": ("plot_confusion",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
_MODULES = (  # used by their names
    "baselines",
    "callbacks",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "missing",
    "models",
    "optimizers",
    "regularizers",
    "scores",
    "testing",
    "utils",
)

__all__ = [
    "Activation",
    "Adam",
    "AdamW",
    "Add",
    "Backtest",
    "Bidirectional",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CSVLogger",
    "Calendar",
    "Callback",
    "CategoricalCrossentropy",
    "Cell",
    "Checkpoint",
    "Concatenate",
    "ConfusionMatrix",
    "CosineDecay",
    "CosineDecayRestarts",
    "Coverage",
    "Dense",
    "DivergedError",
    "Dropout",
    "EarlyStopping",
    "Embedding",
    "ExponentialDecay",
    "Fan",
    "Feedback",
    "Flatten",
    "Forecaster",
    "GRU",
    "GRUCell",
    "GradientReport",
    "History",
    "Huber",
    "Input",
    "InverseTimeDecay",
    "Jordan",
    "L1",
    "L1L2",
    "L2",
    "LSTM",
    "LSTMCell",
    "LambdaCallback",
    "LearningRateScheduler",
    "Masking",
    "MaxScaler",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MinMaxScaler",
    "Model",
    "ModelCheckpoint",
    "Outlook",
    "Permute",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "Precision",
    "Problem",
    "Quantile",
    "RMSprop",
    "RNN",
    "Range",
    "Recall",
    "Recipe",
    "ReduceLROnPlateau",
    "RepeatVector",
    "Reshape",
    "SGD",
    "ScheduledSampling",
    "Scrambled",
    "Sequential",
    "SimpleRNN",
    "SimpleRNNCell",
    "Softmax",
    "SparseCategoricalCrossentropy",
    "StandardScaler",
    "Sweep",
    "SweepRow",
    "Table",
    "TerminateOnNaN",
    "TimeDistributed",
    "Trace",
    "add",
    "as_table",
    "calendar",
    "check_gradients",
    "chronological_split",
    "concatenate",
    "confusion_matrix",
    "driven_series",
    "explore",
    "get_num_threads",
    "load_dataset",
    "load_model",
    "look_ahead",
    "make_problem",
    "measure_coverage",
    "parse_dates",
    "plot_backtest",
    "plot_confusion",
    "plot_errors_by_horizon",
    "plot_forecast",
    "plot_gates",
    "plot_gradient_flow",
    "plot_gradient_norms",
    "plot_hidden",
    "plot_history",
    "plot_itemised",
    "plot_loss_surface",
    "plot_model",
    "plot_predictions",
    "plot_products",
    "plot_runs",
    "plot_scrambled",
    "plot_seeds",
    "plot_series",
    "plot_shifts",
    "plot_step_errors",
    "plot_sweep",
    "plot_trajectories",
    "plot_truncation",
    "plot_unrolled",
    "plot_windows",
    "plot_wiring",
    "random_recipes",
    "read_csv",
    "recipe_grid",
    "reopen_problem",
    "scramble_time",
    "set_num_threads",
    "sliding_windows",
    "sweep",
    "trace",
]

if TYPE_CHECKING:
    from . import baselines as baselines
    from . import callbacks as callbacks
    from . import initializers as initializers
    from . import layers as layers
    from . import losses as losses
    from . import metrics as metrics
    from . import missing as missing
    from . import models as models
    from . import optimizers as optimizers
    from . import regularizers as regularizers
    from . import scores as scores
    from . import testing as testing
    from . import utils as utils
    from .backtest import Backtest
    from .callbacks import Callback, EarlyStopping, LearningRateScheduler, ReduceLROnPlateau
    from .celled import RNN, GRUCell, LSTMCell, SimpleRNNCell
    from .cells import Cell
    from .checkpoint import Checkpoint
    from .confusion import ConfusionMatrix, confusion_matrix
    from .csvfile import Table, read_csv
    from .data import MaxScaler, MinMaxScaler, StandardScaler, chronological_split, sliding_windows
    from .datasets import load_dataset
    from .dates import Calendar, calendar, parse_dates
    from .dropout import Dropout
    from .embedding import Embedding
    from .explorer import explore
    from .fans import Coverage, Fan, measure_coverage
    from .feedback import Feedback, Jordan
    from .forecasting import Forecaster
    from .frames import as_table
    from .gated import GRU, LSTM
    from .generators import driven_series
    from .gradcheck import GradientReport, check_gradients
    from .graph import Input
    from .joins import Add, Concatenate, Flatten, add, concatenate
    from .layers import Dense
    from .losses import (
        BinaryCrossentropy,
        CategoricalCrossentropy,
        Huber,
        MeanAbsoluteError,
        MeanAbsolutePercentageError,
        MeanSquaredError,
        Quantile,
        SparseCategoricalCrossentropy,
    )
    from .masking import Masking
    from .metrics import BinaryAccuracy, Precision, Recall
    from .model import Model
    from .optimizers import SGD, Adam, AdamW, RMSprop
    from .outlook import Outlook, look_ahead
    from .plots.confusion import plot_confusion
    from .plots.diagram import plot_model
    from .plots.flow import plot_gradient_flow
    from .plots.forecasts import plot_backtest, plot_history, plot_predictions, plot_series
    from .plots.gates import plot_gates
    from .plots.norms import plot_gradient_norms
    from .plots.outlook import plot_errors_by_horizon, plot_forecast, plot_scrambled
    from .plots.products import plot_products
    from .plots.runs import plot_runs
    from .plots.seeds import plot_seeds
    from .plots.shifts import plot_shifts
    from .plots.steps import plot_step_errors
    from .plots.surface import plot_loss_surface
    from .plots.sweeps import plot_sweep
    from .plots.traces import plot_hidden, plot_itemised
    from .plots.trajectories import plot_trajectories
    from .plots.truncation import plot_truncation
    from .plots.unrolled import plot_unrolled
    from .plots.windows import plot_windows
    from .plots.wiring import plot_wiring
    from .pointwise import Activation, Softmax
    from .postmortem import DivergedError
    from .problems import Problem, make_problem
    from .recipes import Recipe
    from .recording import CSVLogger, LambdaCallback, ModelCheckpoint, TerminateOnNaN
    from .regularizers import L1, L1L2, L2
    from .reopening import reopen_problem
    from .sampling import ScheduledSampling
    from .saving import load_model
    from .schedules import (
        CosineDecay,
        CosineDecayRestarts,
        ExponentialDecay,
        InverseTimeDecay,
        PiecewiseConstantDecay,
        PolynomialDecay,
    )
    from .scrambling import Scrambled, scramble_time
    from .sequential import Sequential
    from .shaping import Permute, RepeatVector, Reshape
    from .simple import SimpleRNN
    from .sweeping import Range, random_recipes, recipe_grid, sweep
    from .sweeptable import Sweep, SweepRow
    from .targets.cpu import get_num_threads, set_num_threads
    from .tracing import Trace, trace
    from .training import History
    from .wrappers import Bidirectional, TimeDistributed


def __getattr__(name: str) -> Any:
    """Load a public name from its module (PEP 562)."""
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name not in _HOME:
        from .kerasways import way_to

        raise AttributeError(f"module 'nbrnn' has no attribute {name!r}{way_to('', name)}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, *_MODULES, "__version__"]
