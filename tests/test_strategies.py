"""What the strategies of nbrnn.testing draw: models, arrays and masks of every form; small and readable on failure."""

import ast
import re

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from support import seeds

import nbrnn
from nbrnn import (
    GRU,
    LSTM,
    Bidirectional,
    Concatenate,
    Dense,
    Dropout,
    Feedback,
    Flatten,
    Masking,
    SimpleRNN,
    Softmax,
    TimeDistributed,
    testing,
)
from nbrnn.cases import Case, plain_copy, run_loss
from nbrnn.lowering import TRAIN
from nbrnn.testing.randoms import LAYOUTS, VALUES
from nbrnn.testing.strategies import EXTRAS

# ---------------------------------------------------------------- models


@given(model=testing.models(layers=(0, 2)))
def test_the_gradients_of_all_models_are_right(model):
    testing.assert_gradients(model)


COMPOSED = (
    None,
    "mse",
    "mae",
    nbrnn.Huber(0.3),
    nbrnn.Quantile(0.3),
    nbrnn.BinaryCrossentropy(from_logits=True, label_smoothing=0.1),
    nbrnn.CategoricalCrossentropy(from_logits=True),
    nbrnn.SparseCategoricalCrossentropy(from_logits=True),
)


@settings(max_examples=60)
@given(data=st.data(), weighted=st.sampled_from(("none", "samples", "steps")))
def test_the_gradients_of_stacks_with_everything_are_right(data, weighted):
    composed = testing.models(layers=(0, 3), units=(2, 4), losses=COMPOSED, extras=EXTRAS)
    model = data.draw(composed)
    testing.assert_gradients(model)
    x, rng = data.draw(testing.sequences(model, samples=(1, 3))), np.random.default_rng(0)
    if isinstance(model.layers[0], Masking):  # its steps, with the outputs' projections too
        testing.assert_gradients(model, x)
    if model.loss is None or weighted == "none":
        return
    y = model.loss.example((len(x), *model.output_shape), rng)
    steps = model.output_shape[:-1] if weighted == "steps" else ()
    states = {name: rng.normal(size=(len(x), units)) for name, units in model._units().items()}
    weight = rng.uniform(0, 2, (len(x), *steps))
    report = nbrnn.check_gradients(model, x, y, initial_state=states or None, sample_weight=weight, tolerance=1e-10)
    assert report.passed, f"\n{report}"


@given(data=st.data(), cell=st.sampled_from(("simple_rnn", "lstm", "gru")), units=st.integers(1, 5))
def test_models_are_what_is_asked_for(data, cell, units):
    asked = dict(layers=2, units=units, features=(2, 3), steps=4, activations="tanh", losses="mae", dtype="float32")
    model = data.draw(testing.models(cell, **asked))
    recurrent = [layer for layer in model.layers if hasattr(layer, "recurrent_initializer")]
    assert [layer.kind for layer in recurrent] == [cell, cell]
    assert {layer.units for layer in model.layers if hasattr(layer, "units")} == {units}
    assert {layer.activation for layer in model.layers if hasattr(layer, "units")} == {"tanh"}
    assert model.input_shape in ((4, 2), (4, 3)) and model.dtype == "float32" and model.loss.name == "mae"


