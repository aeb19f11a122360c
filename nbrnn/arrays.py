"""Users' arrays at the door: any dtype and layout in, strided memory that a kernel can read out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from .program import numbered
from .series import real_array


class Elsewhere:
    """An array outside the host's memory, which a target reads where it stands; its numbers are not looked at here."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in bytes
    dtype: np.dtype
    itemsize: int
    ndim: int
    size: int

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, part: Any) -> Any:
        raise NotImplementedError

    def numpy(self) -> np.ndarray:
        """Return a copy in the host's memory."""
        raise NotImplementedError


def extent(x: np.ndarray) -> int:
    """Return the number of elements from the first to the last in memory (strides must not be negative)."""
    return 1 + sum((n - 1) * s for n, s in zip(x.shape, x.strides, strict=True)) // x.itemsize


def flat_view(x: np.ndarray) -> np.ndarray:
    """Return the memory from the first element to the last as one read-only axis, gaps included; as it is elsewhere."""
    if isinstance(x, Elsewhere):
        return x
    return np.lib.stride_tricks.as_strided(x, (extent(x),), (x.itemsize,), writeable=False)


def contiguous_dtype(X: Any, dtype: Any, name: str = "X") -> np.ndarray:
    """Return an array of a dtype whose strides are whole numbers of elements and not negative.

    An array that is so already comes back as it is. Of an array that names elements more than once, such as
    overlapping windows, only the memory below it is converted, and the result overlaps in the same way (read-only).
    Anything else, and overlapping windows of which some axes run backwards and some forwards, is copied in full.

    Parameters
    ----------
    X : array of real numbers, of any shape and layout
        Complex numbers are taken if `dtype` is complex.
    dtype : dtype
        What the elements shall be; a number too large for it becomes infinite.
    name : str
        What a sentence calls the array.

    Raises
    ------
    ValueError
        If X holds anything but numbers.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.lib.stride_tricks.sliding_window_view(np.arange(1000.0), 101)[:900, :100, None]
    >>> Z = contiguous_dtype(X, np.float32)
    >>> Z.shape, Z.strides
    ((900, 100, 1), (4, 4, 4))
    """
    dtype = np.dtype(dtype)
    array = real_array(name, X, kinds="biufc" if dtype.kind == "c" else "biuf")
    readable = all(s >= 0 and s % array.itemsize == 0 for s in array.strides)
    if array.dtype == dtype and array.flags.aligned and readable:
        return array
    steps = [s if n > 1 else 0 for n, s in zip(array.shape, array.strides, strict=True)]
    unit = math.gcd(*steps) or array.itemsize
    line = 1 + sum((n - 1) * abs(s) for n, s in zip(array.shape, steps, strict=True)) // unit
    with np.errstate(over="ignore", invalid="ignore"):  # the gaps between the elements may hold anything
        if line >= array.size or min(steps) < 0 < max(steps):
            return np.array(array, dtype, order="C")
        packed = np.lib.stride_tricks.as_strided(array, (line,), (-unit if min(steps) < 0 else unit,)).astype(dtype)
    strides = [abs(s) // unit if n > 1 else 1 for n, s in zip(array.shape, steps, strict=True)]
    return np.lib.stride_tricks.as_strided(packed, array.shape, [s * dtype.itemsize for s in strides], writeable=False)


def native(name: str, value: Any, dtype: np.dtype) -> np.ndarray:
    """Return an array of a dtype whose strides are whole and not negative; it is a copy only where it has to be.

    Raises
    ------
    ValueError
        If it is empty, holds no numbers, or holds one that is not finite (the sentence names the sample).
    """
    if isinstance(value, Elsewhere):
        return cast("np.ndarray", value)
    array = contiguous_dtype(value, dtype, name)
    if array.size == 0 or array.ndim == 0:
        missing = "samples" if array.ndim == 0 or not len(array) else "numbers"
        raise ValueError(f"{name} holds no {missing}: its shape is {array.shape}.")
    overlapping = extent(array) < array.size  # then each number is looked at once
    if not np.isfinite(flat_view(array) if overlapping else array).all():
        bad = [n for n in range(len(array)) if not np.isfinite(array[n]).all()]
        if not bad:
            return array  # it stands in a gap that no sample holds
        sample = bad[0]
        raise ValueError(f"{name} holds a number that is not finite (NaN or infinite) in sample {sample}.")
    return array


class Samples:
    """Several arrays with as many samples, which are counted, cut and copied as one.

    Parameters
    ----------
    arrays : sequence of numpy.ndarray
        (samples, time steps, features) or (samples, features).
    """

    def __init__(self, arrays: Sequence[np.ndarray]) -> None:
        self.arrays = tuple(arrays)

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, part: Any) -> Samples:
        return Samples([array[part] for array in self.arrays])

    def astype(self, dtype: Any) -> Samples:
        """Return copies in another dtype."""
        return Samples([array.astype(dtype) for array in self.arrays])


class Masked(Samples):
    """Arrays with masks of their time steps.

    Parameters
    ----------
    arrays : sequence of numpy.ndarray
    masks : sequence of numpy.ndarray or None
        (samples, time steps, 1), 1 or 0, for each array; None where it has none.
    """

    def __init__(self, arrays: Sequence[np.ndarray], masks: Sequence[np.ndarray | None]) -> None:
        super().__init__(arrays)
        self.masks = tuple(masks)

    def __getitem__(self, part: Any) -> Masked:
        return Masked([a[part] for a in self.arrays], [None if m is None else m[part] for m in self.masks])

    def astype(self, dtype: Any) -> Masked:
        """Return copies in another dtype."""
        masks = [None if mask is None else mask.astype(dtype) for mask in self.masks]
        return Masked([array.astype(dtype) for array in self.arrays], masks)


def masks_of(x: Any) -> tuple[np.ndarray | None, ...]:
    """Return the masks of what may be one array or several, None for each that has none."""
    return x.masks if isinstance(x, Masked) else (None,) * len(arrays_of(x))


def named_arrays(sides: dict[str, Any]) -> dict[str, np.ndarray | None]:
    """Return the arrays and masks of what may be several, by names for sentences."""
    found: dict[str, np.ndarray | None] = {}
    for name, side in sides.items():
        for k, (array, mask) in enumerate(zip(arrays_of(side), masks_of(side), strict=True)):
            own = f"{name} {k + 1}" if k else name
            found |= {own: array} if mask is None else {own: array, f"the mask of {own}": mask}
    return found


def arrays_of(x: Any) -> tuple[np.ndarray, ...]:
    """Return the arrays of what may be one or several."""
    return x.arrays if isinstance(x, Samples) else (x,)


def one_or_several(arrays: Sequence[np.ndarray]) -> Any:
    """Return the array, or several as Samples."""
    return arrays[0] if len(arrays) == 1 else Samples(arrays)


def plain_arrays(x: Any) -> Any:
    """Return C-contiguous copies of one or several arrays, with their masks."""
    arrays = [np.array(array) for array in arrays_of(x)]
    return Masked(arrays, masks_of(x)) if isinstance(x, Masked) else one_or_several(arrays)


def foreign_arrays(block: str, x: Any) -> dict[str, np.ndarray]:
    """Return the memory of one or several arrays by the blocks that programs know it by."""
    found = {numbered(block, k): flat_view(array) for k, array in enumerate(arrays_of(x))}
    masks = enumerate(masks_of(x))
    return found | {numbered("mask", k): flat_view(mask) for k, mask in masks if mask is not None}
