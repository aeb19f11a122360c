"""How weights begin, by Keras' names: from a seed, a layer and a weight follow the same numbers, always."""

import math
from typing import Any

import numpy as np

from .checks import one_of, real_number
from .elsewhere import finder
from .kerasways import INITIALIZER, knows

Initializer = str | dict[str, Any]  # a name, or {"class": ..., "config": ...} for other numbers than the usual ones

# name -> (scale, fan, distribution) of Keras' VarianceScaling: variance = scale / fan
VARIANCE_SCALING = {
    "glorot_uniform": (1.0, "average", "uniform"),  # Glorot & Bengio 2010, eq. 16
    "glorot_normal": (1.0, "average", "normal"),
    "he_uniform": (2.0, "in", "uniform"),  # He et al. 2015, eq. 10
    "he_normal": (2.0, "in", "normal"),
    "lecun_uniform": (1.0, "in", "uniform"),
    "lecun_normal": (1.0, "in", "normal"),
}
NUMBERS: dict[str, dict[str, float]] = {  # of those that have any, with their usual values
    "constant": {"value": 0.0},
    "identity": {"gain": 1.0},
    "orthogonal": {"gain": 1.0},
    "random_normal": {"mean": 0.0, "stddev": 0.05},
    "random_uniform": {"minval": -0.05, "maxval": 0.05},
    "truncated_normal": {"mean": 0.0, "stddev": 0.05},
}
INITIALIZERS = ("zeros", "ones", *NUMBERS, *VARIANCE_SCALING)
ALIASES = {"uniform": "random_uniform", "normal": "random_normal", "zero": "zeros", "one": "ones"}
CLASSES = {name.title().replace("_", ""): name for name in INITIALIZERS}
LEAST = float(np.finfo(np.float32).min)
CUT = 0.87962566103423978  # the standard deviation of a normal distribution that is cut at two

_draws: np.random.SeedSequence | None = None


def check(name: str, value: Any) -> Initializer:
    """Return an initializer as layers keep it: its name, or, with other numbers, a class and a config.

    Raises
    ------
    ValueError
        If it is none; the nearest name is suggested.
    """
    if isinstance(value, dict):
        kind = one_of(f"{name}'s class", value.get("class"), CLASSES)
        config = value.get("config")
        usual = NUMBERS.get(CLASSES[kind], {})
        if not isinstance(config, dict) or not config.keys() <= usual.keys():
            raise ValueError(f"{name}: {kind} takes {', '.join(usual) or 'no numbers'}, not {config!r}.")
        return made(CLASSES[kind], **config)
    if isinstance(value, str):
        value = ALIASES.get(value, CLASSES.get(value, value))
    elif callable(value) and getattr(value, "__name__", None) in CLASSES:
        raise ValueError(f"{name} must be made by calling {value.__name__}: write {value.__name__}().")
    return one_of(name, value, INITIALIZERS)


def made(name: str, **numbers: float) -> Initializer:
    """Return an initializer with numbers of its own; ValueError if one is out of range."""
    usual = NUMBERS.get(name, {})
    own = {
        key: real_number(f"{key} of {name}", numbers.get(key, value), 0.0 if key == "stddev" else LEAST)
        for key, value in usual.items()
    }
    if "minval" in own and own["minval"] > own["maxval"]:
        raise ValueError(f"minval of {name} must be at most maxval, {own['maxval']:g}, not {own['minval']:g}.")
    return name if own == usual else {"class": name.title().replace("_", ""), "config": own}


@knows(INITIALIZER)
def Zeros() -> Initializer:
    """Return the initializer of zeros."""
    return "zeros"


@knows(INITIALIZER)
def Ones() -> Initializer:
    """Return the initializer of ones."""
    return "ones"


@knows(INITIALIZER)
def Constant(value: float = 0.0) -> Initializer:
    """Return the initializer that gives every weight the same value."""
    return made("constant", value=value)


@knows(INITIALIZER)
def Identity(gain: float = 1.0) -> Initializer:
    """Return the initializer that gives gain times the identity matrix: a state that is kept (Le et al. 2015)."""
    return made("identity", gain=gain)


