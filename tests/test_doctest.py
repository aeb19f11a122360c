"""The examples in docstrings print what they say."""

import doctest
import importlib
import pkgutil

import pytest

import nbrnn

MODULES = [
    module.name
    for module in pkgutil.iter_modules(nbrnn.__path__, "nbrnn.")
    if not module.name.startswith("nbrnn._") and module.name not in ("nbrnn.kernels", "nbrnn.targets")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE).failed == 0


def test_the_modules_with_examples_are_among_them():
    assert {"nbrnn.model", "nbrnn.data", "nbrnn.scalers", "nbrnn.forecasting", "nbrnn.datasets"} <= set(MODULES)
