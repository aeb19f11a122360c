"""For tests of your own: an assertion on gradients, random models and arrays, Hypothesis strategies that draw them."""

from .gradients import assert_gradients
from .randoms import random_array, random_model
from .strategies import masks, models, sequences

__all__ = ["assert_gradients", "masks", "models", "random_array", "random_model", "sequences"]
