"""What a model is taught with, checked at the door: targets, and weights of samples and classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .arrays import native
from .checks import real_number, whole_number
from .layers import Shape, known
from .losses import LABELS, NUMBERS, ONE_HOT, SHARES, Loss

if TYPE_CHECKING:
    from .metrics import Figure

SUM = 1e-3  # by how much the shares of a row may miss 1


def target_shape(loss: Loss | None, output_shape: Shape) -> Shape:
    """Return the shape of one sample's targets.

    Raises
    ------
    ValueError
        If the loss cannot be taken of so many outputs.
    """
    outputs = known(output_shape[-1])
    return (*output_shape[:-1], outputs if loss is None else loss.targets_of(outputs)[0])


def check_figures(figures: list[Figure], output_shape: Shape) -> None:
    """Refuse metrics that cannot be taken of a loss' targets.

    Raises
    ------
    ValueError
        If there is one.
    """
    outputs, width = known(output_shape[-1]), known(target_shape(_loss(figures), output_shape)[-1])
    for metric in figures[1:]:
        possible = metric.targets_of(outputs)
        if width not in possible:
            wants = " or ".join(str(n) for n in possible)
            raise ValueError(
                f"the metric {metric.name} wants {wants} numbers as the target of {outputs} outputs, but of the loss "
                f"{figures[0].name} it is {width}; leave the metric out, or change one of them."
            )


def _loss(figures: list[Figure]) -> Loss:
    loss = figures[0]
    assert isinstance(loss, Loss)
    return loss


def checked_targets(
    loss: Loss | None,
    y: Any,
    samples: int,
    end: tuple[int, ...],
    dtype: np.dtype,
    name: str = "y",
    kept: np.ndarray | None = None,
) -> np.ndarray:
    """Return targets as (samples, numbers) or (samples, time steps, numbers).

    Parameters
    ----------
    loss : Loss or None
        Says what a target is; without one it is a number for each output.
    y : array
        (samples,) stands for one number a sample; labels may come without their last axis, of length 1.
    samples : int
        Of the inputs.
    end : tuple of int
        The shape of one sample's output: (outputs,) or (time steps, outputs).
    dtype : dtype
        The model's.
    name : str
        What the sentences call y.
    kept : array (samples, time steps) of bool, optional
        Where targets must be what the loss takes; elsewhere they are masked.

    Raises
    ------
    ValueError
        If the shape is another one, or a number is none that the loss takes.
    """
    if y is None:
        raise ValueError(f"{name} is None, but targets are needed: (samples, outputs), or a row a time step.")
    y = native(name, y, dtype)
    if len(y) != samples:
        raise ValueError(f"x has {samples} samples, but {name} has {len(y)}; they must be as many.")
    outputs, targets = end[-1], NUMBERS if loss is None else loss.targets
    wanted = (samples, *end[:-1], known(target_shape(loss, end)[-1]))
    if loss is not None and targets == LABELS:
        if y.shape == (*wanted[:-1], outputs):
            raise ValueError(
                f"{name} has shape {y.shape}, a number for each of the {outputs} classes, but {loss.name} takes the "
                'classes\' numbers: give y.argmax(axis=-1), or take the loss "categorical_crossentropy".'
            )
        if y.shape == wanted[:-1]:
            y = y[..., None]
    elif loss is not None and targets == ONE_HOT and y.shape in (wanted[:-1], (*wanted[:-1], 1)):
        raise ValueError(
            f"{name} has shape {y.shape}, one number for all classes, but {loss.name} takes one for each of the "
            f'{outputs} classes: give np.eye({outputs})[y], or take the loss "sparse_categorical_crossentropy".'
        )
    if y.ndim == 1:
        y = y[:, None]  # never broadcast against the outputs
    if y.shape != wanted:
        output = (*wanted[:-1], outputs)
        what = "" if loss is None or output == wanted else f", whose targets for {loss.name} have shape {wanted}"
        raise ValueError(f"{name} has shape {y.shape}, but the model's output has shape {output}{what}.")
    if loss is not None and targets != NUMBERS:
        _check_numbers(loss, y.real, outputs, name, kept if kept is not None and kept.shape == y.shape[:-1] else None)
    return y


def _check_numbers(loss: Loss, y: np.ndarray, outputs: int, name: str, kept: np.ndarray | None) -> None:
    """Refuse targets that name no class, are no shares, or do not sum to 1."""

    def refuse(bad: np.ndarray, wanted: str) -> None:
        bad = bad if kept is None else bad & kept[..., None]
        if bad.any():
            place = np.unravel_index(bad.argmax(), bad.shape)
            raise ValueError(f"{name} holds {y[place]:g} in sample {place[0]}, but {wanted}.")

    if loss.targets == LABELS:
        labels = f"the model has {outputs} outputs: labels must be whole numbers from 0 to {outputs - 1}"
        refuse((y < 0) | (y >= outputs) | (y != np.floor(y)), labels)
    if loss.targets in (SHARES, ONE_HOT):
        refuse((y < 0) | (y > 1), f"{loss.name} takes targets from 0 to 1")
    if loss.targets == ONE_HOT:
        sums = y.sum(axis=-1, dtype=np.float64)
        wrong = (np.abs(sums - 1) > SUM) & (True if kept is None else kept)
        if wrong.any():
            place = np.unravel_index(wrong.argmax(), wrong.shape)
            raise ValueError(
                f"the targets of sample {place[0]} sum to {sums[place]:g}, but {loss.name} takes shares of classes "
                'that exclude each other, which sum to 1; where several may be true take "binary_crossentropy".'
            )


def checked_weights(
    loss: Loss, y: np.ndarray, sample_weight: Any, class_weight: Any, outputs: int, dtype: np.dtype
) -> np.ndarray | None:
    """Return the weight of every sample, (samples, 1), or of every time step, (samples, time steps, 1).

    Parameters
    ----------
    loss : Loss
        Says where a target's class stands.
    y : array
        Checked targets.
    sample_weight : array (samples,) or (samples, time steps), or None
        Not negative.
    class_weight : dict of class to number, or None
        1 for a class that it leaves out; both weights together are multiplied.
    outputs : int
        Of the model, for a row.
    dtype : dtype
        The model's.

    Returns
    -------
    array or None
        None where neither is given.

    Raises
    ------
    ValueError
        If weights do not fit the targets, are negative, or the targets have no classes.
    """
    weights = None if sample_weight is None else _of_samples(y, sample_weight, dtype)
    if class_weight is None:
        return weights
    classes = _of_classes(loss, y, class_weight, outputs, dtype)
    return classes if weights is None else weights * classes


def own_weights(y: np.ndarray, sample_weight: Any, dtype: np.dtype, output: str) -> np.ndarray:
    """Return the weights of one of several outputs; ones where none are given.

    Raises
    ------
    ValueError
        If they do not fit the targets; the sentence names the output.
    """
    if sample_weight is None:
        return np.broadcast_to(np.ones(1, dtype), (*y.shape[:-1], 1))
    try:
        return _of_samples(y, sample_weight, dtype)
    except ValueError as error:
        raise ValueError(f"of output {output!r}: {error}") from error


def held_out(share: float, x: Any, y: Any, weights: Any) -> tuple[list[Any], list[Any]]:
    """Return the inputs, targets and weights to train on, and those of a share of the samples, taken from the end.

    Raises
    ------
    ValueError
        If the share is not between 0 and 1, or leaves a part empty.
    """
    at = int(len(x) * (1.0 - real_number("validation_split", share, 0.0, 1.0)))
    if not 0 < at < len(x):
        raise ValueError(f"validation_split={share:g} of {len(x)} samples leaves a part empty; change it.")
    some = (slice(0, at), slice(at, None))
    train, held = ([None if each is None else each[part] for each in (x, y, weights)] for part in some)
    return train, held


def validated_after(given: Any) -> int | list[int]:
    """Return every how many epochs the validation is evaluated, or after which, counted from 1.

    Raises
    ------
    ValueError
        If it is no whole number of at least 1, nor a list of them.
    """
    if isinstance(given, (list, tuple)):
        return [whole_number("validation_freq", epoch) for epoch in given]
    return whole_number("validation_freq", given)


def _of_samples(y: np.ndarray, given: Any, dtype: np.dtype) -> np.ndarray:
    if np.ndim(given) == 0:
        raise ValueError(f"sample_weight must be an array, a number for each of the {len(y)} samples, not {given!r}.")
    weights = native("sample_weight", given, dtype)
    if len(weights) != len(y):
        raise ValueError(f"sample_weight has {len(weights)} weights, but there are {len(y)} samples.")
    if weights.ndim == y.ndim and weights.shape[-1] == 1:
        weights = weights[..., 0]
    if weights.shape not in ((len(y),), y.shape[:-1]):
        steps = f" or {y.shape[:-1]}, a number a time step" if y.ndim == 3 else ""
        raise ValueError(
            f"sample_weight has shape {np.shape(given)}, but must have the shape {(len(y),)}, a number a sample{steps}."
        )
    if (weights.real < 0).any():
        sample = int(np.argwhere(weights.real < 0)[0][0])
        raise ValueError(f"sample_weight must not be negative, as it is in sample {sample}.")
    weights = weights[..., None]
    if weights.ndim < y.ndim:
        weights = np.broadcast_to(weights[:, None], (*y.shape[:-1], 1))
    return weights


def _of_classes(loss: Loss, y: np.ndarray, given: Any, outputs: int, dtype: np.dtype) -> np.ndarray:
    binary = loss.targets == SHARES and outputs == 1
    if loss.targets not in (LABELS, ONE_HOT) and not binary:
        raise ValueError(
            f"class_weight needs targets that name a class, but those of {loss.name} with {outputs} outputs do not; "
            "give sample_weight."
        )
    if not isinstance(given, Mapping):
        raise ValueError(f"class_weight must be a dict of class to weight, such as {{0: 1.0, 1: 5.0}}, not {given!r}.")
    table = np.ones(2 if binary else outputs, dtype)
    for label, weight in given.items():
        if whole_number("a class in class_weight", label, 0) >= len(table):
            raise ValueError(f"class_weight names the class {label}, but the classes are 0 to {len(table) - 1}.")
        table[label] = real_number(f"class_weight[{label}]", weight)
    labels = y.real.argmax(axis=-1) if loss.targets == ONE_HOT else np.rint(y.real[..., 0]).astype(int)
    return table[labels][..., None]
