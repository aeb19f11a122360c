"""Keras on TensorFlow: model.fit, a step or many steps an execution."""

import os
from typing import Any

import numpy as np
from cases import Fit
from inputs import Form, Forms

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
import keras

LAYERS: dict[str, Any] = {
    "simple_rnn": keras.layers.SimpleRNN,
    "lstm": keras.layers.LSTM,
    "gru": keras.layers.GRU,
}


def start(threads: int) -> dict[str, str]:
    import tensorflow

    tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(threads)
    return {"keras": keras.__version__, "tensorflow": tensorflow.__version__}


def fit(fit: Fit, x: np.ndarray, y: np.ndarray) -> Forms:
    steps = -(-fit.samples // fit.batch)

    def make(together: int) -> Form:
        layers = [keras.Input(x.shape[1:]), LAYERS[fit.cell](fit.units, activation=fit.activation)]
        layers += [keras.layers.Dense(units, activation=activation) for units, activation in fit.dense]
        model = keras.Sequential(layers)
        model.compile(optimizer=fit.optimizer, loss="mean_squared_error", steps_per_execution=together)
        return Form(lambda: model.fit(x, y, batch_size=fit.batch, epochs=fit.epochs, verbose=0))

    return {"fit": lambda: make(1), f"fit, steps_per_execution={min(steps, 32)}": lambda: make(min(steps, 32))}
