"""Every row of table.py gives Keras' numbers, where it is installed: outputs, gradients and five steps, in float32."""

import os

import numpy as np
import pytest
from table import ROWS, data, listed, one

import nbrnn
from nbrnn.cases import Case, run_backward

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras", reason="Keras is not installed")


def translated(keras, layer):
    """Return Keras' layer of the same arguments."""
    kind = getattr(keras.layers, type(layer).__name__)
    if isinstance(layer, nbrnn.Bidirectional):
        first, second = (translated(keras, one) for one in layer.both)
        return kind(first, merge_mode=layer.merge_mode, backward_layer=second)
    if isinstance(layer, nbrnn.TimeDistributed):
        return kind(translated(keras, layer.layer))
    config = {name: value for name, value in layer.config().items() if name not in ("name", "input_shape")}
    for role, ours in layer.regularizers.items():
        config[role] = getattr(keras.regularizers, type(ours).__name__)(**vars(ours))
    return kind(**config)


def twin(keras, model):
    """Return Keras' model of the same graph and weights, with the last states that layers return as more outputs."""
    graph = model.graph
    count = len(graph.inputs)
    values = {k: keras.Input(shape) for k, shape in enumerate(graph.shapes[:count])}
    made, states = {}, []
    for node in graph.nodes:
        layer = made.setdefault(node.layer, translated(keras, node.layer))
        inputs = [values[v] for v in node.sources]
        first = {"initial_state": inputs[1:]} if len(inputs) > 1 and not node.layer.joins else {}
        outputs = several(layer(inputs if node.layer.joins else inputs[0], **first))
        if len(node.results) == 1 and getattr(node.layer, "return_state", False):
            states += outputs[1:]
        values.update(zip(node.results, outputs, strict=False))
    inputs, outputs = [values[k] for k in range(count)], [values[v] for v in graph.outputs]
    trained = keras.Model(one(inputs), one(outputs))
    assert [w.shape for w in trained.get_weights()] == [w.shape for w in model.get_weights()]
    trained.set_weights(model.get_weights())
    return trained, keras.Model(one(inputs), outputs + states)


def several(outputs):
    """Return one output, or several, as a list."""
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def drops(model):
    """Return whether a model has dropout, whose masks are those of a generator of one's own."""
    leaves = [leaf for layer in model.layers for leaf in layer.leaves()]
    return any(getattr(leaf, name, 0) for leaf in leaves for name in ("rate", "dropout", "recurrent_dropout"))


def near(ours, theirs, what=""):
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * max(np.abs(theirs).max(), 1e-2), err_msg=what)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.keras])
def test_outputs_gradients_and_five_steps_are_kerass(keras, name):
    model = ROWS[name].model("float32")
    x, y = data(model, 6)
    theirs, whole = twin(keras, model)
    for ours, expected in zip(listed(model.predict(one(x))), several(whole(one(x), training=False)), strict=True):
        near(ours, expected.detach().cpu())
    if drops(model):
        return

    model.compile("sgd", "mse")
    model.optimizer, sgd = None, model.optimizer
    loss, gradients = run_backward(model, Case(*model._pair(one(x), one(y))))
    pairs = zip(several(theirs(one(x), training=True)), y, strict=True)
    total = sum(keras.losses.mean_squared_error(target, output).mean() for output, target in pairs) + sum(theirs.losses)
    total.backward()
    assert loss == pytest.approx(float(total), rel=1e-5)
    named = [full for layer in model.layers for full, _ in layer._named()]
    for full, variable in zip(named, theirs.trainable_variables, strict=True):
        gradient = variable.value.grad
        near(gradients[full], np.zeros(variable.shape) if gradient is None else gradient.cpu(), full)

    model.optimizer = sgd
    sgd.learning_rate = 0.1
    theirs.compile(keras.optimizers.SGD(0.1), "mse")
    for _ in range(5):
        ours, expected = (np.atleast_1d(each.train_on_batch(one(x), one(y)))[0] for each in (model, theirs))
        assert ours == pytest.approx(float(expected), rel=1e-5)
    for mine, other in zip(model.get_weights(), theirs.get_weights(), strict=True):
        near(mine, other)
