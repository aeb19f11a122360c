"""The mathematics. A module here imports numba, numpy, math and its neighbours only; importing it registers kernels."""

from . import activations, dense, gemm, gru, joins, losses, lstm, moves, optimizers, simple_rnn
from .abi import KERNELS

__all__ = [
    "KERNELS",
    "activations",
    "dense",
    "gemm",
    "gru",
    "joins",
    "losses",
    "lstm",
    "moves",
    "optimizers",
    "simple_rnn",
]
