"""Optimizers: hyper-parameters, and the calls of one step. Formulas and defaults are Keras' (kernels/optimizers.py)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from . import schedules
from .checks import flag, one_of, real_number, share
from .elsewhere import finder
from .kerasways import OPTIMIZER, all_take
from .program import Buffer, Program
from .schedules import LearningRateSchedule

CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")


class Optimizer:
    """What all optimizers share.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Step size. A number may be changed between and during fits.
    weight_decay : float, optional
        Each step also takes learning_rate * weight_decay * p off every weight p.
    clipnorm : float, optional
        Largest norm of one weight's gradient; a larger one is scaled down to it.
    clipvalue : float, optional
        Largest size of a single number of a gradient.
    global_clipnorm : float, optional
        Largest joint norm of all gradients; larger ones are scaled down to it (Pascanu et al. 2013).
    decay_except : sequence of str
        Weights whose name, such as dense/bias, contains one of these texts do not decay.

    Raises
    ------
    ValueError
        If a number is out of range, or more than one kind of clipping is asked for.
    """

    name: ClassVar[str]  # in files and of `compile`
    kernel: ClassVar[str]
    slots: ClassVar[tuple[str, ...]] = ()  # arrays as large as the parameters
    powers = 0  # numbers of state that stand behind the hyper-parameters; they begin at 1

    def __init_subclass__(cls) -> None:
        all_take(cls, OPTIMIZER)

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.01,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        decay_except: Sequence[str] = (),
    ) -> None:
        self.schedule = schedules.get(learning_rate)
        if self.schedule is None:
            self._learning_rate = real_number("learning_rate", learning_rate, open_low=True)
        self.weight_decay = None if weight_decay is None else real_number("weight_decay", weight_decay)
        clips = dict(zip(CLIPS, (clipnorm, clipvalue, global_clipnorm), strict=True))
        given = {name: real_number(name, value, open_low=True) for name, value in clips.items() if value is not None}
        if len(given) > 1:
            raise ValueError(f"only one of {', '.join(CLIPS)} can be given, not {' and '.join(given)}.")
        self.clipnorm, self.clipvalue, self.global_clipnorm = (given.get(name) for name in CLIPS)
        self.lowered = False
        self.exclude_from_weight_decay(decay_except)

    def exclude_from_weight_decay(self, var_names: Sequence[str]) -> None:
        """Choose, before the first fit, which weights do not decay.

        Parameters
        ----------
        var_names : sequence of str
            Texts; weights whose name, such as dense/bias, contains one of them do not decay.

        Raises
        ------
        ValueError
            If it is no list of texts, or a model has trained with this optimizer already.
        """
        texts = [var_names] if isinstance(var_names, str) else var_names
        if not isinstance(texts, (list, tuple)) or not all(isinstance(t, str) and t for t in texts):
            raise ValueError(f"decay_except must be a list of parts of weights' names, not {var_names!r}.")
        if self.lowered:
            raise ValueError("exclude_from_weight_decay must be called before the first fit.")
        self.decay_except = tuple(texts)

    @property
    def learning_rate(self) -> float | LearningRateSchedule:
        """Step size, a number above 0, or the schedule that gives it."""
        return self._learning_rate if self.schedule is None else self.schedule

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        if isinstance(value, LearningRateSchedule):
            raise ValueError("a schedule must be given when the optimizer is made, not set later.")
        if self.schedule is not None:
            raise ValueError(
                f"learning_rate follows {type(self.schedule).__name__} and cannot be set; make the optimizer with a "
                "number instead."
            )
        self._learning_rate = real_number("learning_rate", value, open_low=True)

    lr = learning_rate  # Keras' old name

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0 since the optimizer began."""
        return self._learning_rate if self.schedule is None else self.schedule(step)

    def hyper(self) -> list[float]:
        """Return the hyper-parameters in the kernel's order."""
        raise NotImplementedError

    def options(self) -> dict[str, int]:
        """Return the kernel's whole-number arguments."""
        return {}

    def config(self) -> dict[str, Any]:
        """Return the arguments that make this optimizer again."""
        rate = self._learning_rate if self.schedule is None else self.schedule.described()
        shared = {"learning_rate": rate, "weight_decay": self.weight_decay}
        shared |= {name: getattr(self, name) for name in CLIPS}
        return shared | {"decay_except": list(self.decay_except)}

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this optimizer again, for `from_config`."""
        return self.config()

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Optimizer:
        """Return the optimizer that `config` describes."""
        return cls(**config)

    def lower(self, p: Program, shards: int, first: int = 0) -> None:
        """Add the calls of one step: sum the shards, clip, move. A schedule counts the model's steps from `first`."""
        self.lowered = True
        grads, params, control, hyper = p["all gradients"], p["all parameters"], p["control"], p["hyper"]
        if shards > 1:
            p.call("sum_shards", control=control, grads=p["gradients of all shards"])
        if self.schedule is not None:
            p.call(self.schedule.kernel, numbers=p["schedule"], control=control, first=first, hyper=hyper)
        if self.clipvalue is not None:
            p.call("clip_value", limit=self.clipvalue, grads=grads)
        if self.clipnorm is not None:
            for _, weight in weights_of(p):
                p.call("clip_norm", limit=self.clipnorm, grads=_at(weight, grads), lanes=p["lanes"])
        if self.global_clipnorm is not None:
            p.call("clip_norm", limit=self.global_clipnorm, grads=grads, lanes=p["lanes"])
        slots = {name: p[f"slots/{name}"] for name in self.slots}
        own = {"control": control, "grads": grads, "params": params}
        p.call(self.kernel, hyper=hyper, later=int(bool(self.weight_decay)), **own, **slots, **self.options())
        if self.weight_decay:
            for part in self._decaying(p):
                p.call("decay_weights", hyper=hyper, decay=self.weight_decay, params=part, moved=_at(part, grads))
            p.call("take_over", **own)

    def _decaying(self, p: Program) -> Iterator[Buffer]:
        """Yield the parameters that decay."""
        if not self.decay_except:
            yield p["all parameters"]
            return
        for name, weight in weights_of(p):
            if not any(text in name for text in self.decay_except):
                yield weight

    def __repr__(self) -> str:
        shown = {k: v for k, v in self.config().items() if v is not None and v != []}
        if self.schedule is not None:
            shown["learning_rate"] = self.schedule
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in shown.items())})"


