"""JAX: a jitted lax.scan over time with the inputs' product outside of it; of a fit, an epoch is one jitted scan."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from cases import CELLS, Case, Fit
from inputs import Form, Forms

ACTS: dict[str, Callable] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "linear": lambda a: a,
}
UNROLLS = {"scan": 1, "scan, unroll=4": 4}


def start(threads: int) -> dict[str, str]:
    return {"jax": jax.__version__}


def states(cell: str, p: tuple[Any, ...], x: Any, act: Callable, unroll: int) -> Any:
    """Return all states of a layer, (T, B, H), for inputs (T, B, F)."""
    Wx, Wh, b = p
    H = Wh.shape[0]
    zero = jnp.zeros((x.shape[1], H), x.dtype)

    def rnn(h, now):
        h = act(now + h @ Wh)
        return h, h

    def lstm(carry, now):
        h, c = carry
        i, f, n, o = jnp.split(now + h @ Wh, 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * act(n)
        h = jax.nn.sigmoid(o) * act(c)
        return (h, c), h

    def gru(h, now):
        q = h @ Wh + b[1]
        z = jax.nn.sigmoid(now[:, :H] + q[:, :H])
        r = jax.nn.sigmoid(now[:, H : 2 * H] + q[:, H : 2 * H])
        n = act(now[:, 2 * H :] + r * q[:, 2 * H :])
        h = z * h + (1 - z) * n
        return h, h

    step, carry = {"simple_rnn": (rnn, zero), "lstm": (lstm, (zero, zero)), "gru": (gru, zero)}[cell]
    return jax.lax.scan(step, carry, x @ Wx + (b[0] if cell == "gru" else b), unroll=unroll)[1]


def layer(case: Case, a: dict[str, np.ndarray]) -> Forms:
    jax.config.update("jax_enable_x64", case.dtype == "float64")

    def make(unroll: int) -> Form:
        x, y = (jnp.asarray(a[name].transpose(1, 0, 2)) for name in ("x", "y"))
        p = tuple(jnp.asarray(a[name]) for name in ("Wx", "Wh", "b"))

        def forward(p, x):
            return states(case.name, p, x, jnp.tanh, unroll)

        if case.mode == "forward":
            work = jax.jit(forward)
            return Form(lambda: jax.block_until_ready(work(p, x)))
        work = jax.jit(jax.value_and_grad(lambda p, x, y: jnp.mean((forward(p, x) - y) ** 2)))
        return Form(lambda: jax.block_until_ready(work(p, x, y)))

    return {name: lambda unroll=unroll: make(unroll) for name, unroll in UNROLLS.items()}


def move(optimizer: str, params: list, m: list, v: list, t: Any, g: list) -> tuple[list, list, list]:
    """Return parameters and slots after a step of Adam or RMSprop."""
    if optimizer == "adam":
        m = [0.9 * a + 0.1 * b for a, b in zip(m, g, strict=True)]
        v = [0.999 * a + 0.001 * b * b for a, b in zip(v, g, strict=True)]
        rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        return [a - rate * b / (jnp.sqrt(c) + 1e-7) for a, b, c in zip(params, m, v, strict=True)], m, v
    v = [0.9 * a + 0.1 * b * b for a, b in zip(v, g, strict=True)]
    return [a - 1e-3 * b / jnp.sqrt(c + 1e-7) for a, b, c in zip(params, g, v, strict=True)], m, v


def fit(fit: Fit, x: np.ndarray, y: np.ndarray) -> Forms:
    """The samples' order is drawn by NumPy; batches that do not fill up are a step of their own."""
    jax.config.update("jax_enable_x64", False)
    G = CELLS[fit.cell]
    full = fit.samples - fit.samples % fit.batch

    def make(unroll: int) -> Form:
        rng = np.random.default_rng(0)
        bias = (2, G * fit.units) if fit.cell == "gru" else (G * fit.units,)
        sizes: list[tuple[int, ...]] = [(fit.features, G * fit.units), (fit.units, G * fit.units), bias]
        below = fit.units
        for units, _ in fit.dense:
            sizes += [(below, units), (units,)]
            below = units
        params = [jnp.asarray(rng.standard_normal(s) * 0.3 * s[0] ** -0.5, jnp.float32) for s in sizes]

        def loss(p, batch, target):
            h = states(fit.cell, tuple(p[:3]), batch.transpose(1, 0, 2), ACTS[fit.activation], unroll)[-1]
            for k, (_, activation) in enumerate(fit.dense):
                h = ACTS[activation](h @ p[3 + 2 * k] + p[4 + 2 * k])
            return jnp.mean((h - target) ** 2)

        @jax.jit
        def epoch(carry, order, samples, targets):
            def step(carry, chosen):
                p, m, v, t = carry
                value, g = jax.value_and_grad(loss)(p, samples[chosen], targets[chosen])
                return (*move(fit.optimizer, p, m, v, t + 1, g), t + 1), value

            carry, losses = jax.lax.scan(step, carry, order[:full].reshape(-1, fit.batch))
            if full < fit.samples:
                carry, _ = step(carry, order[full:])
            return carry, losses

        samples, targets = jnp.asarray(x), jnp.asarray(y)
        zeros = [jnp.zeros_like(a) for a in params]
        carry = (params, zeros, zeros, jnp.float32(0))

        def run() -> None:
            nonlocal carry
            for _ in range(fit.epochs):
                carry, losses = epoch(carry, rng.permutation(fit.samples), samples, targets)
            jax.block_until_ready((carry, losses))

        return Form(run)

    return {name: lambda unroll=unroll: make(unroll) for name, unroll in UNROLLS.items()}
