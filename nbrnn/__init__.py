"""nbrnn: learn, run and measure recurrent neural networks, with kernels at C speed.

Names are loaded when they are first used, so that `import nbrnn` and `nbrnn --help` stay fast.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "gradcheck": ("GradientReport", "check_gradients"),
    "graph": ("Input",),
    "joins": ("Add", "Concatenate"),
    "layers": ("Dense", "Flatten"),
    "losses": ("Huber",),
    "model": ("Model", "Sequential"),
    "optimizers": ("SGD", "Adam", "RMSprop"),
    "gated": ("GRU", "LSTM"),
    "pointwise": ("Activation", "Softmax"),
    "recurrent": ("SimpleRNN",),
    "saving": ("load_model",),
    "tracing": ("Trace", "trace"),
    "training": ("DivergedError", "History"),
    "wrappers": ("Bidirectional", "TimeDistributed"),
    "targets.cpu": ("get_num_threads", "set_num_threads"),
    "data": ("MaxScaler", "MinMaxScaler", "StandardScaler", "chronological_split", "sliding_windows"),
    "csvfile": ("Table", "read_csv"),
    "datasets": ("load_dataset",),
    "plots.diagram": ("plot_model",),
    "plots.forecasts": ("plot_history", "plot_predictions"),
    "plots.steps": ("plot_step_errors",),
    "plots.traces": ("plot_hidden", "plot_itemised"),
    "plots.unrolled": ("plot_unrolled",),
    "plots.windows": ("plot_windows",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
_MODULES = ("testing",)  # that are used by their own name

__all__ = [
    "Activation",
    "Adam",
    "Add",
    "Bidirectional",
    "Concatenate",
    "Dense",
    "DivergedError",
    "Flatten",
    "GRU",
    "GradientReport",
    "History",
    "Huber",
    "Input",
    "LSTM",
    "MaxScaler",
    "MinMaxScaler",
    "Model",
    "RMSprop",
    "SGD",
    "Sequential",
    "SimpleRNN",
    "Softmax",
    "StandardScaler",
    "Table",
    "TimeDistributed",
    "Trace",
    "check_gradients",
    "chronological_split",
    "get_num_threads",
    "load_dataset",
    "load_model",
    "plot_hidden",
    "plot_history",
    "plot_itemised",
    "plot_model",
    "plot_predictions",
    "plot_step_errors",
    "plot_unrolled",
    "plot_windows",
    "read_csv",
    "set_num_threads",
    "sliding_windows",
    "trace",
]

if TYPE_CHECKING:
    from . import testing as testing
    from .csvfile import Table, read_csv
    from .data import MaxScaler, MinMaxScaler, StandardScaler, chronological_split, sliding_windows
    from .datasets import load_dataset
    from .gated import GRU, LSTM
    from .gradcheck import GradientReport, check_gradients
    from .graph import Input
    from .joins import Add, Concatenate
    from .layers import Dense, Flatten
    from .losses import Huber
    from .model import Model, Sequential
    from .optimizers import SGD, Adam, RMSprop
    from .plots.diagram import plot_model
    from .plots.forecasts import plot_history, plot_predictions
    from .plots.steps import plot_step_errors
    from .plots.traces import plot_hidden, plot_itemised
    from .plots.unrolled import plot_unrolled
    from .plots.windows import plot_windows
    from .pointwise import Activation, Softmax
    from .recurrent import SimpleRNN
    from .saving import load_model
    from .targets.cpu import get_num_threads, set_num_threads
    from .tracing import Trace, trace
    from .training import DivergedError, History
    from .wrappers import Bidirectional, TimeDistributed


def __getattr__(name: str) -> Any:
    """Load a public name from its module (PEP 562)."""
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name not in _HOME:
        raise AttributeError(f"module 'nbrnn' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, *_MODULES, "__version__"]
