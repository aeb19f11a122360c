"""The mathematics. A module here imports numba, numpy, math and its neighbours only; importing it registers kernels."""

from . import (
    activations,
    crossentropy,
    dense,
    dropout,
    gemm,
    gru,
    joins,
    losses,
    lstm,
    masking,
    metrics,
    moves,
    optimizers,
    regularizers,
    schedules,
    simple_rnn,
)
from .abi import KERNELS

__all__ = [
    "KERNELS",
    "activations",
    "crossentropy",
    "dense",
    "dropout",
    "gemm",
    "gru",
    "joins",
    "losses",
    "lstm",
    "masking",
    "metrics",
    "moves",
    "optimizers",
    "regularizers",
    "schedules",
    "simple_rnn",
]
