"""A cell's step functions, run once in plain Python on tiny arrays: what compiled code does not check is seen here.

The lengths B, D and H differ, and every two of them come in both orders, so that an axis taken for another one is out
of bounds. Outputs hold NaN before a step, so that what is not written shows.
"""

from __future__ import annotations

import linecache
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .kernels.abi import dimension
from .kernels.cells import Steps

SIZES = ({"B": 2, "D": 3, "H": 5}, {"B": 5, "D": 2, "H": 3}, {"B": 3, "D": 5, "H": 2})
Arrays = dict[str, Any]  # scalars too


def lengths(dims: str, sizes: dict[str, int]) -> tuple[int, ...]:
    """Return a declared shape, such as "D,3H", in numbers."""
    parts = (dimension(text) for text in dims.split(","))
    return tuple(factor * sizes[letter] + extra for factor, letter, extra in parts)


def rehearse(steps: Steps, title: str, numbers: Arrays) -> None:
    """Run a cell's forward and backward step.

    Parameters
    ----------
    steps : Steps
    title : str
        The cell's class.
    numbers : dict
        The scalars' values.

    Raises
    ------
    ValueError
        If a function fails on arrays of the declared shapes, leaves some of its outputs unwritten, writes to what it
        may only read, or sets a weight's gradient that it has to add to; the sentence names the array.
    """
    for sizes in SIZES:
        for dtype in (np.float64, np.complex128):
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("error", np.exceptions.ComplexWarning)  # an imaginary part that is dropped
                _Rehearsal(steps, title, sizes, dtype).play(numbers)


class _Rehearsal:
    """One run on arrays of some sizes."""

    def __init__(self, steps: Steps, title: str, sizes: dict[str, int], dtype: Any) -> None:
        self.steps, self.title, self.sizes, self.dtype = steps, title, sizes, dtype
        self.rng = np.random.default_rng(0)
        states = dict.fromkeys(steps.carry, "B,H")
        self.dims = {"x": "B,D"} | states | steps.params | steps.tape | steps.scratch
        self.dims |= {f"{name}_prev": "B,H" for name in states} | {f"d{n}": dims for n, dims in self.dims.items()}
        self.dims |= {f"d{name}_prev": "B,H" for name in states}
        self.dims |= {f"{n}_T": ",".join(reversed(steps.params[n].split(","))) for n in steps.turned}

    def drawn(self, *names: str) -> Arrays:
        """Return random arrays."""
        made = {name: self.rng.uniform(-0.5, 0.5, lengths(self.dims[name], self.sizes)) for name in names}
        return {name: array.astype(self.dtype) for name, array in made.items()}

    def filled(self, value: float, *names: str) -> Arrays:
        """Return arrays of one number."""
        return {name: np.full(lengths(self.dims[name], self.sizes), value, self.dtype) for name in names}

    def play(self, numbers: Arrays) -> None:
        """Run the steps; backward in real numbers alone, as programs do."""
        steps, carry = self.steps, self.steps.carry
        reads = self.drawn("x", *(f"{name}_prev" for name in carry), *steps.params) | numbers
        outputs = self.filled(np.nan, *carry, *steps.tape)
        self.run("forward", steps.forward, reads, outputs)
        self.all_written("forward", outputs)
        if self.dtype == np.complex128:
            return
        reads |= outputs | {f"{name}_T": np.ascontiguousarray(reads[name].T) for name in steps.turned}
        reads |= self.drawn(*(f"d{name}" for name in carry))
        given = [f"d{name}" for name in steps.params]
        gradients = []
        for value in (0.0, 1.0):
            outputs = self.filled(np.nan, "dx", *(f"d{name}_prev" for name in carry), *steps.scratch)
            sums = self.filled(value, *given)
            self.run("backward", steps.backward, reads, outputs | sums)
            self.all_written("backward", outputs)
            gradients.append(sums)
        for name in given:
            if not np.allclose(gradients[0][name] + 1, gradients[1][name], rtol=0, atol=1e-9, equal_nan=True):
                raise ValueError(
                    f"cell {self.title}: backward must add to {self.shown(name)}, which sums over the steps "
                    f"({name} += ...), but it sets it."
                )

    def run(self, way: str, step: Callable[..., None], reads: Arrays, writes: Arrays) -> None:
        """Call a step function with the arrays that it names; what it reads must stay as it is."""
        names = step.__code__.co_varnames[: step.__code__.co_argcount]
        before = {name: np.copy(reads[name]) for name in names if name in reads}
        try:
            step(*((reads | writes)[name] for name in names))
        except Exception as error:
            raise ValueError(self.failed(way, step, error)) from error
        for name, was in before.items():
            if not np.array_equal(was, reads[name], equal_nan=True):
                raise ValueError(f"cell {self.title}: {way} writes to {self.shown(name)}, which it may only read.")

    def failed(self, way: str, step: Callable[..., None], error: Exception) -> str:
        """Return a sentence that names the line and its arrays."""
        where, names, trace = "", list(step.__code__.co_varnames[: step.__code__.co_argcount]), error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code is step.__code__:
                line = linecache.getline(step.__code__.co_filename, trace.tb_lineno).strip()
                if line:
                    where = f" at `{line}`"
                    names = [n for n in dict.fromkeys(re.findall(r"\w+", line)) if n in names] or names
            trace = trace.tb_next
        arrays = ", ".join(self.shown(name) for name in names if name in self.dims)
        told = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(".")
        kind = "complex numbers, as check_gradients takes them" if self.dtype == np.complex128 else "arrays as declared"
        sizes = ", ".join(f"{letter} = {n}" for letter, n in self.sizes.items())
        return f"cell {self.title}: {way} fails on {kind}{where}, with {arrays} and {sizes}: {told}."

    def all_written(self, way: str, outputs: Arrays) -> None:
        """Raise ValueError if a number of an output still is what it was."""
        for name, array in outputs.items():
            if np.isnan(array).any():
                raise ValueError(
                    f"cell {self.title}: {way} must write all of {self.shown(name)}, but some of it is not written, "
                    "or is no number, for moderate inputs."
                )

    def shown(self, name: str) -> str:
        """Return an array with its declared shape."""
        return f"{name}[{self.dims[name]}]" if name in self.dims else name
