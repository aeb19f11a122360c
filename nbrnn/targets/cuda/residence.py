"""A model's own arrays on the device: weights, the optimizer's arrays and its numbers, shared by all of its executors.

They stand twice, on the host and on the device. A run goes by the device's, and a training leaves them newer there;
whoever looks at the host's gets them back first (`fetch`), and may change them, so that the next run sends them again.
So between two batches, two slices and two epochs nothing is copied, and `get_weights` is right whenever it is called.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numba import cuda

from ...memory import NotEnoughMemoryError, in_words
from ...program import Weights
from .device import CPU, first_line, memory_left, simulating

OWN = ("params", "slots", "hyper")


class Residence:
    """Where a model's own arrays live.

    Parameters
    ----------
    precision : str
        Of the products of matrices.
    lasting : bool, default True
        Whether the arrays stay on the device from run to run, for callers that use `fetch`; else every run brings
        them there and back.
    """

    def __init__(self, precision: str = "float32", lasting: bool = True) -> None:
        self.precision, self.lasting = precision, lasting
        self.host: dict[str, np.ndarray] = {}
        self.device: dict[str, Any] = {}
        self.newer = False  # whether the device's numbers are newer
        self.touched = True  # whether the host's may have been changed
        self.seen = -1  # the count of changes of weights at which they were sent
        self.front = np.zeros(0)  # of the optimizer's numbers, as the device has them
        self.lent = False  # whether others may write to the device's arrays
        self.copies: dict[str, np.ndarray] = {}  # what the host was brought, where the arrays are lent
        self.lost = False  # whether the device has failed to give them back

    def bind(self, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
        """Return the device's copies of those arrays that are a model's own; new ones get memory here."""
        for name in OWN:
            if name in arrays and self.host.get(name) is not arrays[name]:
                assert not self.newer
                self.device[name] = zeros(arrays[name].size, arrays[name].dtype)
                self.host[name], self.touched = arrays[name], True
        return {name: self.device[name] for name in OWN if name in arrays}

    def lend(self, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
        """Return the device's copies of arrays for others to read and write: the host asks for them from now on."""
        with told():
            lent = self.bind(arrays)
            self.lent = True
            self.send()
        return lent

    def send(self) -> None:
        """Bring the device up to date before a run."""
        if self.lent and not simulating():
            cuda.synchronize()  # others may write on streams of their own
        if self.newer:
            return
        if self.touched or self.seen != Weights.changes or not self.lasting:
            for name, array in self.host.items():
                known = self.copies.get(name)
                if known is None or not np.array_equal(known, array):  # else others may have written to the device's
                    self.device[name].copy_to_device(array)
            self.touched, self.seen = False, Weights.changes
            self.front = self.host["hyper"].copy() if "hyper" in self.host else self.front
        self.newer, self.copies = self.lent, {}

    def ran(self, trained: bool) -> None:
        """Note that a run is over."""
        if trained:
            Weights.changes += 1
            self.newer, self.seen = True, Weights.changes
            if not self.lasting:
                self.fetch()

    def fetch(self) -> None:
        """Bring the host up to date, all arrays or, with an error, none; it may then be changed there.

        Raises
        ------
        ValueError
            If the device does not give its memory back any more.
        """
        if self.newer:
            try:
                copies = {name: array.copy_to_host() for name, array in self.device.items()}
            except Exception as error:
                self.lost = True
                raise ValueError(
                    f"the weights cannot be read back from the GPU ({first_line(error)}); those in the host's memory "
                    'are as they were when they were last looked at: model.to("cpu") goes on from them.'
                ) from error
            for name, copy in copies.items():
                self.host[name][...] = copy
            self.newer, self.copies = False, copies if self.lent else {}
        self.touched = True

    def set_numbers(self, numbers: list[float]) -> None:
        """Set the first of the optimizer's numbers, which may be others now; those after them move on the device."""
        count = len(numbers)
        if not self.newer:
            self.touched = self.touched or not np.array_equal(self.host["hyper"][:count], numbers)
        elif not np.array_equal(self.front[:count], numbers):
            self.device["hyper"][:count].copy_to_device(np.array(numbers))
        self.host["hyper"][:count] = numbers
        self.front = np.array(numbers)


def zeros(size: int, dtype: Any) -> Any:
    """Return zeros on the device.

    Raises
    ------
    NotEnoughMemoryError
        If the device has no such memory.
    """
    dtype = np.dtype(dtype)
    try:
        array = cuda.device_array(max(size, 1), dtype)
        if simulating():
            array.copy_to_device(np.zeros(max(size, 1), dtype))
        else:
            from numba.cuda.cudadrv import driver

            driver.device_memset(array, 0, array.nbytes)
    except Exception as error:
        if not is_shortage(error):
            raise
        raise shortage(size * dtype.itemsize) from error
    return array


def is_shortage(error: Exception) -> bool:
    """Return whether an error says that the device has no memory left."""
    return "OUT_OF_MEMORY" in str(error) or (simulating() and isinstance(error, MemoryError))


def is_drivers(error: Exception) -> bool:
    """Return whether an error is the driver's, told by numba-cuda or cuda-core."""
    return type(error).__module__.startswith(("cuda.", "numba.cuda.cudadrv."))


@contextmanager
def told() -> Iterator[None]:
    """Let errors of the driver be one sentence, a ValueError: that memory has run out, or that the GPU has failed."""
    try:
        yield
    except Exception as error:
        if is_shortage(error):
            raise shortage() from error
        if is_drivers(error):
            raise ValueError(
                f"the GPU, or its driver, has failed ({first_line(error)}): start Python again, {CPU}."
            ) from error
        raise


def shortage(nbytes: int = 0) -> NotEnoughMemoryError:
    """Return what is raised where the device does not give so many bytes, or some that nobody counted."""
    left = memory_left()
    return NotEnoughMemoryError(
        f"{in_words(nbytes) if nbytes else 'more'} of the GPU's memory could not be had"
        f"{'' if left is None else f' ({in_words(left)} are free)'}: make batch_size or the layers' units smaller, "
        f"{CPU}.",
        nbytes,
    )
