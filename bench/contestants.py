"""Who takes part: each `prepare_*` gets a case and its data, and returns a function that runs the whole fit once.

Run as a program it is one contestant in a process of its own: it reads a case's name and then, for each line "run",
answers with the seconds of one fit, as JSON.
"""

import itertools
import json
import os
import sys
import time
from collections.abc import Callable

import numpy as np
from cases import FITS, Fit


def data(case: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Return the same float32 samples for every contestant."""
    rng = np.random.default_rng(0)
    x = rng.random((case.samples, case.steps, case.features), dtype=np.float32)
    return x, x.mean(axis=(1, 2))[:, None] * np.float32(0.5)


def prepare_nbrnn(case: Fit, x: np.ndarray, y: np.ndarray) -> Callable[[], None]:
    """nbrnn: model.fit, warm."""
    import nbrnn

    layers = [nbrnn.SimpleRNN(case.units, activation=case.activation)]
    layers += [nbrnn.Dense(units, activation=activation) for units, activation in case.dense]
    model = nbrnn.Sequential(layers, input_shape=x.shape[1:], seed=0)
    model.compile(optimizer=case.optimizer, loss="mse")
    return lambda: model.fit(x, y, batch_size=case.batch, epochs=case.epochs, verbose=0)


def prepare_jax(case: Fit, x: np.ndarray, y: np.ndarray) -> Callable[[], None]:
    """JAX: a whole epoch in one jitted lax.scan, the time steps in an inner one; NumPy draws the samples' order."""
    import jax
    import jax.numpy as jnp

    acts = {"tanh": jnp.tanh, "relu": jax.nn.relu, "linear": lambda a: a}
    rng = np.random.default_rng(0)
    sizes = [(case.features, case.units), (case.units, case.units), (case.units,)]
    below = case.units
    for units, _ in case.dense:
        sizes += [(below, units), (units,)]
        below = units
    params = [jnp.asarray(rng.standard_normal(s) * 0.3 * (len(s) > 1), jnp.float32) for s in sizes]

    def forward(p, batch):
        act = acts[case.activation]

        def step(h, now):
            return act(now @ p[0] + h @ p[1] + p[2]), None

        h, _ = jax.lax.scan(step, jnp.zeros((batch.shape[0], case.units)), batch.transpose(1, 0, 2))
        for k, (_, activation) in enumerate(case.dense):
            h = acts[activation](h @ p[3 + 2 * k] + p[4 + 2 * k])
        return h

    def loss(p, batch, target):
        return jnp.mean((forward(p, batch) - target) ** 2)

    def move(p, m, v, t, g):
        if case.optimizer == "adam":
            m = [0.9 * a + 0.1 * b for a, b in zip(m, g, strict=True)]
            v = [0.999 * a + 0.001 * b * b for a, b in zip(v, g, strict=True)]
            rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            return [a - rate * b / (jnp.sqrt(c) + 1e-7) for a, b, c in zip(p, m, v, strict=True)], m, v
        v = [0.9 * a + 0.1 * b * b for a, b in zip(v, g, strict=True)]
        return [a - 1e-3 * b / jnp.sqrt(c + 1e-7) for a, b, c in zip(p, g, v, strict=True)], m, v

    @jax.jit
    def epoch(carry, order, samples, targets):
        def batch_step(carry, index):
            p, m, v, t = carry
            value, g = jax.value_and_grad(loss)(p, samples[index], targets[index])
            return (*move(p, m, v, t + 1, g), t + 1), value

        return jax.lax.scan(batch_step, carry, order)

    samples, targets = jnp.asarray(x), jnp.asarray(y)
    zeros = [jnp.zeros_like(a) for a in params]
    carry = (params, zeros, zeros, jnp.float32(0))

    def run() -> None:
        nonlocal carry
        for _ in range(case.epochs):
            carry, losses = epoch(carry, rng.permutation(case.samples).reshape(-1, case.batch), samples, targets)
        jax.block_until_ready((carry, losses))

    return run


def prepare_keras(case: Fit, x: np.ndarray, y: np.ndarray) -> Callable[[], None]:
    """Keras on TensorFlow: model.fit."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    layers = [keras.Input(x.shape[1:]), keras.layers.SimpleRNN(case.units, activation=case.activation)]
    layers += [keras.layers.Dense(units, activation=activation) for units, activation in case.dense]
    model = keras.Sequential(layers)
    model.compile(optimizer=case.optimizer, loss="mean_squared_error")
    return lambda: model.fit(x, y, batch_size=case.batch, epochs=case.epochs, verbose=0)


CONTESTANTS = {"nbrnn": prepare_nbrnn, "jax": prepare_jax, "keras": prepare_keras}


def serve(run: Callable[[], None]) -> None:
    """Run once to compile, then answer each line with the seconds of one run."""
    for _ in itertools.chain(["ready"], sys.stdin):
        start = time.perf_counter()
        run()
        ANSWERS.write(json.dumps(time.perf_counter() - start) + "\n")
        ANSWERS.flush()


if __name__ == "__main__":
    import dataclasses

    ANSWERS, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints must not mix with the answers
    name, kind, *work = sys.argv[1:]
    if kind == "fit":
        case = dataclasses.replace(FITS[work[0]], epochs=int(work[1]))
        serve(CONTESTANTS[name](case, *data(case)))
    else:
        from layer_contestants import prepare

        cell, size, mode = work
        serve(prepare(name, cell, int(size), mode))
