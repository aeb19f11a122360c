"""Write the model file that every later version must read: python make_model_v1.py FILE (run once, at version 1)."""

import sys

import numpy as np

import nbrnn
from nbrnn.saving import save_model


def series(start, count):
    """Return windows of a sum of two waves, (count, 6, 2)."""
    t = start + np.arange(count)[:, None] + np.arange(6)[None, :]
    return np.stack([np.sin(0.7 * t), np.cos(0.31 * t)], axis=-1)


if __name__ == "__main__":
    layers = [nbrnn.SimpleRNN(4, "tanh", return_sequences=True), nbrnn.SimpleRNN(3, "relu", use_bias=False)]
    layers += [nbrnn.Dense(2, "hard_sigmoid", name="head")]
    model = nbrnn.Sequential(layers, input_shape=(6, 2), seed=11, name="kept")
    model.compile(nbrnn.RMSprop(0.002, global_clipnorm=0.5), nbrnn.Huber(0.5), ["mae", "rmse"])
    x = series(0, 40)
    model.fit(x, x[:, -1, ::-1] / 3, epochs=3, batch_size=8, verbose=0)
    save_model(model, sys.argv[1], {"note": "version 1"})
    np.set_printoptions(precision=9)
    print(repr(model.predict(series(100, 3))))
