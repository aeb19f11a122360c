"""The mathematics. A module here imports numba, numpy, math and its neighbours only; importing it registers kernels."""

from . import (
    activations,
    cells,
    crossentropy,
    dense,
    dropout,
    feedback,
    gemm,
    gru,
    joins,
    losses,
    lstm,
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
    "cells",
    "crossentropy",
    "dense",
    "dropout",
    "feedback",
    "gemm",
    "gru",
    "joins",
    "losses",
    "lstm",
    "metrics",
    "moves",
    "optimizers",
    "regularizers",
    "schedules",
    "simple_rnn",
]
