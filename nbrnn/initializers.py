"""How weights begin, by Keras' names: from a seed, a layer and a weight follow the same numbers, always."""

import math
from typing import Any

import numpy as np

from .checks import one_of

# name -> (scale, fan, distribution) of Keras' VarianceScaling: variance = scale / fan
VARIANCE_SCALING = {
    "glorot_uniform": (1.0, "average", "uniform"),  # Glorot & Bengio 2010, eq. 16
    "glorot_normal": (1.0, "average", "normal"),
    "he_uniform": (2.0, "in", "uniform"),  # He et al. 2015, eq. 10
    "he_normal": (2.0, "in", "normal"),
    "lecun_uniform": (1.0, "in", "uniform"),
    "lecun_normal": (1.0, "in", "normal"),
}
INITIALIZERS = ("zeros", "ones", "orthogonal", "random_normal", "random_uniform", *VARIANCE_SCALING)


def check(name: str, value: Any) -> str:
    """Return an initializer's name, or raise ValueError with the nearest one."""
    return one_of(name, value, INITIALIZERS)


def initialize(name: str, shape: tuple[int, ...], seed: tuple[int, ...]) -> np.ndarray:
    """Return float64 weights of a shape.

    Parameters
    ----------
    name : str
        One of INITIALIZERS. "orthogonal" (Saxe et al. 2013) gives orthonormal columns or rows, whichever are fewer;
        "random_normal" has a standard deviation of 0.05, "random_uniform" lies in [-0.05, 0.05].
    shape : tuple of int
        A matrix is (inputs, units).
    seed : tuple of int
        Any numbers that tell this weight from all others.
    """
    if name in ("zeros", "ones"):
        return np.full(shape, 0.0 if name == "zeros" else 1.0)
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
    if name == "random_normal":
        return rng.normal(0.0, 0.05, shape)
    if name == "random_uniform":
        return rng.uniform(-0.05, 0.05, shape)
    if name == "orthogonal":
        tall = (max(shape), min(shape))
        q, r = np.linalg.qr(rng.normal(size=tall))
        q = q * np.sign(np.diag(r))  # otherwise not uniform over the orthogonal matrices
        return q if shape[0] >= shape[1] else q.T
    scale, fan, distribution = VARIANCE_SCALING[name]
    inputs, outputs = shape[0], shape[-1]
    variance = scale / (inputs if fan == "in" else (inputs + outputs) / 2)
    if distribution == "uniform":
        limit = math.sqrt(3 * variance)
        return rng.uniform(-limit, limit, shape)
    # Cut at two standard deviations, and widened so that the variance stays what it was (as in Keras).
    draws = rng.normal(size=(*shape, 16))
    kept = np.take_along_axis(draws, (abs(draws) < 2).argmax(-1)[..., None], -1)[..., 0]
    return kept * math.sqrt(variance) / 0.87962566103423978
