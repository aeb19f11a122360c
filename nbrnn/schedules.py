"""Learning-rate schedules by Keras' names; the formulas stand in kernels/schedules.py and run there, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from .checks import flag, one_of, real_number, whole_number
from .kernels import KERNELS
from .kernels.abi import CONTROL_WORDS, STEP


class LearningRateSchedule:
    """A learning rate that depends on the number of steps since the optimizer began, and on nothing else.

    Calling a schedule with a step number, counted from 0, gives the rate of that step.
    """

    kernel: ClassVar[str]

    def config(self) -> dict[str, Any]:
        """Return the arguments that make this schedule again."""
        return dict(vars(self))

    def numbers(self) -> list[float]:
        """Return the arguments as the kernel reads them."""
        return [float(value) for value in self.config().values()]

    def described(self) -> dict[str, Any]:
        """Return the class and the arguments, as JSON can hold them."""
        return {"class": type(self).__name__, "config": self.config()}

    def __call__(self, step: int) -> float:
        control, hyper = np.zeros(CONTROL_WORDS, np.int64), np.zeros(1)
        control[STEP] = whole_number("step", step, 0)
        function = KERNELS[self.kernel].function
        getattr(function, "py_func", function)(np.array(self.numbers()), control, 0, hyper)
        return float(hyper[0])

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.config().items())})"


def _above_zero(name: str, value: Any) -> float:
    return real_number(name, value, open_low=True)


class ExponentialDecay(LearningRateSchedule):
    """A rate of initial_learning_rate * decay_rate^(step / decay_steps).

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
        Steps in which the rate falls to decay_rate of what it was.
    decay_rate : float
    staircase : bool, default False
        Whether the exponent is rounded down.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    kernel = "exponential_decay"

    def __init__(
        self, initial_learning_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False
    ) -> None:
        self.initial_learning_rate = _above_zero("initial_learning_rate", initial_learning_rate)
        self.decay_steps = whole_number("decay_steps", decay_steps)
        self.decay_rate = _above_zero("decay_rate", decay_rate)
        self.staircase = flag("staircase", staircase)


class InverseTimeDecay(LearningRateSchedule):
    """A rate of initial_learning_rate / (1 + decay_rate * step / decay_steps).

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
    decay_rate : float
    staircase : bool, default False
        Whether step / decay_steps is rounded down.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    kernel = "inverse_time_decay"

    def __init__(
        self, initial_learning_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False
    ) -> None:
        self.initial_learning_rate = _above_zero("initial_learning_rate", initial_learning_rate)
        self.decay_steps = whole_number("decay_steps", decay_steps)
        self.decay_rate = real_number("decay_rate", decay_rate)
        self.staircase = flag("staircase", staircase)


class PolynomialDecay(LearningRateSchedule):
    """A rate of (initial_learning_rate - end_learning_rate) * (1 - step / decay_steps)^power + end_learning_rate.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
        After them the rate stays, or begins again with `cycle`.
    end_learning_rate : float, default 0.0001
    power : float, default 1.0
    cycle : bool, default False
        Whether decay_steps becomes its next multiple when it is passed.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    kernel = "polynomial_decay"

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
    ) -> None:
        self.initial_learning_rate = _above_zero("initial_learning_rate", initial_learning_rate)
        self.decay_steps = whole_number("decay_steps", decay_steps)
        self.end_learning_rate = real_number("end_learning_rate", end_learning_rate)
        self.power = _above_zero("power", power)
        self.cycle = flag("cycle", cycle)


