"""What holds for every layer with every option: over the rows of table.py."""

import copy
import pickle

import numpy as np
import pytest
import reference_layers
from support import assert_close
from table import ROWS, data, listed, one

import nbrnn
from nbrnn.layers import Layer

rows = pytest.mark.parametrize("name", ROWS)
LETTERS = {"kernel": "Wx", "recurrent_kernel": "Wh", "bias": "b"}
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def same(name, ours, theirs):
    """Assert that two models predict the same bits."""
    x, _ = data(ours)
    both = (listed(model.predict(one(x), **ROWS[name].given(x))) for model in (ours, theirs))
    for y, z in zip(*both, strict=True):
        np.testing.assert_array_equal(y, z)


def trained(name, dtype, batch=40, samples=40, epochs=1, optimizer="adam"):
    """Return a model after a fit."""
    model = ROWS[name].model(dtype)
    model.compile(optimizer, "mse")
    x, y = data(model, samples)
    model.fit(one(x), one(y), batch_size=batch, epochs=epochs, verbose=0, **ROWS[name].given(x))
    return model


def test_every_layer_has_a_row():
    met = {type(one) for row in ROWS.values() for layer in row.model().layers for one in (layer, *layer.leaves())}
    public = [getattr(nbrnn, name) for name in nbrnn.__all__]
    layers = {cls for cls in public if isinstance(cls, type) and issubclass(cls, Layer)}
    assert met >= layers - {nbrnn.Cell} and len(layers) > 15
    assert len([cls for cls in met - layers if issubclass(cls, nbrnn.Cell)]) == 3


@rows
def test_backpropagation_is_the_derivative(name):
    model = ROWS[name].model()
    x, y = data(model)
    model.compile("sgd", "mse", loss_weights=[0.3, 1.7] if len(y) > 1 else None)
    for targets in (None, one(y)):
        report = nbrnn.check_gradients(model, one(x), targets, **ROWS[name].given(x))
        assert report.passed and report.tolerance == 1e-12, f"\n{report}"
    names = {full for layer in model.layers for full, _ in layer._named()}
    assert set(report.gradients) >= names


@rows
def test_outputs_are_the_naive_twins(name):
    model = ROWS[name].model()
    x, _ = data(model)
    given = ROWS[name].given(x)
    masks = given.get("mask") if len(x) > 1 else list(given.values())
    twins = reference_layers.predict(model, x, masks)
    for y, expected in zip(listed(model.predict(one(x), **given)), twins, strict=True):
        assert_close(y, expected, 1e-13, name)


@rows
@dtypes
def test_a_file_and_a_copy_are_the_model(name, dtype, tmp_path):
    model = trained(name, dtype)
    model.save(tmp_path / "m.safetensors")
    twins = [nbrnn.load_model(tmp_path / "m.safetensors"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    x, y = data(model, 5, seed=3)
    given = ROWS[name].given(x)
    for twin in twins:
        assert repr(twin.layers) == repr(model.layers) and twin.dtype == model.dtype
        same(name, model, twin)
        twin.train_on_batch(one(x), one(y), **given)
    model.train_on_batch(one(x), one(y), **given)  # only now: a copy has weights and optimizer of its own
    for twin in twins:
        same(name, model, twin)


@rows
def test_a_trace_shows_it_or_says_in_a_sentence_why_not(name):
    model = ROWS[name].model()
    x, y = data(model, 1)
    given = ROWS[name].given(x)
    model.compile("sgd", "mse", loss_weights=[0.3, 1.7] if len(y) > 1 else None)
    if ROWS[name].trace:
        with pytest.raises(ValueError, match=ROWS[name].trace) as caught:
            nbrnn.trace(model, one([v[0] for v in x]), one([v[0] for v in y]))
        assert len(str(caught.value).splitlines()) == 1
        return
    shown = nbrnn.trace(model, one([v[0] for v in x]), one([v[0] for v in y]), **given)
    expected = listed(model.predict(one(x), **given))[: len(y)]
    for ours, theirs in zip(listed(shown.output), expected, strict=True):
        assert_close(ours, theirs[0], 1e-13)
    exact = nbrnn.check_gradients(model, one(x), one(y), training=False, **given).gradients
    penalised = any(leaf.regularizers for layer in model.layers for leaf in layer.leaves())
    for full in () if penalised else shown.totals:
        expected = exact[full][0] if full.partition(" ")[0] == "x" else exact[full]
        assert_close(shown.totals[full], expected, 1e-12, full)
    own = {full for layer in model.layers for full, _ in layer._named()}
    assert own <= shown.totals.keys()
    for full in own:
        assert_close(np.sum(shares(shown, full), axis=0), shown.totals[full], 1e-12, full, least=(1.0,))
    words = [layer.name for layer in nbrnn.trace(model, one([v[0] for v in x]), **given).layers]
    assert words == [layer.name for layer in shown.layers]
    assert max(map(len, str(shown).splitlines())) <= 80


def shares(shown, full):
    """Return what each step of each call adds to a weight's gradient."""
    found = []
    for layer in shown.layers:
        for weight, letter in LETTERS.items() if layer.totals else ():
            owner = ":".join(part for part in layer.name.split(":") if not part.isdigit())
            if full == f"{owner}/{weight}":
                found += [back[f"d{letter if f'd{letter}' in layer.totals else 'W'}"] for back in layer.backward]
        own = layer.layer.steps.params if isinstance(layer.layer, nbrnn.Cell) else ()
        found += [back[f"d{p}"] for p in own for back in layer.backward if full == f"{layer.name}/{p}"]
    return found


@rows
def test_float32_is_near_float64(name):
    outputs, steps = [], []
    for dtype in ("float32", "float64"):
        model = ROWS[name].model(dtype)
        x, y = data(model, 37)  # cut into shards
        given = ROWS[name].given(x)
        outputs.append(listed(model.predict(one(x), **given)))
        model.compile(nbrnn.SGD(1.0), "mse")
        before = model.get_weights()
        model.train_on_batch(one(x), one(y), **given)  # a step of size 1 is the gradient
        steps.append([old - new for old, new in zip(before, model.get_weights(), strict=True)])
    for near, exact in zip(*outputs, strict=True):
        np.testing.assert_allclose(near, exact, rtol=0, atol=2e-6 * max(1.0, np.abs(exact).max()))
    for near, exact in zip(*steps, strict=True):  # a difference of weights, which float32 rounds
        np.testing.assert_allclose(near, exact, rtol=0, atol=1e-4 * np.abs(exact).max() + 2e-7)


@rows
@dtypes
def test_bits_do_not_depend_on_the_number_of_threads(name, dtype):
    found, before = [], nbrnn.get_num_threads()
    try:
        for threads in (1, before):
            nbrnn.set_num_threads(threads)
            model = trained(name, dtype, samples=57, epochs=2)
            x, _ = data(model, 57)
            outputs = listed(model.predict(one(x), **ROWS[name].given(x)))
            found.append([a.tobytes() for a in (*outputs, *model.get_weights())])
    finally:
        nbrnn.set_num_threads(before)
    assert found[0] == found[1]
