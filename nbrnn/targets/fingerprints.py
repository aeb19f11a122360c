"""Tells kernels from outside the package apart by their code, so that they can be cached.

The cache folder's name covers this package. Of a function from elsewhere, everything that its machine code is made of
goes into a hash: its bytecode and constants, and the functions and globals that these name, from module to module.
"""

from __future__ import annotations

import hashlib
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
from numba.core.types import Type

KNOWN = ("nbrnn", "numba", "numpy", "math", "cmath", "builtins", "llvmlite")  # covered by the folder's name, or fixed
PLAIN = (int, float, complex, str, bytes, bool, type(None), np.generic, np.dtype, type(Ellipsis))


class _Unknown(Exception):
    """A function names something whose code cannot be seen."""


def fingerprint(function: Any) -> str | None:
    """Return a hash of a function's code and of all that it names; None if something is out of sight.

    Parameters
    ----------
    function : function or Numba dispatcher
    """
    try:
        parts = list(_function(getattr(function, "py_func", function), set()))
    except _Unknown:
        return None
    return "_" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _function(function: Any, seen: set[int]) -> Iterator[str]:
    """Yield what a function's machine code depends on."""
    if id(function) in seen:
        return
    seen.add(id(function))
    yield from (str(function.__module__), function.__qualname__, repr(function.__defaults__))  # code names its module
    for cell in function.__closure__ or ():
        yield from _value(cell.cell_contents, (), seen)
    yield from _code(function.__code__, function.__globals__, seen)


def _code(code: types.CodeType, scope: dict[str, Any], seen: set[int]) -> Iterator[str]:
    yield from (code.co_code.hex(), repr(code.co_names), repr(code.co_varnames), repr(code.co_freevars))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _code(constant, scope, seen)
        else:
            yield repr(constant)
    for name in code.co_names:
        if name in scope:
            yield from (name, *_value(scope[name], code.co_names, seen))


def _as_written(function: types.FunctionType) -> bool:
    """Return whether a function is what its module's source says: not made within another, nor of other globals."""
    module = sys.modules.get(function.__module__ or "")
    return function.__closure__ is None and module is not None and function.__globals__ is vars(module)


def _own(module: str | None) -> bool:
    """Return whether code is this package's, or made of a text by it."""
    return module is None or module.partition(".")[0] == "nbrnn"


def _value(value: Any, names: tuple[str, ...], seen: set[int]) -> Iterator[str]:
    """Yield what tells a global from another; of a module, what is named of it."""
    module = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
    compiled = getattr(value, "py_func", None)
    if isinstance(value, PLAIN):
        yield f"{type(value).__name__} {value!r}"
    elif isinstance(value, Type):
        yield str(value)
    elif isinstance(value, (tuple, list, frozenset)):
        for one in value:
            yield from _value(one, (), seen)
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape} {value.tobytes().hex()}"
    elif isinstance(value, types.FunctionType) and _own(module) and not _as_written(value):
        yield from _function(value, seen)
    elif compiled is None and (module or "builtins").partition(".")[0] in KNOWN and not isinstance(value, np.ufunc):
        yield f"{module} {getattr(value, '__qualname__', getattr(value, '__name__', ''))}"
    elif isinstance(value, np.ufunc):
        yield f"ufunc {value.__name__}"
    elif isinstance(value, types.ModuleType):
        for name in names:
            if hasattr(value, name):
                yield from (name, *_value(getattr(value, name), names, seen))
    elif isinstance(compiled or value, types.FunctionType):
        if compiled is not None:
            yield repr(sorted(value.targetoptions.items(), key=str))
        known = (module or "").partition(".")[0] in KNOWN and _as_written(compiled or value)
        yield from ([f"{module} {value.__qualname__}"] if known else _function(compiled or value, seen))
    else:
        raise _Unknown