WANTED = {
    "SimpleRNN": lambda m: isinstance(m.layers[0], SimpleRNN) and m.layers[0].activation == "relu",
    "LSTM": lambda m: isinstance(m.layers[0], LSTM) and m.layers[0].recurrent_activation == "hard_sigmoid",
    "GRU, reset after": lambda m: isinstance(m.layers[0], GRU) and m.layers[0].reset_after,
    "GRU, reset before": lambda m: isinstance(m.layers[0], GRU) and not m.layers[0].reset_after,
    "two cells": lambda m: len({layer.kind for layer in m.layers} & {"simple_rnn", "lstm", "gru"}) == 2,
    "backwards": lambda m: m.layers[0].go_backwards and m.input_shape[0] > 1,
    "no bias": lambda m: not m.layers[0].use_bias,
    "sequences": lambda m: len(m.output_shape) == 2 and m.output_shape[0] == 5,
    "Flatten": lambda m: any(isinstance(layer, Flatten) for layer in m.layers),
    "Dense on steps": lambda m: isinstance(m.layers[-1], Dense) and len(m.output_shape) == 2,
    "no loss": lambda m: m.loss is None and not m.compiled,
    "Huber": lambda m: m.compiled and m.loss.name == "huber",
}
WANTED_EXTRAS = {
    "Bidirectional": lambda m: any(
        isinstance(layer, Bidirectional) and layer.merge_mode == "mul" for layer in m.layers
    ),
    "TimeDistributed": lambda m: any(isinstance(layer, TimeDistributed) for layer in m.layers),
    "Softmax": lambda m: any(isinstance(layer, Softmax) for layer in m.layers),
    "Dropout": lambda m: any(isinstance(layer, Dropout) for layer in m.layers),
    "recurrent dropout": lambda m: any(getattr(leaf, "recurrent_dropout", 0) for leaf in m.graph.leaves()),
    "penalties": lambda m: any(len(leaf.regularizers) == 3 for leaf in m.graph.leaves()),
    "Masking": lambda m: isinstance(m.layers[0], Masking) and len(m.layers) > 2 and m.layers[0].mask_value == -3,
    "Masking and Bidirectional": lambda m: [type(one) for one in m.layers[:2]] == [Masking, Bidirectional],
    "Feedback": lambda m: isinstance(m.layers[0], Feedback) and m.layers[0].lags == 2,
    "a skip": lambda m: any(isinstance(layer, Concatenate) for layer in m.layers),
}


@pytest.mark.parametrize("name", WANTED)
def test_models_of_every_form_are_drawn(name):
    quick = settings(max_examples=1000, database=None, phases=[Phase.generate])
    assert find(testing.models(), WANTED[name], settings=quick).built


@pytest.mark.parametrize("name", WANTED_EXTRAS)
def test_extras_of_every_form_are_drawn(name):
    quick = settings(max_examples=1000, database=None, phases=[Phase.generate])
    assert find(testing.models(extras=EXTRAS), WANTED_EXTRAS[name], settings=quick).built


def test_a_skip_joins_the_input_to_a_layer():
    model = testing.random_model([SimpleRNN(2, return_sequences=True), Dense(1)], (3, 2), skips=[(0, 1)])
    cell, _, top = model.layers
    twin = testing.random_model([type(cell)(**cell.config() | {"name": None})], (3, 2))
    twin.set_weights(cell.get_weights())
    x = testing.random_array((2, 3, 2))
    W, b = top.get_weights()
    np.testing.assert_allclose(model.predict(x), np.concatenate([twin.predict(x), x], -1) @ W + b, rtol=1e-13)
    for skip in ((1, 1), (0, 2), (-1, 1)):
        with pytest.raises(ValueError, match="skips"):
            testing.random_model([Dense(1), Dense(1)], (3,), skips=[skip])


def test_models_shrink_to_one_of_everything():
    model = find(testing.models(), lambda m: True)
    assert len(model.layers) == 1 and model.layers[0].units == 1 and model.input_shape == (1, 1)
    model = find(testing.models(("gru", "lstm")), lambda m: len(m.layers) >= 2 and m.input_shape[0] >= 3)
    assert [layer.units for layer in model.layers] == [1, 1] and model.input_shape == (3, 1) and model.seed == 0


def test_models_with_open_steps_and_models_without_recurrence():
    model = find(testing.models(steps=None), lambda m: True)
    assert model.input_shape == (None, 1)
    model = find(testing.models(layers=0), lambda m: any(isinstance(layer, Flatten) for layer in m.layers))
    assert not any(hasattr(layer, "recurrent_initializer") for layer in model.layers)


class Turned(SimpleRNN):
    """A recurrent layer from outside the package."""

    kind = "turned"

    def __init__(self, units, activation="tanh", return_sequences=False):
        super().__init__(units, activation, return_sequences=return_sequences, go_backwards=True)


@given(model=testing.models(cells=Turned))
def test_a_recurrent_layer_of_ones_own_is_drawn(model):
    assert type(model.layers[0]) is Turned and model.layers[0].go_backwards


