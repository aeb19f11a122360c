"""Losses by Keras' names. A figure, a loss or a metric, is made of sums that kernels write; a loss has a gradient."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .checks import flag, one_of, real_number
from .elsewhere import finder
from .kerasways import FIGURE, knows
from .program import Buffer, Program

# What a target holds: any numbers; numbers from 0 to 1; shares of the classes, which sum to 1; a class's number.
NUMBERS, SHARES, ONE_HOT, LABELS = "numbers", "shares", "one-hot", "labels"


@dataclass(frozen=True)
class Rows:
    """What a figure sees of a shard. A row is a sample, or a time step of one; its outputs stand side by side.

    Attributes
    ----------
    y, target : Buffer
        (..., outputs) and (..., numbers of a target), time-major.
    samples : int
    weight : Buffer, optional
        (rows,), the weight of each.
    mask : Buffer, optional
        (rows,), 1 or 0: which count.
    valid : Buffer, optional
        (1,), how many rows of the whole batch the mask leaves; it must be there for a gradient.
    """

    y: Buffer
    target: Buffer
    samples: int
    weight: Buffer | None = None
    mask: Buffer | None = None
    valid: Buffer | None = None

    @classmethod
    def pair(cls, p: Program, seen: Rows) -> tuple[Rows, Rows]:
        """Return what the loss sees, whose weights are 0 where the mask is, and what metrics see: no weights but it."""
        mask, weight = seen.mask, seen.weight
        if mask is not None and weight is not None:
            both = p.buffer("weight under the mask", mask.size)
            p.call("weigh_mask", weight=weight, mask=mask, both=both)
            weight = both
        weight = weight or mask
        return (
            cls(seen.y, seen.target, seen.samples, weight, mask, seen.valid),
            cls(seen.y, seen.target, seen.samples, mask, mask, seen.valid),
        )

    @property
    def outputs(self) -> int:
        """Outputs of a row."""
        return self.y.shape[-1]

    def flat(self) -> dict[str, Any]:
        """Return the arguments of a kernel that takes outputs one by one."""
        common = {"y": self.y.reshape(-1), "target": self.target.reshape(-1), "weight": self.weight}
        return common | {"valid": self.valid, "outputs": self.y.size // self.samples, "each": self.outputs}

    def matrix(self) -> dict[str, Any]:
        """Return the arguments of a kernel that takes outputs row by row; a sample has `outputs` rows."""
        y, target = self.y.reshape(-1, self.outputs), self.target.reshape(-1, self.target.shape[-1])
        per_sample = y.shape[0] // self.samples
        return {"y": y, "target": target, "weight": self.weight, "valid": self.valid, "outputs": per_sample}


@dataclass(frozen=True)
class Figure:
    """A mean over samples, or over the rows that a mask leaves: the kernel that sums, and its parameters.

    Attributes
    ----------
    name : str
    kernel : str
    parameters : dict
        Of the kernel, and of the function that makes the figure.
    rows : bool
        Whether the kernel takes outputs row by row.
    after : callable
        From the mean to the figure.
    label : str
        What it is called in a history, where that is not its name.
    """

    name: str
    kernel: str
    parameters: dict[str, Any] = field(default_factory=dict)
    rows: bool = False
    after: Callable[[float], float] = float
    label: str = ""

    def words(self, outputs: int, masked: bool = False) -> int:
        """Return how many statistics it takes, of so many outputs a row; under a mask one more counts the rows."""
        return self.sums(outputs) + masked

    def sums(self, outputs: int) -> int:
        """Return how many of them are sums."""
        return 1

    def lower(self, p: Program, seen: Rows, slot: int, dy: Buffer | None) -> None:
        """Add the calls that write the figure's statistics, from `slot` on, and the gradient."""
        self.call(p, seen, slot, dy)
        if seen.mask is not None:
            p.call("count_rows", mask=seen.mask, slot=slot + self.sums(seen.outputs), stats=p["stats"])

    def call(self, p: Program, seen: Rows, slot: int, dy: Buffer | None) -> None:
        """Add the calls that write the sums and the gradient."""
        arguments = seen.matrix() if self.rows else seen.flat()
        p.call(self.kernel, **arguments, slot=slot, stats=p["stats"], **self.parameters)

    def finish(self, words: np.ndarray, samples: int, masked: bool = False) -> float:
        """Return the figure from its statistics, summed over so many samples."""
        if masked:
            return self.after(float(words[:-1].sum() / max(1.0, words[-1])))
        return self.after(float((words.sum() if len(words) > 1 else words[0]) / samples))

    def targets_of(self, outputs: int) -> tuple[int, ...]:
        """Return how many numbers a row's target may have."""
        return (outputs,)