def weights_of(p: Program) -> Iterator[tuple[str, Buffer]]:
    """Yield every weight of a program by its name, as a vector."""
    for name, buffer in p.layout.buffers.items():
        if buffer.block == "params" and "/" in name:
            yield name, buffer.reshape(-1)


def _at(part: Buffer, grads: Buffer) -> Buffer:
    """Return the gradients of a part of the parameters, which stand at the same place of their block."""
    return replace(part, block=grads.block, name=f"gradient of {part.name}")


class SGD(Optimizer):
    """Stochastic gradient descent: v = momentum v - lr g, p = p + v.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.01
    momentum : float, default 0.0
        From 0 to 1.
    nesterov : bool, default False
        Whether p = p + momentum v - lr g instead.
    weight_decay : float, optional
    clipnorm, clipvalue, global_clipnorm : float, optional
        At most one of them; see `Optimizer`.
    decay_except : sequence of str
    """

    name = kernel = "sgd"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        decay_except: Sequence[str] = (),
    ) -> None:
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, decay_except)
        self.momentum = real_number("momentum", momentum, 0.0, 1.0)
        self.nesterov = flag("nesterov", nesterov)

    @property
    def slots(self) -> tuple[str, ...]:  # type: ignore[override]
        """The velocity, where there is momentum."""
        return ("v",) if self.momentum else ()

    def hyper(self) -> list[float]:
        return [self.rate_at(0), self.momentum]

    def options(self) -> dict[str, int]:
        return {"nesterov": int(self.nesterov)}

    def config(self) -> dict[str, Any]:
        return super().config() | {"momentum": self.momentum, "nesterov": self.nesterov}