def test_a_failing_example_is_printed_as_the_call_that_makes_it():
    found = []

    @settings(max_examples=200, database=None, phases=[Phase.generate, Phase.shrink])
    @given(model=testing.models("gru", dtype="float32", losses="huber"))
    def fails(model):
        if model.layers[0].units > 1 and not model.layers[0].reset_after:
            found.append(model)
            raise AssertionError("on purpose")

    with pytest.raises(AssertionError, match="on purpose") as error:
        fails()
    text = "\n".join(error.value.__notes__)
    start = text.index("random_model(")
    ends = [k + 1 for k in range(start, len(text)) if text[k] == ")"]
    call = next(text[start:end] for end in ends if parses(text[start:end]))
    assert call.startswith("random_model(\n") and len(call) < 400
    again = eval(call, {"random_model": testing.random_model, "GRU": GRU})
    assert again.loss.name == "huber" and again.dtype == "float32" and again.layers[0].units == 2
    for weight, printed in zip(found[-1].get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, printed)


def parses(text):
    try:
        return bool(ast.parse(text, mode="eval"))
    except SyntaxError:
        return False


@given(model=testing.models(units=(2, 4)), seed=seeds)
def test_weights_are_random_and_moderate(model, seed):
    weights = np.concatenate([w.reshape(-1) for w in model.get_weights()])
    assert len(np.unique(weights)) == weights.size and np.abs(weights).max() <= 1
    one, two = (
        testing.random_model(
            [type(layer)(**layer.config()) for layer in model.layers], model.input_shape, seed=s
        ).get_weights()
        for s in (seed, seed + 1)
    )
    assert not any((a == b).any() for a, b in zip(one, two, strict=True))


def test_pre_activations_are_moderate():
    largest = []

    @settings(max_examples=120, database=None, derandomize=True, phases=[Phase.generate])
    @given(data=st.data())
    def look(data):
        model = data.draw(testing.models(losses="mse"))
        x = data.draw(testing.sequences(model))
        twin = plain_copy(model, "float64")
        executor = Case(x, model.predict(x)).executor(twin, TRAIN, tape=True)
        run_loss(executor, twin)
        program = executor.plan.programs[len(x)]
        named = [buffer for name, buffer in program.layout.buffers.items() if name.endswith("/a")]
        largest.append(max(np.abs(executor.view(buffer)).max() for buffer in named))

    look()
    assert 0.5 < np.median(largest) < 2 and np.quantile(largest, 0.95) < 3 and max(largest) < 6


# ---------------------------------------------------------------- arrays and masks


@given(model=testing.models(), data=st.data(), samples=st.integers(1, 4))
def test_sequences_fit_a_model(model, data, samples):
    x = data.draw(testing.sequences(model, samples=samples))
    assert x.shape == (samples, *model.input_shape) and x.dtype == model.dtype and np.abs(x).max() <= 2
    assert len(model.predict(x)) == samples


def test_sequences_for_a_model_that_masks_have_masked_steps():
    model = testing.random_model([nbrnn.Masking(-3.0), SimpleRNN(1)], (4, 2))
    masked = lambda x: (x == -3).all(axis=-1)
    x = find(testing.sequences(model, samples=2), lambda x: masked(x).any() and not masked(x).all())
    assert x.shape == (2, 4, 2) and ((x == -3).any(axis=-1) == masked(x)).all()
    assert np.abs(find(testing.sequences(model, layouts="read-only"), lambda x: True)).max() <= 2
    testing.assert_gradients(model, x)


def test_sequences_of_open_steps_vectors_and_complex_models():
    model = testing.random_model([SimpleRNN(1)], (None, 2), dtype="float32")
    x = find(testing.sequences(model), lambda x: x.shape[1] == 5)
    assert x.shape == (1, 5, 2) and x.dtype == "float32"
    assert find(testing.sequences(model, steps=(7, 9)), lambda x: True).shape == (1, 7, 2)
    assert find(testing.sequences(model, dtype="float64"), lambda x: True).dtype == "float64"
    assert find(testing.sequences(testing.random_model([Dense(1)], (4,))), lambda x: True).shape == (1, 4)
    model = nbrnn.Sequential([SimpleRNN(1)], input_shape=(3, 2), dtype="complex128")
    assert find(testing.sequences(model), lambda x: True).dtype == "float64"
    assert find(testing.sequences(), lambda x: x.size > 1).shape in ((2, 1, 1), (1, 2, 1), (1, 1, 2))


SHAPE = (3, 4, 2)
INSIDE = {
    "moderate": lambda x, t: x <= 2,
    "zero": lambda x, t: x == 0,
    "denormal": lambda x, t: (x > 0) & (x < t.smallest_normal),
    "large": lambda x, t: (x >= 9.99) & (x <= 1.001e4),
    "huge": lambda x, t: (x >= 0.999 * np.sqrt(t.max)) & (x <= t.max / 1.99),
}


