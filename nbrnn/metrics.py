"""Metrics by Keras' names: figures without a gradient, of all samples alike; only a mask leaves rows out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .checks import one_of, real_number, whole_number
from .elsewhere import finder
from .kerasways import FIGURE, knows
from .losses import LOSSES, Figure, Loss, Rows, get_loss, in_table
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


@knows(FIGURE)
def BinaryAccuracy(threshold: float = 0.5, name: str | None = None) -> Figure:
    """Return the share of outputs on their target's side of a threshold.

    Parameters
    ----------
    threshold : float, default 0.5
        An output above it means yes, target 1. Of logits it is 0.
    name : str, optional
        In the history; "binary_accuracy" if it is not given.

    Raises
    ------
    ValueError
        If the threshold is not a finite number.
    """
    found = Figure("binary_accuracy", "binary_accuracy", {"threshold": _threshold("threshold", threshold)})
    return labelled(found, name)


@knows(FIGURE)
def Precision(thresholds: float = 0.5, class_id: int | None = None, name: str | None = None) -> Figure:
    """Return the share of right ones among the outputs above a threshold; 0 where there are none.

    Parameters
    ----------
    thresholds : float, default 0.5
        An output above it means yes. Of logits it is 0.
    class_id : int, optional
        The output that is looked at, counted from 0; all of them if it is not given.
    name : str, optional
        In the history; "precision" if it is not given.

    Raises
    ------
    ValueError
        If an argument is anything else.
    """
    return labelled(_Share("precision", "positives", _positives(thresholds, class_id), part=1), name)


@knows(FIGURE)
def Recall(thresholds: float = 0.5, class_id: int | None = None, name: str | None = None) -> Figure:
    """Return the share of outputs above a threshold among those whose target says yes; 0 where there are none.

    Parameters
    ----------
    thresholds : float, default 0.5
        An output above it means yes. Of logits it is 0.
    class_id : int, optional
        The output that is looked at, counted from 0; all of them if it is not given.
    name : str, optional
        In the history; "recall" if it is not given.

    Raises
    ------
    ValueError
        If an argument is anything else.
    """
    return labelled(_Share("recall", "positives", _positives(thresholds, class_id), part=2), name)


def labelled(figure: Figure, label: str | None) -> Figure:
    """Return a figure that is called so in a history; ValueError if that is no text."""
    if label is None or label == figure.name:
        return figure
    if not isinstance(label, str) or not label:
        raise ValueError(f"name of the metric {figure.name} must be text, not {label!r}.")
    return replace(figure, label=label)


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
    """Return a metric from its name, which it has in the history too, or as it came.

    Raises
    ------
    ValueError
        If the name is unknown, with the nearest one, or it is no name.
    """
    if isinstance(metric, Figure):
        return metric
    if callable(metric) and not isinstance(metric, type):
        called = getattr(metric, "__name__", type(metric).__name__)
        if getattr(metric, "__module__", None) in (__name__, get_loss.__module__):
            raise ValueError(f"a metric must be made by calling {called}: write {called}().")
        raise ValueError(
            f"a metric cannot be a Python function, as {called} is: metrics are compiled kernels. Compute it from "
            "model.predict(x) in a callback's on_epoch_end and put it into the logs: then it is in the history."
        )
    return labelled(METRICS[one_of("metric", in_table(metric, METRICS), METRICS)], metric)


def from_parameters(name: str, parameters: dict[str, Any], label: str = "") -> Figure:
    """Return a loss or metric from its name, parameters and label, as a file holds them; KeyError if it is unknown."""
    return labelled(MAKERS[name](**parameters) if name in MAKERS else METRICS[name], label or None)


def _named(table_name: str, usual: str) -> Callable[..., Figure]:
    """Return what makes the metric of a table's name; `usual` is its class' name in Keras."""

    @knows(FIGURE)
    def make(name: str | None = None) -> Figure:
        return labelled(METRICS[table_name], name or table_name)

    make.__name__ = make.__qualname__ = usual
    make.__doc__ = (
        f'Return the metric "{table_name}".\n\nParameters\n----------\nname : str, optional\n'
        f'    In the history; "{table_name}" if it is not given.\n'
    )
    return make


MeanSquaredError = _named("mean_squared_error", "MeanSquaredError")
MeanAbsoluteError = _named("mean_absolute_error", "MeanAbsoluteError")
MeanAbsolutePercentageError = _named("mean_absolute_percentage_error", "MeanAbsolutePercentageError")
RootMeanSquaredError = _named("root_mean_squared_error", "RootMeanSquaredError")
R2Score = _named("r2_score", "R2Score")
CategoricalAccuracy = _named("categorical_accuracy", "CategoricalAccuracy")
SparseCategoricalAccuracy = _named("sparse_categorical_accuracy", "SparseCategoricalAccuracy")
__getattr__ = finder(__name__, Figure)