class RMSprop(Optimizer):
    """RMSprop: v = rho v + (1 - rho) g^2, p = p - lr g / sqrt(v + epsilon).

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    rho : float, default 0.9
        From 0 to 1.
    momentum : float, default 0.0
        From 0 to 1: b = momentum b + lr g / sqrt(v + epsilon), p = p - b.
    epsilon : float, default 1e-7
        Inside the root, as in Keras.
    centered : bool, default False
        Whether the squared running mean of the gradient is taken off v.
    weight_decay : float, optional
    clipnorm, clipvalue, global_clipnorm : float, optional
        At most one of them; see `Optimizer`.
    decay_except : sequence of str
    """

    name = kernel = "rmsprop"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        decay_except: Sequence[str] = (),
    ) -> None:
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, decay_except)
        self.rho = real_number("rho", rho, 0.0, 1.0)
        self.momentum = real_number("momentum", momentum, 0.0, 1.0)
        self.epsilon = real_number("epsilon", epsilon, open_low=True)
        self.centered = flag("centered", centered)

    @property
    def slots(self) -> tuple[str, ...]:  # type: ignore[override]
        """The mean square, and what options need beside it."""
        return ("v", *(["mean"] if self.centered else []), *(["momentum"] if self.momentum else []))

    def hyper(self) -> list[float]:
        return [self.rate_at(0), self.rho, self.epsilon, self.momentum]

    def config(self) -> dict[str, Any]:
        own = {"rho": self.rho, "momentum": self.momentum, "epsilon": self.epsilon, "centered": self.centered}
        return super().config() | own


class Adam(Optimizer):
    """Adam: p = p - lr sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + epsilon).

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    beta_1, beta_2 : float, default 0.9 and 0.999
        Decay of the running means m of the gradient and v of its square; from 0 to below 1.
    epsilon : float, default 1e-7
    amsgrad : bool, default False
        Whether the largest v so far stands for v (Reddi et al. 2018).
    weight_decay : float, optional
    clipnorm, clipvalue, global_clipnorm : float, optional
        At most one of them; see `Optimizer`.
    decay_except : sequence of str
    """

    name = kernel = "adam"
    powers = 2

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        decay_except: Sequence[str] = (),
    ) -> None:
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, decay_except)
        self.beta_1 = share("beta_1", beta_1)
        self.beta_2 = share("beta_2", beta_2)
        self.epsilon = real_number("epsilon", epsilon, open_low=True)
        self.amsgrad = flag("amsgrad", amsgrad)

    @property
    def slots(self) -> tuple[str, ...]:  # type: ignore[override]
        """The running means, and the largest v for AMSGrad."""
        return ("m", "v", *(["largest"] if self.amsgrad else []))

    def hyper(self) -> list[float]:
        return [self.rate_at(0), self.beta_1, self.beta_2, self.epsilon]

    def config(self) -> dict[str, Any]:
        own = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon, "amsgrad": self.amsgrad}
        return super().config() | own


class AdamW(Adam):
    """Adam with decoupled weight decay: each step also takes lr weight_decay p off p (Loshchilov & Hutter 2019).

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule, default 0.001
    weight_decay : float, default 0.004
    beta_1, beta_2 : float, default 0.9 and 0.999
        As for Adam.
    epsilon : float, default 1e-7
    amsgrad : bool, default False
    clipnorm, clipvalue, global_clipnorm : float, optional
        At most one of them; see `Optimizer`.
    decay_except : sequence of str
        ("bias",) spares the biases.
    """

    name = "adamw"

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        decay_except: Sequence[str] = (),
    ) -> None:
        decay = real_number("weight_decay", weight_decay)
        clips = (clipnorm, clipvalue, global_clipnorm)
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, decay, *clips, decay_except)


OPTIMIZERS: dict[str, type[Optimizer]] = {kind.name: kind for kind in (SGD, RMSprop, Adam, AdamW)}
__getattr__ = finder(__name__, Optimizer)


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
