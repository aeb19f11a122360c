"""Models with layers that get their outputs back, for several test files."""

import copy

import numpy as np
from support import random_model

import nbrnn
from nbrnn import GRU, LSTM, Activation, Dense, ScheduledSampling, SimpleRNN, Softmax
from nbrnn.feedback import FREE, TEACHER

HALF = ScheduledSampling("linear", k=0.01, start=0.5)  # at the first step every second coin shows the target
MODES = {"teacher": TEACHER, "free": FREE, "sampled": HALF}
LAYERS = {
    "dense": lambda: [Dense(2, "tanh")],
    "two": lambda: [Dense(3, "sigmoid"), Dense(2), Activation("softsign")],
    "softmax": lambda: [Dense(2), Softmax()],
    "rnn": lambda: [SimpleRNN(2)],
    "lstm": lambda: [LSTM(3), Dense(2)],
    "gru": lambda: [GRU(3), Dense(2, "tanh")],
    "gru_before": lambda: [GRU(2, reset_after=False)],
    "stack": lambda: [LSTM(2), Dense(3, "tanh"), SimpleRNN(2), Dense(2)],
}


def compiled(layers, D=2, T=5, seed=1, **arguments):
    model = random_model(layers, (T, D), seed, **arguments)
    model.compile(nbrnn.SGD(learning_rate=1.0), "mse")
    return model


def data(seed, N=3, T=5, D=2, O=2):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, T, D)), rng.normal(size=(N, T, O))


def one_step(model, x, y, **arguments):
    """Return the gradient as `fit` sees it: one step of plain gradient descent with the learning rate 1."""
    twin = copy.deepcopy(model)
    twin.fit(x, y, batch_size=len(x), verbose=0, shuffle=False, **arguments)
    return [old - new for old, new in zip(model.get_weights(), twin.get_weights(), strict=True)]
