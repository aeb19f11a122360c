"""Sequences of different lengths at the door: masks and lengths are checked, lists of sequences are padded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .arrays import Masked, arrays_of, contiguous_dtype, masks_of
from .graph import Graph
from .series import real_array


def is_ragged(value: Any) -> bool:
    """Return whether a value is a list of sequences (time steps, features) of which some differ in length."""
    if not isinstance(value, (list, tuple)) or not value:
        return False
    shapes = [np.shape(one) if isinstance(one, np.ndarray) else _shape(one) for one in value]
    return all(len(s) == len(shapes[0]) for s in shapes) and len({s[:1] for s in shapes}) > 1 and len(shapes[0]) == 2


def _shape(one: Any) -> tuple[int, ...]:
    """Return the shape of nested lists, () for anything else."""
    try:
        return np.shape(one)
    except ValueError:
        return ()


def padded(
    name: str, sequences: Any, dtype: np.dtype, steps: int | None, repeat: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return sequences as one array (samples, time steps, numbers), and their lengths.

    Parameters
    ----------
    name : str
        What sentences call them.
    sequences : list of arrays (time steps, numbers)
    dtype : dtype
    steps : int or None
        Of the array; those of the longest sequence if it is not given.
    repeat : bool
        Whether what follows a sequence is its last step again, and not zeros: then it is still a target.

    Raises
    ------
    ValueError
        If a sequence is empty, holds no numbers, is too long, or has another number of features than the first.
    """
    arrays = [
        real_array(f"{name}[{k}]", one, "biufc" if dtype.kind == "c" else "biuf") for k, one in enumerate(sequences)
    ]
    longest = max(len(one) for one in arrays) if steps is None else steps
    out = np.zeros((len(arrays), longest, arrays[0].shape[1]), dtype)
    for k, one in enumerate(arrays):
        if one.shape[1] != arrays[0].shape[1]:
            raise ValueError(
                f"the sequences of {name} must have as many features, but sample 0 has {arrays[0].shape[1]} and sample "
                f"{k} has {one.shape[1]}."
            )
        if not 0 < len(one) <= longest:
            raise ValueError(f"{name}: sample {k} has {len(one)} time steps, but must have from 1 to {longest}.")
        out[k, : len(one)] = one
        if repeat:
            out[k, len(one) :] = one[-1]
    return out, np.array([len(one) for one in arrays])


def steps_of(name: str, lengths: Any, samples: int, steps: int) -> np.ndarray:
    """Return the mask (samples, time steps) of sequences whose first steps count.

    Raises
    ------
    ValueError
        If there are too many or too few lengths, or one is no whole number from 1 to the time steps.
    """
    given = np.asarray(lengths)
    if given.shape != (samples,) or given.dtype.kind not in "iuf":
        came = f"{given.dtype} numbers of shape {given.shape}"
        raise ValueError(f"{name} must be a whole number for each of the {samples} samples, not {came}.")
    wrong = np.flatnonzero(~((given >= 1) & (given <= steps) & (given == np.floor(given))))
    if len(wrong):
        k = int(wrong[0])
        raise ValueError(
            f"{name} must be whole numbers from 1 to the {steps} time steps, but sample {k} has {given[k]:g}."
        )
    return np.asarray(np.arange(steps) < given[:, None])


def checked_mask(name: str, mask: Any, samples: int, steps: int) -> np.ndarray:
    """Return a mask (samples, time steps) as booleans.

    Raises
    ------
    ValueError
        If it has another shape, or holds anything but true and false (1 and 0).
    """
    given = np.asarray(mask)
    if given.ndim == 3 and given.shape[-1] == 1:
        given = given[..., 0]
    if given.shape != (samples, steps):
        raise ValueError(
            f"{name} has shape {np.shape(mask)}, but must have (samples, time steps) = {(samples, steps)}."
        )
    if given.dtype != bool and not (given.dtype.kind in "iuf" and ((given == 0) | (given == 1)).all()):
        raise ValueError(f"{name} must be True for each time step that counts and False for each that does not.")
    return given.astype(bool)


def with_masks(x: Any, graph: Graph, dtype: np.dtype, mask: Any, lengths: Any) -> Any:
    """Return checked inputs with the masks that came for them, as `Masked` if there are any.

    Parameters
    ----------
    x : array or Samples
        Masks that it has already come from sequences of different lengths.
    graph : Graph
    dtype : dtype
        The model's.
    mask, lengths : arrays, or dicts or lists of them by input, optional
        Of an input one of them.

    Raises
    ------
    ValueError
        If one does not fit, both were given, or an input has no time steps.
    """
    if mask is None and lengths is None:
        return x
    masks: list[np.ndarray | None] = list(masks_of(x))
    for argument, given in (("mask", mask), ("lengths", lengths)):
        for k, one in _by_input(argument, given, graph).items():
            array = arrays_of(x)[k]
            name = argument if len(graph.inputs) == 1 else f"{argument} of input {graph.inputs[k]!r}"
            if array.ndim != 3:
                raise ValueError(f"{name} was given, but the input holds vectors, which have no time steps.")
            if masks[k] is not None:
                raise ValueError(f"{name} was given, but which time steps count is known already: give one of them.")
            checked = (checked_mask if argument == "mask" else steps_of)(name, one, *array.shape[:2])
            masks[k] = contiguous_dtype(checked[..., None], dtype)
    return Masked(arrays_of(x), masks)


def _by_input(argument: str, given: Any, graph: Graph) -> dict[int, Any]:
    """Return what was given for each input, by its number."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        for name in given:
            if name not in graph.inputs:
                raise ValueError(f"{argument} names the input {name!r}, but the model has {', '.join(graph.inputs)}.")
        return {k: given[name] for k, name in enumerate(graph.inputs) if given.get(name) is not None}
    if len(graph.inputs) == 1:
        return {0: given}
    if not isinstance(given, (list, tuple)) or len(given) != len(graph.inputs):
        listed = ", ".join(graph.inputs)
        raise ValueError(f"{argument} must be a dict or a list, one for each input ({listed}), or None for one.")
    return {k: one for k, one in enumerate(given) if one is not None}


def one_mask(x: Any) -> np.ndarray | None:
    """Return the mask of a single input, as booleans (samples, time steps); None where there is none."""
    masks = masks_of(x)
    if len(masks) > 1 or masks[0] is None:
        return None
    return np.asarray(masks[0].real[..., 0] > 0)
