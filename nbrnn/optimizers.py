"""Optimizers: hyper-parameters, and the calls of one step. Formulas and defaults are Keras' (kernels/optimizers.py)."""

from __future__ import annotations

from typing import Any, ClassVar

from .checks import one_of, real_number
from .program import Program


class Optimizer:
    """What all optimizers share.

    Parameters
    ----------
    learning_rate : float
        Step size; may be changed between and during fits.
    global_clipnorm : float, optional
        Largest joint norm of all gradients; larger ones are scaled down to it (Pascanu et al. 2013).
    """

    kernel: ClassVar[str]
    slots: ClassVar[tuple[str, ...]] = ()  # arrays as large as the parameters
    powers = 0  # numbers of state that stand behind the hyper-parameters; they begin at 1

    def __init__(self, learning_rate: float = 0.01, global_clipnorm: float | None = None) -> None:
        self.learning_rate = learning_rate
        self.global_clipnorm = (
            None if global_clipnorm is None else real_number("global_clipnorm", global_clipnorm, open_low=True)
        )

    @property
    def learning_rate(self) -> float:
        """Step size, a number above 0."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = real_number("learning_rate", value, open_low=True)

    def hyper(self) -> list[float]:
        """Return the hyper-parameters in the kernel's order."""
        raise NotImplementedError

    def options(self) -> dict[str, int]:
        """Return the kernel's whole-number arguments."""
        return {}

    def config(self) -> dict[str, Any]:
        """Return the arguments that make this optimizer again."""
        return {"learning_rate": self.learning_rate, "global_clipnorm": self.global_clipnorm}

    def lower(self, p: Program, shards: int) -> None:
        """Add the calls of one step: sum the shards, clip, move."""
        grads, params = p["all gradients"], p["all parameters"]
        control = p["control"]
        if shards > 1:
            p.call("sum_shards", control=control, grads=p["gradients of all shards"])
        if self.global_clipnorm is not None:
            p.call("clip_global_norm", control=control, limit=self.global_clipnorm, grads=grads, lanes=p["lanes"])
        slots = {name: p[f"slots/{name}"] for name in self.slots}
        p.call(self.kernel, hyper=p["hyper"], control=control, grads=grads, params=params, **slots, **self.options())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.config().items())})"


class SGD(Optimizer):
    """Stochastic gradient descent: v = momentum v - lr g, p = p + v.

    Parameters
    ----------
    learning_rate : float, default 0.01
    momentum : float, default 0.0
        From 0 to 1.
    nesterov : bool, default False
        Whether p = p + momentum v - lr g instead.
    global_clipnorm : float, optional
    """

    kernel = "sgd"

    def __init__(
        self,
        learning_rate: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        global_clipnorm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, global_clipnorm)
        self.momentum = real_number("momentum", momentum, 0.0, 1.0)
        self.nesterov = bool(nesterov)

    @property
    def slots(self) -> tuple[str, ...]:  # type: ignore[override]
        """The velocity, where there is momentum."""
        return ("v",) if self.momentum else ()

    def hyper(self) -> list[float]:
        return [self.learning_rate, self.momentum]

    def options(self) -> dict[str, int]:
        return {"nesterov": int(self.nesterov)}

    def config(self) -> dict[str, Any]:
        return super().config() | {"momentum": self.momentum, "nesterov": self.nesterov}


class RMSprop(Optimizer):
    """RMSprop: v = rho v + (1 - rho) g^2, p = p - lr g / sqrt(v + epsilon).

    Parameters
    ----------
    learning_rate : float, default 0.001
    rho : float, default 0.9
        From 0 to 1.
    epsilon : float, default 1e-7
        Inside the root, as in Keras.
    global_clipnorm : float, optional
    """

    kernel = "rmsprop"
    slots = ("v",)

    def __init__(
        self,
        learning_rate: float = 0.001,
        rho: float = 0.9,
        epsilon: float = 1e-7,
        global_clipnorm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, global_clipnorm)
        self.rho = real_number("rho", rho, 0.0, 1.0)
        self.epsilon = real_number("epsilon", epsilon, open_low=True)

    def hyper(self) -> list[float]:
        return [self.learning_rate, self.rho, self.epsilon]

    def config(self) -> dict[str, Any]:
        return super().config() | {"rho": self.rho, "epsilon": self.epsilon}


class Adam(Optimizer):
    """Adam: p = p - lr sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + epsilon).

    Parameters
    ----------
    learning_rate : float, default 0.001
    beta_1, beta_2 : float, default 0.9 and 0.999
        Decay of the running means m of the gradient and v of its square; from 0 to below 1.
    epsilon : float, default 1e-7
    global_clipnorm : float, optional
    """

    kernel = "adam"
    slots = ("m", "v")
    powers = 2

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        global_clipnorm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, global_clipnorm)
        self.beta_1 = real_number("beta_1", beta_1, 0.0, 1 - 1e-12)
        self.beta_2 = real_number("beta_2", beta_2, 0.0, 1 - 1e-12)
        self.epsilon = real_number("epsilon", epsilon, open_low=True)

    def hyper(self) -> list[float]:
        return [self.learning_rate, self.beta_1, self.beta_2, self.epsilon]

    def config(self) -> dict[str, Any]:
        return super().config() | {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "rmsprop": RMSprop, "adam": Adam}


def get(optimizer: str | Optimizer) -> Optimizer:
    """Return an optimizer from its name, or as it came.

    Raises
    ------
    ValueError
        If the name is unknown; the nearest one is suggested.
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    name = optimizer.lower() if isinstance(optimizer, str) else optimizer
    return OPTIMIZERS[one_of("optimizer", name, OPTIMIZERS)]()
