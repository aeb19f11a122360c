"""A layer as what JSON can hold, and back."""

from __future__ import annotations

from typing import Any

from .layers import LAYERS, Layer


class UnknownLayerError(ValueError):
    """A file has a layer that is not defined here."""


def described(layer: Layer, **changes: Any) -> dict[str, Any]:
    """Return what makes a layer again: its class, its arguments and, where it is not this package's, its module."""
    kind = type(layer)
    own = {} if kind.__module__.startswith("nbrnn.") else {"module": kind.__module__}
    return {"class": kind.__name__, **own, "config": layer.config() | changes}


def made(entry: dict[str, Any]) -> Layer:
    """Return the layer that `described` describes.

    Raises
    ------
    UnknownLayerError
        If its class is not defined: a file executes nothing, so its module has to be imported before.
    """
    name, module = entry["class"], entry.get("module")
    if isinstance(name, str) and isinstance(module, str) and name not in LAYERS:
        raise UnknownLayerError(
            f"its layer {name} is none of nbrnn's; it was defined in the module {module!r}: import that first."
        )
    return LAYERS[name].from_config(entry["config"])