class PiecewiseConstantDecay(LearningRateSchedule):
    """A rate of values[0] up to and including step boundaries[0], then values[1] up to boundaries[1], and so on.

    Parameters
    ----------
    boundaries : sequence of int
        Step numbers, increasing.
    values : sequence of float
        One more than boundaries.

    Raises
    ------
    ValueError
        If the boundaries do not increase, a value is out of range, or their numbers do not fit.
    """

    kernel = "piecewise_constant_decay"

    def __init__(self, boundaries: Sequence[int], values: Sequence[float]) -> None:
        for name, given in (("boundaries", boundaries), ("values", values)):
            if not isinstance(given, (list, tuple)):
                raise ValueError(f"{name} must be a list, not {given!r}.")
        self.boundaries = [whole_number("boundaries", b, 0) for b in boundaries]
        self.values = [_above_zero("values", v) for v in values]
        if sorted(set(self.boundaries)) != self.boundaries:
            raise ValueError(f"boundaries must increase, not {self.boundaries}.")
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"values must be one more than boundaries, but there are {len(self.values)} values for "
                f"{len(self.boundaries)} boundaries."
            )

    def numbers(self) -> list[float]:
        return [*map(float, self.boundaries), *self.values]


class CosineDecay(LearningRateSchedule):
    """A rate that falls along half a cosine, perhaps after a linear warmup (Loshchilov & Hutter 2017).

    Parameters
    ----------
    initial_learning_rate : float
        With a warmup it may be 0.
    decay_steps : int
        Steps of the cosine.
    alpha : float, default 0.0
        The end, as a share of where the cosine begins.
    warmup_target : float, optional
        Where the warmup ends and the cosine begins; without it the cosine begins at initial_learning_rate at once.
    warmup_steps : int, default 0

    Raises
    ------
    ValueError
        If an argument is out of range, or warmup_steps come without a warmup_target.
    """

    kernel = "cosine_decay"

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        warm = warmup_target is not None
        self.initial_learning_rate = real_number("initial_learning_rate", initial_learning_rate, open_low=not warm)
        self.decay_steps = whole_number("decay_steps", decay_steps)
        self.alpha = real_number("alpha", alpha)
        self.warmup_target = None if warmup_target is None else _above_zero("warmup_target", warmup_target)
        self.warmup_steps = whole_number("warmup_steps", warmup_steps, 0)
        if self.warmup_steps and not warm:
            raise ValueError("warmup_steps need a warmup_target, the rate that they lead to.")

    def numbers(self) -> list[float]:
        return [-1.0 if value is None else float(value) for value in self.config().values()]


class CosineDecayRestarts(LearningRateSchedule):
    """A rate that falls along half a cosine again and again (SGDR, Loshchilov & Hutter 2017).

    Parameters
    ----------
    initial_learning_rate : float
    first_decay_steps : int
        Steps of the first fall.
    t_mul : float, default 2.0
        How many times as long each fall is as the one before; at least 1.
    m_mul : float, default 1.0
        How many times as high it begins.
    alpha : float, default 0.0
        The end, as a share of initial_learning_rate.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    kernel = "cosine_decay_restarts"

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: int,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
    ) -> None:
        self.initial_learning_rate = _above_zero("initial_learning_rate", initial_learning_rate)
        self.first_decay_steps = whole_number("first_decay_steps", first_decay_steps)
        self.t_mul, self.m_mul = real_number("t_mul", t_mul, 1.0), _above_zero("m_mul", m_mul)
        self.alpha = real_number("alpha", alpha)


SCHEDULES: dict[str, type[LearningRateSchedule]] = {
    kind.__name__: kind for kind in LearningRateSchedule.__subclasses__()
}


def get(rate: Any) -> LearningRateSchedule | None:
    """Return a schedule as it came or from its description, None for anything that is no schedule.

    Raises
    ------
    ValueError
        If a description names no known schedule, or its arguments do not fit.
    """
    if isinstance(rate, LearningRateSchedule):
        return rate
    if not isinstance(rate, dict):
        return None
    kind = SCHEDULES[one_of("learning_rate's class", rate.get("class"), SCHEDULES)]
    try:
        return kind(**rate.get("config", {}))
    except TypeError as error:
        raise ValueError(
            f"learning_rate: {kind.__name__} cannot be made of {rate.get('config')!r} ({error})."
        ) from None