@given(seed=seeds, dtype=st.sampled_from(("float32", "float64")), values=st.sampled_from(VALUES))
def test_values_are_of_their_kind(seed, dtype, values):
    x = testing.random_array((8, 8, 8), seed=seed, dtype=dtype, values=values)
    assert x.dtype == dtype and np.isfinite(x).all() and np.signbit(x).any() and not np.signbit(x).all()
    if values == "mixed":
        masks = [inside(np.abs(x), np.finfo(dtype)) for inside in INSIDE.values()]
        assert np.any(masks, axis=0).all() and all(mask.any() for mask in masks)
    else:
        assert INSIDE[values](np.abs(x), np.finfo(dtype)).all()
        assert values == "zero" or len(np.unique(x)) > 300


def test_layouts_are_what_they_are_called():
    arrays = {layout: testing.random_array(SHAPE, seed=1, layout=layout) for layout in LAYOUTS}
    C, F, strided, backwards, fixed, windows = arrays.values()
    assert C.flags.c_contiguous and C.flags.writeable
    assert F.flags.f_contiguous and not F.flags.c_contiguous
    assert strided.strides == tuple(2 * n for n in np.cumprod((8, 2 * 2, 2 * 4))[::-1]) and np.isnan(strided.base).any()
    assert all(s < 0 for s in backwards.strides)
    assert fixed.flags.c_contiguous and not fixed.flags.writeable
    assert np.shares_memory(windows[0], windows[1]) and (windows[0, 1:] == windows[1, :-1]).all()
    for same in (F, strided, fixed, backwards[::-1, ::-1, ::-1]):
        np.testing.assert_array_equal(same, C)
    assert testing.random_array((5, 3), layout="overlapping").shape == (5, 3)


@given(model=testing.models(), data=st.data())
def test_the_layout_of_an_array_changes_nothing(model, data):
    x = data.draw(testing.sequences(model, layouts=LAYOUTS))
    np.testing.assert_array_equal(model.predict(x), model.predict(np.ascontiguousarray(x)))


def test_a_failing_array_is_printed_with_its_layout():
    @settings(max_examples=200, database=None)
    @given(x=testing.sequences(layouts=LAYOUTS, values=("moderate", "huge")))
    def fails(x):
        assert x.flags.writeable

    with pytest.raises(AssertionError) as error:
        fails()
    text = "\n".join(error.value.__notes__)
    call = re.search(r"random_array\(.*\)", text)[0]
    again = eval(call, {"random_array": testing.random_array})
    assert again.shape == (1, 1, 1) and not again.flags.writeable and repr(again) in text
    assert "values='moderate', layout='read-only'" in call


KINDS = {
    "all": lambda row: row.all(),
    "empty": lambda row: not row.any(),
    "right": lambda row: row[0] and not row[-1] and (np.diff(row.astype(int)) <= 0).all(),
    "left": lambda row: not row[0] and row[-1] and (np.diff(row.astype(int)) >= 0).all(),
    "holes": lambda row: row[0] and row[-1] and not row.all(),
}


@given(data=st.data(), kind=st.sampled_from(sorted(KINDS)), samples=st.integers(1, 4))
def test_masks_are_of_their_kind(data, kind, samples):
    mask = data.draw(testing.masks(samples, (1, 6), kinds=kind))
    assert mask.dtype == bool and len(mask) == samples and 1 <= mask.shape[1] <= 6
    assert all(KINDS[kind](row) for row in mask)


@given(mask=testing.masks((1, 4), (1, 6)))
def test_each_row_of_a_mask_is_of_some_kind(mask):
    assert 1 <= len(mask) <= 4 and 1 <= mask.shape[1] <= 6
    assert all(sum(bool(of(row)) for of in KINDS.values()) == 1 for row in mask)


def test_masks_of_several_kinds_and_small_ones():
    mask = find(testing.masks(5, 4), lambda mask: len({tuple(row) for row in mask}) == 5)
    assert mask.shape == (5, 4)
    assert find(testing.masks(), lambda mask: True).tolist() == [[True]]
    assert find(testing.masks(kinds="holes"), lambda mask: True).tolist() == [[True, False, True]]
