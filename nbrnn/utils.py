"""What Keras keeps in its module of the same name: classes as one-hot rows, padded sequences, one seed for all."""

from __future__ import annotations

import random
from collections import abc
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .checks import one_of, whole_number
from .elsewhere import finder
from .initializers import seed_draws
from .series import real_array

ENDS = ("pre", "post")


def to_categorical(x: ArrayLike, num_classes: int | None = None) -> NDArray[np.float64]:
    """Return classes as one-hot rows, (..., classes), for the loss "categorical_crossentropy".

    The loss "sparse_categorical_crossentropy" takes the classes as they are.

    Parameters
    ----------
    x : array of int
        The classes, counted from 0; a last axis of length 1 is left out.
    num_classes : int, optional
        One more than the largest class if it is not given.

    Raises
    ------
    ValueError
        If x holds anything but whole numbers from 0 to num_classes - 1.

    Examples
    --------
    >>> to_categorical([0, 2])
    array([[1., 0., 0.],
           [0., 0., 1.]])
    """
    given = real_array("x", x)
    labels = given[..., 0] if given.ndim > 1 and given.shape[-1] == 1 else given
    if labels.size == 0:
        raise ValueError(f"x holds no classes: its shape is {given.shape}.")
    classes = np.iinfo(np.int64).max if num_classes is None else whole_number("num_classes", num_classes)
    wrong = labels[~((labels >= 0) & (labels < classes) & (labels == np.floor(labels)))]
    if wrong.size:
        wanted = "of at least 0" if num_classes is None else f"from 0 to {classes - 1}"
        raise ValueError(f"x must hold classes, whole numbers {wanted}, but holds {wrong[0]:g}.")
    labels = labels.astype(np.int64)
    return np.eye(int(labels.max()) + 1 if num_classes is None else classes)[labels]


def pad_sequences(
    sequences: abc.Sequence[Any],
    maxlen: int | None = None,
    dtype: DTypeLike = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: float = 0.0,
) -> NDArray[Any]:
    """Return sequences of different lengths as one array, (samples, time steps, ...).

    Models take such lists as they are: `fit`, `evaluate` and `predict` pad at the end and mask what was added.

    Parameters
    ----------
    sequences : list of sequences
        Of numbers, or of rows of numbers, as many in each.
    maxlen : int, optional
        Time steps of the array; those of the longest sequence if it is not given.
    dtype : dtype, default "int32"
        Of the array; with whole numbers, fractions are cut off.
    padding : {"pre", "post"}
        Where `value` is added to shorter sequences.
    truncating : {"pre", "post"}
        Where longer sequences are cut.
    value : float, default 0
        What is added.

    Raises
    ------
    ValueError
        If `sequences` is no list of sequences, they are all empty, or their rows differ in length.

    Examples
    --------
    >>> pad_sequences([[1], [2, 3], [4, 5, 6]], maxlen=2)
    array([[0, 1],
           [2, 3],
           [5, 6]], dtype=int32)
    """
    one_of("padding", padding, ENDS)
    one_of("truncating", truncating, ENDS)
    if not isinstance(sequences, (list, tuple, np.ndarray)) or any(np.ndim(one) == 0 for one in sequences):
        raise ValueError(f"sequences must be a list of sequences such as [[1, 2], [3]], not {sequences!r:.80}.")
    arrays = [real_array(f"sequences[{k}]", one) for k, one in enumerate(sequences)]
    filled = [array for array in arrays if len(array)]
    if not filled:
        raise ValueError("sequences must hold a sequence that is not empty.")
    steps = max(map(len, arrays)) if maxlen is None else whole_number("maxlen", maxlen)
    out = np.full((len(arrays), steps, *filled[0].shape[1:]), value, dtype)
    for k, array in enumerate(arrays):
        if not len(array):
            continue
        if array.shape[1:] != out.shape[2:]:
            raise ValueError(
                f"sequences[{k}] has steps of shape {array.shape[1:]}, but the first one that is not empty has "
                f"{out.shape[2:]}."
            )
        kept = array[-steps:] if truncating == "pre" else array[:steps]
        out[k, slice(steps - len(kept), None) if padding == "pre" else slice(0, len(kept))] = kept
    return out


def set_random_seed(seed: int) -> None:
    """Seed Python's and NumPy's generators, and the models made from now on that are given no seed of their own.

    Parameters
    ----------
    seed : int
        From 0 to 2**32 - 1.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    if whole_number("seed", seed, 0) >= 2**32:
        raise ValueError(f"seed must be below 2**32, not {seed}.")
    random.seed(int(seed))
    np.random.seed(int(seed))  # noqa: NPY002
    seed_draws(int(seed))


__getattr__ = finder(__name__, None, "plot_model")
