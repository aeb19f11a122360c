"""Arguments of kernels: drawn by Hypothesis, or as a test wants them."""

import numpy as np
import reference
import twins
from hypothesis import strategies as st
from support import assert_close, seeds

STEP = 1e-20  # size of imaginary parts: products of two of them vanish, as in a complex step
TOLERANCES = {"float32": 2e-5, "float64": 1e-12, "complex128": 1e-12}
LEAST = 0.1  # drawn numbers are about 1: what a sum or a saturated slope, 1 - y^2, leaves of them has their roundings
CODES = range(len(reference.ACTIVATIONS))


class Draw:
    """Draws a kernel's arguments; arrays come from a seed, so that Hypothesis has little to shrink."""

    def __init__(self, data, dtype):
        self.data, self.dtype, self.rng = data, dtype, np.random.default_rng(data.draw(seeds, "seed"))

    def __call__(self, strategy, label=None):
        return self.data.draw(strategy, label)

    def array(self, *shape, scale=1.0):
        """Return random numbers that the dtype holds exactly."""
        values = self.rng.normal(0.0, scale, shape)
        if self.dtype == "complex128":
            return values + 1j * STEP * self.rng.normal(0.0, scale, shape)
        return values.astype(self.dtype)

    def activated(self, code, *shape):
        """Return what an activation can give."""
        return twins.act(self.array(*shape, scale=2.0).real.astype(np.float64), code).astype(self.dtype)

    def maybe(self, *shape):
        """Return an array, or None for an absent one."""
        return self.array(*shape) if self(st.booleans(), f"present {shape}") else None

    def code(self, label="activation"):
        return self(st.sampled_from(CODES), label)

    def control(self, **words):
        control = self.rng.integers(1, 50, 8)
        control[reference.STATUS] = 0
        for name, value in words.items():
            control[getattr(reference, name.upper())] = value
        return control


class Chosen(Draw):
    """Takes what a test has chosen, by label; whether an array is present or is added to, by chance."""

    def __init__(self, dtype, seed, **choices):
        self.dtype, self.rng, self.choices = dtype, np.random.default_rng(seed), choices

    def __call__(self, strategy, label=None):
        if label.startswith("present"):
            return bool(self.rng.integers(2))
        if label == "add":
            return int(self.rng.integers(2))
        return self.choices[label.replace(" ", "_")]


def assert_results(actual, expected, dtype, what=""):
    """Compare what a kernel wrote with a twin's results; of longer rows, which were NaN, the rest is left alone.

    Errors are relative to the largest number of an array, or to LEAST: all of a small one may be cancelled.
    """
    for key, value in expected.items():
        if key in actual:
            found, size = actual[key], value.shape[-1]
            if found.shape[-1] > size:
                assert np.isnan(found[..., size:]).all(), f"{key}: wrote beyond what counts, {what}"
                found = found[..., :size]
            assert_close(found, value, TOLERANCES[dtype], f"{key}, {what}", (LEAST, LEAST * STEP))


def exactly(arguments, dtype):
    """Return a kernel's arguments for its twin: the same numbers, in float64 or complex128."""
    wide = "complex128" if dtype == "complex128" else "float64"
    return {k: v.astype(wide) if getattr(v, "dtype", None) == dtype else v for k, v in arguments.items()}
