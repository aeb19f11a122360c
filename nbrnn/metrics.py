"""Metrics by Keras' names: figures without a gradient, of all samples alike; only a mask leaves rows out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .checks import one_of, real_number, whole_number
from .losses import LOSSES, Figure, Loss, Rows, small
from .losses import MAKERS as LOSS_MAKERS
from .program import Buffer, Program


@dataclass(frozen=True)
class _Classes(Figure):
    """The share of rows whose class is right; targets are the classes' numbers, or one-hot."""

    labels: bool = True
    one_hot: bool = True

    def targets_of(self, outputs: int) -> tuple[int, ...]:
        if outputs == 1:
            raise ValueError(
                f'{self.name} compares classes, 2 or more, but the model has one output: take "binary_accuracy".'
            )
        return (1,) * self.labels + (outputs,) * self.one_hot


@dataclass(frozen=True)
class _Accuracy(Figure):
    """The accuracy that suits the shapes, as Keras chooses it."""

    def call(self, p: Program, seen: Rows, slot: int, dy: Buffer | None) -> None:
        chosen = METRICS["binary_accuracy" if seen.outputs == 1 else "categorical_accuracy"]
        chosen.call(p, seen, slot, dy)

    def targets_of(self, outputs: int) -> tuple[int, ...]:
        return (1, outputs)


@dataclass(frozen=True)
class _Share(Figure):
    """A share of counts: `part` of the kernel's three is the whole."""

    part: int = 1

    def words(self, outputs: int, masked: bool = False) -> int:
        return 3

    def lower(self, p: Program, seen: Rows, slot: int, dy: Buffer | None) -> None:
        chosen = self.parameters["class_id"]
        if chosen is not None and chosen >= seen.outputs:
            raise ValueError(
                f"{self.name}: class_id must be below the number of the model's outputs, {seen.outputs}, not {chosen}."
            )
        column = -1 if chosen is None else chosen
        rows, threshold = seen.matrix(), self.parameters["thresholds"]
        del rows["valid"], rows["outputs"]
        p.call(self.kernel, **rows, slot=slot, threshold=threshold, class_id=column, stats=p["stats"])

    def finish(self, words: np.ndarray, samples: int, masked: bool = False) -> float:
        return float(words[0] / words[self.part]) if words[self.part] else 0.0

    def targets_of(self, outputs: int) -> tuple[int, ...]:
        return (1, outputs)


@dataclass(frozen=True)
class _Determination(Figure):
    """R^2, the mean over the outputs."""

    def words(self, outputs: int, masked: bool = False) -> int:
        return 1 + 3 * outputs

    def lower(self, p: Program, seen: Rows, slot: int, dy: Buffer | None) -> None:
        rows = seen.matrix()
        del rows["valid"], rows["outputs"]
        p.call(self.kernel, **rows, slot=slot, stats=p["stats"])

    def finish(self, words: np.ndarray, samples: int, masked: bool = False) -> float:
        rows, (first, second, error) = max(1.0, words[0]), words[1:].reshape(-1, 3).T
        spread = second - first * first / rows
        constant = spread <= rows * np.finfo(float).eps * second  # what is left is rounding
        scores = 1.0 - error / np.where(constant, 1.0, spread)
        return float(np.where(constant, error == 0.0, scores).mean())


def BinaryAccuracy(threshold: float = 0.5) -> Figure:
    """Return the share of outputs on their target's side of a threshold.

    Parameters
    ----------
    threshold : float, default 0.5
        An output above it means yes, target 1. Of logits it is 0.

    Raises
    ------
    ValueError
        If the threshold is not a finite number.
    """
    return Figure("binary_accuracy", "binary_accuracy", {"threshold": _threshold("threshold", threshold)})


def Precision(thresholds: float = 0.5, class_id: int | None = None) -> Figure:
    """Return the share of right ones among the outputs above a threshold; 0 where there are none.

    Parameters
    ----------
    thresholds : float, default 0.5
        An output above it means yes. Of logits it is 0.
    class_id : int, optional
        The output that is looked at, counted from 0; all of them if it is not given.

    Raises
    ------
    ValueError
        If an argument is anything else.
    """
    return _Share("precision", "positives", _positives(thresholds, class_id), part=1)


def Recall(thresholds: float = 0.5, class_id: int | None = None) -> Figure:
    """Return the share of outputs above a threshold among those whose target says yes; 0 where there are none.

    Parameters
    ----------
    thresholds : float, default 0.5
        An output above it means yes. Of logits it is 0.
    class_id : int, optional
        The output that is looked at, counted from 0; all of them if it is not given.

    Raises
    ------
    ValueError
        If an argument is anything else.
    """
    return _Share("recall", "positives", _positives(thresholds, class_id), part=2)


def _threshold(name: str, value: Any) -> float:
    if isinstance(value, (list, tuple)):
        raise ValueError(f"{name} must be one number, not {value!r}: give a metric for each.")
    return real_number(name, value, -np.finfo(float).max)


def _positives(thresholds: Any, class_id: Any) -> dict[str, Any]:
    chosen = None if class_id is None else whole_number("class_id", class_id, 0)
    return {"thresholds": _threshold("thresholds", thresholds), "class_id": chosen}


RMSE, R2 = Loss("rmse", "mse", after=math.sqrt), _Determination("r2", "determination")
ACCURACY = _Accuracy("accuracy", "")
METRICS: dict[str, Figure] = LOSSES | {
    "rmse": RMSE,
    "root_mean_squared_error": RMSE,
    "r2": R2,
    "r2_score": R2,
    "accuracy": ACCURACY,
    "acc": ACCURACY,
    "binary_accuracy": BinaryAccuracy(),
    "categorical_accuracy": _Classes("categorical_accuracy", "categorical_accuracy", rows=True, labels=False),
    "sparse_categorical_accuracy": _Classes(
        "sparse_categorical_accuracy", "categorical_accuracy", rows=True, one_hot=False
    ),
    "precision": Precision(),
    "recall": Recall(),
}
MAKERS: dict[str, Callable[..., Figure]] = LOSS_MAKERS | {
    "binary_accuracy": BinaryAccuracy,
    "precision": Precision,
    "recall": Recall,
}


def get_metric(metric: str | Figure) -> Figure:
    """Return a metric from its name, or as it came; ValueError, with the nearest name, if it is unknown."""
    return metric if isinstance(metric, Figure) else METRICS[one_of("metric", small(metric), METRICS)]


def from_parameters(name: str, parameters: dict[str, Any]) -> Figure:
    """Return a loss or metric from its name and parameters, as a file holds them; KeyError if there is no such name."""
    return MAKERS[name](**parameters) if name in MAKERS else METRICS[name]
