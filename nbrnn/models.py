"""The models, and what loads them, under the name of Keras' module."""

from .elsewhere import finder
from .model import Model
from .saving import load_model
from .sequential import Sequential

__all__ = ["Model", "Sequential", "load_model"]
__getattr__ = finder(__name__, Model)