@knows(INITIALIZER)
def Orthogonal(gain: float = 1.0) -> Initializer:
    """Return the initializer of gain times orthonormal columns or rows, whichever are fewer (Saxe et al. 2013)."""
    return made("orthogonal", gain=gain)


@knows(INITIALIZER)
def RandomNormal(mean: float = 0.0, stddev: float = 0.05) -> Initializer:
    """Return the initializer of normal numbers."""
    return made("random_normal", mean=mean, stddev=stddev)


@knows(INITIALIZER)
def RandomUniform(minval: float = -0.05, maxval: float = 0.05) -> Initializer:
    """Return the initializer of uniform numbers."""
    return made("random_uniform", minval=minval, maxval=maxval)


@knows(INITIALIZER)
def TruncatedNormal(mean: float = 0.0, stddev: float = 0.05) -> Initializer:
    """Return the initializer of normal numbers, drawn anew beyond two standard deviations."""
    return made("truncated_normal", mean=mean, stddev=stddev)


def _maker(name: str) -> Any:
    """Return Keras' class for an initializer without numbers of its own."""

    def make() -> Initializer:
        return name

    make.__name__ = make.__qualname__ = name.title().replace("_", "")
    make.__doc__ = f'Return the initializer "{name}".'
    return knows(INITIALIZER)(make)


GlorotUniform, GlorotNormal = _maker("glorot_uniform"), _maker("glorot_normal")
HeUniform, HeNormal = _maker("he_uniform"), _maker("he_normal")
LecunUniform, LecunNormal = _maker("lecun_uniform"), _maker("lecun_normal")


def initialize(initializer: Initializer, shape: tuple[int, ...], seed: tuple[int, ...]) -> np.ndarray:
    """Return float64 weights of a shape.

    Parameters
    ----------
    initializer : str or dict
        What `check` returned.
    shape : tuple of int
        A matrix is (inputs, units).
    seed : tuple of int
        Any numbers that tell this weight from all others.

    Raises
    ------
    ValueError
        If it is "identity" and the weight is no matrix.
    """
    if isinstance(initializer, str):
        name, own = initializer, NUMBERS.get(initializer, {})
    else:
        name, own = CLASSES[initializer["class"]], initializer["config"]
    if name in ("zeros", "ones", "constant"):
        return np.full(shape, own["value"] if own else float(name == "ones"))
    if name == "identity":
        if len(shape) != 2:
            raise ValueError(f"the initializer identity is for matrices, not for a weight of shape {shape}.")
        return own["gain"] * np.eye(*shape)
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
    if name == "random_normal":
        return rng.normal(own["mean"], own["stddev"], shape)
    if name == "random_uniform":
        return rng.uniform(own["minval"], own["maxval"], shape)
    if name == "truncated_normal":
        return own["mean"] + own["stddev"] * _cut(rng, shape)
    if name == "orthogonal":
        tall = (max(shape), min(shape))
        q, r = np.linalg.qr(rng.normal(size=tall))
        q = own["gain"] * q * np.sign(np.diag(r))  # otherwise not uniform over the orthogonal matrices
        return q if shape[0] >= shape[1] else q.T
    scale, fan, distribution = VARIANCE_SCALING[name]
    inputs, outputs = shape[0], shape[-1]
    variance = scale / (inputs if fan == "in" else (inputs + outputs) / 2)
    if distribution == "uniform":
        limit = math.sqrt(3 * variance)
        return rng.uniform(-limit, limit, shape)
    return _cut(rng, shape) * math.sqrt(variance) / CUT  # widened, so that the variance stays what it was (as in Keras)


def _cut(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw from the normal distribution cut at two standard deviations."""
    draws = rng.normal(size=(*shape, 16))
    return np.take_along_axis(draws, (abs(draws) < 2).argmax(-1)[..., None], -1)[..., 0]


def seed_draws(seed: int) -> None:
    """Let the seeds that are drawn from now on follow from one."""
    global _draws
    _draws = np.random.SeedSequence(seed)


def draw_seed() -> int:
    """Return a seed for a model that was given none: the next that follows from `seed_draws`, or any."""
    source = np.random.SeedSequence() if _draws is None else _draws.spawn(1)[0]
    return int(source.generate_state(1)[0])


__getattr__ = finder(__name__)
