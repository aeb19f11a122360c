"""Keras' places for names: `nbrnn.layers.LSTM` is found, though LSTM is defined in another module."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from .kerasways import way_to


def finder(module: str, base: type | None = None, *others: str) -> Callable[[str], Any]:
    """Return a module's `__getattr__` (PEP 562), which finds public classes of a kind wherever they are defined.

    Parameters
    ----------
    module : str
        Whose it is.
    base : type, optional
        Of which the classes must be; none is found if it is not given.
    *others : str
        Public names that count too.
    """
    package = sys.modules[__name__.rpartition(".")[0]]

    def find(name: str) -> Any:
        value = getattr(package, name) if name in package.__all__ else None
        if name in others or (base is not None and isinstance(value, type) and issubclass(value, base)):
            return value
        way = way_to(module.rpartition(".")[2], name)
        raise AttributeError(f"module {module!r} has no attribute {name!r}{way}")

    return find
