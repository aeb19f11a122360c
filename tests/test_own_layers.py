"""Layers from outside the package: what `lower` and `weights` get wrong is one sentence, before anything runs."""

import numpy as np
import pytest

import nbrnn
from nbrnn.layers import LAYERS, Layer

X = np.random.default_rng(0).normal(size=(2, 5, 3))


def reversing(self, p, x):
    y = p.buffer(f"{self.name}/y", *x.shape)
    p.call("reverse", x=x, y=y)

    def backward(dy, wanted):
        dx = p.buffer(f"{self.name}/dx", *x.shape)
        p.call("reverse", x=dy, y=dx)
        return dx

    return y, backward


def narrower(self, p, x):
    return p.buffer(f"{self.name}/y", *x.shape[:2], 1), lambda dy, wanted: None


def misspelt(self, p, x):
    p.call("revers", x=x, y=x)
    return x, lambda dy, wanted: dy


@pytest.fixture
def own():
    """Return what makes a layer of some methods, which is forgotten after the test."""

    def make(**methods):
        cls = type("Own", (Layer,), {"kind": "own", "__module__": "somebody", **methods})
        return cls()

    yield make
    LAYERS.pop("Own", None)


def test_what_is_promised_passes(own):
    model = nbrnn.Sequential([own(lower=reversing)], input_shape=(5, 3), seed=0, dtype="float64")
    np.testing.assert_array_equal(model.predict(X), X[:, ::-1])
    assert nbrnn.check_gradients(model, X).passed


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"lower": narrower}, r"layer own: lower gives samples of shape \(5, 1\), but output_shape says \(5, 3\)\."),
        ({"lower": misspelt}, r"there is no kernel 'revers' \(did you mean 'reverse'\?\)\."),
        ({"lower": lambda self, p, x: x}, "layer own: lower must return its output, a buffer, and a function .*Buffer"),
        ({"lower": lambda self, p, x: None}, "layer own: lower must return its output, .* it returned None"),
        (
            {"lower": reversing, "declared": lambda self, shape: [self.weight("scale", shape[-1:], "onez")]},
            r"the initializer of own/scale 'onez' is unknown \(did you mean 'ones'\?\)",
        ),
    ],
)
def test_what_is_not_is_one_sentence(own, methods, message):
    with pytest.raises(ValueError, match=message) as caught:
        nbrnn.Sequential([own(**methods)], input_shape=(5, 3), seed=0).predict(X)
    assert "\n" not in str(caught.value)