@dataclass(frozen=True)
class Loss(Figure):
    """A loss: a figure with a gradient, which says what its targets are.

    Attributes
    ----------
    name, kernel, parameters, rows, after
        See `Figure`.
    targets : str
        NUMBERS, SHARES, ONE_HOT or LABELS.
    """

    targets: str = NUMBERS

    def call(self, p: Program, seen: Rows, slot: int, dy: Buffer | None) -> None:
        """Add the calls that write the sums and the gradient."""
        arguments = seen.matrix() if self.rows else seen.flat()
        into = None if dy is None else dy.reshape(*arguments["y"].shape)
        named: dict[str, Any] = {"control": p["control"], "slot": slot, "dy": into, "stats": p["stats"]}
        p.call(self.kernel, **arguments, **named, **self.parameters)

    def targets_of(self, outputs: int) -> tuple[int, ...]:
        """Return how many numbers a row's target may have.

        Raises
        ------
        ValueError
            If the loss cannot be taken of so many outputs.
        """
        if self.targets in (ONE_HOT, LABELS) and outputs == 1:
            raise ValueError(
                f"{self.name} needs an output for each class, 2 or more, but the model has 1: give its last layer as "
                'many units as there are classes, or take "binary_crossentropy".'
            )
        return (1,) if self.targets == LABELS else (outputs,)

    def example(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Draw targets for outputs of a shape, (..., outputs)."""
        width = self.targets_of(shape[-1])[0]
        if self.targets == NUMBERS:
            return rng.uniform(-2.0, 2.0, (*shape[:-1], width))
        if self.targets == SHARES:
            return rng.uniform(0.0, 1.0, shape)
        labels = rng.integers(0, shape[-1], shape[:-1])
        return np.eye(shape[-1])[labels] if self.targets == ONE_HOT else labels[..., None].astype(float)


@dataclass(frozen=True)
class _Quantiles(Loss):
    """A call of the kernel for each quantile; its outputs, one a quantile, stand side by side for every target."""

    def sums(self, outputs: int) -> int:
        return len(self.parameters["q"])

    def call(self, p: Program, seen: Rows, slot: int, dy: Buffer | None) -> None:
        flat = {"control": p["control"], "dy": None if dy is None else dy.reshape(-1), "stats": p["stats"]}
        for k, q in enumerate(self.parameters["q"]):
            p.call(self.kernel, **seen.flat(), **flat, slot=slot + k, q=q, first=k)

    def targets_of(self, outputs: int) -> tuple[int, ...]:
        count = len(self.parameters["q"])
        if outputs % count:
            raise ValueError(
                f"Quantile of {count} quantiles needs as many outputs for every target, but the model has {outputs}: "
                f"give its last layer {count} units, or a multiple of that."
            )
        return (outputs // count,)


@knows(FIGURE)
def MeanSquaredError() -> Loss:
    """Return the mean squared error, (y - target)^2, as the name "mse" does."""
    return Loss("mse", "mse")


@knows(FIGURE)
def MeanAbsoluteError() -> Loss:
    """Return the mean absolute error, |y - target|, as the name "mae" does."""
    return Loss("mae", "mae")


@knows(FIGURE)
def MeanAbsolutePercentageError() -> Loss:
    """Return the mean absolute error in percent of the target, 100 |y - target| / |target|, as the name "mape" does.

    Targets nearer to 0 than 1e-7 count as that far from it: of targets that may be 0 it says nothing.
    """
    return Loss("mape", "mape")


@knows(FIGURE)
def Huber(delta: float = 1.0) -> Loss:
    """Return Huber's loss: e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2).

    Parameters
    ----------
    delta : float, default 1.0
        Where the loss turns from squared to absolute; above 0.

    Raises
    ------
    ValueError
        If delta is not a number above 0.
    """
    return Loss("huber", "huber", {"delta": real_number("delta", delta, open_low=True)})


@knows(FIGURE)
def Quantile(q: float | list[float]) -> Loss:
    """Return the pinball loss, least where a share q of the targets lies below the output.

    Of one target and quantile it is q (target - y) where the target lies above y, else (1 - q) (y - target); the loss
    is the mean over targets and quantiles.

    Parameters
    ----------
    q : float or list of float
        The quantiles, above 0 and below 1, such as 0.5 or [0.1, 0.5, 0.9]. Of several the model has as many outputs for
        each target, side by side: first all quantiles of the first target.

    Raises
    ------
    ValueError
        If a quantile is not a number above 0 and below 1, or there is none.
    """
    several = list(q) if isinstance(q, (list, tuple, np.ndarray)) else [q]
    levels = [real_number("q", value, 0.0, 1.0, open_low=True) for value in several]
    if not levels or 1.0 in levels:
        raise ValueError(f"q must be a number above 0 and below 1, or a list of such numbers, not {q!r}.")
    return _Quantiles("quantile", "quantile", {"q": levels})


@knows(FIGURE)
def BinaryCrossentropy(from_logits: bool = False, label_smoothing: float = 0.0) -> Loss:
    """Return the binary cross-entropy, a mean over the outputs; each is a question of its own, with yes or no.

    Parameters
    ----------
    from_logits : bool, default False
        Whether the outputs are logits, any numbers, and not probabilities, as a sigmoid gives them.
    label_smoothing : float, default 0
        From 0 to 1: the targets t become t (1 - s) + s / 2.

    Raises
    ------
    ValueError
        If an argument is anything else.
    """
    return _crossentropy("binary_crossentropy", SHARES, from_logits, label_smoothing)


@knows(FIGURE)
def CategoricalCrossentropy(from_logits: bool = False, label_smoothing: float = 0.0) -> Loss:
    """Return the cross-entropy of classes, of targets with a number for every class (one-hot).

    Parameters
    ----------
    from_logits : bool, default False
        Whether the outputs are logits, any numbers, and not probabilities, as a softmax gives them; probabilities that
        do not sum to 1 are divided by their sum.
    label_smoothing : float, default 0
        From 0 to 1: the targets t of C classes become t (1 - s) + s / C.

    Raises
    ------
    ValueError
        If an argument is anything else.
    """
    return _crossentropy("categorical_crossentropy", ONE_HOT, from_logits, label_smoothing)


@knows(FIGURE)
def SparseCategoricalCrossentropy(from_logits: bool = False) -> Loss:
    """Return the cross-entropy of classes, of targets that are the classes' numbers, counted from 0.

    Parameters
    ----------
    from_logits : bool, default False
        Whether the outputs are logits, any numbers, and not probabilities, as a softmax gives them; probabilities that
        do not sum to 1 are divided by their sum.

    Raises
    ------
    ValueError
        If it is not True or False.
    """
    return _crossentropy("sparse_categorical_crossentropy", LABELS, from_logits, None)


@dataclass(frozen=True)
class _Sparse(Loss):
    """The kernel knows smoothing, the loss does not."""

    def call(self, p: Program, seen: Rows, slot: int, dy: Buffer | None) -> None:
        Loss(self.name, self.kernel, self.parameters | {"label_smoothing": 0.0}, rows=True).call(p, seen, slot, dy)


def _crossentropy(name: str, targets: str, from_logits: bool, label_smoothing: float | None) -> Loss:
    parameters: dict[str, Any] = {"from_logits": flag("from_logits", from_logits)}
    if label_smoothing is None:
        return _Sparse(name, "categorical_crossentropy", parameters, rows=True, targets=targets)
    parameters["label_smoothing"] = real_number("label_smoothing", label_smoothing, 0.0, 1.0)
    return Loss(name, name, parameters, rows=targets != SHARES, targets=targets)


LOSSES = {
    "mse": MeanSquaredError(),
    "mean_squared_error": MeanSquaredError(),
    "mae": MeanAbsoluteError(),
    "mean_absolute_error": MeanAbsoluteError(),
    "mape": MeanAbsolutePercentageError(),
    "mean_absolute_percentage_error": MeanAbsolutePercentageError(),
    "huber": Huber(),
    "binary_crossentropy": BinaryCrossentropy(),
    "categorical_crossentropy": CategoricalCrossentropy(),
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy(),
}
MAKERS: dict[str, Callable[..., Figure]] = {  # by the name of what they make, of its parameters
    "huber": Huber,
    "quantile": Quantile,
    "binary_crossentropy": BinaryCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
}


def get_loss(loss: str | Figure) -> Loss:
    """Return a loss from its name, or as it came; ValueError, with the nearest name, if it is unknown."""
    if isinstance(loss, Loss):
        return loss
    if callable(loss) and not isinstance(loss, type):
        called = getattr(loss, "__name__", type(loss).__name__)
        if getattr(loss, "__module__", None) == __name__:
            raise ValueError(f"loss must be made by calling {called}: write loss=nbrnn.losses.{called}().")
        raise ValueError(
            f"loss cannot be a Python function, as {called} is: losses are compiled kernels. Take one of "
            f"{', '.join(LOSSES)}, or nbrnn.Huber(delta) or nbrnn.Quantile(q), and let sample_weight say what counts."
        )
    return LOSSES[one_of("loss", in_table(loss, LOSSES), LOSSES)]


def in_table(name: Any, table: Mapping[str, Figure]) -> Any:
    """Return the name by which a table knows a figure: "mse" for "MSE", "mean_squared_error" for its class' name."""
    if not isinstance(name, str) or name in table:
        return name
    words = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    return next((form for form in (name.lower(), words) if form in table), name)


__getattr__ = finder(__name__, Loss)
